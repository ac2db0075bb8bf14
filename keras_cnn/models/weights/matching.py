"""Assigns stored layers to a network: every layer of the backbone must fit exactly; the head may differ."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.models.weights.stored import Stored, snake_case

SHOWN = 5  # names listed for each kind of mismatch
# Layers that are ours, not the published network's: a file need not have them.
ADDED_LAYERS = ("dense", "logits", "to_rgb")


@dataclass(frozen=True)
class LoadedWeights:
    """Names of layers loaded from a file, of layers that kept their weights, and of stored layers not used."""

    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} layers loaded"]
        parts += [f"not in the file, as initialised: {_some(self.kept)}"] if self.kept else []
        parts += [f"in the file, not used: {_some(self.unused)}"] if self.unused else []
        return "; ".join(parts)


def assign(model: keras.Model, stored: Sequence[Stored], source: str) -> LoadedWeights:
    """Puts stored weights into layers of the same name or, if the file has no names, of the same kind in order.

    A layer of the head (`logits`, `classifier_...`) that is not stored or has another shape keeps its weights;
    stored layers after the backbone's last are ignored. Raises one InputError for everything else that is missing,
    extra or of another shape, and for numbers that are not finite; the model is then unchanged.
    """
    targets = [layer for layer in model.layers if layer.weights]
    pairs, unused = _pairs(targets, stored, source)
    wrong = {
        name: f"{name}: found {_shapes(pairs[name].arrays)}, expected {_shapes(layer.weights)}"
        for layer in targets
        if (name := layer.name) in pairs and not _fits(layer, pairs[name])
    }
    missing = [layer.name for layer in targets if layer.name not in pairs and not _is_head(layer)]
    shapes = [text for layer in targets if (text := wrong.get(layer.name)) and not _is_head(layer)]
    extra = _extra(stored, pairs)
    broken = [layer.name for layer in targets if layer.name in pairs and not _is_finite(pairs[layer.name])]
    if missing or shapes or extra or broken:
        kinds = (
            ("missing in the file", missing),
            ("of another shape", shapes),
            ("extra in the file", extra),
            ("with numbers that are nan or infinite", broken),
        )
        problems = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in kinds if names)
        raise InputError(f"{source}: no weights of {model.name}: {problems}")
    for layer in targets:
        if layer.name in pairs and layer.name not in wrong:
            _set(layer, pairs[layer.name])
    names = [layer.name for layer in targets]
    return LoadedWeights(
        tuple(name for name in names if name in pairs and name not in wrong),
        tuple(name for name in names if name not in pairs or name in wrong),
        tuple(unused),
    )


def _is_head(layer: layers.Layer) -> bool:
    return layer.name in ADDED_LAYERS or layer.name.startswith("classifier_")


def _pairs(targets: list, stored: Sequence[Stored], source: str) -> tuple[dict[str, Stored], list[str]]:
    """Layer name -> its stored layer, and the names of stored layers without a target."""
    if any(layer.name is None for layer in stored):
        return _pairs_in_order(targets, stored)
    pairs: dict[str, Stored] = {}
    names = {layer.name for layer in targets}
    unused = []
    for layer in stored:
        name = layer.name or ""
        if name in pairs:
            raise InputError(f"{source}: two layers named {name}, expected one")
        if name in names:
            pairs[name] = layer
        else:
            unused.append(name)
    return pairs, unused


def _pairs_in_order(targets: list, stored: Sequence[Stored]) -> tuple[dict[str, Stored], list[str]]:
    """The first stored layer of a kind goes to the first layer of that kind, and so on."""
    waiting = defaultdict(list)
    for layer in stored:
        waiting[layer.kind].append(layer)
    pairs = {}
    for layer in targets:
        if waiting[kind := snake_case(type(layer).__name__)]:
            pairs[layer.name] = waiting[kind].pop(0)
    return pairs, [f"{kind} ({len(rest)})" for kind, rest in waiting.items() if rest]


def _extra(stored: Sequence[Stored], pairs: dict[str, Stored]) -> list[str]:
    """Names of stored layers that match no layer and cannot be part of another head."""
    wanted = {id(layer) for layer in pairs.values()}
    last = {layer.kind: i for i, layer in enumerate(stored) if id(layer) in wanted}
    return [
        layer.name
        for i, layer in enumerate(stored)
        if layer.name is not None and id(layer) not in wanted and not layer.top
        if layer.kind is None or i < last.get(layer.kind, -1)
    ]


def _fits(layer: layers.Layer, stored: Stored) -> bool:
    return [tuple(w.shape) for w in layer.weights] == [a.shape for a in stored.arrays]


def _is_finite(stored: Stored) -> bool:
    return all(bool(np.isfinite(array).all()) for array in stored.arrays)


def _set(layer: layers.Layer, stored: Stored) -> None:
    layer.set_weights(stored.arrays)
    if isinstance(layer, layers.Normalization):
        layer.finalize_state()  # the layer computes with constants made from its weights


def _shapes(arrays) -> str:
    return " ".join("×".join(map(str, array.shape)) or "scalar" for array in arrays)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
