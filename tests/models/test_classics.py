"""torchvision's networks: parameter counts, and PyTorch's own answers on the same weights, through a .pth file."""

import importlib.util
import math
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.models import backbones, classics
from keras_cnn.models.stages import stages
from keras_cnn.models.weights import load_weights

SOURCE = Path(__file__).with_name("torchvision_layouts.py")


@pytest.fixture(scope="module")
def reference():
    """The reference networks; their tests are skipped where there is no PyTorch."""
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("torchvision_layouts", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference_network(name: str, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """The untrained network with torchvision's own head."""
    return backbones.classifier(name, input_shape, classes, weights="none", head="reference")


def images(height: int, width: int, count: int = 2) -> np.ndarray:
    """Smooth random images, 0-255: of noise, deep networks see nearly the same mean everywhere."""
    coarse = np.random.default_rng(height).integers(0, 256, (count, 7, 7, 3)).astype(np.float32)
    return keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, (height, width)))


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    spread = np.ptp(expected, axis=-1).min()
    assert spread > 1e-2
    # Rounding grows with the numbers that are summed, not with what their sum happens to be.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


# Published counts with 1,000 classes: torchvision's documentation.
COUNTS = {
    "alexnet": 61_100_840,
    "squeezenet1_1": 1_235_496,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "torchvision_resnet50": 25_557_032,
    "torchvision_densenet121": 7_978_856,
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_the_published_ones(name):
    model = reference_network(name, (224, 224, 3), 1000)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == COUNTS[name]
    assert model.output_shape == (None, 1000)
    assert model.layers[-1].name == "logits"
    assert model.output.dtype == "float32"


@pytest.mark.parametrize(
    ("name", "parameters", "head"),
    [
        ("vgg11", 132_863_336, 25_088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000),
        ("vgg11_bn", 132_868_840, 25_088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000),
        ("torchvision_vgg16", 138_357_544, 25_088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000),
    ],
)
def test_parameters_of_large_networks_without_their_head(name, parameters, head):
    model = backbones.backbone(name, (224, 224, 3), weights="none")
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == parameters - head
    assert model.output_shape == (None, 7, 7, 512)


@pytest.mark.parametrize("size", [(224, 224), (150, 171)])
@pytest.mark.parametrize(
    ("name", "kind", "arguments"),
    [
        ("alexnet", "AlexNet", ()),
        ("squeezenet1_1", "SqueezeNet", ()),
        ("resnet18", "ResNet", ("BasicBlock", (2, 2, 2, 2))),
        ("torchvision_resnet50", "ResNet", ("Bottleneck", (3, 4, 6, 3))),
    ],
)
def test_logits_are_those_of_pytorch(name, kind, arguments, size, reference, tmp_path):
    import torch

    arguments = [getattr(reference, a) if isinstance(a, str) else a for a in arguments]
    net = reference.randomised(getattr(reference, kind)(*arguments, classes=13))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    model = reference_network(name, (*size, 3), 13)
    loaded = load_weights(model, tmp_path / "net.pth")
    assert loaded.kept == loaded.unused == ()
    batch = images(*size)
    assert_equal(np.asarray(model(batch, training=False)), reference.answer(net, batch).numpy())


@pytest.mark.parametrize("size", [(224, 224), (97, 130)])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_maps_of_vgg_are_those_of_pytorch(batch_norm, size, reference, tmp_path):
    import torch

    net = reference.randomised(reference.VGG((1, 1, 2, 2, 2), batch_norm=batch_norm))
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "a.pt")
    model = backbones.backbone("vgg11_bn" if batch_norm else "vgg11", (*size, 3), weights=tmp_path / "a.pt")
    batch = images(*size, count=1)
    assert_equal(np.asarray(model(batch, training=False)), reference.answer(net, batch).permute(0, 2, 3, 1).numpy())


def test_dense_head_of_vgg_is_that_of_pytorch(reference):
    """Through the layout of the state dict alone: a whole VGG has 130 million parameters."""
    import torch

    from keras_cnn.models.weights import matching, torch_names

    net = reference.randomised(torch.nn.Sequential())
    net.classifier = reference.randomised(torch.nn.Sequential(*[torch.nn.Linear(5 * 49, 4096)]))
    image = keras.Input((7, 7, 5))
    flat = keras.layers.Flatten(name="flatten")(image)
    model = keras.Model(image, keras.layers.Dense(4096, name="classifier_0")(flat))
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    matching.assign(model, torch_names.stored(state, model), "test")
    x = np.random.default_rng(0).normal(size=(2, 7, 7, 5)).astype(np.float32)
    with torch.no_grad():
        expected = net.classifier(torch.from_numpy(x).permute(0, 3, 1, 2).flatten(1)).numpy()
    np.testing.assert_allclose(np.asarray(model(x, training=False)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "first", "growth", "counts"), [("densenet161", 96, 48, (6, 12, 36, 24))])
def test_densenet_is_that_of_pytorch(name, first, growth, counts, reference, tmp_path):
    import torch

    net = reference.randomised(reference.DenseNet(first, growth, counts))
    torch.save(net.state_dict(), tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    model = backbones.classifier(name, (75, 96, 3), 1000, weights=tmp_path / "net.pth")
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == 28_681_000
    batch = images(75, 96)
    assert_equal(np.asarray(model(batch, training=False)), reference.answer(net, batch).numpy())


@pytest.mark.parametrize("side", [1, 6, 7])
@pytest.mark.parametrize(("height", "width"), [(6, 7), (12, 14), (8, 9), (13, 5), (1, 3), (2, 30)])
def test_adaptive_pool_is_that_of_pytorch(height, width, side):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    image = keras.Input((height, width, 3))
    model = keras.Model(image, classics.adaptive_average_pool(image, side, "avgpool"))
    expected = torch.nn.AdaptiveAvgPool2d(side)(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


def test_adaptive_pool_by_hand():
    image = keras.Input((3, 5, 1))
    model = keras.Model(image, classics.adaptive_average_pool(image, 2, "avgpool"))
    x = np.arange(15, dtype=np.float32).reshape(1, 3, 5, 1)
    # Rows 0-1 and 1-2, columns 0-2 and 2-4, each window overlapping the next by one.
    np.testing.assert_allclose(np.array(model(x))[0, :, :, 0], [[3.5, 5.5], [8.5, 10.5]])


@pytest.mark.parametrize("name", sorted(set(classics.CLASSICS) - {"alexnet", "squeezenet1_1"}))
def test_a_name_has_the_number_of_layers_with_weights(name):
    parts = classics.find(name).features.keywords
    blocks = sum(parts.get("counts") or parts.get("convs") or (3 * parts["blocks"],))
    kind, depth = re.search(r"(resnet|densenet|vgg)(\d+)", name).groups()
    bottleneck = parts.get("block") is classics._bottleneck
    # the first convolution and the logits; in VGG three dense layers; in DenseNet three transitions too
    layers = {"resnet": 2 + (3 if bottleneck else 2) * blocks, "vgg": blocks + 3, "densenet": 2 + 3 + 2 * blocks}
    assert layers[kind] == int(depth)


@pytest.mark.parametrize(
    ("name", "side", "variance", "deviation"),
    [
        # of a kernel (H, W, I, O) by the numbers that flow into a unit and out of it, as torchvision's modules draw it
        ("resnet8", 28, lambda h, w, i, o: 2 / (h * w * o), None),
        ("vgg11", 32, lambda h, w, i, o: 2 / (h * w * o), None),
        ("squeezenet1_1", 33, lambda h, w, i, o: 2 / (h * w * i), 0.01),
        ("alexnet", 63, lambda h, w, i, o: 1 / (3 * h * w * i), None),
    ],
)
def test_kernels_begin_with_torchvisions_spread(name, side, variance, deviation):
    keras.utils.set_random_seed(1)
    network = classics.find(name)
    image = keras.Input((side, side, 3))
    maps = network.features(image)
    kernels = [x.kernel.numpy() for x in keras.Model(image, maps).layers if hasattr(x, "kernel")]
    large = [kernel for kernel in kernels if kernel.size > 4000]
    assert len(large) >= 4
    for kernel in large:
        assert kernel.std() == pytest.approx(math.sqrt(variance(*kernel.shape)), rel=0.05)
    if deviation:
        last = keras.Model(image, network.head(maps, 50)).get_layer("classifier_1").kernel.numpy()
        assert last.std() == pytest.approx(deviation, rel=0.05)


def test_densenets_kernels_begin_with_he_normal():
    config = classics.FanInNormal().get_config()
    assert (config["scale"], config["mode"], config["distribution"]) == (2.0, "fan_in", "untruncated_normal")


@pytest.mark.parametrize(("name", "smallest"), [("alexnet", 63), ("squeezenet1_1", 17), ("vgg11", 32)])
def test_no_smaller_image_leaves_a_map(name, smallest):
    network = classics.find(name)
    assert network.smallest == smallest
    with pytest.raises(ValueError, match=r"(?i)negative|zero|at least 1|output size"):
        network.features(keras.Input((smallest - 1, smallest - 1, 3)))


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "squeezenet1_1", "vgg11", "torchvision_densenet121"])
def test_smallest_image_works_and_a_smaller_one_is_refused(name):
    smallest = classics.find(name).smallest
    model = backbones.backbone(name, (smallest, smallest, 3), weights="none")
    assert min(model.output_shape[1:3]) >= 1
    assert [stage for stage, _ in stages(model)][-1] != "head"
    if smallest > 1:
        with pytest.raises(InputError, match=f"expected at least {smallest}×{smallest}"):
            backbones.backbone(name, (smallest - 1, 99, 3), weights="none")


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_layers_between_backbone_and_logits_have_widths_for_tensor_cores(name):
    """Multiples of 8; the logits, one for each class, are computed in float32 also where the rest has 16 bits."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        maps = keras.Input((1, 1, 8))
        model = keras.Model(maps, classics.find(name).head(maps, 13))
    finally:
        keras.config.set_dtype_policy("float32")
    *hidden, logits = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units % 8 for layer in hidden] == [0, 0]
    assert (logits.units, logits.compute_dtype) == (13, "float32")
