"""What an evaluation found as lines of text for a terminal."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence

from keras_cnn.evaluation.calibration import TEMPERATURES
from keras_cnn.evaluation.comparison import Change, Comparison
from keras_cnn.evaluation.protocol import Finding
from keras_cnn.evaluation.repeats import Group
from keras_cnn.evaluation.subjects import EvaluateOptions, EvaluationTarget
from keras_cnn.run_folder.record import Record

_MOST_CLASSES = 20  # of more, those of lowest recall are listed
_NAME = 24  # characters of a class name
_SCORES = {"precision": "precision", "recall": "recall", "f1": "F1"}
_AREAS = {"roc_area": "ROC area", "average_precision": "average precision"}
_SCORE = len("0.5219  [0.4917, 0.5521]")
_WIDTH = 100  # characters of a line where there is no terminal
_LEAST_WIDTH = 48  # characters: a date in an indented line fits
_DATE = r"\d{4}-\d{2}-\d{2}T[\d:.+Z-]+"
_DATES = re.compile(rf"({_DATE})(?:, {_DATE})*, ({_DATE})")


def introduction(subject: EvaluationTarget, asked: EvaluateOptions) -> Iterator[str]:
    """Which run on which images."""
    record, dataset = subject.record, subject.dataset
    best = f", best epoch {record.metrics['best_epoch']}" if "best_epoch" in record.metrics else ""
    yield f"run         {subject.folder.path}: {subject.config.model.name}{best}"
    if not record.finished:
        yield f"note        the run is not finished: this is its best model of {len(record.history)} epochs so far"
    for note in subject.notes:
        yield f"note        {note}"
    split = getattr(dataset, subject.split)
    part = f"{subject.split} split of {dataset.source}" if asked.source is None else dataset.source
    part += f" ({asked.split} part)" if asked.source and asked.split else ""
    yield f"images      {len(split):,}: {part}; {len(dataset.classes)} classes; {subject.views.in_words()}"


def evaluation(metrics: dict) -> Iterator[str]:
    """The numbers of metrics.json; those that an older version did not write are left out."""
    yield (
        f"accuracy    {_with_interval(metrics, 'accuracy')}   95 % Wilson interval,"
        f" {metrics['images']:,} images; computed in {metrics.get('computed_in', 'an unknown precision')}"
    )
    for k, top in metrics.get("top_k", {}).items():
        low, high = top["interval"]
        yield f"top-{k}       {top['accuracy']:.4f}  [{low:.4f}, {high:.4f}]"
    yield f"loss        {_with_interval(metrics, 'loss')}  nats" + _scaled(metrics, "loss")
    if "brier" in metrics:
        yield f"Brier       {_with_interval(metrics, 'brier')}  from 0 to 2" + _scaled(metrics, "brier")
    if ece := metrics.get("ece"):
        found = {"ece": ece["value"], "ece_interval": ece.get("interval")}
        above = ", the value above it by chance" if "interval" in ece and ece["value"] > ece["interval"][1] else ""
        line = f"ECE         {_with_interval(found, 'ece')}{above}  {ece['bins']} equal-width bins"
        yield line + _scaled(metrics, "ece")
    yield from _temperature(metrics)
    yield ""
    yield from _classes(metrics)
    yield ""
    if worst := metrics.get("worst_pair"):
        yield (
            f"worst pair  {worst['true']} taken for {worst['predicted']}: {worst['count']:,} images,"
            f" {worst['share']:.1%} of {worst['true']}"
        )
    if absent := metrics.get("classes_without_images"):
        yield f"note        no images of {', '.join(absent)}: their scores say nothing"


def _scaled(metrics: dict, name: str) -> str:
    found = metrics.get("temperature")
    if not found:
        return ""
    what = "without temperature" if found["applied"] else "at the temperature"
    return f"; {found['before' if found['applied'] else 'after'][name]:.4f} {what}"


def _temperature(metrics: dict) -> Iterator[str]:
    found = metrics.get("temperature")
    if not found:
        return
    images = (
        "these very images" if metrics["split"] == "validation" else f"{found['validation_images']:,} validation images"
    )
    applied = "; applied" if found["applied"] else "; not applied (--temperature does)"
    yield f"temperature {found['value']:.4f}  fitted on {images}{applied}"
    if found["value"] in TEMPERATURES:
        yield "note        the temperature is at the end of its range: these images cannot calibrate the model"


def _classes(metrics: dict) -> Iterator[str]:
    rows = metrics["per_class"]
    shown = list(rows)
    if len(rows) > _MOST_CLASSES:
        known = [name for name in rows if rows[name]["support"]]
        shown = sorted(known, key=lambda name: rows[name]["recall"])[:_MOST_CLASSES]
    width = max(len("weighted mean"), *(len(_short(name)) for name in shown))
    yield f"{'class':{width}}" + "".join(f"  {name:{_SCORE}}" for name in _SCORES.values()) + "  images"
    for name in shown:
        row = rows[name]
        yield f"{_short(name):{width}}{_row(row if row['support'] else {}, _SCORES)}  {row['support']:6,}"
    for name in ("macro", "weighted"):
        yield f"{name + ' mean':{width}}{_row(metrics[name], _SCORES)}  {metrics['images']:6,}"
    if areas := metrics.get("ranking"):
        yield ""
        yield f"{'class':{width}}" + "".join(f"  {name:{_SCORE}}" for name in _AREAS.values()).rstrip()
        for name, row in (*((name, areas["per_class"][name]) for name in shown), ("macro mean", areas["macro"])):
            yield f"{_short(name):{width}}{_row(row, _AREAS)}".rstrip()
    if len(shown) < len(rows):
        yield f"{len(rows) - len(shown)} more classes in metrics.json; these are the {len(shown)} of lowest recall"
    if "bootstrap" in metrics:
        yield "95 % intervals: Wilson's of accuracies and of a class's precision, recall and F1, DeLong's of ROC areas,"
        samples = metrics["bootstrap"]["resamples"]
        yield f"Boyd's of average precisions; else bootstrap over the images, {samples:,} resamples"


def _row(scores: dict, names: dict[str, str]) -> str:
    return "".join(f"  {_with_interval(scores, name):{_SCORE}}" for name in names)


def _with_interval(scores: dict, name: str) -> str:
    """0.5219  [0.4917, 0.5521]; the number alone from an older version, and a dash where there is none."""
    value, interval = scores.get(name), scores.get(f"{name}_interval")
    if value is None:
        return "-"
    return f"{value:.4f}" + (f"  [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 + 1 :]}"


def findings(found: Sequence[Finding]) -> Iterator[str]:
    """The flaws that the protocol audit found, the worst first, with the evidence, wrapped to the terminal's width.

    Of a list of dates the first and the last are shown.
    """
    if not found:
        yield "protocol    no flaw found"
    for finding in found:
        yield from _wrapped(f"{finding.severity}: {finding.sentence}", "protocol    ", 12)
        for line in finding.evidence:
            yield from _wrapped(_DATES.sub(r"\1 to \2", line), 14 * " ", 16)


def _wrapped(text: str, first: str, indent: int) -> list[str]:
    width = max(_LEAST_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    whole = {"break_long_words": False, "break_on_hyphens": False}  # a path or a date can then be copied
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=indent * " ", **whole)


def comparison(found: Comparison, before: str, after: str) -> Iterator[str]:
    """Two runs on the same images, overall and class by class."""
    yield f"before {before}, after {after}: the same {found.overall.images:,} images"
    width = max(len("all images"), *(len(_short(name)) for name in found.classes))
    yield f"{'':{width}}  before   after  difference in points [95 % bootstrap]   only before   only after   McNemar p"
    yield _change("all images", found.overall, width, found.overall.p)
    names = list(found.per_class)
    if len(names) > _MOST_CLASSES:
        known = [name for name in names if found.per_class[name].difference is not None]
        names = sorted(known, key=lambda name: -abs(found.per_class[name].difference))[:_MOST_CLASSES]
    for name in names:
        yield _change(_short(name), found.per_class[name], width, found.per_class[name].p_holm)
    if len(names) < len(found.per_class):
        yield f"{len(found.per_class) - len(names)} more classes in comparison.json; these changed most"
    yield f"p of a class: exact McNemar, adjusted by Holm for {found.classes_tested} classes"


def _change(name: str, change: Change, width: int, p: float | None) -> str:
    if change.difference is None:
        return f"{name:{width}}  no images"
    low, high = (100 * value for value in change.difference_interval)
    return (
        f"{name:{width}}  {change.before:.4f}  {change.after:.4f}  {100 * change.difference:+10.2f}"
        f"  {f'[{low:+.2f}, {high:+.2f}]':<28} {change.b:9,}  {change.c:11,}   {p:9.2g}"
    )


def one_run(record: Record, source: str) -> str:
    """A line for one of several runs."""
    low, high = record.metrics["accuracy_interval"]
    seed = record.config.get("seed", "unknown")
    return f"{record.path}   seed {seed}   {record.metrics['accuracy']:.4f}  [{low:.4f}, {high:.4f}]   {source}"


def group(found: Group) -> Iterator[str]:
    """Runs that differ only in their seed: mean, standard deviation, every value and how many."""
    values = ", ".join(f"{value:.4f}" for value in found.values)
    if found.std is None:
        yield f"{found.label}: {values}, n = 1: one seed has no standard deviation"
        return
    low, high = found.interval
    yield (
        f"{found.label}: mean {found.mean:.4f} [{low:.4f}, {high:.4f}] (95 %, Student's t), std {found.std:.4f},"
        f" n = {found.n}; seeds {', '.join(map(str, found.seeds))}: {values}"
    )
