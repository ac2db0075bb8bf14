"""The architecture of a network as boxes and arrows: what a diagram shows, with repeated blocks drawn once.

A box is a layer with what follows it element by element: a convolution, its batch norm and its activation. Boxes
through which everything flows cut the network into segments: a layer of a plain chain, a whole residual block. Equal
segments in a row are drawn once, with their number. Where that leaves more than MOST_ROWS rows, a segment of several
boxes becomes one box, and segments of equal layers at one map size are drawn once.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

import keras
from keras import layers

from keras_cnn.models.graph import Graph, GraphNode
from keras_cnn.models.layer_kinds import CONVOLUTIONS, is_element_wise, is_merge

MOST_ROWS = 40
_FEW = 24  # boxes up to which equal neighbours of a plain chain are all drawn
_LINE = 32  # characters
_LARGEST_BLOCK = 16  # boxes of a segment that may become one box
_POOLS = ("Pooling", "Pool")


@dataclass(frozen=True)
class LayerBox:
    """A layer with what follows it element by element, or a block of layers. `nodes` are named as in `Graph`."""

    nodes: tuple[str, ...]
    kind: str  # input, convolution, pool, dense, merge, block or other
    title: str  # the layer's name
    lines: tuple[str, ...]  # what it computes
    shape: tuple[int | None, ...]  # of its output, without the batch axis
    parameters: int  # weights of all kinds, and of all repetitions of a block of several maps

    @property
    def size(self) -> str:
        return "×".join("?" if n is None else str(n) for n in self.shape)


@dataclass(frozen=True)
class Segment:
    """Boxes between two places through which everything flows, and how many equal ones follow each other."""

    boxes: tuple[int, ...]  # positions in `Architecture.boxes`
    repeats: int = 1


@dataclass(frozen=True)
class Architecture:
    """The boxes in an order in which each follows those that it reads, and the arrows between them."""

    name: str
    boxes: tuple[LayerBox, ...]
    arrows: tuple[tuple[int, int], ...]  # positions of boxes: from, to
    segments: tuple[Segment, ...]

    @property
    def parameters(self) -> int:
        """All weights of the network."""
        return sum(part.repeats * sum(self.boxes[i].parameters for i in part.boxes) for part in self.segments)

    @property
    def ranks(self) -> list[int]:
        """The row of each box: one below the lowest box that it reads."""
        rows = [0] * len(self.boxes)
        for start, end in sorted(self.arrows, key=lambda arrow: arrow[1]):
            rows[end] = max(rows[end], rows[start] + 1)
        return rows


def architecture(model: keras.Model) -> Architecture:
    """The diagram of a model. Raises InputError for a model that is not a graph of layers."""
    graph = Graph(model)
    groups = _groups(graph)
    place = {name: i for i, group in enumerate(groups) for name in group}
    counted: set[int] = set()
    boxes = tuple(_box([graph.nodes[name] for name in group], counted) for group in groups)
    arrows = {(place[source], place[name]) for name, node in graph.nodes.items() for source in node.inputs}
    arrows = tuple(sorted((start, end) for start, end in arrows if start != end))
    whole = Architecture(model.name, boxes, arrows, tuple(Segment(part) for part in _cut(len(boxes), arrows)))
    drawn = _merged(whole, _exact)
    if max(drawn.ranks) >= MOST_ROWS:
        drawn = _merged(_summarised(whole), _similar)
    return drawn


# --- boxes ------------------------------------------------------------------------------------------------------------


def _groups(graph: Graph) -> list[list[str]]:
    """The names of the nodes of each box."""
    groups: list[list[str]] = []
    place: dict[str, int] = {}
    outputs = set(graph.output_names)
    for name, node in graph.nodes.items():
        sources = list(dict.fromkeys(node.inputs))
        source = sources[0] if len(sources) == 1 else None
        joined = None
        if source is not None and source not in outputs and len(graph.readers(source)) == 1:
            before = [graph.nodes[other].operation for other in groups[place[source]]]
            windowed = isinstance(node.operation, CONVOLUTIONS) or _is_pool(node.operation)
            if is_element_wise(node.operation) or (windowed and all(map(_is_padding, before))):
                joined = place[source]
        if joined is None:
            groups.append([])
            joined = len(groups) - 1
        groups[joined].append(name)
        place[name] = joined
    return groups


def _box(nodes: Sequence[GraphNode], counted: set[int]) -> LayerBox:
    operations = [node.operation for node in nodes]
    at = next((i for i, operation in enumerate(operations) if not _is_padding(operation)), 0)
    main, after = operations[at], operations[at + 1 :]
    followers = [*_activation(main), *(_short(operation) for operation in after)]
    words, then = _words(main), "then " + ", ".join(followers)
    lines = (words,) if not followers else (f"{words}, {then}",) if len(words + then) <= _LINE - 2 else (words, then)
    return LayerBox(
        tuple(node.name for node in nodes),
        _kind(main),
        nodes[at].name,
        lines,
        nodes[-1].shape,
        sum(_new_weights(operations, counted)),
    )


def _new_weights(operations: Sequence[Any], counted: set[int]) -> Iterator[int]:
    """The numbers of weights, each counted at the first call of its layer."""
    for operation in operations:
        for weight in getattr(operation, "weights", ()):
            if id(weight) not in counted:
                counted.add(id(weight))
                yield math.prod(weight.shape)


def _kind(operation: Any) -> str:
    if isinstance(operation, layers.InputLayer):
        return "input"
    if isinstance(operation, (*CONVOLUTIONS, layers.Conv2DTranspose)):
        return "convolution"
    if isinstance(operation, layers.Dense):
        return "dense"
    if _is_pool(operation):
        return "pool"
    return "merge" if is_merge(operation) else "other"


def _words(operation: Any) -> str:
    """What a layer computes: its class and the settings that matter."""
    name, words = "images" if isinstance(operation, layers.InputLayer) else type(operation).__name__, []
    kernel = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None)
    if isinstance(kernel, tuple):
        name += f" {'×'.join(map(str, kernel))}"
    if isinstance(filters := getattr(operation, "filters", None), int):
        words.append(f"{filters} filters")
    if isinstance(operation, layers.Dense):
        words.append(f"{operation.units} units")
    for option, label in (("strides", "stride"), ("dilation_rate", "dilation")):
        steps = getattr(operation, option, None)
        if isinstance(steps, tuple) and max(steps) > 1:
            words.append(f"{label} {steps[0] if len(set(steps)) == 1 else '×'.join(map(str, steps))}")
    if getattr(operation, "groups", 1) not in (1, None) and isinstance(operation, CONVOLUTIONS):
        words.append(f"{operation.groups} groups")
    return ", ".join((name, *words))


def _activation(operation: Any) -> list[str]:
    """The activation inside a layer, if it has one."""
    function = getattr(operation, "activation", None)
    if isinstance(operation, layers.Activation) or function in (None, keras.activations.linear):
        return []
    return [getattr(function, "__name__", type(function).__name__)]


def _short(operation: Any) -> str:
    if isinstance(operation, layers.Activation):
        return getattr(operation.activation, "__name__", "activation")
    if isinstance(operation, layers.BatchNormalization):
        return "batch norm"
    if isinstance(operation, layers.Dropout | layers.SpatialDropout2D):
        return f"dropout {operation.rate:g}"
    return type(operation).__name__


def _is_padding(operation: Any) -> bool:
    return isinstance(operation, layers.ZeroPadding2D)


def _is_pool(operation: Any) -> bool:
    return isinstance(operation, layers.Layer) and any(word in type(operation).__name__ for word in _POOLS)


# --- segments ---------------------------------------------------------------------------------------------------------


def _cut(count: int, arrows: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The positions of the boxes of each segment, which ends with a box that no arrow passes by."""
    passed = [False] * count
    for start, end in arrows:
        for between in range(start + 1, end):
            passed[between] = True
    segments, begun = [], 0
    for i in range(count):
        if not passed[i]:
            segments.append(tuple(range(begun, i + 1)))
            begun = i + 1
    return [*segments, *([tuple(range(begun, count))] if begun < count else [])]


def _exact(whole: Architecture, segment: Segment) -> object:
    """What equal segments have in common: layers, settings, sizes, numbers of weights and arrows."""
    if len(segment.boxes) == 1 and len(whole.boxes) <= _FEW:
        return segment.boxes
    first = segment.boxes[0]
    boxes = tuple((b.kind, b.lines, b.shape, b.parameters) for b in (whole.boxes[i] for i in segment.boxes))
    inside = tuple((max(start - first, -1), end - first) for start, end in whole.arrows if end in segment.boxes)
    return boxes, inside


def _similar(whole: Architecture, segment: Segment) -> object:
    """What segments at one map size have in common, whatever their numbers of channels."""
    first, *others = segment.boxes
    if others:
        return segment.boxes
    box = whole.boxes[first]
    return box.kind, box.lines, box.shape[:-1]


def _merged(whole: Architecture, alike: Any) -> Architecture:
    """The architecture with equal segments in a row drawn once, as the last of them."""
    kept: list[Segment] = []
    for _, run in groupby(whole.segments, key=lambda part: alike(whole, part)):
        parts = list(run)
        kept.append(Segment(parts[-1].boxes, len(parts)))
    boxes = list(whole.boxes)
    if alike is _similar:  # their numbers of weights differ: the mean would not be a number of weights
        boxes, kept = _with_sums(whole, kept)
    new = {old: place for place, old in enumerate(i for part in kept for i in part.boxes)}
    inside = {(new[a], new[b]) for a, b in whole.arrows if a in new and b in new}
    joints = {
        (new[before.boxes[-1]], new[b])
        for before, part in pairwise(kept)
        for a, b in whole.arrows
        if b in part.boxes and a not in part.boxes and a not in new
    }
    return Architecture(
        whole.name,
        tuple(boxes[i] for part in kept for i in part.boxes),
        tuple(sorted(inside | joints)),
        tuple(Segment(tuple(new[i] for i in part.boxes), part.repeats) for part in kept),
    )


def _with_sums(whole: Architecture, kept: Sequence[Segment]) -> tuple[list[LayerBox], list[Segment]]:
    """The boxes with the weights of all repetitions, and the segments that then count once."""
    boxes, segments, begun = list(whole.boxes), [], 0
    for part in kept:
        parts = whole.segments[begun : begun + part.repeats]
        begun += part.repeats
        if part.repeats > 1:
            first, last = (whole.boxes[parts[i].boxes[0]] for i in (0, -1))
            boxes[part.boxes[0]] = replace(
                last,
                nodes=tuple(name for one in parts for name in whole.boxes[one.boxes[0]].nodes),
                title=f"{part.repeats} × {first.title} to {last.title}",
                parameters=sum(whole.boxes[one.boxes[0]].parameters for one in parts),
            )
        segments.append(Segment(part.boxes))
    return boxes, segments


def _summarised(whole: Architecture) -> Architecture:
    """The architecture with each segment of several boxes as one box that counts its layers."""
    boxes, segments = list(whole.boxes), []
    end_of: dict[int, int] = {}
    for part in whole.segments:
        if 1 < len(part.boxes) <= _LARGEST_BLOCK:
            inside = [whole.boxes[i] for i in part.boxes]
            kinds = Counter(box.lines[0].split(",")[0] for box in inside)
            last = part.boxes[-1]
            boxes[last] = LayerBox(
                tuple(name for box in inside for name in box.nodes),
                "block",
                inside[-1].title,
                tuple(textwrap.wrap(", ".join(f"{n} {name}" if n > 1 else name for name, n in kinds.items()), _LINE)),
                inside[-1].shape,
                sum(box.parameters for box in inside),
            )
            end_of |= dict.fromkeys(part.boxes, last)
            part = Segment((last,))
        segments.append(part)
    arrows = {(end_of.get(a, a), end_of.get(b, b)) for a, b in whole.arrows}
    return replace(
        whole,
        boxes=tuple(boxes),
        arrows=tuple(sorted((a, b) for a, b in arrows if a != b)),
        segments=tuple(segments),
    )
