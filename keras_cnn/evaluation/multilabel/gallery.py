"""Figures of an evaluation of images that may have several labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.charts import BarRows, IntervalRow, IntervalRows, png
from keras_cnn.charts import multilabel as charts
from keras_cnn.evaluation import confusions, ranking
from keras_cnn.evaluation.gallery import RANKED, RANKED_CLASSES, SHEET, at_random
from keras_cnn.evaluation.multilabel.comparison import MultilabelComparison
from keras_cnn.evaluation.multilabel.evaluations import MultilabelEvaluation
from keras_cnn.evaluation.multilabel.metrics import image_losses
from keras_cnn.figures import ranking as ranking_figures
from keras_cnn.figures import sheets, style
from keras_cnn.messages import MOST_CLASSES


def draw(
    evaluation: MultilabelEvaluation, folder: Path, title: str, classes: Sequence[str] | None = None
) -> list[Path]:
    """Writes all figures of an evaluation into `folder`, and returns their paths; `title` names model and images.

    The highest and lowest probabilities are shown for `classes`. The default is all classes or, if there are many,
    those with the lowest average precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "classes": class_figure(evaluation, title),
        "cooccurrence": cooccurrence_figure(evaluation, title),
        "scores": _ranked(evaluation, title, classes),
        "sample": _sample(evaluation, title),
        "top_losses": top_losses(evaluation, title),
    }
    if curves := _precision_recall(evaluation):
        heading = f"{title}: precision and recall of each class"
        figures["precision_recall"] = ranking_figures.precision_recall_curves(curves, heading, len(evaluation.classes))
    paths = [folder / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        style.save(figure, path)
    return paths


def draw_comparison(comparison: MultilabelComparison, after: MultilabelEvaluation, folder: Path, title: str) -> None:
    """Writes the change of each class's average precision into `folder`; `after` is the second model's evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    changes = comparison.average_precision
    names = list(changes)
    if len(names) > MOST_CLASSES:
        names = sorted(names, key=lambda name: -abs(changes[name].difference))[:MOST_CLASSES]
    rows = []
    for name in names:
        low, high = (100 * end for end in changes[name].interval)
        rows.append(IntervalRow(name, 100 * changes[name].difference, low, high))
    drawing = IntervalRows(tuple(rows), "points of average precision, after minus before", zero=True)
    style.save(png.figure([drawing], f"{title}: each class"), folder / "class_differences.png")


def class_figure(evaluation: MultilabelEvaluation, title: str) -> Figure:
    """The average precision and the F1 of each class."""
    rows = charts.class_scores(evaluation.metrics["per_class"])
    number = len(evaluation.classes)
    which = f"the {len(rows.rows)} lowest of {number} classes" if len(rows.rows) < number else "each class"
    return png.figure([rows], f"{title}: average precision of {which}", "95 % intervals; hollow: F1 at its threshold")


def cooccurrence_figure(evaluation: MultilabelEvaluation, title: str) -> Figure:
    """Which classes occur together, in the labels and in the predictions."""
    counts = {name: confusions.from_json(each) for name, each in evaluation.metrics["cooccurrence"].items()}
    headings = {"true": "in the labels, %", "predicted": "in the predictions, %"}
    drawn = [charts.together(matrix, evaluation.classes, headings[name]) for name, matrix in counts.items()]
    if isinstance(drawn[0], BarRows):
        return png.figure(drawn[:1], f"{title}: labels that occur together most often")
    return png.figure(drawn, f"{title}: classes that occur together")


def top_losses(evaluation: MultilabelEvaluation, title: str) -> Figure:
    """The images with the highest losses, with the classes that were missed and predicted wrongly."""
    losses = image_losses(evaluation.images.labels, evaluation.logits)
    worst = np.argsort(-losses, kind="stable")[:SHEET]
    captions = [f"{_caption(evaluation, i)}\nloss {losses[i]:.2f}" for i in worst]
    heading = f"{title}: the {len(worst)} highest losses"
    note = "loss: binary cross-entropy in nats, the mean over the classes"
    return sheets.image_sheet(evaluation.pixels(worst), captions, 5, heading, note)


def _caption(evaluation: MultilabelEvaluation, index: int) -> str:
    """Three lines: the name, the classes that were missed and those that were predicted wrongly."""
    predictions = evaluation.predictions
    own, predicted = predictions.labels[index].astype(bool), predictions.predicted[index]
    lines = [evaluation.images.short_name(index)]
    lines.append(f"missed: {_few(own & ~predicted, evaluation.classes)}")
    lines.append(f"false: {_few(predicted & ~own, evaluation.classes)}")
    return "\n".join(map(style.printable, lines))


def _few(cells: np.ndarray, classes: Sequence[str]) -> str:
    """The first two classes of a row (C,), and how many more there are."""
    names = [classes[place] for place in np.flatnonzero(cells).tolist()]
    more = f" +{len(names) - 2}" if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more}" if names else "none"


def _sample(evaluation: MultilabelEvaluation, title: str) -> Figure:
    chosen = at_random(np.arange(len(evaluation.images)), SHEET)
    exact = evaluation.predictions.exact[chosen]
    heading = f"{title}: {len(chosen)} images at random, {int(exact.sum())} with every class right"
    captions = [_caption(evaluation, i) for i in chosen]
    return sheets.prediction_sheet(evaluation.pixels(chosen), captions, exact.tolist(), 3, heading)


def _precision_recall(evaluation: MultilabelEvaluation) -> dict[str, ranking_figures.ClassCurve]:
    curves = {}
    for place, name in enumerate(evaluation.classes):
        own, scores = evaluation.images.labels[:, place], evaluation.probabilities[:, place]
        curve = ranking.precision_recall(own.astype(int), np.stack([1 - scores, scores], axis=1), 1)
        if curve.average_precision is not None:
            chance = float(np.mean(own))
            curves[name] = ranking_figures.ClassCurve(curve.recall, curve.precision, curve.average_precision, chance)
    return curves


def _ranked(evaluation: MultilabelEvaluation, title: str, chosen: Sequence[str] | None) -> Figure:
    names = evaluation.classes
    which = [names.index(name) for name in chosen] if chosen else _lowest(evaluation)
    headings, captions, rows = [], [], []
    for label in which:
        ends = ranking.top_and_bottom(evaluation.probabilities, label, RANKED)
        for words, indices in zip(("highest", "lowest"), ends, strict=True):
            headings.append(f"{names[label]}: {words} probabilities among all images, whatever their classes")
            scores, own = evaluation.probabilities[indices, label], evaluation.images.labels[indices, label]
            words_of = ("without it", "has it")
            captions.append([f"{sheets.score(p)}\n{words_of[int(o)]}" for p, o in zip(scores, own, strict=True)])
            rows.append(indices)
    pixels = evaluation.pixels(np.concatenate(rows))
    share = f" of {len(which)} of {len(names)} classes" if len(which) < len(names) else ""
    heading = f"{title}: highest and lowest probabilities{share}"
    note = (
        f"for each class, of all {len(evaluation.images):,} images those of the highest and of the lowest probability"
    )
    return sheets.row_sheet(pixels.reshape(len(rows), -1, *pixels.shape[1:]), headings, captions, heading, note)


def _lowest(evaluation: MultilabelEvaluation) -> list[int]:
    """Indices of all classes or, if there are many, of those with images that have the lowest average precision."""
    rows = [evaluation.metrics["per_class"][name]["average_precision"] for name in evaluation.classes]
    if len(rows) <= RANKED_CLASSES:
        return list(range(len(rows)))
    known = [i for i, value in enumerate(rows) if value is not None]
    return sorted(sorted(known, key=lambda i: rows[i])[:RANKED_CLASSES])
