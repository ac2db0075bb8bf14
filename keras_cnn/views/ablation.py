"""`ablation`: the loss of accuracy with some filters at zero, beside the loss with as many random filters at zero."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from keras_cnn.charts import ChartAxis, Plot, Series, evaluation, png
from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.evaluation.intervals import Interval
from keras_cnn.figures.sheets import image_sheet
from keras_cnn.figures.style import BLUE, ORANGE
from keras_cnn.messages import counted
from keras_cnn.run_folder import write_json
from keras_cnn.views import VIEWS
from keras_cnn.views.support.image_stream import (
    ImageStream,
    PlannedReads,
    SplitName,
    measured_before,
    stream,
)
from keras_cnn.views.support.opened_model import OpenedModel, OptionalCount
from keras_cnn.views.support.published_ablation import beside_published, draw_beside_published
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.ablation import CONTROLS, Ablation, ablate
from keras_cnn.visualization.statistics import Features

_SHEET, _COLUMNS = 24, 6
_UNKNOWN = (np.nan, np.nan)  # the interval of a class without images


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    filters: tuple[str, ...] = (),
    silent: bool = False,
    controls: int = CONTROLS,
    seed: int = 0,
    most: int | None = None,
    first: OptionalCount = None,
    split: SplitName = "validation",
) -> list[SavedFigure]:
    """Accuracy by class, confusion matrices, newly wrong images, and the random choices; ablation.json has the numbers.

    If the config of a run names a publication with an ablation, the published table stands beside the measured one.

    Options:
        filters: LAYER:NUMBER of each filter set to zero; default the first two of the first five convolutions
        silent: set gamma and beta of the batch norm behind to zero too, which otherwise makes a constant of the zeros
        controls: number of random choices of as many filters of the same layers, for comparison
        seed: seed of these random choices
        most: number of images, at even distances in the split; default all, and with the view `all` 2,500
        first: number of images from the beginning of the split instead, such as the first 256 test images
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    require(controls >= 0, "command line: --controls", f"found {controls}", "at least 0")
    require(most is None or most >= 1, "command line: --most", f"found {most}", "at least 1")
    require(most is None or first is None, "command line: --first", f"found {first} with --most {most}", "one of them")
    images = stream(opened, "ablation", split, most, first=first)
    if opened.classes is None:
        raise InputError(f"{opened.name}: ablation: class names that are not known, expected a run")
    found = "images that may have several classes" if opened.thresholds is not None else "images without a true class"
    expected = "a run of one class an image" if opened.thresholds is not None else "a run's own"
    require(bool((images.labels >= 0).all()), f"{opened.name}: ablation", found, expected)
    ablation = ablate(
        opened.probe,
        images,
        opened.classes,
        _parsed(filters) if filters else None,
        ids=images.ids,
        silent=silent,
        controls=controls,
        seed=seed,
        scores=measured_before(opened, images, Features(opened.head.point)),
    )
    published = beside_published(opened, ablation, split)
    record = {"of": images.words, **ablation.as_json()}
    write_json(out / "ablation.json", record if published is None else record | {"published": published.as_json()})
    figures = _draw_comparison(opened, opened.classes, out, images, ablation)
    figures.append(_draw_newly_wrong(opened, opened.classes, out, images, ablation))
    if ablation.controls:
        figures.append(_draw_controls(opened, out, ablation))
    if published is not None:
        figures.append(draw_beside_published(published, out, f"{opened.name}, {images.words}"))
    return figures


def reads(opened: OpenedModel) -> PlannedReads:
    """The scores of the unchanged network, which other views read too. Without `all`, `ablate` predicts them itself."""
    images = stream(opened, "ablation", "validation", **VIEWS["ablation"].options_in_all)
    has_classes = opened.classes and opened.thresholds is None
    return PlannedReads(measured=[(images, Features(opened.head.point))] if has_classes else [])


def _draw_comparison(
    opened: OpenedModel, classes: tuple[str, ...], out: Path, images: ImageStream, ablation: Ablation
) -> list[SavedFigure]:
    result = ablation.comparison
    count = sum(len(chosen) for chosen in ablation.filters.values())
    title = f"{opened.name}, {count} filters at zero, {images.words}"
    changes = result.per_class.values()
    before, after = (np.array([_or_nan(getattr(c, name)) for c in changes]) for name in ("before", "after"))
    intervals = np.array([c.difference_interval or _UNKNOWN for c in changes])
    overall = result.overall
    low, high = (100 * end for end in overall.difference_interval or _UNKNOWN)
    words = f"{100 * _or_nan(overall.before):.2f} % before, {100 * _or_nan(overall.after):.2f} % after"
    words = f"{words}: {100 * _or_nan(overall.difference):+.2f} points [{low:+.2f}, {high:+.2f}]"
    line = f"{words}, exact McNemar p {overall.p:.2g}"
    arrays = {"classes": classes, "before": before, "after": after, "intervals": intervals}
    figure = png.figure(evaluation.class_differences(result.per_class), title)
    figures = [save_figure(out, "ablation-classes", figure, arrays, line)]
    for name, matrix in (("before", result.confusion_before), ("after", result.confusion_after)):
        title = f"{opened.name} {name} the ablation, {images.words}"
        figure = png.figure(evaluation.confusion_drawings(matrix, classes)[:1], title, evaluation.mistakes_note(matrix))
        arrays, line = {"classes": classes, "confusion": matrix}, f"{counted(int(np.trace(matrix)), 'image')} right"
        figures.append(save_figure(out, f"ablation-confusion-{name}", figure, arrays, line))
    difference = result.confusion_difference
    drawing = evaluation.change_drawing(difference, classes)
    title = f"{opened.name}: after the ablation minus before"
    figure = png.figure([drawing], title, evaluation.mistakes_note(difference) or evaluation.CHANGE_NOTE)
    line = f"{counted(len(result.newly_wrong), 'image')} newly wrong, {len(result.newly_right):,} newly right"
    arrays = {"classes": classes, "confusion": difference}
    return [*figures, save_figure(out, "ablation-confusion-difference", figure, arrays, line)]


def _draw_newly_wrong(
    opened: OpenedModel, classes: tuple[str, ...], out: Path, images: ImageStream, ablation: Ablation
) -> SavedFigure:
    wrong = ablation.comparison.newly_wrong
    shown = wrong[evenly_spaced(len(wrong), _SHEET)]
    captions = [
        f"{PurePosixPath(images.ids[i]).name}\nis {classes[images.labels[i]]}\nnow {classes[guess]}"
        for i, guess in zip(shown, ablation.predicted[shown], strict=True)
    ]
    title = f"{opened.name}: right before, wrong after; {len(shown)} of {len(wrong):,}"
    pixels = images.pixels(shown)
    figure = image_sheet(pixels, captions, _COLUMNS, title)
    arrays = {"images": pixels, "numbers": wrong}
    return save_figure(out, "ablation-newly-wrong", figure, arrays, f"{len(wrong):,} such images")


def _draw_controls(opened: OpenedModel, out: Path, ablation: Ablation) -> SavedFigure:
    overall = ablation.comparison.overall
    controls = [control.comparison.overall for control in ablation.controls]
    differences = [_or_nan(control.difference) for control in controls]
    intervals = [control.difference_interval or _UNKNOWN for control in controls]
    count = sum(len(chosen) for chosen in ablation.filters.values())
    title = f"{opened.name}: the {count} chosen filters at zero, and {count} random ones of the same layers"
    chosen, interval = _or_nan(overall.difference), overall.difference_interval or _UNKNOWN
    figure = png.figure([against_random(chosen, interval, differences, intervals)], title)
    arrays = {"chosen": chosen, "random": differences, "intervals": intervals}
    as_bad = sum(difference <= chosen for difference in differences)
    line = f"as bad or worse: {as_bad} of {len(controls)} random choices, one-sided p {ablation.rank_p:.2g}"
    return save_figure(out, "ablation-controls", figure, arrays, line)


def _parsed(texts: tuple[str, ...]) -> dict[str, list[int]]:
    chosen: dict[str, list[int]] = {}
    for text in texts:
        layer, colon, number = text.rpartition(":")
        if not colon or not number.isdecimal():
            raise UsageError(f"command line: --filters {text}: expected LAYER:NUMBER, such as conv1:0")
        chosen.setdefault(layer, []).append(int(number))
    return chosen


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def against_random(
    difference: float, interval: Interval, random: Sequence[float], random_intervals: Sequence[Interval]
) -> Plot:
    """The change of the accuracy in points: in the top row with the chosen filters at zero, below with random ones.

    `difference` and `random` (R,) are shares in [-1, 1], with their intervals (2,) and (R, 2).
    """
    rows = ("chosen", *(f"random {number}" for number in range(1, len(random) + 1)))
    values, (low, high) = 100 * np.array([difference, *random]), 100 * np.array([interval, *random_intervals]).T
    look: dict[str, Any] = {"marker": "circle", "across": True}
    series = (
        Series(values[:1], [0], colour=ORANGE, low=low[:1], high=high[:1], **look),
        Series(values[1:], range(1, len(rows)), colour=BLUE, low=low[1:], high=high[1:], **look),
    )
    axis = ChartAxis("change of the accuracy in points, 95 % paired bootstrap interval")
    return Plot(axis, ChartAxis(), series, verticals=((0, ""),), rows=rows)
