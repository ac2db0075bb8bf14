"""Loads external weights: ImageNet weights, Keras files, safetensors and PyTorch state dicts."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError
from keras_cnn.models import classics
from keras_cnn.models.applications import APPLICATIONS, Application
from keras_cnn.models.weights import keras_files, safetensors_files, torch_files, torch_names
from keras_cnn.models.weights.matching import LoadedWeights, assign
from keras_cnn.models.weights.stored import Stored, canonically_named, snake_case

__all__ = ["LoadedWeights", "is_torch_file", "load_weights", "weights_at_hand"]

SHIPPED = Path(__file__).parents[1] / "shipped"  # weights that come with the package (scripts/pretrain_resnet8.py)
FASHION = "fashion"
KERAS = (".keras", ".h5")
TORCH = (".pth", ".pt", ".safetensors")
_LFS_POINTER = b"version https://git-lfs"


def is_torch_file(source: str | Path) -> bool:
    """Whether a source is a file with PyTorch's names and layouts."""
    return Path(source).suffix in TORCH


def load_weights(model: keras.Model, source: str | Path) -> LoadedWeights:
    """Puts weights into a network of `backbones` or `classics`, which is recognised by its name.

    `source` is "none" (nothing happens), "imagenet", "fashion" (weights that come with the package) or a
    file: .keras, .weights.h5, Keras's older .h5, .safetensors,
    .pth or .pt. "imagenet" is Keras's download, kept in its cache; for the networks of `classics` it is torchvision's
    file in that cache, which the user provides. File and model may each have a classification head or none: a head
    is loaded if its shapes match, and the result names the layers that were not loaded. No code in a file is ever run.

    Raises a one-line InputError for a file that is missing, damaged or of another kind, and for weights of another
    backbone, listing missing layers, extra layers and different shapes. The model is then unchanged.
    """
    if source == "none":
        return LoadedWeights((), tuple(layer.name for layer in model.layers if layer.weights), ())
    if source == "imagenet":
        return _load_imagenet(model)
    path = _shipped(model.name) if source == FASHION else Path(source)
    if path.suffix not in (*KERAS, *TORCH):
        kinds = ", ".join((*KERAS, ".weights.h5", *TORCH))
        raise InputError(f"weights: found {str(source)!r}, expected imagenet, none or a file ({kinds})")
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise InputError(f"{path}: a pointer of Git LFS instead of the weights; git lfs pull downloads them")
    return assign(model, _read(model, path), str(path))


def weights_at_hand(name: str, input_shape: tuple[int, int, int]) -> list[str]:
    """The sources of published weights of a backbone that need no download: imagenet, fashion, both or none.

    Keras's weights of some networks depend on the size of the images (H, W, C).
    """
    if name in APPLICATIONS:
        application = APPLICATIONS[name]
        file = application.weights_file(application.weights_side(*input_shape[:2]))
    else:
        file = classics.find(name).weights_file
    found = ["imagenet"] if file and _cached(file).is_file() else []
    return [*found, FASHION] if (SHIPPED / f"{name}_{FASHION}.keras").is_file() else found


def _shipped(network: str) -> Path:
    """The file of Fashion-MNIST weights of a network in the package. InputError if it has none."""
    path = SHIPPED / f"{network}_{FASHION}.keras"
    if not path.is_file():
        names = ", ".join(sorted(file.stem.removesuffix(f"_{FASHION}") for file in SHIPPED.glob(f"*_{FASHION}.keras")))
        raise InputError(f"weights: found {FASHION} with {network}; the package has these weights of {names}")
    return path


def _read(model: keras.Model, path: Path) -> list[Stored]:
    if path.suffix in KERAS:
        return _renamed(keras_files.read(path))
    if model.name not in classics.CLASSICS:
        raise InputError(f"{path}: weights of PyTorch for {model.name}, which {_no_torch(model.name)}")
    if path.suffix == ".safetensors":
        state = safetensors_files.read(path)
    else:
        content = torch_files.read(path)
        state = torch_files.tensors(content)
        if not state:
            raise InputError(f"{path}: no tensors under {', '.join(map(str, content))}, expected a state dict")
    return torch_names.stored(state, model)


# How Keras's layout of a family differs from torchvision's.
LAYOUT_DIFFERENCES = {
    "densenet": "has another epsilon in its batch norms",
    "resnet": "has its strides elsewhere, biases and other preprocessing",
    "vgg": "has other preprocessing",
}


def _no_torch(name: str) -> str:
    """Why a network takes no PyTorch weights, and which one does."""
    twin = classics.twin(name)
    if twin is None:
        return f"has Keras's layers and names; PyTorch weights fit: {', '.join(classics.CLASSICS)}"
    own = next(way for family, way in LAYOUT_DIFFERENCES.items() if name.startswith(family))
    return f"{own}; expected the network {twin}, in torchvision's layout"


def _renamed(stored: list[Stored]) -> list[Stored]:
    """The layers, with our names for a head of keras.applications or for one or two dense layers named by Keras."""
    automatic = [layer.name for layer in stored if layer.name and re.fullmatch(r"dense(_\d+)?", layer.name)]
    if len(automatic) <= 2:
        names = dict(zip(reversed(automatic), ("logits", "dense"), strict=False))
        stored = [
            replace(layer, name=names[layer.name], top=True) if layer.name in names else layer for layer in stored
        ]
    ends = {"predictions": "logits", "_head_dense": "logits", "_head_layernorm": "layer_normalization"}
    return [
        replace(layer, name=next((ours for end, ours in ends.items() if (layer.name or "").endswith(end)), layer.name))
        for layer in stored
    ]


def _load_imagenet(model: keras.Model) -> LoadedWeights:
    if model.name in classics.CLASSICS:
        if not (file := classics.find(model.name).weights_file):
            raise InputError(f"{model.name}: it has no ImageNet weights; expected weights {FASHION}, none or a file")
        path = _cached(file)
        if not path.is_file():
            raise InputError(
                f"{model.name}: Keras has no ImageNet weights of it to download; put torchvision's {path.name} into "
                f"{path.parent}, or give the path of a .pth, .pt or .safetensors file"
            )
        return load_weights(model, path)
    if model.name not in APPLICATIONS:
        raise InputError(f"{model.name}: no ImageNet weights for it{nearest(model.name, APPLICATIONS)}")
    return assign(model, _downloaded(APPLICATIONS[model.name], model), "imagenet")


def _downloaded(application: Application, model: keras.Model) -> list[Stored]:
    """The layers of Keras's own network with its ImageNet weights."""
    side = application.weights_side(*model.input_shape[1:3])
    try:
        donor = application.build(weights="imagenet", include_top=False, input_shape=(side, side, 3))
    except Exception as error:  # Keras raises a plain Exception if a download fails
        if "URL fetch failure" not in str(error):
            raise
        path = _cached(application.weights_file(side))
        raise InputError(
            f"{application.name}: its ImageNet weights cannot be downloaded ({str(error).split(': ')[-1]}); bring "
            f"{path.name} of keras.applications and put it into {path.parent}"
        ) from None
    return canonically_named(list(_stored(donor)))


def _stored(model: keras.Model) -> Iterator[Stored]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _stored(layer)
        elif layer.weights:
            yield Stored(layer.name, snake_case(type(layer).__name__), tuple(layer.get_weights()))


def _cached(file: str) -> Path:
    """Where Keras keeps a downloaded weights file."""
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))) / "models" / file
