"""`filters`: what each filter responds to, over a whole split in one pass."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from keras_cnn.errors import require
from keras_cnn.figures import style
from keras_cnn.figures.panels import number
from keras_cnn.figures.placement import bare_axes, image_axes, place_image, place_text
from keras_cnn.figures.style import (
    BLUE,
    FAINT,
    GREY,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    SMALL_SIZE,
    WIDTH,
    fit,
    new_figure,
    styled,
)
from keras_cnn.messages import aligned
from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.views.support.image_stream import ImageStream, PlannedReads, SplitName, measured
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.views.support.top_patches import responses_to, top_patches
from keras_cnn.visualization import receptive_field
from keras_cnn.visualization.filters import DEAD, TOP, Responses
from keras_cnn.visualization.receptive_field import Box

_LAYERS, _COLUMNS, _ROWS = 5, 10, 6

_TILE = 0.62  # inches
_GAP, _LINE = 0.06, 1.3 * SMALL_SIZE * style.POINT  # inches
_ALIVE, _DEAD = ("a filter", BLUE), ("a dead filter: never above 0", ORANGE)
_LIGHT = 0.55  # share of the colour scale above which a number in a cell is white


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    filters: tuple[int, ...] = (0, 1),
    top: int = TOP,
    split: SplitName = "validation",
) -> list[SavedFigure]:
    """Top images and patches of some filters, the classes of their top images, and the dead filters of all layers.

    Options:
        layer: convolutions whose filters are drawn; default the first five
        filters: numbers of the filters that are drawn for each convolution
        top: number of images that are kept for each filter
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    probe, wanted = opened.probe, responses_to(opened, "filters", split, top)
    names = [probe.convolution(name).name for name in layer] or [b.name for b in probe.convolutions[:_LAYERS]]
    for name in names:
        count = probe.convolution(name).filters
        unknown = [number for number in filters if not 0 <= number < count]
        require(not unknown, f"{opened.name}: {name}", f"filter {unknown and unknown[0]}", f"0 to {count - 1}")
    (all_responses,) = measured(opened, wanted)
    images, responses = wanted[0][0], {layer.layer: layer for layer in all_responses}
    chosen = [(responses[name], number) for name in names for number in filters]
    figures = [_draw_summary(opened, out, images, all_responses, chosen)]
    if opened.classes is not None and (images.labels >= 0).all():
        figures.append(_draw_classes(opened, opened.classes, out, images, chosen))
    fields, shown = receptive_field.receptive_fields(opened.model), list(filters)[:_ROWS]
    return figures + [
        _draw_layer(opened, out, images, responses[name], shown=shown, field=fields.get(name)) for name in names
    ]


def reads(opened: OpenedModel) -> PlannedReads:
    return PlannedReads(measured=responses_to(opened, "filters"))


def _draw_summary(
    opened: OpenedModel,
    out: Path,
    images: ImageStream,
    layers: list[Responses],
    chosen: list[tuple[Responses, int]],
) -> SavedFigure:
    names = [responses.layer for responses in layers]
    title = f"{opened.name}: every filter of every convolution on {images.words}"
    figure = filter_summary(names, [r.largest for r in layers], [r.mean for r in layers], title)
    arrays = {}
    for r in layers:
        for name in ("top", "responses", "labels", "units", "peaks", "mean", "top_mean", "largest"):
            arrays[f"{r.layer}_{name}".replace("/", "-")] = getattr(r, name)
    counts = ", ".join(f"{r.layer} {int(r.dead.sum())} of {len(r.dead)}" for r in layers if r.dead.any())
    saved = save_figure(out, "filters-summary", figure, arrays, f"dead ({DEAD}): {counts or 'none'}")
    return replace(saved, table=tuple(_response_table(chosen)))


def _response_table(chosen: list[tuple[Responses, int]]) -> list[str]:
    """The mean response of each chosen filter to its top images, its largest and its mean one (CS7015, table 3)."""
    top = chosen[0][0].top.shape[1]
    rows: list[tuple[str, ...]] = [("response", f"mean of top {top}", "largest", "mean of all")]
    for layer, place in chosen:
        values = (layer.top_mean[place], layer.maximum[place], layer.mean[place])
        rows.append((f"{layer.layer} filter {place}", *(number(value, 6) for value in values)))
    return [f"  {line}" for line in aligned(rows, right=(1, 2, 3))]


def _draw_classes(
    opened: OpenedModel,
    classes: tuple[str, ...],
    out: Path,
    images: ImageStream,
    chosen: list[tuple[Responses, int]],
) -> SavedFigure:
    counts = np.stack([r.class_counts(len(classes))[number] for r, number in chosen])
    names = [f"{r.layer} filter {number}" for r, number in chosen]
    top = chosen[0][0].top.shape[1]
    title = f"{opened.name}: classes of each filter's top {top} of {images.words}"
    figure = class_table(counts, names, classes, title)
    best = ", ".join(f"{name} {classes[row.argmax()]}" for name, row in zip(names, counts, strict=True))
    arrays = {"filters": names, "classes": classes, "counts": counts}
    return save_figure(out, "filters-classes", figure, arrays, best)


def _draw_layer(
    opened: OpenedModel,
    out: Path,
    images: ImageStream,
    responses: Responses,
    *,
    shown: list[int],
    field: ReceptiveField | None,
) -> SavedFigure:
    best = top_patches(images, responses, field, shown, _COLUMNS)
    labels = images.labels[best.numbers]
    classes = opened.classes if (labels >= 0).all() else None
    headings = [_heading(opened, responses, number) for number in shown]
    known = ", true classes" if classes else ""
    title = f"{opened.name}, {responses.layer}: largest responses; {best.words}{known}"
    captions = [[classes[label] for label in row] for row in labels] if classes else None
    figure = top_images(best.pixels, best.boxes, best.patches, headings, title=title, captions=captions)
    ids = np.array([[images.ids[number] for number in row] for row in best.numbers])
    arrays = {"filters": shown, "numbers": best.numbers, "ids": ids, "boxes": best.boxes}
    arrays |= {"responses": responses.responses[shown, : best.numbers.shape[1]]}
    line = f"{responses.layer}: largest responses " + ", ".join(f"{responses.maximum[f]:.4g}" for f in shown)
    return save_figure(out, f"filters-{responses.layer}", figure, arrays, line)


def _heading(opened: OpenedModel, responses: Responses, filter_number: int) -> str:
    measured = (responses.maximum, responses.top_mean, responses.mean)
    most, top_mean, mean = (number(values[filter_number], 4) for values in measured)
    value, count = number(responses.largest[filter_number]), responses.top.shape[1]
    text = f"filter {filter_number}: response {most}, of top {count} {top_mean}, of all {mean}; largest value {value}"
    if responses.dead[filter_number]:
        text += ", dead"
    if opened.classes and (responses.labels >= 0).all():
        most_seen = responses.class_most_seen(len(opened.classes))[filter_number]
        text += f"; top {count} mostly {opened.classes[most_seen]}"
    return text


@styled
def top_images(
    images: np.ndarray,
    boxes: np.ndarray,
    patches: Sequence[Sequence[np.ndarray]],
    headings: Sequence[str],
    *,
    title: str,
    captions: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """Two rows for each filter: its top images with the patch of the largest value framed, and those patches enlarged.

    Where every patch is its whole image, the second row is left out.

    `images` (F, K, H, W, 1 or 3) uint8, K at most 10; `boxes` (F, K, 4): top, bottom, left, right in pixels, ends
    excluded; `patches` F×K arrays (h, w, 1 or 3) uint8, the part of each box that lies on the image. A frame crosses
    the image's border if the filter sees padding, which is hatched beside the patch. `captions` (F×K), such as the
    true classes, stand below.

    Raises ValueError if the numbers of rows or columns differ.
    """
    filters, count = images.shape[:2]
    lengths = {len(row) for row in patches}
    if not filters == len(patches) == len(headings) or lengths != {count} or not 1 <= count <= _COLUMNS:
        raise ValueError(f"{images.shape} images, {len(patches)} rows of {lengths} patches, {len(headings)} headings")
    height, width = images.shape[2:4]
    tile = (_TILE * height / width, _TILE)
    has_patches = bool((boxes != [0, height, 0, width]).any())
    below_tile = _GAP + (_GAP + _TILE if has_patches else 0)
    row = _LINE * 1.4 + tile[0] + below_tile + _GAP + (_LINE if captions else 0)
    figure = new_figure(WIDTH, HEADER + filters * row + MARGIN, title, layout=None)
    for f in range(filters):
        top = HEADER + f * row
        place_text(figure, MARGIN, top, fit(headings[f], SMALL_SIZE, WIDTH - 2 * MARGIN), INK)
        top += 1.4 * _LINE
        below = top + tile[0] + _GAP
        for k in range(count):
            left = MARGIN + k * (_TILE + _GAP)
            if has_patches:
                axes = image_axes(figure, left, top, tile, images[f, k])
                box = Box(*map(int, boxes[f, k]))
                _draw_frame(axes, boxes[f, k])
                _draw_patch(figure, (left, below), np.asarray(patches[f][k]), box, (height, width))
            else:
                place_image(figure, left, top, tile, images[f, k])
            if captions:
                words = fit(captions[f][k], SMALL_SIZE, _TILE + _GAP / 2)
                place_text(figure, left, top + tile[0] + below_tile - 0.6 * _GAP, words, GREY)
    return figure


def _draw_patch(
    figure: Figure, place: tuple[float, float], patch: np.ndarray, box: Box, image: tuple[int, int]
) -> None:
    """A patch at its place in its box, whose longer side is a tile; what lies beyond the image is hatched."""
    scale = _TILE / max(box.bottom - box.top, box.right - box.left)
    seen = box.inside(*image)
    if seen != box:
        whole = ((box.bottom - box.top) * scale, (box.right - box.left) * scale)
        axes = bare_axes(figure, *place, whole)
        axes.add_patch(
            Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor="white", edgecolor=FAINT, hatch="/////", lw=0)
        )
    left, top = place[0] + (seen.left - box.left) * scale, place[1] + (seen.top - box.top) * scale
    if patch.size:
        place_image(figure, left, top, (patch.shape[0] * scale, patch.shape[1] * scale), patch)


def _draw_frame(axes: Axes, box: np.ndarray) -> None:
    limits = axes.get_xlim(), axes.get_ylim()
    top, bottom, left, right = (int(edge) for edge in box)
    corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
    for colour, width in (("black", 1.8), ("white", 0.8)):
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width))
    axes.set(xlim=limits[0], ylim=limits[1])


@styled
def class_table(counts: ArrayLike, names: Sequence[str], classes: Sequence[str], title: str) -> Figure:
    """The classes of each filter's top images: `counts` (F, C); the most frequent class of a filter is framed.

    In a tie, the first class is framed. Raises ValueError for another shape, or for no filter.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(names), len(classes)) or not len(names):
        raise ValueError(f"counts of shape {counts.shape} for {len(names)} filters and {len(classes)} classes")
    figure = new_figure(WIDTH, HEADER + 0.22 * len(names) + 0.95, title)
    axes = figure.subplots()
    largest = max(1, counts.max())
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=largest, aspect="auto", interpolation="nearest")
    annotated = len(classes) <= 30
    for (row, column), count in np.ndenumerate(counts):
        if count and annotated:
            dark = count > _LIGHT * largest
            look = {"ha": "center", "va": "center", "fontsize": SMALL_SIZE, "color": "white" if dark else INK}
            axes.text(column, row, str(count), **look)
    for row, best in enumerate(counts.argmax(axis=1)):
        axes.add_patch(Rectangle((best - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=1.2))
    axes.set_yticks(range(len(names)), [fit(name, SMALL_SIZE, 1.6) for name in names])
    step = max(1, -(-len(classes) // 40))
    shown = range(0, len(classes), step)
    narrow = len(classes) > 8
    axes.set_xticks(shown, [fit(classes[i], SMALL_SIZE, 1.0) for i in shown], rotation=90 if narrow else 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@styled
def filter_summary(
    names: Sequence[str], largest: Sequence[np.ndarray], means: Sequence[np.ndarray], title: str
) -> Figure:
    """A row for each layer with a point for each filter, in two panels: mean response, and largest value.

    `largest` and `means` have an array (C,) for each layer. A filter is dead, and orange, if its largest value is not
    above 0. Both axes are linear up to 1 and logarithmic beyond. Raises ValueError if the numbers of layers differ.
    """
    if not len(names) == len(largest) == len(means) or not len(names):
        raise ValueError(f"{len(names)} names, {len(largest)} and {len(means)} arrays; expected as many")
    figure = new_figure(WIDTH, HEADER + 0.26 * len(names) + 1.4, title)
    left, right = figure.subplots(1, 2, sharey=True)
    generator = np.random.default_rng(0)
    for row, (tops, averages) in enumerate(zip(largest, means, strict=True)):
        dead = np.asarray(tops) <= 0
        places = row + generator.uniform(-0.28, 0.28, len(dead))
        for axes, values in ((left, averages), (right, tops)):
            for chosen, (words, colour) in ((~dead, _ALIVE), (dead, _DEAD)):
                look = {"color": colour, "markersize": 2.2, "alpha": 0.7, "label": "_" if row else words}
                axes.plot(np.asarray(values)[chosen], places[chosen], "o", **look)
    counts = [f"{int(np.sum(np.asarray(tops) <= 0))} of {len(tops)} dead" for tops in largest]
    labels = [f"{fit(name, SMALL_SIZE, 1.3)}\n{count}" for name, count in zip(names, counts, strict=True)]
    left.set_yticks(range(len(names)), labels, fontsize=6.5)
    left.set_ylim(len(names) - 0.4, -0.6)
    for axes, words in ((left, "mean response over the images"), (right, "largest value before the activation")):
        axes.set_xscale("symlog", linthresh=1.0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_title(words)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        _thin_ticks(axes)
    for axes in (left, right):
        axes.set_xlabel("linear from −1 to 1, logarithmic beyond")
    legend = figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    for handle in legend.legend_handles:
        cast(Line2D, handle).set(markersize=5, alpha=1)
    return figure


def _thin_ticks(axes: Axes) -> None:
    """Few ticks of a symmetric logarithmic axis: 0 and, by its range, 1, 2, 5, 10, or powers of ten."""
    low, high = axes.get_xlim()
    far = max(-low, high)
    powers = [10.0**p for p in range(0, 12, 2 if far > 2000 else 1)]
    if far < 30:
        powers = [step * power for power in (1, 10) for step in (1, 2, 5)]
    ticks = [-p for p in reversed(powers) if -p >= low] + [0] + [p for p in powers if p <= high]
    axes.set_xticks(ticks, [_in_words(tick) for tick in ticks])
    axes.minorticks_off()


def _in_words(value: float) -> str:
    """10,000, 1 million, −100."""
    for scale, word in ((1e9, " billion"), (1e6, " million")):
        if abs(value) >= scale:
            return f"{value / scale:,.0f}{word}".replace("-", "−")
    return f"{value:,.0f}".replace("-", "−")
