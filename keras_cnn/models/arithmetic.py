"""What a network costs and sees: parameters, multiply-adds and receptive fields, layer by layer.

Multiply-adds are counted for one image in convolutions (also depthwise, separable and grouped) and dense layers: one
for every product of a weight and an input, products with padded zeros included. Biases, batch norm, activations,
pooling and everything else count as zero.
"""

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import keras
from keras import layers
from keras.src.ops import numpy as ops

from keras_cnn.errors import require


@dataclass(frozen=True)
class Axis:
    """What the units of a map see along one axis, in pixels of the input; padding counts as pixels.

    Unit `u` sees the pixels from `offset + u * stride` to `offset + u * stride + size - 1`: the offset is the first
    pixel that unit 0 sees, negative where that lies in the padding. After global pooling or a dense layer on a
    flattened map there is one view only and the stride is 0.
    """

    size: int = 1
    stride: int = 1
    offset: int = 0

    def windowed(self, window: int, step: int, before: int) -> "Axis":
        """The view of a window of `window` units moving by `step`, with `before` units of padding in front."""
        return Axis(self.size + (window - 1) * self.stride, self.stride * step, self.offset - before * self.stride)

    def whole(self, units: int) -> "Axis":
        """The one view of all `units` together."""
        return Axis(self.size + (units - 1) * self.stride, 0, self.offset)


class ReceptiveField(NamedTuple):
    """The rectangle of input pixels that each unit of a layer sees."""

    height: Axis
    width: Axis


class Row(NamedTuple):
    """One layer. `multiply_adds` is None for a weighted layer that is not counted, `field` None where unknown."""

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


class _State(NamedTuple):
    """A tensor's receptive field and the map that it belongs to, which a flattened tensor no longer shows."""

    field: ReceptiveField | None
    units: tuple[int, int]


def table(model: keras.Model) -> list[Row]:
    """One row for each layer or operation of a flat Functional model with one image input, in graph order.

    Maps are channels-last. Where branches meet, the receptive field is the smallest rectangle that holds those of
    all branches. It is None after a layer whose view is not known here (attention, reshape, upsampling). Raises
    InputError if the graph holds a nested model or the image has no fixed size.
    """
    require(len(model.inputs) == 1, model.name, f"{len(model.inputs)} inputs", "one image")
    shape = model.inputs[0].shape[1:]
    require(len(shape) == 3 and None not in shape, model.name, f"input shape {shape}", "a fixed (H, W, C)")
    states: dict[int, _State] = {}
    return [_row(model.name, operation, states) for operation in model.operations]


def totals(rows: list[Row]) -> Totals:
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
    head = ("layer", "type", "output", "parameters", "other", "multiply-adds", "field", "stride", "offset")
    lines = [head, *(_cells(row) for row in rows)]
    lines.append(("total", "", "", *(f"{n:,}" for n in total), "", "", ""))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [_align(line, widths) for line in lines]
    rule = "-" * max(map(len, aligned))
    uncounted = [row.layer for row in rows if row.multiply_adds is None]
    notes = [
        "",
        "parameters: trainable; other: batch norm statistics and frozen layers.",
        "multiply-adds: one image; convolutions and dense layers, without biases.",
        "field: input pixels a unit sees; stride: from unit to unit; offset: first pixel of unit 0 (height×width).",
        *([f"not counted: {', '.join(uncounted)}"] if uncounted else []),
    ]
    return "\n".join([model.name, aligned[0], rule, *aligned[1:-1], rule, aligned[-1], *notes]) + "\n"


def record(model: keras.Model) -> dict:
    """The table and its totals as plain lists and dicts, for JSON; `field` as height and width, each an Axis."""
    rows = []
    for row in table(model):
        field = row.field and {side: asdict(axis) for side, axis in row.field._asdict().items()}
        rows.append(row._asdict() | {"field": field})
    return {"name": model.name, "layers": rows, "totals": totals(table(model))._asdict()}


def _row(model_name: str, operation, states: dict[int, _State]) -> Row:
    require(not isinstance(operation, keras.Model), model_name, f"nested model {operation.name!r}", "a flat graph")
    output = operation.output
    if isinstance(operation, layers.InputLayer):
        state = _State(ReceptiveField(Axis(), Axis()), tuple(output.shape[1:3]))
    else:
        state = _after(operation, [states[id(tensor)] for tensor in keras.tree.flatten(operation.input)])
    for tensor in keras.tree.flatten(output):
        states[id(tensor)] = state
    is_layer = isinstance(operation, layers.Layer)
    return Row(
        layer=operation.name,
        type=type(operation).__name__,
        output_shape=tuple(keras.tree.flatten(output)[0].shape[1:]),
        trainable=_size(operation.trainable_weights) if is_layer else 0,
        other=_size(operation.non_trainable_weights) if is_layer else 0,
        multiply_adds=_multiply_adds(operation),
        field=state.field,
    )


def _size(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _multiply_adds(operation) -> int | None:
    match operation:
        case layers.SeparableConv2D():
            depthwise, pointwise = operation.depthwise_kernel, operation.pointwise_kernel
            return _positions(operation) * _size([depthwise, pointwise])
        case layers.Conv2D() | layers.DepthwiseConv2D():
            # Every weight meets one input a position, in a grouped convolution too.
            return _positions(operation) * _size([operation.kernel])
        case layers.Dense():
            return math.prod(operation.output.shape[1:-1]) * _size([operation.kernel])
        case layers.Layer() if operation.weights and not isinstance(operation, (*_POINTWISE, *_NORMS)):
            return None
    return 0


def _positions(operation) -> int:
    """Units of a channels-last map."""
    return math.prod(operation.output.shape[1:3])


_POINTWISE = (  # layers whose units see one unit each
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.Flatten,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.LeakyReLU,
    layers.Normalization,
    layers.PReLU,
    layers.ReLU,
    layers.Rescaling,
    layers.Softmax,
    layers.SpatialDropout2D,
)
_NORMS = (layers.GroupNormalization, layers.LayerNormalization)
_MERGES = (
    layers.Add,
    layers.Average,
    layers.Concatenate,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
    layers.Subtract,
)


def _after(operation, states: list[_State]) -> _State:
    """The state of a layer's output, from those of its inputs."""
    output = keras.tree.flatten(operation.output)[0]
    units = tuple(output.shape[1:3]) if len(output.shape) == 4 else states[0].units
    if any(state.field is None for state in states):
        return _State(None, units)
    if isinstance(operation, _MERGES) or all(axis.stride == 0 for state in states for axis in state.field):
        return _State(_union(states), units)
    return _State(_view(operation, states[0]), units)


def _view(operation, state: _State) -> ReceptiveField | None:
    """The receptive field after a layer with one input."""
    height, width = state.field
    match operation:
        case layers.Dense() if len(operation.input.shape) == 4:
            return state.field
        case layers.Dense() | layers.GlobalAveragePooling2D() | layers.GlobalMaxPooling2D():
            return ReceptiveField(height.whole(state.units[0]), width.whole(state.units[1]))
        case layers.ZeroPadding2D():
            (top, _), (left, _) = operation.padding
            return ReceptiveField(height.windowed(1, 1, top), width.windowed(1, 1, left))
        case layers.Cropping2D():
            (top, _), (left, _) = operation.cropping
            return ReceptiveField(height.windowed(1, 1, -top), width.windowed(1, 1, -left))
        case layers.Conv2D() | layers.DepthwiseConv2D() | layers.SeparableConv2D():
            return _slide(operation, state, operation.kernel_size, operation.dilation_rate)
        case layers.MaxPooling2D() | layers.AveragePooling2D():
            return _slide(operation, state, operation.pool_size, (1, 1))
        case ops.Flip(axis=-1):  # RGB to BGR
            return state.field
    return state.field if isinstance(operation, _POINTWISE) else None


def _slide(operation, state: _State, sizes, dilations) -> ReceptiveField:
    """The view through a window that slides over the map, padded as TensorFlow does."""
    axes = []
    for i, axis in enumerate(state.field):
        window, step = (sizes[i] - 1) * dilations[i] + 1, operation.strides[i]
        before = 0
        if operation.padding == "same":
            missing = (operation.output.shape[1 + i] - 1) * step + window - state.units[i]
            before = max(missing, 0) // 2
        axes.append(axis.windowed(window, step, before))
    return ReceptiveField(*axes)


def _union(states: list[_State]) -> ReceptiveField:
    """The smallest rectangle around those of all branches; around all that they see where their strides differ."""
    axes = []
    for i in range(2):
        views = [state.field[i] for state in states]
        if len({view.stride for view in views}) > 1:
            views = [view.whole(state.units[i]) for view, state in zip(views, states, strict=True)]
        first = min(view.offset for view in views)
        last = max(view.offset + view.size for view in views)
        axes.append(Axis(last - first, views[0].stride, first))
    return ReceptiveField(*axes)


def _cells(row: Row) -> tuple[str, ...]:
    adds = "?" if row.multiply_adds is None else f"{row.multiply_adds:,}"
    shape = "×".join(map(str, row.output_shape))
    if row.field is None:
        view = ("?", "?", "?")
    else:
        view = tuple(_pair(*(getattr(axis, part) for axis in row.field)) for part in ("size", "stride", "offset"))
    return (row.layer, row.type, shape, f"{row.trainable:,}", f"{row.other:,}", adds, *view)


def _pair(height: int, width: int) -> str:
    return str(height) if height == width else f"{height}×{width}"


def _align(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()


class LayerCount(NamedTuple):
    """Parameters and multiply-adds of one layer by formula."""

    layer: str
    parameters: int
    multiply_adds: int


def five_conv_counts(
    m: int,
    k: int,
    l: int,  # noqa: E741 - the report's letters
    n: int,
    *,
    pools: bool = False,
    batch_norm: bool = False,
    channels: int = 3,
    classes: int = 10,
) -> list[LayerCount]:
    """The formulas asked for in CS6910, question 1: five k×k convolutions of m filters, stride 1, no padding, on an
    l×l image of c channels, n dense neurons, o classes. The last row is the total.

        layer          parameters            multiply-adds       with the map sides
        conv 1         m (c k² + 1)          l₁² m c k²          l₁ = l - (k - 1)
        conv i = 2..5  m (m k² + 1)          lᵢ² m² k²           lᵢ = l - i (k - 1)
        dense          n (l₅² m + 1)         n l₅² m
        logits         o (n + 1)             o n

    In total m (c k² + 1) + 4 m (m k² + 1) + n (l₅² m + 1) + o (n + 1) parameters and
    m c k² l₁² + m² k² (l₂² + l₃² + l₄² + l₅²) + n l₅² m + o n multiply-adds. The report leaves out the m biases of each
    convolution, the factor m of each convolution's multiply-adds, and sums up the convolutions as 5 m k².

    `pools` puts a 2×2 pool after every convolution, as in the network trained: lᵢ = ⌊lᵢ₋₁ / 2⌋ - (k - 1) from the
    second on, and the dense layer sees ⌊l₅ / 2⌋². `batch_norm` adds its 2 m parameters a block. Raises InputError
    where a map has no pixel left.
    """
    rows, side, depth = [], l, channels
    for i in range(1, 6):
        side -= k - 1
        _require_side(side, f"conv{i}")
        rows.append(LayerCount(f"conv{i}", m * (depth * k**2 + 1), side**2 * m * depth * k**2))
        if batch_norm:
            rows.append(LayerCount(f"bn{i}", 2 * m, 0))
        if pools:
            side //= 2
            _require_side(side, f"pool{i}")
        depth = m
    rows.append(LayerCount("dense1", n * (side**2 * m + 1), n * side**2 * m))
    rows.append(LayerCount("logits", classes * (n + 1), classes * n))
    total = LayerCount("total", sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows))
    return [*rows, total]


def _require_side(side: int, layer: str) -> None:
    require(side >= 1, f"five_conv_counts: {layer}", f"a map of {side} pixels", "at least 1: a larger l or a smaller k")
