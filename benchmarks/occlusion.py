"""Occlusion of one 32 x 32 image with a patch of 8: our Occluder against Keras and Captum.

python -m benchmarks.occlusion

On CS7015's net3 with 32 filters in the first layer, in float32 and in the number format that training chooses here:
- a loop that calls model.predict for each of the 625 occluded images (measured on a sample);
- one call of model.predict with all of them, prepared beforehand;
- Captum's Occlusion on the same weights in PyTorch, float32, at 64 or all positions at once, whichever is faster. It
  is optional: if it is not installed, it is left out.
"""

import importlib.util
import os
from statistics import median

import keras
import numpy as np

from benchmarks.interleave import interleave, table
from keras_cnn import models
from keras_cnn.training import precision
from keras_cnn.visualization.occlusion import GREY, Occluder

SHAPE, SIZE, PLACES, SAMPLE = (32, 32, 3), 8, 625, 40
OURS, LOOP, ONE, CAPTUM = "Occluder", "loop of model.predict", "one model.predict", "Captum, float32"
TARGETS = {"float32": 60, "mixed_bfloat16": 100}


def network(number_format: str) -> keras.Model:
    precision.apply(0, number_format, "auto")
    model = models.build("net3", SHAPE, 10, l1_oc=32)
    keras.config.set_dtype_policy("float32")
    return model


def occluded(image: np.ndarray) -> np.ndarray:
    """(625, 32, 32, 3) float32, one image per position of the patch."""
    side = SHAPE[0] - SIZE + 1
    images = np.tile(image.astype(np.float32), (PLACES, 1, 1, 1))
    for place, (row, column) in enumerate(np.ndindex(side, side)):
        images[place, row : row + SIZE, column : column + SIZE] = GREY
    return images


def looped(model: keras.Model, images: np.ndarray):
    def predict() -> int:
        for image in images[:SAMPLE]:
            model.predict(image[None], verbose=0)
        return SAMPLE

    return predict


def at_once(model: keras.Model, images: np.ndarray):
    return lambda: len(model.predict(images, batch_size=128, verbose=0))


def ours(model: keras.Model, image: np.ndarray):
    occluder = Occluder(model)
    return lambda: occluder.occlude(image, 3, SIZE).confidence.size


def in_torch(model: keras.Model):
    """The same network in PyTorch, images (N, 3, H, W) of 0-255."""
    import torch
    from torch import nn

    stages = []
    for layer in model.layers:
        match layer:
            case keras.layers.Rescaling():
                stages.append(nn.BatchNorm2d(3, eps=0, affine=False))
                stages[-1].running_mean.fill_(127.5)
                stages[-1].running_var.fill_(127.5**2)
            case keras.layers.Conv2D():
                kernel, bias = (torch.tensor(w) for w in layer.get_weights())
                stages.append(nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=layer.padding))
                stages[-1].load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": bias})
            case keras.layers.BatchNormalization():
                names = ("weight", "bias", "running_mean", "running_var")
                stages.append(nn.BatchNorm2d(layer.gamma.shape[0], eps=layer.epsilon))
                state = {name: torch.tensor(w) for name, w in zip(names, layer.get_weights(), strict=True)}
                stages[-1].load_state_dict(state, strict=False)
            case keras.layers.Activation():
                stages.append(nn.ReLU())
            case keras.layers.MaxPooling2D():
                stages.append(nn.MaxPool2d(2))
            case keras.layers.Flatten():
                stages.append(_ChannelsLast())
            case keras.layers.Dense():
                kernel, bias = (torch.tensor(w) for w in layer.get_weights())
                stages.append(nn.Linear(*kernel.shape))
                stages[-1].load_state_dict({"weight": kernel.T, "bias": bias})
    return nn.Sequential(*stages).eval().to(memory_format=torch.channels_last)


def _ChannelsLast():  # noqa: N802 - a layer like those of torch.nn, which may be absent
    from torch import nn

    class Flatten(nn.Module):
        def forward(self, maps):
            return maps.permute(0, 2, 3, 1).flatten(1)

    return Flatten()


def captum(model: keras.Model, image: np.ndarray, at_a_time: int):
    import torch
    from captum.attr import Occlusion

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = in_torch(model)
    pixels = torch.tensor(image.astype(np.float32)).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
    method = Occlusion(lambda x: network(x).softmax(dim=1))
    options = {"sliding_window_shapes": (3, SIZE, SIZE), "strides": (3, 1, 1), "baselines": GREY, "target": 3}

    def attribute() -> int:
        with torch.no_grad():
            method.attribute(pixels, perturbations_per_eval=at_a_time, **options)
        return PLACES

    return network, pixels, attribute


def main() -> None:
    image = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    images = occluded(image)
    chosen = precision.choose_precision("auto", precision.hardware())
    for number_format in dict.fromkeys(("float32", chosen)):
        model = network(number_format)
        contestants = {
            LOOP: looped(model, images),
            ONE: at_once(model, images),
            OURS: ours(model, image),
        }
        if importlib.util.find_spec("captum"):
            _same(model, image, images)
            by_batch = {n: captum(model, image, n)[2] for n in (64, PLACES)}
            rates = interleave(by_batch, rounds=1)
            contestants[CAPTUM] = by_batch[max(rates, key=lambda n: rates[n][0])]
        else:
            print("Captum is not installed: .venv/bin/pip install captum")
        rates = interleave(contestants, rounds=3)
        print(f"net3 in {number_format}, occluded images a second")
        print(table(rates, LOOP, {OURS: TARGETS.get(number_format, 100)}))
        if CAPTUM in rates:
            print(f"against Captum: {median(rates[OURS]) / median(rates[CAPTUM]):.2f}x   target 1.5x")


def _same(model: keras.Model, image: np.ndarray, images: np.ndarray) -> None:
    """Prints how far PyTorch's probabilities and our map are from Keras's."""
    import torch

    network, _, _ = captum(model, image, PLACES)
    with torch.no_grad():
        theirs = network(torch.tensor(images[:50]).permute(0, 3, 1, 2)).softmax(dim=1)[:, 3].numpy()
    keras_own = model.predict(images[:50], verbose=0)
    powers = np.exp(keras_own - keras_own.max(axis=1, keepdims=True))
    expected = (powers / powers.sum(axis=1, keepdims=True))[:, 3]
    ours = Occluder(model).occlude(image, 3, SIZE).confidence.ravel()[:50]
    ours_off, theirs_off = (np.abs(values - expected).max() for values in (ours, theirs))
    print(f"largest distance from Keras: ours {ours_off:.1e}, PyTorch {theirs_off:.1e}")


if __name__ == "__main__":
    main()
