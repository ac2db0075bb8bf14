"""`activations`: feature maps of layers of any kind; for a convolution before and after batch norm and activation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.errors import require
from keras_cnn.figures.panels import Panel, PanelRow, limits, sheet, value_range
from keras_cnn.messages import counted
from keras_cnn.views.support.image_stream import PlannedReads
from keras_cnn.views.support.opened_model import Count, OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.activations import first_and_last, most_active, parts_of

_COLUMNS = 8
_PERCENTILE = 99.0  # one extreme value would leave all others pale

Scale = Literal["layer", "channel"]
Part = Literal["all", "convolution", "batch-norm", "activation"]


@dataclass(frozen=True)
class ColourScale:
    """How the values of maps become colours."""

    by_channel: bool = False  # each map has its own limits
    percentile: float = _PERCENTILE

    def limits(self, values: np.ndarray) -> tuple[float, float]:
        """The ends of the colours for these values: by magnitude, `percentile` % of those that are not 0 lie inside."""
        sizes = np.abs(values[np.isfinite(values) & (values != 0)])
        bound = np.percentile(sizes, self.percentile) if sizes.size else 0.0
        return limits(np.clip(values, -bound, bound))


SHARED = ColourScale()


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    channels: tuple[int, ...] = (),
    count: Count = 16,
    scale: Scale = "layer",
    percentile: float = _PERCENTILE,
    part: Part = "all",
) -> list[SavedFigure]:
    """A figure for each layer and image; one figure with all images for a dense layer.

    64 channels of one part fill a page with 8×8 maps, as in figures 8 and 9 of TDT4265.

    Options:
        layer: layers of any kind; default the first and the last convolution
        channels: which channels; default those whose maps after the activation differ most over these images
        count: number of channels, if none are named
        scale: layer: all maps below a heading share their colours; channel: each map has its own
        percentile: share in % of a map's values, by magnitude, that the colours tell apart; larger ones look alike
        part: of a convolution, only its own maps, those behind its batch norm or those behind its activation
    """
    require(0 < percentile <= 100, "command line: --percentile", f"found {percentile:g}", "above 0, at most 100")
    colours = ColourScale(scale == "channel", percentile)
    figures = []
    for name in layer or first_and_last(opened.probe):
        figures += _draw_layer(opened, out, name, channels, count=count, colours=colours, part=part)
    return figures


def reads(opened: OpenedModel) -> PlannedReads:
    layers = first_and_last(opened.probe)
    return PlannedReads(shown=[point for name in layers for point in _points(opened, name).values()])


def _draw_layer(
    opened: OpenedModel,
    out: Path,
    name: str,
    channels: tuple[int, ...],
    *,
    count: int,
    colours: ColourScale,
    part: Part,
) -> list[SavedFigure]:
    points = _of_part(opened, name, part)
    read = opened.maps(points.values())
    maps = {heading: read[point] for heading, point in points.items()}
    last = list(maps.values())[-1]  # the activation: a channel that is 0 there on every image has nothing to show
    if last.ndim != 4:
        return [_draw_vectors(opened, out, name, last)]
    for channel in channels:
        inside = 0 <= channel < last.shape[-1]
        require(inside, f"{opened.name}: {name}", f"channel {channel}", f"0 to {last.shape[-1] - 1}")
    chosen = np.array(channels, int) if channels else most_active(last, count)
    size = "×".join(map(str, last.shape[1:3]))
    figures = []
    for index, pixels in enumerate(opened.images.pixels):
        title = f"{opened.name}: {name}, {len(chosen)} of {last.shape[-1]} maps of {size}"
        shown = {heading: values[index][..., chosen] for heading, values in maps.items()}
        figure = feature_maps(pixels, shown, chosen, title, opened.caption(index), colours=colours)
        arrays = {"image": pixels, "channels": chosen} | {_array_name(h): values for h, values in shown.items()}
        stem = Path(opened.images.names[index]).stem
        line = f"{name}: {', '.join(points)} of {stem}"
        figures.append(save_figure(out, f"{name}_{index + 1}_{stem}", figure, arrays, line))
    return figures


def _points(opened: OpenedModel, name: str) -> dict[str, str]:
    """Heading -> point: a convolution with its batch norm and its activation, or the layer alone."""
    point = opened.probe.point(name)
    if point in [block.name for block in opened.probe.convolutions]:
        return {f"{part} ({where})": where for part, where in parts_of(opened.probe, point).items()}
    return {point: point}


def _of_part(opened: OpenedModel, name: str, part: Part) -> dict[str, str]:
    """The points of a layer, or the one of that part. InputError for a layer without it."""
    points = _points(opened, name)
    if part == "all":
        return points
    parts = {_array_name(heading).replace("_", "-"): heading for heading in points}
    where = f"{opened.name}: {name}: --part {part}"
    is_convolution = opened.probe.point(name) in [block.name for block in opened.probe.convolutions]
    require(is_convolution, where, "a layer of one part", "a convolution, or no --part")
    require(part in parts, where, "none", f"{' or '.join(parts)}")
    return {parts[part]: points[parts[part]]}


def _array_name(heading: str) -> str:
    return heading.partition(" (")[0].replace(" ", "_")


def _draw_vectors(opened: OpenedModel, out: Path, name: str, values: np.ndarray) -> SavedFigure:
    flat = values.reshape(len(values), -1)
    captions = [opened.caption(index) for index in range(len(values))]
    figure = feature_vectors(flat, captions, f"{opened.name}: {name}, {flat.shape[1]} units")
    arrays = {"values": values, "images": opened.images.pixels}
    return save_figure(out, name, figure, arrays, f"{name}: {flat.shape[1]:,} units of {counted(len(values), 'image')}")


def feature_maps(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    channels: Sequence[int] | np.ndarray,
    title: str,
    caption: str,
    *,
    colours: ColourScale = SHARED,
) -> Figure:
    """An `image` (H, W, C) uint8 and its `maps`: heading -> (h, w, U) for the U `channels`.

    All maps below one heading share a scale, which is shown as a colour key, or each map has its own, and its range
    stands below it.
    """
    rows = [PanelRow([Panel(image)], caption)]
    for start in range(0, len(channels), _COLUMNS):
        chosen = range(start, min(start + _COLUMNS, len(channels)))
        titles = [f"channel {channels[u]}" for u in chosen]
        for heading, values in maps.items():
            if colours.by_channel:
                each = [values[..., u] for u in chosen]
                panels = [Panel(one, value_range(one, 2), colours.limits(one)) for one in each]
                rows.append(PanelRow(panels, f"{heading}: each map on its own scale", titles=titles))
            else:
                bounds = colours.limits(values)
                panels = [Panel(values[..., u], "", bounds) for u in chosen]
                if start and len(maps) == 1:  # the scale stands above the first row
                    rows.append(PanelRow(panels, "", None, titles))
                else:
                    rows.append(PanelRow(panels, f"{heading}: {value_range(values)}", bounds, titles))
            titles = ()
    share = "" if colours.percentile == 100 else f"colours end at the {colours.percentile:g}th percentile of the values"
    return sheet(rows, title, share, columns=_COLUMNS)


def feature_vectors(values: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """The output (N, units) of a dense layer for N images, each as one map of its units below one of the `names`."""
    bounds = limits(values)
    width = min(64, values.shape[1])
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % width)), constant_values=np.nan)
    rows = []
    for name, row in zip(names, padded, strict=True):
        heading = f"{name}: {value_range(row[np.isfinite(row)])}"
        rows.append(PanelRow([Panel(row.reshape(-1, width), "", bounds)], heading, bounds))
    return sheet(rows, title, f"units in rows of {width}", 1)
