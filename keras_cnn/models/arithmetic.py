"""Parameters, multiply-adds and receptive fields of a network, layer by layer.

Multiply-adds are counted for one image in convolutions (also depthwise, separable and grouped) and dense layers: one
for each product of a weight and an input, products with padded zeros included. Biases, batch norm, activations, pooling
and everything else count as zero.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import keras
from keras import layers

from keras_cnn.errors import require
from keras_cnn.messages import aligned
from keras_cnn.models.graph import Graph, GraphNode
from keras_cnn.models.layer_kinds import (
    ELEMENT_WISE_LAYERS,
    NORMALIZATIONS,
    is_channel_flip,
    is_element_wise,
    is_merge,
)

_UNCOUNTED = (*ELEMENT_WISE_LAYERS, *NORMALIZATIONS)  # layers whose weights count as no multiply-adds


@dataclass(frozen=True)
class Axis:
    """The receptive field of a map's units along one axis, in input pixels; padding counts as pixels.

    Unit `u` sees the pixels from `offset + u * stride` to `offset + u * stride + size - 1`: the offset is the first
    pixel that unit 0 sees, negative where that pixel lies in the padding. After global pooling, or a dense layer on a
    flattened map, all units see the same pixels and the stride is 0.
    """

    size: int = 1
    stride: int = 1
    offset: int = 0

    def windowed(self, window: int, step: int, padding: int) -> "Axis":
        """The axis after a window of `window` units that moves by `step`, with `padding` units in front."""
        return Axis(self.size + (window - 1) * self.stride, self.stride * step, self.offset - padding * self.stride)

    def joined(self, units: int) -> "Axis":
        """The axis of one unit that sees everything that `units` units of this axis see."""
        return Axis(self.size + (units - 1) * self.stride, 0, self.offset)


class ReceptiveField(NamedTuple):
    """The rectangle of input pixels that each unit of a layer sees."""

    height: Axis
    width: Axis


class LayerArithmetic(NamedTuple):
    """The numbers of one layer: one row of the table.

    `multiply_adds` is None for a weighted layer that is not counted; `field` is None where it is unknown.
    """

    layer: str
    type: str
    output_shape: tuple[int | None, ...]  # without the batch axis
    trainable: int  # parameters
    other: int  # parameters that no optimizer changes: batch norm's statistics, frozen layers
    multiply_adds: int | None
    field: ReceptiveField | None


class Totals(NamedTuple):
    """Sums over a table; a layer that is not counted adds nothing to the multiply-adds."""

    trainable: int
    other: int
    multiply_adds: int


class _TensorView(NamedTuple):
    """A tensor's receptive field, and the height and width of its map, or of the map before it was flattened."""

    field: ReceptiveField | None
    units: tuple[int, int]


def table(model: keras.Model) -> list[LayerArithmetic]:
    """One row for each call of a layer or operation, in the order of `model.layers`; nested models are expanded.

    Maps are channels-last. Where branches meet, the receptive field is the smallest rectangle around the fields of all
    branches. It is None after a layer that is not supported here (attention, reshape, upsampling). The parameters of a
    layer that is called more than once are counted at its first call. Raises InputError for a model that is not a graph
    of layers, for several inputs, and for images without a fixed size.
    """
    graph = Graph(model)
    require(len(graph.inputs) == 1, model.name, f"{len(graph.inputs)} inputs", "one image")
    shape = graph.nodes[graph.inputs[0]].shape
    require(len(shape) == 3 and None not in shape, model.name, f"input shape {shape}", "a fixed (H, W, C)")
    views: dict[str, _TensorView] = {}
    counted: set[int] = set()
    rows = []
    for node in graph.nodes.values():
        views[node.name] = view = _view(graph, node, views)
        first_call = id(node.operation) not in counted
        counted.add(id(node.operation))
        rows.append((node.position, _row(graph, node, view.field, first_call)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def totals(rows: list[LayerArithmetic]) -> Totals:
    """Sums of the table's numbers."""
    return Totals(
        sum(row.trainable for row in rows),
        sum(row.other for row in rows),
        sum(row.multiply_adds or 0 for row in rows),
    )


def text(model: keras.Model) -> str:
    """The table of a model as aligned text with totals and a note on what is counted; ends with a newline."""
    rows = table(model)
    total = totals(rows)
    names = ("layer", "type", "output", "parameters", "other", "multiply-adds", "field", "stride", "offset")
    lines = [names, *(_cells(row) for row in rows)]
    lines.append(("total", "", "", *(f"{n:,}" for n in total), "", "", ""))
    head, *body, last = aligned(lines, right=range(3, 9))
    rule = "-" * max(map(len, (head, *body, last)))
    uncounted = [row.layer for row in rows if row.multiply_adds is None]
    notes = [
        "",
        "parameters: trainable; other: batch norm statistics and frozen layers.",
        "multiply-adds: one image; convolutions and dense layers, without biases.",
        "field: input pixels a unit sees; stride: from unit to unit; offset: first pixel of unit 0 (height×width).",
        *([f"not counted: {', '.join(uncounted)}"] if uncounted else []),
    ]
    return "\n".join([model.name, head, rule, *body, rule, last, *notes]) + "\n"


def record(model: keras.Model) -> dict:
    """The table and its totals as plain lists and dicts, for JSON; `field` as height and width, each an Axis."""
    rows = table(model)
    layer_records = []
    for row in rows:
        field = row.field and {side: asdict(axis) for side, axis in row.field._asdict().items()}
        layer_records.append(row._asdict() | {"field": field})
    return {"name": model.name, "layers": layer_records, "totals": totals(rows)._asdict()}


def _row(graph: Graph, node: GraphNode, field: ReceptiveField | None, first_call: bool) -> LayerArithmetic:
    counts = first_call and isinstance(node.operation, layers.Layer)
    return LayerArithmetic(
        layer=node.name,
        type=type(node.operation).__name__,
        output_shape=node.shape,
        trainable=_size(node.operation.trainable_weights) if counts else 0,
        other=_size(node.operation.non_trainable_weights) if counts else 0,
        multiply_adds=_multiply_adds(node),
        field=field,
    )


def _size(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _multiply_adds(node: GraphNode) -> int | None:
    operation = node.operation
    match operation:
        case layers.SeparableConv2D():
            return _positions(node) * _size([operation.depthwise_kernel, operation.pointwise_kernel])
        case layers.Conv2D() | layers.DepthwiseConv2D():
            # Each weight is multiplied once at each position, in a grouped convolution too.
            return _positions(node) * _size([operation.kernel])
        case layers.Dense():
            return math.prod(side or 1 for side in node.shape[:-1]) * _size([operation.kernel])
        case layers.Layer() if operation.weights and not isinstance(operation, _UNCOUNTED):
            return None
    return 0


def _positions(node: GraphNode) -> int:
    """Number of positions in a channels-last map."""
    height, width, _ = node.shape
    return (height or 0) * (width or 0)


def _view(graph: Graph, node: GraphNode, views: Mapping[str, _TensorView]) -> _TensorView:
    """The view of a node's output, from the views of the tensors that it reads."""
    if isinstance(node.operation, layers.InputLayer):
        return _TensorView(ReceptiveField(Axis(), Axis()), _sides(node.shape))
    inputs = [views[name] for name in node.inputs]
    units = _sides(node.shape) if len(node.shape) == 3 else inputs[0].units
    fields = [view.field for view in inputs if view.field is not None]
    if len(fields) < len(inputs):
        return _TensorView(None, units)
    if is_merge(node.operation) or all(axis.stride == 0 for field in fields for axis in field):
        return _TensorView(_union(fields, [view.units for view in inputs]), units)
    read = graph.nodes[node.inputs[0]]
    return _TensorView(_after(node, read.shape, fields[0], inputs[0].units), units)


def _sides(shape: tuple[int | None, ...]) -> tuple[int, int]:
    height, width, _ = shape
    return height or 0, width or 0


def _after(
    node: GraphNode, input_shape: tuple[int | None, ...], field: ReceptiveField, units: tuple[int, int]
) -> ReceptiveField | None:
    """The receptive field after a layer, from the shape, field and map size of its input."""
    height, width = field
    operation = node.operation
    match operation:
        case layers.Dense() if len(input_shape) == 3:
            return field
        case layers.Dense() | layers.GlobalAveragePooling2D() | layers.GlobalMaxPooling2D():
            return ReceptiveField(height.joined(units[0]), width.joined(units[1]))
        case layers.ZeroPadding2D():
            (top, _), (left, _) = operation.padding
            return ReceptiveField(height.windowed(1, 1, top), width.windowed(1, 1, left))
        case layers.Cropping2D():
            (top, _), (left, _) = operation.cropping
            return ReceptiveField(height.windowed(1, 1, -top), width.windowed(1, 1, -left))
        case layers.Conv2D() | layers.DepthwiseConv2D() | layers.SeparableConv2D():
            return _slide(node, field, units, operation.kernel_size, operation.dilation_rate)
        case layers.MaxPooling2D() | layers.AveragePooling2D():
            return _slide(node, field, units, operation.pool_size, (1, 1))
    is_known = isinstance(operation, layers.Flatten) or is_element_wise(operation) or is_channel_flip(operation)
    return field if is_known else None


def _slide(
    node: GraphNode,
    field: ReceptiveField,
    units: tuple[int, int],
    sizes: Sequence[int],
    dilations: Sequence[int],
) -> ReceptiveField:
    """The receptive field after a window that slides over the map, with TensorFlow's padding."""
    axes = []
    for i, axis in enumerate(field):
        window, step = (sizes[i] - 1) * dilations[i] + 1, node.operation.strides[i]
        padding = 0
        if node.operation.padding == "same":
            missing = ((node.shape[i] or 0) - 1) * step + window - units[i]
            padding = max(missing, 0) // 2
        axes.append(axis.windowed(window, step, padding))
    return ReceptiveField(*axes)


def _union(fields: list[ReceptiveField], units: list[tuple[int, int]]) -> ReceptiveField:
    """The smallest rectangle around all branches' fields; if strides differ, around all that the branches see."""
    axes = []
    for i in range(2):
        branches = [field[i] for field in fields]
        if len({axis.stride for axis in branches}) > 1:
            branches = [axis.joined(sides[i]) for axis, sides in zip(branches, units, strict=True)]
        first = min(axis.offset for axis in branches)
        end = max(axis.offset + axis.size for axis in branches)
        axes.append(Axis(end - first, branches[0].stride, first))
    return ReceptiveField(*axes)


def _cells(row: LayerArithmetic) -> tuple[str, ...]:
    adds = "?" if row.multiply_adds is None else f"{row.multiply_adds:,}"
    shape = "×".join(map(str, row.output_shape))
    if row.field is None:
        view = ("?", "?", "?")
    else:
        view = tuple(_pair(*(getattr(axis, part) for axis in row.field)) for part in ("size", "stride", "offset"))
    return (row.layer, row.type, shape, f"{row.trainable:,}", f"{row.other:,}", adds, *view)


def _pair(height: int, width: int) -> str:
    return str(height) if height == width else f"{height}×{width}"
