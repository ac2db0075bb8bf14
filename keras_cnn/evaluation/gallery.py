"""Figures of an evaluation and of a comparison, drawn from their numbers and images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.charts import evaluation as charts
from keras_cnn.charts import png
from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.evaluation import confusions, metrics, ranking
from keras_cnn.evaluation.calibration import accuracy_intervals
from keras_cnn.evaluation.comparison import Comparison
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.figures import ranking as ranking_figures
from keras_cnn.figures import sheets, style
from keras_cnn.messages import MOST_CLASSES

SHEET, RANKED = 30, 10  # images on a sheet, and in a row of ranked images
RANKED_CLASSES = 10  # on a sheet of ranked images, unless chosen; of curves with a panel
_SEED = 0  # seed of the random choice of images, so that two models are shown with the same images


def draw(evaluation: Evaluation, folder: Path, title: str, classes: Sequence[str] | None = None) -> None:
    """Writes all figures of an evaluation into `folder`; `title` names the model and the images.

    The highest and lowest scores are shown for `classes`. The default is all classes or, if there are many, the classes
    with the lowest recall.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "reliability": _reliability(evaluation, title),
        "confusion": confusion_figure(evaluation.metrics["confusion"], evaluation.classes, f"{title}: confusion"),
        "roc": ranking_figures.roc_curves(
            _roc(evaluation), f"{title}: ROC, each class against the others", len(evaluation.classes)
        ),
        "precision_recall": ranking_figures.precision_recall_curves(
            _precision_recall(evaluation),
            f"{title}: precision and recall of each class",
            len(evaluation.classes),
        ),
        "scores": _ranked(evaluation, title, classes),
        "sample": _sample(evaluation, title),
        "top_losses": _top_losses(evaluation, title),
        "mistakes": _mistakes(evaluation, title),
    }
    for name, figure in figures.items():
        style.save(figure, folder / f"{name}.png")


def confusion_figure(confusion, classes: Sequence[str], title: str) -> Figure:
    """The confusion matrix of metrics.json or, of more than MOST_CLASSES classes, its most frequent mistakes."""
    counts = confusions.from_json(confusion)
    return png.figure(charts.confusion_drawings(counts, classes), title, charts.mistakes_note(counts))


def draw_comparison(comparison: Comparison, after: Evaluation, folder: Path, title: str) -> None:
    """Writes the figures of a comparison into `folder`; `after` is the evaluation of the second model."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "class_differences": png.figure(
            charts.class_differences(comparison.per_class), f"{title}: accuracy of each class"
        ),
        "confusion_difference": png.figure(
            [charts.change_drawing(comparison.confusion_difference, comparison.classes)],
            f"{title}: confusion, after minus before",
            charts.mistakes_note(comparison.confusion_difference) or charts.CHANGE_NOTE,
        ),
        "newly_wrong": _newly_wrong(comparison, after, title),
    }
    for name, figure in figures.items():
        style.save(figure, folder / f"{name}.png")


def _reliability(evaluation: Evaluation, title: str) -> Figure:
    diagrams = [
        charts.reliability_of_one(bins, accuracy_intervals(bins.accuracy, bins.counts), f"{name}: ECE {bins.error:.4f}")
        for name, bins in evaluation.reliabilities.items()
    ]
    return png.figure([above for above, _ in diagrams], f"{title}: reliability", below=[low for _, low in diagrams])


def _roc(evaluation: Evaluation) -> dict[str, ranking_figures.ClassCurve]:
    labels, probabilities = evaluation.images.labels, evaluation.probabilities
    curves = {evaluation.classes[i]: ranking.roc(labels, probabilities, i) for i in _drawn(evaluation, "roc_area")}
    return {
        n: ranking_figures.ClassCurve(c.false_positive_rate, c.true_positive_rate, c.area) for n, c in curves.items()
    }


def _precision_recall(evaluation: Evaluation) -> dict[str, ranking_figures.ClassCurve]:
    labels, probabilities = evaluation.images.labels, evaluation.probabilities
    curves = {}
    for i in _drawn(evaluation, "average_precision"):
        curve = ranking.precision_recall(labels, probabilities, i)
        chance = float(np.mean(labels == i))
        curves[evaluation.classes[i]] = ranking_figures.ClassCurve(
            curve.recall, curve.precision, curve.average_precision, chance
        )
    return curves


def _drawn(evaluation: Evaluation, area: str) -> list[int]:
    """Indices of the classes whose curves are drawn: all; of many, those of the lowest areas and some evenly spaced."""
    classes = evaluation.classes
    if len(classes) <= MOST_CLASSES:
        return list(range(len(classes)))
    areas = [evaluation.metrics["ranking"]["per_class"][name][area] for name in classes]
    known = [i for i in range(len(classes)) if areas[i] is not None]
    lowest = sorted(known, key=lambda i: areas[i])[:RANKED_CLASSES]
    return sorted({*lowest, *(known[i] for i in evenly_spaced(len(known), MOST_CLASSES))})


def _ranked(evaluation: Evaluation, title: str, chosen: Sequence[str] | None) -> Figure:
    names = evaluation.classes
    which = [names.index(name) for name in chosen] if chosen else _of_lowest_recall(evaluation)
    headings, captions, rows = [], [], []
    for label in which:
        ends = ranking.top_and_bottom(evaluation.probabilities, label, RANKED)
        for words, indices in zip(("highest", "lowest"), ends, strict=True):
            headings.append(f"{names[label]}: {words} scores among all images, whatever their true class")
            scores = evaluation.probabilities[indices, label]
            true = evaluation.images.labels[indices]
            captions.append([f"{sheets.score(p)}\n{names[t]}" for p, t in zip(scores, true, strict=True)])
            rows.append(indices)
    pixels = evaluation.pixels(np.concatenate(rows))
    share = f" of {len(which)} of {len(names)} classes" if len(which) < len(names) else ""
    heading = f"{title}: highest and lowest softmax scores{share}"
    note = (
        f"for each class, of all {len(evaluation.images):,} images those of the highest and those of the lowest score\n"
        "below an image: the score, a probability of at most three digits, and the true class"
    )
    return sheets.row_sheet(pixels.reshape(len(rows), -1, *pixels.shape[1:]), headings, captions, heading, note)


def _of_lowest_recall(evaluation: Evaluation) -> list[int]:
    """Indices of all classes or, if there are many, of those with images that have the lowest recall."""
    classes = evaluation.classes
    if len(classes) <= RANKED_CLASSES:
        return list(range(len(classes)))
    scores = [evaluation.metrics["per_class"][name] for name in classes]
    known = [i for i, score in enumerate(scores) if score["support"]]
    return sorted(sorted(known, key=lambda i: scores[i]["recall"])[:RANKED_CLASSES])


def _sample(evaluation: Evaluation, title: str) -> Figure:
    chosen = at_random(np.arange(len(evaluation.images)), SHEET)
    true = [evaluation.classes[label] for label in evaluation.images.labels[chosen]]
    captions = [
        f"{evaluation.images.short_name(i)}\ntrue: {name}\n{_guess(evaluation, i)}"
        for i, name in zip(chosen, true, strict=True)
    ]
    correct = evaluation.predictions.correct[chosen]
    heading = f"{title}: {len(chosen)} images at random, {int(correct.sum())} right"
    return sheets.prediction_sheet(evaluation.pixels(chosen), captions, correct.tolist(), 3, heading)


def _guess(evaluation: Evaluation, index: int) -> str:
    label = evaluation.predictions.predicted[index]
    return f"{evaluation.classes[label]}, {sheets.score(evaluation.probabilities[index, label])}"


def _top_losses(evaluation: Evaluation, title: str) -> Figure:
    labels = evaluation.images.labels
    worst = ranking.highest_losses(labels, evaluation.probabilities, SHEET)
    predicted = evaluation.predictions.predicted[worst]
    captions = [
        f"{evaluation.images.short_name(i)}\nloss {_loss(evaluation, i):.2f}\ntrue: {evaluation.classes[labels[i]]}\n"
        f"predicted: {evaluation.classes[label]}\nprobability: {sheets.score(float(probability))}"
        for i, label, probability in zip(worst, predicted, evaluation.probabilities[worst, predicted], strict=True)
    ]
    heading = f"{title}: the {len(worst)} highest losses, right or wrong"
    note = "loss: cross-entropy in nats, −ln of the probability of the true class; probability: of the class predicted"
    return sheets.image_sheet(evaluation.pixels(worst), captions, 5, heading, note)


def _loss(evaluation: Evaluation, index: int) -> float:
    """Cross-entropy of an image, from its logits, because its probability may be too small for a float."""
    logits = evaluation.logits[[index]] / (evaluation.temperature if evaluation.scaled else 1)
    return metrics.cross_entropy(evaluation.images.labels[[index]], logits)


def _mistakes(evaluation: Evaluation, title: str) -> Figure:
    wrong = np.flatnonzero(~evaluation.predictions.correct)
    chosen = at_random(wrong, SHEET)
    chosen = _surest_first(evaluation, chosen)
    heading = f"{title}: {len(chosen)} of {len(wrong):,} mistakes, drawn at random, the surest first"
    return sheets.image_sheet(evaluation.pixels(chosen), _mistake_captions(evaluation, chosen), 5, heading)


def _newly_wrong(comparison: Comparison, after: Evaluation, title: str) -> Figure:
    place = {image: i for i, image in enumerate(after.predictions.ids)}
    indices = np.array([place[comparison.ids[i]] for i in comparison.newly_wrong], int)
    chosen = _surest_first(after, at_random(indices, SHEET))
    names, predicted = after.classes, after.predictions.predicted
    captions = [
        f"{after.images.short_name(i)}\nbefore: {names[after.images.labels[i]]}\nafter: {names[predicted[i]]}\n"
        f"probability: {sheets.score(float(after.probabilities[i, predicted[i]]))}"
        for i in chosen
    ]
    heading = f"{title}: {len(chosen)} of {len(indices):,} newly wrong images, drawn at random, the surest first"
    note = "right before, so that the prediction before is the true class, and wrong after, with the probability below"
    return sheets.image_sheet(after.pixels(chosen), captions, 5, heading, note)


def _mistake_captions(evaluation: Evaluation, indices: np.ndarray) -> list[str]:
    names, predicted, labels = evaluation.classes, evaluation.predictions.predicted, evaluation.images.labels
    return [
        sheets.mistake_caption(
            evaluation.images.short_name(i),
            names[labels[i]],
            names[predicted[i]],
            float(evaluation.probabilities[i, predicted[i]]),
        )
        for i in indices
    ]


def _surest_first(evaluation: Evaluation, indices: np.ndarray) -> np.ndarray:
    """The images by the probability of their predicted class, which stands below them, the largest first."""
    probability = evaluation.probabilities[indices, evaluation.predictions.predicted[indices]]
    return indices[np.argsort(-probability, kind="stable")]


def at_random(indices: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` random indices in their order; arrays of equal length give the same positions."""
    return np.sort(np.random.default_rng(_SEED).permutation(indices)[:count])
