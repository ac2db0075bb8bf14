"""The page about runs whose images may have several labels: mAP, F1, classes, co-occurrence, curves and environment."""

from pathlib import Path
from typing import Any

from keras_cnn.analysis.sections import PageSection
from keras_cnn.charts import Chart, TextTable, multilabel
from keras_cnn.charts.text import count, digits, duration, percent
from keras_cnn.charts.training import multilabel_history
from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions, protocol
from keras_cnn.evaluation.facts import facts_of
from keras_cnn.evaluation.kinds import SEVERAL_LABELS
from keras_cnn.messages import MOST_CLASSES
from keras_cnn.report import pictures
from keras_cnn.report.runs import AGAIN, SPLITS, ReportedRun, is_multilabel_run
from keras_cnn.report.scores import mapping, number
from keras_cnn.report.sections.configuration import differences
from keras_cnn.report.sections.one_run import environment_section, history_table, network, score
from keras_cnn.run_folder.record import Record, read_record

_DRAWN = ("curves", "classes", "cooccurrence")  # pictures that the page draws as charts
_PAIRS_LISTED = 60


def find(paths: list[Path]) -> Path | None:
    """The run with several labels an image if it is in `paths`, otherwise None. InputError if it is not alone."""
    chosen = [path for path in paths if is_multilabel_run(path)]
    if not chosen:
        return None
    if len(paths) > 1:
        raise InputError(f"{chosen[0]}: a run with several labels an image has its own page; expected no other run")
    return chosen[0]


def content(path: Path) -> tuple[ReportedRun, list[PageSection], list[pictures.PictureFile], list[str]]:
    """The run at `path`, the sections of its page, its pictures and its problems."""
    record = read_record(path)
    run = ReportedRun(0, record.name, record, {}, record.problems)
    found, problems = _measured(record)
    parts = [_result(record, found), *_curves(record), *_classes(found), *_together(found)]
    parts += [_audit(record), _training(run), *network(run), environment_section(run)]
    sources = [source for source in pictures.find([run]) if source.path.stem not in _DRAWN]
    return run, parts, sources, [*record.problems, *problems]


def lead(run: ReportedRun) -> str:
    """The sentence at the top of the page."""
    config, metrics = run.record.config, run.record.metrics
    name, source = config.get("model.name", "a network"), config.get("data.source", "images")
    if number(metrics.get("map")) is None:
        return f"{name}, in training on {source}, whose images may have several labels."
    scores = f"mAP {score(metrics, 'map')} and micro F1 {score(mapping(metrics.get('micro')), 'f1')}"
    return f"{name} on {source}, whose images may have several labels: {scores}."


def _measured(record: Record) -> tuple[dict[str, dict], list[str]]:
    """The metrics of each split and evaluation that has some of the right form, and the problems of the others."""
    own = str(record.path / "metrics.json")
    named: list[tuple[str, Any, str]] = [("test", record.metrics, own)] if "map" in record.metrics else []
    named += [(name, record.metrics[name], own) for name in ("validation", "train") if name in record.metrics]
    named += [
        (f"{name}{AGAIN if name in SPLITS else ''}", metrics, str(record.path / "evaluations" / name / "metrics.json"))
        for name, metrics in record.evaluations.items()
    ]
    found, problems = {}, []
    for name, metrics, place in named:
        try:
            SEVERAL_LABELS.check(metrics if isinstance(metrics, dict) else {}, place)
            found[name] = metrics
        except InputError as error:
            problems.append(f"{error}; left out")
    return found, problems


def _result(record: Record, found: dict[str, dict]) -> PageSection:
    if not record.metrics:
        planned = record.config.get("train.epochs")
        text = f"Unfinished: epoch {len(record.history)} of {planned}; the test images have not been read."
        return PageSection("result", "Result", "Result", findings=(text,))
    head = ("images of", "mAP", "micro F1", "macro F1", "every class right", "Hamming loss", "loss", "images")
    rows = [
        (
            name,
            score(metrics, "map"),
            score(metrics["micro"], "f1"),
            score(metrics["macro"], "f1"),
            score(metrics, "exact_match"),
            score(metrics, "hamming_loss"),
            score(metrics, "loss"),
            count(metrics["images"]),
        )
        for name, metrics in found.items()
    ]
    readings = len(record.test_readings)
    times = "once" if readings == 1 else f"{readings} times"
    best = f"Results of epoch {record.metrics.get('best_epoch')}, the best by {record.metrics.get('chosen_by')}"
    pair = mapping(found.get("test", {}).get("worst_pair"))
    worst = ()
    if pair:
        images = f"{count(pair['count'])} images, {percent(pair['share'], 1)} of {pair['true']}"
        worst = (f"Most frequent confusion: {pair['predicted']} said and {pair['true']} missed, in {images}.",)
    notes = (
        "mAP: the mean of the average precisions of the classes. F1 and the right classes are at a threshold for each"
        " class that was chosen on validation images by the largest F1, so those of validation and of images like them"
        " are optimistic. Brackets are 95 % intervals over the images.",
    )
    findings = (f"{best}. The test images were read {times}.", *worst)
    grids = (("", TextTable(head, tuple(rows))),)
    return PageSection("result", "Result", "Result", findings=findings, tables=grids, notes=notes)


def _curves(record: Record) -> list[PageSection]:
    if not record.history:
        return []
    plots = multilabel_history(record.history, number(record.metrics.get("best_epoch")))
    drawn = [
        Chart(f"curve-{i}", title, plot, history_table(record, plot)) for i, (title, plot) in enumerate(plots.items())
    ]
    note = "Dotted line: the best epoch. Training values are measured with augmentation, while the weights change."
    return [PageSection("curves", "Curves", "Curves", charts=tuple(drawn), notes=(note,))]


def _shown(found: dict[str, dict]) -> tuple[str, dict] | None:
    """The metrics whose classes are shown: those of the test images, or else of validation."""
    return next(((name, found[name]) for name in ("test", "validation") if name in found), None)


def _classes(found: dict[str, dict]) -> list[PageSection]:
    shown = _shown(found)
    if shown is None:
        return []
    name, metrics = shown
    rows = sorted(metrics["per_class"].items(), key=lambda item: _lowest_first(item[1]))
    head = ("class", "average precision", "ROC area", "precision", "recall", "F1", "threshold", "images")
    cells = tuple(
        (
            title,
            *(score(row, key) for key in ("average_precision", "roc_area", "precision", "recall", "f1")),
            digits(row["threshold"], 3),
            count(row["support"]),
        )
        for title, row in rows
    )
    drawing = multilabel.class_scores(metrics["per_class"])
    title = f"Average precision of each class, {name} images"
    if len(drawing.rows) < len(rows):
        title = f"Average precision of the {len(drawing.rows)} lowest of {len(rows)} classes, {name} images"
    searched = len(rows) > MOST_CLASSES
    note = "Filled: average precision, with its interval. Hollow: F1 at the class's threshold. Table: the lowest first."
    chart = Chart("classes", title, drawing, TextTable(head, cells, searched=searched), note)
    return [PageSection("classes", "Classes", "Classes", charts=(chart,))]


def _lowest_first(row: dict) -> float:
    return 2.0 if row["average_precision"] is None else row["average_precision"]


def _together(found: dict[str, dict]) -> list[PageSection]:
    """Which classes occur together, in the labels and in the predictions."""
    shown = _shown(found)
    if shown is None or not isinstance(shown[1].get("cooccurrence"), dict):
        return []
    name, metrics = shown
    names, charts = list(metrics["per_class"]), []
    for kind, words in (("true", "labels"), ("predicted", "predictions")):
        try:
            counts = confusions.from_json(metrics["cooccurrence"][kind])
        except (TypeError, ValueError, KeyError, OverflowError):
            continue
        if len(counts) != len(names):
            continue
        listed = multilabel.frequent_pairs(counts, _PAIRS_LISTED)
        rows = tuple((names[a], names[b], count(images)) for a, b, images in listed)
        drawing = multilabel.together(counts, names)
        title, head = f"Classes together in the {words} of {name} images", ("class", "class", "images with both")
        charts.append(Chart(f"together-{kind}", title, drawing, TextTable(head, rows)))
    note = (
        "A cell is the share, in %, of the images with the row's class that have the column's class too; the table of"
        " classes has the images of each."
    )
    return [PageSection("together", "Co-occurrence", "Co-occurrence", charts=tuple(charts), notes=(note,))]


def _audit(record: Record) -> PageSection:
    flaws = protocol.audit(facts_of(record))
    findings = tuple(f"{flaw.severity}: {flaw.sentence}" for flaw in flaws) or ("No flaw found.",)
    return PageSection("protocol", "Protocol", "Protocol", findings=findings)


def _training(run: ReportedRun) -> PageSection:
    record = run.record
    images = ", ".join(f"{name} {count(number(n))}" for name, n in mapping(record.split.get("counts")).items())
    computed = record.metrics.get("computed_in")
    facts = (f"Images: {images}. Training took {duration(run.seconds)}{f' in {computed}' if computed else ''}.",)
    changed = differences([run])
    grids = (("Fields that differ from the defaults", changed),) if changed.rows else ()
    return PageSection("training", "Training", "Training", findings=facts, tables=grids)
