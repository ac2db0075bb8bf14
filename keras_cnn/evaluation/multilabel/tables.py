"""The results of images that may have several labels as lines of text for a terminal."""

from collections.abc import Iterator

from keras_cnn.evaluation.multilabel.comparison import MultilabelComparison, ScoreChange
from keras_cnn.evaluation.tables import short_name, with_interval
from keras_cnn.messages import counted, listed

_MOST_CLASSES = 20  # largest number of classes in a table
_SCORES = {"average_precision": "average precision", "precision": "precision", "recall": "recall", "f1": "F1"}
_SCORE = len("0.5219  [0.4917, 0.5521]")
_NAMES = {"map": "mAP", "macro_f1": "macro F1", "micro_f1": "micro F1", "exact_match": "exact match"}


def brief(metrics: dict) -> Iterator[str]:
    """The metrics in a few lines of 80 characters; `evaluation` has all of them."""
    yield f"mAP         {with_interval(metrics, 'map')}   95 % interval over the images"
    for name in ("micro", "macro"):
        yield f"{name} F1    {with_interval(metrics[name], 'f1')}"
    exact = f"{metrics['exact_match']:.4f} of the images have every class right"
    yield f"exact match {exact}; loss {metrics['loss']:.4f}"
    known = {name: row for name, row in metrics["per_class"].items() if row["average_precision"] is not None}
    if known:
        lowest = min(known, key=lambda name: known[name]["average_precision"])
        row = known[lowest]
        scores = f"average precision {row['average_precision']:.4f}, F1 {row['f1']:.4f}"
        yield f"weakest     {short_name(lowest)}: {scores}, {counted(row['support'], 'image')}"
    yield from _notes(metrics)


def evaluation(metrics: dict) -> Iterator[str]:
    """All metrics of metrics.json."""
    yield f"mAP         {with_interval(metrics, 'map')}   95 % interval, {metrics['images']:,} images"
    for name in ("micro", "macro"):
        scores = metrics[name]
        more = f"precision {scores['precision']:.4f}, recall {scores['recall']:.4f}"
        yield f"{name} F1    {with_interval(scores, 'f1')}   {more}"
    yield f"exact match {with_interval(metrics, 'exact_match')}   share of images with every class right"
    yield f"Hamming     {with_interval(metrics, 'hamming_loss')}   share of wrong decisions"
    yield f"loss        {with_interval(metrics, 'loss')}   nats a class"
    of = metrics["labels_per_image"]
    yield f"labels      {of['true']:.2f} an image, {of['predicted']:.2f} predicted"
    yield f"thresholds  chosen on {metrics.get('thresholds_chosen_on', 'validation')}, by the largest F1 of each class"
    yield ""
    yield from _classes(metrics)
    yield ""
    yield from _notes(metrics)


def _classes(metrics: dict) -> Iterator[str]:
    rows = metrics["per_class"]
    shown = list(rows)
    if len(rows) > _MOST_CLASSES:
        known = [name for name in rows if rows[name]["average_precision"] is not None]
        shown = sorted(known, key=lambda name: rows[name]["average_precision"])[:_MOST_CLASSES]
    width = max(len("class"), *(len(short_name(name)) for name in shown))
    yield f"{'class':{width}}" + "".join(f"  {name:{_SCORE}}" for name in _SCORES.values()) + "  threshold  images"
    for name in shown:
        row = rows[name]
        scores = "".join(f"  {with_interval(row, score):{_SCORE}}" for score in _SCORES)
        yield f"{short_name(name):{width}}{scores}  {row['threshold']:9.3f}  {row['support']:6,}"
    if len(shown) < len(rows):
        yield f"{len(rows) - len(shown)} more classes in metrics.json; shown are the {len(shown)} of lowest precision"
    samples = metrics["bootstrap"]["resamples"]
    yield "95 % intervals: Wilson's for precision, recall, F1 and exact matches, Boyd's for average precisions, the"
    yield f"infinitesimal jackknife's for the mAP; otherwise bootstrap over the images, {samples:,} resamples"


def _notes(metrics: dict) -> Iterator[str]:
    if worst := metrics.get("worst_pair"):
        yield (
            f"worst pair  {worst['predicted']} said and {worst['true']} missed: {counted(worst['count'], 'image')},"
            f" {worst['share']:.1%} of {worst['true']}"
        )
    if absent := metrics.get("classes_without_images"):
        yield f"note        no images of {listed(absent)}: the mAP is of the other classes"


def comparison(compared: MultilabelComparison, before: str, after: str) -> Iterator[str]:
    """Two runs on the same images, overall and for each class."""
    yield f"before {before}, after {after}: the same {compared.images:,} images"
    names = list(compared.average_precision)
    if len(names) > _MOST_CLASSES:
        names = sorted(names, key=lambda name: -abs(compared.average_precision[name].difference))[:_MOST_CLASSES]
    width = max(len("exact match"), *(len(short_name(name)) for name in names))
    yield f"{'':{width}}  before   after    difference in points [95 %]"
    for name, change in compared.scores.items():
        yield _change(_NAMES[name], change, width)
    for name in names:
        yield _change(short_name(name), compared.average_precision[name], width)
    if hidden := len(compared.average_precision) - len(names):
        yield f"{hidden} more classes in comparison.json; shown are those that changed most"
    wrong, right = compared.newly_wrong, compared.newly_right
    yield f"a class: its average precision; exact matches lost {wrong:,}, gained {right:,}: McNemar p {compared.p:.2g}"


def _change(name: str, change: ScoreChange, width: int) -> str:
    low, high = (100 * value for value in change.interval)
    difference = f"{100 * change.difference:+.2f} [{low:+.2f}, {high:+.2f}]"
    return f"{name:{width}}  {change.before:.4f}  {change.after:.4f}  {difference}"
