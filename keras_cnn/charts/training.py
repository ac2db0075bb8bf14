"""Charts of a training run: its history by epoch, and the loss of the learning-rate finder.

A history is the rows of history.csv: a mapping from column to number for each epoch, with the column `epoch`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_cnn.charts import DASH_CYCLE, MUTED, PALETTE, ChartAxis, Marker, Plot, Series
from keras_cnn.figures.style import BLUE, GREEN

History = Sequence[Mapping[str, Any]]

EPOCHS = ChartAxis("epoch", scale="whole")
AXES = {
    "loss": ChartAxis("loss, nats", number=".4f"),
    "accuracy": ChartAxis("accuracy, %", number=".2f", unit=" %"),
}
_THICK, _THIN = 1.9, 1.1  # points of the lines of validation and of training
_MARKED = 12  # largest number of epochs that a file marks with dots
Lines = Mapping[str, Sequence[tuple[str, str, float]]]
_DETECTOR_LINES: Lines = {  # title -> (column, label, width)
    "loss": (("loss", "training", _THIN), ("val_loss", "validation", _THICK)),
    "training loss by term": (
        ("box_loss", "box", 1.6),
        ("object_loss", "objectness", 1.6),
        ("class_loss", "class", 1.6),
    ),
    "validation mAP": (("val_map", "@[.5:.95]", _THICK), ("val_map50", "@0.5", 1.6)),
}


_MULTILABEL_LINES: Lines = {
    "loss": (("loss", "training", _THIN), ("val_loss", "validation", _THICK)),
    "validation mAP": (("val_map", "mAP", _THICK),),
    "exact matches": (("exact_match", "training", _THIN), ("val_exact_match", "validation", _THICK)),
}


def column(history: History, name: str) -> list[float]:
    """The values of a column, accuracies in %; NaN where a row has no finite number."""
    scale = 100 if name.endswith("accuracy") else 1
    values = [row.get(name) for row in history]
    return [scale * v if isinstance(v, int | float) and math.isfinite(v) else math.nan for v in values]


def metric_series(
    history: History,
    quantity: str,
    best_epoch: int | None,
    label: str = "",
    *,
    training: Mapping[str, Any],
    validation: Mapping[str, Any],
    mark: Marker = "circle",
) -> list[Series]:
    """`quantity`, loss or accuracy, by epoch: training thin, validation thick, then a mark at the best epoch.

    `training` and `validation` have the look of their series; the mark has that of validation.
    """
    epochs = [row["epoch"] for row in history]
    drawn = []
    for name, split, width, look in (
        (quantity, "training", _THIN, training),
        (f"val_{quantity}", "validation", _THICK, validation),
    ):
        point: dict[str, Any] = {"dash": "", "marker": "circle"} if len(epochs) == 1 else {}
        values, hollow = column(history, name), split == "training"
        drawn.append(Series(epochs, values, label + split, width=width, hollow=hollow, **{**look, **point}))
    if best_epoch in epochs:
        look = {**validation, "dash": "", "marker": mark, "size": 5.6}
        drawn.append(Series([best_epoch], [drawn[-1].y[epochs.index(best_epoch)]], **look))
    return drawn


def run_history(history: History, best_epoch: int, onset: int | None) -> tuple[tuple[Plot, ...], tuple[Plot, ...]]:
    """Loss and accuracy of a run, and the learning rate, if it varies, to be drawn below them.

    The epochs after the `onset` of overfitting are shaded. Raises ValueError for a best epoch that is not in the
    history.
    """
    epochs = [row["epoch"] for row in history]
    if best_epoch not in epochs:
        raise ValueError(f"best epoch {best_epoch} is not among the {len(epochs)} epochs of the history")
    dots: dict[str, Any] = {"marker": "circle", "size": 3.0} if len(epochs) <= _MARKED else {}
    training = {"colour": MUTED, "dash": "dashed", **dots}
    validation = {"colour": BLUE, "dash": "solid", **dots}
    plots = []
    for quantity, axis in AXES.items():
        drawn = metric_series(history, quantity, best_epoch, training=training, validation=validation)
        best = f"{drawn[-1].y[0]:{axis.number}}{axis.unit}"
        plots.append(
            Plot(
                EPOCHS,
                axis,
                tuple(drawn),
                verticals=((best_epoch, f"best epoch: {best_epoch}"),),
                shaded=None if onset is None else (onset, epochs[-1], f"overfitting after epoch {onset}"),
                remark=f"validation {best} at epoch {best_epoch}",
            )
        )
    rates = column(history, "learning_rate")
    if len({rate for rate in rates if math.isfinite(rate)}) < 2:
        return tuple(plots), ()
    highest = float(np.nanmax(rates))
    axis = ChartAxis("learning rate", ticks=((0, "0"), (highest, f"{highest:.2g}")), limits=(0, 1.08 * highest))
    return tuple(plots), (Plot(EPOCHS, axis, (Series(epochs, rates, colour=GREEN, dash="solid", steps=True),)),)


def detector_history(history: History, best_epoch: float | None) -> dict[str, Plot]:
    """Plots of a detector's history by title: the losses, the terms of the training loss, and the validation mAP."""
    return _plots(history, best_epoch, _DETECTOR_LINES)


def multilabel_history(history: History, best_epoch: float | None) -> dict[str, Plot]:
    """Plots of the history of images with several labels by title: losses, validation mAP and exact matches."""
    return _plots(history, best_epoch, _MULTILABEL_LINES)


def _plots(history: History, best_epoch: float | None, titles: Lines) -> dict[str, Plot]:
    epochs = [row["epoch"] for row in history]
    plots = {}
    for title, lines in titles.items():
        series = []
        for place, (name, label, width) in enumerate(lines):
            look: dict[str, Any] = {"dash": DASH_CYCLE[place]} if len(epochs) > 1 else {"marker": "circle"}
            values = column(history, name)
            series.append(Series(epochs, values, label, PALETTE[place], width=width, **look))
        largest = max((y for line in series for y in line.y if math.isfinite(y)), default=1)
        axis = ChartAxis(title, limits=(0, 1.05 * largest or 1), number=".4f")
        best, remark = ((best_epoch, ""),) if best_epoch else (), ""
        if best and title == "validation mAP" and best_epoch in epochs:
            remark = f"best: {series[0].y[epochs.index(best_epoch)]:.3f}"
        plots[title] = Plot(EPOCHS, axis, tuple(series), verticals=best, unified=True, remark=remark)
    return plots


def learning_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float | None) -> Plot:
    """The training loss at each learning rate of the finder, on a logarithmic axis, with the suggested rate marked.

    The loss axis extends twice as far above the lowest loss as the first loss, so that the divergence at the end does
    not compress the rest. Raises ValueError if no loss is finite.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        raise ValueError(f"none of the {len(losses)} losses of the sweep is finite")
    lowest, first, highest = min(finite), finite[0], max(finite)
    top = min(highest, lowest + 2 * (first - lowest)) if first > lowest else highest
    pad = 0.05 * (top - lowest) or 0.05
    shown = [loss if math.isfinite(loss) else math.nan for loss in losses]
    return Plot(
        ChartAxis("learning rate (logarithmic)", scale="logarithmic"),
        ChartAxis("training loss", limits=(lowest - pad, top + pad)),
        (Series(rates, shown, dash="solid"),),
        verticals=((suggestion, f"suggested: {suggestion:.2g}"),) if suggestion else (),
        remark="" if suggestion else "no rate to suggest",
    )
