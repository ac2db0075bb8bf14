"""The page about the training of a detector: mAP, classes, curves, pictures, configuration and environment."""

import math
from pathlib import Path

from keras_cnn import run_folder as run_folders
from keras_cnn.analysis.sections import PageSection
from keras_cnn.charts import Chart, TextTable
from keras_cnn.charts.evaluation import RECALLS, precision_over_recall
from keras_cnn.charts.page.base import short
from keras_cnn.charts.text import count, digits, duration
from keras_cnn.charts.training import detector_history
from keras_cnn.errors import InputError
from keras_cnn.report import pictures
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import mapping, number
from keras_cnn.report.sections.configuration import differences
from keras_cnn.report.sections.one_run import environment_section, history_table, network, score
from keras_cnn.run_folder.record import read_record

_DRAWN = ("curves", "precision_recall")  # pictures that the page draws as charts


def find(paths: list[Path]) -> Path | None:
    """The folder of a detector's run if it is in `paths`, otherwise None. Raises InputError if it is not alone."""
    chosen = [path for path in paths if run_folders.is_detection_run(path)]
    if not chosen:
        return None
    if len(paths) > 1:
        raise InputError(f"{chosen[0]}: a run of detect.py has its own page; expected no other run")
    return chosen[0]


def content(path: Path) -> tuple[ReportedRun, list[PageSection], list[pictures.PictureFile], list[str]]:
    """The run at `path`, the sections of its page, its pictures and its problems."""
    record = read_record(path)
    run = ReportedRun(0, record.name, record, {}, record.problems)
    parts = [_result(run), *_curves(run), *_classes(run), _training(run), *network(run), environment_section(run)]
    sources = [source for source in pictures.find([run]) if source.path.stem not in _DRAWN]
    return run, parts, sources, list(record.problems)


def lead(run: ReportedRun) -> str:
    """The sentence at the top of the page."""
    metrics, source = run.record.metrics, run.record.config.get("data.source", "boxes")
    name = run.record.config.get("model.cfg", "a detector")
    if not metrics:
        return f"{name}, in training on {source}."
    scores = [f"mAP@0.5 {score(metrics, 'map50')}", f"mAP@[.5:.95] {score(metrics, 'map')}"]
    images = count(number(metrics.get("images")))
    return f"{name}, trained on {source}: {' and '.join(scores)} on {images} test images."


def _result(run: ReportedRun) -> PageSection:
    record = run.record
    metrics = record.metrics
    if not metrics:
        planned = record.config.get("train.epochs")
        text = f"Unfinished: epoch {len(record.history)} of {planned}; the test images have not been read."
        return PageSection("result", "Result", "Result", findings=(text,))
    rows = [
        (name, *(score(scores, key) for key in ("map50", "map")), digits(number(scores.get("map75")), 4),
         count(number(scores.get("images"))), count(number(scores.get("boxes"))))
        for name, scores in (("test", metrics), ("validation", metrics.get("validation")))
        if isinstance(scores, dict)
    ]  # fmt: skip
    head = ("split", "mAP@0.5", "mAP@[.5:.95]", "mAP@0.75", "images", "boxes")
    readings = len(record.test_readings)
    times = "once" if readings == 1 else f"{readings} times"
    best = f"Results of epoch {metrics.get('best_epoch')}, the best by {metrics.get('chosen_by')}"
    return PageSection(
        "result",
        "Result",
        "Result",
        findings=(f"{best}. The test images were read {times}.",),
        tables=(("", TextTable(head, tuple(rows))),),
        notes=(
            "mAP as in pycocotools: boxes of every size, 100 detections per image and class, 101 recalls."
            " Brackets are 95 % bootstrap intervals over the images.",
        ),
    )


def _curves(run: ReportedRun) -> list[PageSection]:
    record = run.record
    if not record.history:
        return []
    plots = detector_history(record.history, number(record.metrics.get("best_epoch")))
    drawn = [
        Chart(f"curve-{i}", title, plot, history_table(record, plot)) for i, (title, plot) in enumerate(plots.items())
    ]
    note = "Dotted line: the best epoch. Training values are measured with augmentation, while the weights change."
    return [PageSection("curves", "Curves", "Curves", charts=tuple(drawn), notes=(note,))]


def _classes(run: ReportedRun) -> list[PageSection]:
    metrics = run.record.metrics
    scores = metrics.get("per_class")
    if not isinstance(scores, dict) or not scores:
        return []
    rows = [
        (name, score(row, "map50"), score(row, "map"), count(number(row.get("boxes"))))
        for name, row in scores.items()
        if isinstance(row, dict)
    ]
    head = ("class", "AP@0.5", "AP@[.5:.95]", "test boxes")
    curves = {
        name: values
        for name, values in mapping(metrics.get("precision50")).items()
        if isinstance(values, list) and len(values) == len(RECALLS)
    }
    drawn = [_precision_chart(curves)] if curves else []
    return [
        PageSection("classes", "Classes", "Classes", charts=tuple(drawn), tables=(("", TextTable(head, tuple(rows))),))
    ]


def _precision_chart(curves: dict[str, list]) -> Chart:
    known = {name: [math.nan if number(v) is None else v for v in values] for name, values in curves.items()}
    drawing = precision_over_recall(known, short(list(curves)), legend=len(curves) <= 12)
    rows = [(f"{recall:.1f}", *(digits(number(values[index]), 3) for values in curves.values()))
            for index, recall in enumerate(RECALLS) if index % 10 == 0]  # fmt: skip
    table = TextTable(("recall", *curves), tuple(rows))
    return Chart("precision-recall", "Precision over recall on test images, IoU 0.5", drawing, table)


def _training(run: ReportedRun) -> PageSection:
    record = run.record
    boxes = {name: mapping(counts) for name, counts in mapping(record.split.get("boxes")).items()}
    classes = dict.fromkeys(name for counts in boxes.values() for name in counts)
    rows = [(name, *(count(number(counts.get(name))) for counts in boxes.values())) for name in classes]
    images = mapping(record.split.get("counts"))
    grids = [("Boxes by class", TextTable(("class", *boxes), tuple(rows)))] if rows else []
    anchors = record.metrics.get("anchors")
    facts = []
    if isinstance(anchors, list) and all(isinstance(pair, list) for pair in anchors):
        sizes = ", ".join("×".join(digits(number(side), 0) for side in pair) for pair in anchors)
        fit = digits(number(record.metrics.get("anchors_mean_iou")), 3)
        facts.append(f"Anchors in pixels of the network's image: {sizes}; mean IoU with the training boxes {fit}.")
    listed = ", ".join(f"{name} {count(number(n))}" for name, n in images.items())
    computed = record.metrics.get("trained_in")
    where = f" in {computed}" if computed else ""
    facts.append(f"Images: {listed}. Training took {duration(run.seconds)}{where}.")
    changed = differences([run])
    if changed.rows:
        grids.append(("Fields that differ from the defaults", changed))
    return PageSection("training", "Training", "Training", findings=tuple(facts), tables=tuple(grids))
