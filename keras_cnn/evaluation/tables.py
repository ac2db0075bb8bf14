"""The results of an evaluation as lines of text for a terminal."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from keras_cnn.evaluation.calibration import TEMPERATURES
from keras_cnn.evaluation.comparison import Change, Comparison
from keras_cnn.evaluation.conformal import METHODS
from keras_cnn.evaluation.repeats import SeedGroup
from keras_cnn.evaluation.target import EvaluateOptions, EvaluationTarget
from keras_cnn.evaluation.verdicts import NOTE, Finding
from keras_cnn.messages import MOST_CLASSES, WIDTH, counted, listed, wrapped
from keras_cnn.run_folder.record import Record

_MOST_CLASSES = 20  # largest number of classes in a table
_NAME = 24  # characters of a class name; longer names are shortened
_SCORES = {"precision": "precision", "recall": "recall", "f1": "F1"}
_AREAS = {"roc_area": "ROC area", "average_precision": "average precision"}
_SCORE = len("0.5219  [0.4917, 0.5521]")
_DATE = r"\d{4}-\d{2}-\d{2}T[\d:.+Z-]+"
_DATES = re.compile(rf"({_DATE})(?:, {_DATE})*, ({_DATE})")


def introduction(target: EvaluationTarget, options: EvaluateOptions) -> Iterator[str]:
    """The run and the images that are evaluated."""
    record, dataset = target.record, target.dataset
    best = f", best epoch {record.metrics['best_epoch']}" if "best_epoch" in record.metrics else ""
    yield f"run         {target.folder.path}: {target.config.model.name}{best}"
    if not record.finished:
        yield f"note        the run is not finished: this is its best model of {len(record.history)} epochs so far"
    for note in target.notes:
        yield f"note        {note}"
    split = getattr(dataset, target.split)
    name = f"{target.split} split" + (f" of {dataset.source}" if options.full else "")
    name = name if options.source is None else dataset.source
    name += f" ({options.split} part)" if options.source and options.split else ""
    yield f"images      {len(split):,}: {name}; {len(dataset.classes)} classes; {target.views.in_words()}"


def evaluation(metrics: dict) -> Iterator[str]:
    """The metrics of metrics.json; those that older versions did not write are left out."""
    yield (
        f"accuracy    {with_interval(metrics, 'accuracy')}   95 % Wilson interval,"
        f" {metrics['images']:,} images; computed in {metrics.get('computed_in', 'an unknown precision')}"
    )
    for k, top in metrics.get("top_k", {}).items():
        low, high = top["interval"]
        yield f"top-{k}       {top['accuracy']:.4f}  [{low:.4f}, {high:.4f}]"
    yield f"loss        {with_interval(metrics, 'loss')}  nats" + _scaled(metrics, "loss")
    if "brier" in metrics:
        yield f"Brier       {with_interval(metrics, 'brier')}  from 0 to 2" + _scaled(metrics, "brier")
    if ece := metrics.get("ece"):
        scores = {"ece": ece["value"], "ece_interval": ece.get("interval")}
        above = ", the value above it by chance" if "interval" in ece and ece["value"] > ece["interval"][1] else ""
        line = f"ECE         {with_interval(scores, 'ece')}{above}  {ece['bins']} equal-width bins"
        yield line + _scaled(metrics, "ece")
    yield from _temperature(metrics)
    yield from prediction_sets(metrics)
    yield ""
    yield from _classes(metrics)
    yield ""
    yield from _worst_pair(metrics)


def brief(metrics: dict) -> Iterator[str]:
    """The metrics in a few lines of 80 characters; `evaluation` has all of them."""
    yield f"accuracy    {with_interval(metrics, 'accuracy')}   95 % Wilson interval"
    more = [f"macro F1 {metrics['macro']['f1']:.4f}"]
    if ece := metrics.get("ece"):
        more.append(f"ECE {ece['value']:.4f}")
    if temperature := metrics.get("temperature"):
        more.append(f"temperature {temperature['value']:.3g}{'' if temperature['applied'] else ' unused'}")
    yield f"loss        {metrics['loss']:.4f}   {'   '.join(more)}"
    seen = {name: row for name, row in metrics["per_class"].items() if row["support"]}
    lowest = min(seen, key=lambda name: seen[name]["recall"])
    row = seen[lowest]
    scores = f"recall {row['recall']:.4f} of {row['support']:,} images, F1 {row['f1']:.4f}"
    yield f"weakest     {short_name(lowest)}: {scores}"
    yield from _worst_pair(metrics)


def _worst_pair(metrics: dict) -> Iterator[str]:
    if worst := metrics.get("worst_pair"):
        yield (
            f"worst pair  {worst['true']} taken for {worst['predicted']}: {counted(worst['count'], 'image')},"
            f" {worst['share']:.1%} of {worst['true']}"
        )
    if absent := metrics.get("classes_without_images"):
        names = listed(absent) if len(absent) <= MOST_CLASSES else f"{len(absent):,} classes, such as {listed(absent)}"
        yield f"note        no images of {names}: their scores have no meaning"


def _scaled(metrics: dict, name: str) -> str:
    temperature = metrics.get("temperature")
    if not temperature:
        return ""
    what = "without temperature" if temperature["applied"] else "at the temperature"
    return f"; {temperature['before' if temperature['applied'] else 'after'][name]:.4f} {what}"


def _temperature(metrics: dict) -> Iterator[str]:
    temperature = metrics.get("temperature")
    if not temperature:
        return
    validation = f"{temperature['validation_images']:,} validation images"
    images = "these images themselves" if metrics["split"] == "validation" else validation
    applied = "; applied" if temperature["applied"] else "; not applied (--temperature applies it)"
    yield f"temperature {temperature['value']:.4f}  fitted on {images}{applied}"
    if temperature["value"] in TEMPERATURES:
        yield "note        the temperature is at the end of its range: these images cannot calibrate the model"


def prediction_sets(metrics: dict) -> Iterator[str]:
    """The coverage and the size of the conformal prediction sets of each method."""
    sets = metrics.get("prediction_sets")
    if not sets:
        return
    for method, row in sets["methods"].items():
        low, high = row["expected_range"]
        place = "below" if row["coverage"] < low else "above" if row["coverage"] > high else "within"
        yield (
            f"sets        {METHODS.get(method, method)}: coverage {with_interval(row, 'coverage')} at"
            f" {sets['level']:g}, {place} the expected [{low:.4f}, {high:.4f}]; {row['mean_size']:.2f} classes each"
        )


def _classes(metrics: dict) -> Iterator[str]:
    rows = metrics["per_class"]
    shown = list(rows)
    if len(rows) > _MOST_CLASSES:
        known = [name for name in rows if rows[name]["support"]]
        shown = sorted(known, key=lambda name: rows[name]["recall"])[:_MOST_CLASSES]
    width = max(len("weighted mean"), *(len(short_name(name)) for name in shown))
    yield f"{'class':{width}}" + "".join(f"  {name:{_SCORE}}" for name in _SCORES.values()) + "  images"
    for name in shown:
        row = rows[name]
        yield f"{short_name(name):{width}}{_row(row if row['support'] else {}, _SCORES)}  {row['support']:6,}"
    for name in ("macro", "weighted"):
        yield f"{name + ' mean':{width}}{_row(metrics[name], _SCORES)}  {metrics['images']:6,}"
    if areas := metrics.get("ranking"):
        yield ""
        yield f"{'class':{width}}" + "".join(f"  {name:{_SCORE}}" for name in _AREAS.values()).rstrip()
        for name, row in (*((name, areas["per_class"][name]) for name in shown), ("macro mean", areas["macro"])):
            yield f"{short_name(name):{width}}{_row(row, _AREAS)}".rstrip()
    if len(shown) < len(rows):
        yield f"{len(rows) - len(shown)} more classes in metrics.json; shown are the {len(shown)} of lowest recall"
    if "bootstrap" in metrics:
        yield "95 % intervals: Wilson's for accuracies and a class's precision, recall and F1, DeLong's for ROC areas,"
        samples = metrics["bootstrap"]["resamples"]
        yield f"Boyd's for average precisions; otherwise bootstrap over the images, {samples:,} resamples"


def _row(scores: dict, names: dict[str, str]) -> str:
    return "".join(f"  {with_interval(scores, name):{_SCORE}}" for name in names)


def with_interval(scores: dict, name: str) -> str:
    """A score such as "0.5219  [0.4917, 0.5521]", without an interval if there is none, or a dash without a score."""
    value, interval = scores.get(name), scores.get(f"{name}_interval")
    if value is None:
        return "-"
    return f"{value:.4f}" + (f"  [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def short_name(name: str) -> str:
    """The name, its middle left out if it is long."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 + 1 :]}"


def findings(flaws: Sequence[Finding]) -> Iterator[str]:
    """The flaws found by the protocol audit with their evidence, wrapped to the terminal's width.

    Only the first and the last of a list of dates are shown.
    """
    if not flaws:
        yield "protocol    no flaw found"
    for finding in flaws:
        yield from wrapped(f"{finding.severity}: {finding.sentence}", "protocol    ", 12)
        for line in finding.evidence:
            yield from wrapped(_DATES.sub(r"\1 to \2", line), 14 * " ", 16)


def findings_in_brief(flaws: Sequence[Finding]) -> Iterator[str]:
    """How many flaws the protocol audit has found, and the sentence of the worst one."""
    serious = [flaw for flaw in flaws if flaw.severity != NOTE]
    if not serious:
        yield "protocol    no flaw found"
        return
    more = f" (and {len(serious) - 1} more: --full)" if len(serious) > 1 else ""
    worst = textwrap.shorten(f"{serious[0].severity}: {serious[0].sentence}", WIDTH - 12 - len(more), placeholder="…")
    yield f"protocol    {worst}{more}"


def comparison(compared: Comparison, before: str, after: str) -> Iterator[str]:
    """Two runs on the same images, overall and for each class."""
    yield f"before {before}, after {after}: the same {compared.overall.images:,} images"
    width = max(len("all images"), *(len(short_name(name)) for name in compared.classes))
    yield f"{'':{width}}  before   after  difference in points [95 % bootstrap]   only before   only after   McNemar p"
    yield _change("all images", compared.overall, width, compared.overall.p)
    names = list(compared.per_class)
    if len(names) > _MOST_CLASSES:
        sizes = {
            name: abs(change.difference) for name, change in compared.per_class.items() if change.difference is not None
        }
        names = sorted(sizes, key=lambda name: -sizes[name])[:_MOST_CLASSES]
    for name in names:
        yield _change(short_name(name), compared.per_class[name], width, compared.per_class[name].p_holm)
    if len(names) < len(compared.per_class):
        hidden = len(compared.per_class) - len(names)
        yield f"{hidden} more classes in comparison.json; shown are those that changed most"
    yield f"p of a class: exact McNemar test, adjusted by Holm for {compared.classes_tested} classes"


def _change(name: str, change: Change, width: int, p: float | None) -> str:
    if change.difference is None or change.difference_interval is None:
        return f"{name:{width}}  no images"
    low, high = (100 * value for value in change.difference_interval)
    return (
        f"{name:{width}}  {change.before:.4f}  {change.after:.4f}  {100 * change.difference:+10.2f}"
        f"  {f'[{low:+.2f}, {high:+.2f}]':<28} {change.b:9,}  {change.c:11,}   {p:9.2g}"
    )


def members(ensemble: dict) -> Iterator[str]:
    """The runs of an ensemble or a soup, see `Ensemble.as_json`, with their accuracies."""
    rows = ensemble["runs"]
    width = max(len("run"), *(len(row["name"]) for row in rows))
    yield f"{'run':<{width}}  validation   images evaluated [95 % Wilson]"
    for row in rows:
        low, high = row["accuracy_interval"]
        notes = ["best on validation"] if row["run"] == ensemble["best"] else []
        notes += ["in the soup" if row["averaged"] else "left out"] if ensemble["kind"] == "soup" else []
        numbers = f"{row['validation_accuracy']:10.4f}   {row['accuracy']:.4f}  [{low:.4f}, {high:.4f}]"
        yield f"{row['name']:<{width}}  {numbers}   {', '.join(notes)}".rstrip()


def one_run(record: Record, source: str) -> str:
    """The line of one of several runs."""
    low, high = record.metrics["accuracy_interval"]
    seed = record.config.get("seed", "unknown")
    return f"{record.path}   seed {seed}   {record.metrics['accuracy']:.4f}  [{low:.4f}, {high:.4f}]   {source}"


def group(runs: SeedGroup) -> str:
    """Runs that differ only in their seed: their mean, standard deviation, number and values."""
    values = ", ".join(f"{value:.4f}" for value in runs.values)
    if runs.std is None or runs.interval is None:
        return f"{runs.label}: {values}, n = 1: one seed has no standard deviation"
    low, high = runs.interval
    return (
        f"{runs.label}: mean {runs.mean:.4f} [{low:.4f}, {high:.4f}] (95 %, Student's t), std {runs.std:.4f},"
        f" n = {runs.n}; seeds {', '.join(map(str, runs.seeds))}: {values}"
    )
