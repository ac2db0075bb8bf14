"""The same network in PyTorch with the same weights: its gradients, and Captum's methods, as witnesses."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.visualization.attribution import METHODS
from keras_cnn.visualization.targets import ClassScore

torch = pytest.importorskip("torch")
nn = torch.nn


class Twin(nn.Module):
    """What `network` is, in PyTorch; images as there, (N, H, W, C) of 0-255."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3)
        self.norm = nn.BatchNorm2d(6, eps=1e-3)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.hidden, self.logits = nn.Linear(8 * 5 * 5, 10), nn.Linear(10, 4)
        with torch.no_grad():
            for name in ("conv1", "conv2", "hidden", "logits"):
                kernel, bias = (torch.from_numpy(w.copy()) for w in model.get_layer(name).get_weights())
                order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
                getattr(self, name).weight.copy_(kernel.permute(order))
                getattr(self, name).bias.copy_(bias)
            gamma, beta, mean, variance = (torch.from_numpy(w.copy()) for w in model.get_layer("norm").get_weights())
            self.norm.weight.copy_(gamma), self.norm.bias.copy_(beta)
            self.norm.running_mean.copy_(mean), self.norm.running_var.copy_(variance)
        self.eval()

    def forward(self, images):
        x = images.permute(0, 3, 1, 2) / 255
        x = self.pool(self.relu1(self.norm(self.conv1(x))))
        x = self.relu2(self.conv2(x))
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.logits(self.relu3(self.hidden(x)))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(6)
    image = keras.Input((14, 14, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(6, 3, padding="same", name="conv1")(x))
    x = layers.MaxPooling2D(2)(layers.ReLU(name="relu1")(x))
    x = layers.Conv2D(8, 3, activation="relu", name="conv2")(x)
    x = layers.Dense(10, activation="relu", name="hidden")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(4, name="logits")(x), name="twin")
    generator = np.random.default_rng(6)
    norm = model.get_layer("norm")
    norm.set_weights([generator.uniform(0.5, 1.5, 6), *generator.normal(0, 0.2, (2, 6)), generator.uniform(0.5, 1, 6)])
    model.get_layer("conv2").bias.assign(generator.normal(0, 0.1, 8))
    return model


IMAGES = np.random.default_rng(8).integers(0, 256, (3, 14, 14, 3)).astype(np.float32)
TARGETS = (0, 3, 2)


@pytest.fixture(scope="module")
def twin(network) -> Twin:
    return Twin(network)


def _ours(network, name: str, **options):
    return METHODS[name](network, IMAGES, ClassScore(TARGETS), **options)


def _equal(found, expected, relative=1e-4) -> None:
    expected = expected.detach().numpy()
    np.testing.assert_allclose(found, expected, atol=relative * np.abs(expected).max())


def test_the_twin_computes_the_same(network, twin):
    _equal(network(IMAGES, training=False), twin(torch.from_numpy(IMAGES)))


def test_gradients_are_those_of_pytorch(network, twin):
    images = torch.from_numpy(IMAGES).requires_grad_()
    twin(images)[range(3), list(TARGETS)].sum().backward()
    _equal(_ours(network, "gradient").values, images.grad)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("gradient-times-input", "InputXGradient"),
        ("guided-backpropagation", "GuidedBackprop"),
        ("deconvnet", "Deconvolution"),
    ],
)
@pytest.mark.filterwarnings("ignore:Setting (forward|backward):UserWarning")
def test_methods_are_those_of_captum(network, twin, name, theirs):
    attr = pytest.importorskip("captum.attr")
    images = torch.from_numpy(IMAGES.copy()).requires_grad_()
    _equal(_ours(network, name).values, getattr(attr, theirs)(twin).attribute(images, target=torch.tensor(TARGETS)))


def test_integrated_gradients_are_those_of_captum(network, twin):
    attr = pytest.importorskip("captum.attr")
    images, base = torch.from_numpy(IMAGES), torch.full(IMAGES.shape, 40.0)
    expected = attr.IntegratedGradients(twin).attribute(images, base, target=torch.tensor(TARGETS), n_steps=32)
    _equal(_ours(network, "integrated-gradients", steps=32, baseline=40.0).values, expected, 1e-3)


@pytest.mark.parametrize(("layer", "module"), [("conv2", "relu2"), ("relu1", "relu1")])
def test_grad_cam_is_that_of_captum(network, twin, layer, module):
    attr = pytest.importorskip("captum.attr")
    cam = attr.LayerGradCam(twin, getattr(twin, module))
    expected = cam.attribute(torch.from_numpy(IMAGES), target=torch.tensor(TARGETS), relu_attributions=True)[:, 0]
    _equal(_ours(network, "grad-cam", layer=layer).facts["map"], expected)
