"""`receptive-field`: the pixels that a unit of each layer sees, by arithmetic and by the gradient."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.errors import require
from keras_cnn.figures.style import FAINT, GREY, HEADER, INK, SMALL_SIZE, WIDTH, fit, new_figure, styled
from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.receptive_field import MeasuredField, measured_field, receptive_fields

_SHOWN = 10
_COLUMNS = 5
_PANEL = 1.3  # inches


def draw(opened: OpenedModel, out: Path, *, layer: tuple[str, ...] = ()) -> list[SavedFigure]:
    """The receptive field of the middle unit of some layers; the arrays hold size, stride and offset of every layer.

    Options:
        layer: layers with a map; default ten convolutions from the first to the last
    """
    known = receptive_fields(opened.model)
    convolutions = [block.name for block in opened.probe.convolutions if block.name in known]
    expected = "convolutions behind convolutions, pools and element-wise layers alone"
    require(bool(layer or convolutions), f"{opened.name}: receptive-field", "no field that is known", expected)
    chosen = list(layer) or [convolutions[place] for place in evenly_spaced(len(convolutions), _SHOWN)]
    fields = [measured_field(opened.probe, name) for name in chosen]
    title = f"{opened.name}: what the middle unit of a layer sees"
    figure = draw_fields(fields, [_caption(field, known) for field in fields], title)
    arrays = {"layers": list(known), "shown": chosen, "units": [field.unit for field in fields]}
    for part in ("size", "stride", "offset"):
        arrays[part] = [[getattr(axis, part) for axis in axes] for axes in known.values()]
    arrays["boxes"] = [field.box for field in fields]
    arrays["strength"] = np.stack([field.strength for field in fields])
    line = ", ".join(f"{field.layer} {_size(known[field.layer])} ({_verdict(field)})" for field in fields)
    return [save_figure(out, "receptive-field", figure, arrays, f"pixels seen: {line}")]


def _caption(layer: MeasuredField, known: Mapping[str, ReceptiveField]) -> str:
    height, width = known[layer.layer]
    stride = f"{height.stride}" if height.stride == width.stride else f"{height.stride}×{width.stride}"
    return f"{layer.layer}\n{_size(known[layer.layer])} px, stride {stride}\n{_verdict(layer)}"


def _size(field: ReceptiveField) -> str:
    height, width = field
    return f"{height.size}" if height.size == width.size else f"{height.size}×{width.size}"


def _verdict(layer: MeasuredField) -> str:
    if not layer.contained:
        return "gradient: goes beyond"
    return "gradient: exact" if layer.exact else "gradient: within"


@styled
def draw_fields(layers: Sequence[MeasuredField], captions: Sequence[str], title: str) -> Figure:
    """A panel for each layer: the gradient at each pixel as a share of the largest, framed by the computed field.

    A pixel without gradient is grey. The colours follow the square root of the share: on a linear scale only the middle
    would be visible. Raises ValueError if there is no layer.
    """
    if not layers:
        raise ValueError("no receptive field to draw; expected at least one")
    columns, rows = min(_COLUMNS, len(layers)), -(-len(layers) // _COLUMNS)
    lines = max(caption.count("\n") + 1 for caption in captions)
    figure = new_figure(WIDTH, HEADER + rows * (_PANEL + 0.16 * lines + 0.15) + 0.55, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(layers) :]:
        axes.set_axis_off()
    images = []
    for axes, layer, caption in zip(grid.ravel(), layers, captions, strict=False):
        share = layer.strength / max(layer.strength.max(), 1e-300)
        values = np.ma.masked_where(layer.strength == 0, np.sqrt(share))
        axes.set_facecolor(FAINT)
        images.append(axes.imshow(values, cmap="magma", vmin=0, vmax=1, interpolation="nearest"))
        top, bottom, left, right = layer.box
        corner = (left - 0.5, top - 0.5)
        axes.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, edgecolor="#2ca9e1", linewidth=1.2))
        height, width = share.shape
        axes.set(xlim=(-1, width), ylim=(height, -1), xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=GREY)
        shown = "\n".join(fit(line, SMALL_SIZE, _PANEL) for line in caption.split("\n"))
        axes.set_xlabel(shown, fontsize=SMALL_SIZE, color=INK)
    bar = figure.colorbar(images[-1], ax=grid, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.25", "1"])
    bar.set_label("mean gradient at the pixel, over the largest; grey: none; frame: by arithmetic")
    return figure
