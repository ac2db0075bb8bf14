"""Weights as files hold them, layer by layer, before they are matched with a network."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Stored:
    """The arrays of one layer in Keras's order and layout.

    `name` is None if the file does not give it. Layers of one `kind` come in the order of the network; `kind` is None
    if the file keeps no order. `top` marks a layer known to belong to a classification head.
    """

    name: str | None
    kind: str | None
    arrays: tuple[np.ndarray, ...]
    top: bool = False


def snake_case(name: str) -> str:
    """Keras's layer name for a class name: `Conv2D` is conv2d, `BatchNormalization` batch_normalization."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def split_number(name: str) -> tuple[str, int]:
    """`conv2d_12` is ("conv2d", 12), `conv2d` is ("conv2d", 0)."""
    kind, _, number = name.rpartition("_")
    return (kind, int(number)) if re.fullmatch(r"\d+", number) and kind else (name, 0)


def canonical(names: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Renumbers the names that Keras generated, from 0 in each kind: (name, kind) pairs to {name: new name}.

    Keras counts through a whole session, so the same layer is `conv2d` in one file and `conv2d_94` in another.
    """
    automatic: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, kind in names:
        base, number = split_number(name)
        if base == kind:
            automatic[base].append((number, name))
    return {
        name: kind if i == 0 else f"{kind}_{i}"
        for kind, numbered in automatic.items()
        for i, (_, name) in enumerate(sorted(set(numbered)))
    }


def canonically_named(stored: Sequence[Stored]) -> list[Stored]:
    """The same layers under names that do not depend on earlier layers of the session."""
    names = canonical((layer.name, layer.kind) for layer in stored if layer.name is not None)
    return [replace(layer, name=names.get(layer.name or "", layer.name)) for layer in stored]
