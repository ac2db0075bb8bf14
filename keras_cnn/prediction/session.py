"""The steps of `python predict.py`, in their order."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_cnn.data.walking import ignored_text
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.evaluation import probability_files
from keras_cnn.messages import counted, log_command, log_sentence, logger, wrapped
from keras_cnn.prediction import label_table
from keras_cnn.prediction.classifier import Classifier, open_classifier
from keras_cnn.prediction.images import ImageListing
from keras_cnn.prediction.predicting import TOP, as_predictions, predict_files
from keras_cnn.prediction.submission import SubmissionPlan, plan_submission, write_submission
from keras_cnn.prediction.table import COLUMNS, NO_LABEL, ImagePredictions, PredictedImage

WIDTH = 80
_IN_BLOCKS = 4  # images that are shown with a line for each class
_IN_LINES = 20  # images that are shown in a line each
_NAMED = 10  # unreadable images that are named on the terminal
_NAME = 32  # columns of an image's name in its line


@dataclass(frozen=True)
class PredictOptions:
    """The options of `predict.py` other than what predicts and the images."""

    top: int = TOP
    output: Path | None = None  # of the predictions, or of the submission if there is one
    submission: bool = False
    template: Path | None = None
    explain: str | None = None  # an attribution method
    calibrated: bool = True
    classes: tuple[str, ...] = ()
    image_size: int | None = None
    input_range: tuple[float, float] | None = None


def predict_named(source: str, listing: ImageListing, stem: str, options: PredictOptions) -> ImagePredictions:
    """Predicts the listed images, shows the results and writes them below `predictions/STEM` or to the given file.

    Raises InputError if no image can be read, after their reasons are written, and for a file that may not be replaced.
    """
    table_file, submission_file = _files(stem, options)
    _check_replaceable(table_file, COLUMNS[:1])
    classifier = open_classifier(
        source,
        classes=options.classes,
        image_size=options.image_size,
        input_range=options.input_range,
        calibrated=options.calibrated,
    )
    several = classifier.thresholds is not None
    if several and options.top != TOP:
        raise UsageError(
            f"command line: --top {options.top}: images of {source} may have several labels, each from its threshold;"
            " expected no --top"
        )
    _check_replaceable(table_file, label_table.COLUMNS if several else COLUMNS)
    if not several:
        check_array_replaceable(table_file, classifier.classes)
    if options.explain:
        from keras_cnn.prediction.explaining import check_method  # with Matplotlib, which takes a second

        check_method(classifier, options.explain)
    plan = None
    if submission_file:
        plan = plan_submission(listing.images, classifier.classes, options.template)
        _check_replaceable(submission_file, plan.header, (*listing.tables, options.template))
    _show(_introduction(classifier, listing))
    predictions = _predicted(classifier, listing, table_file, options.top)
    if plan and submission_file:
        _submit(submission_file, plan, predictions)
    log_command("written", str(table_file), "a row for each image", 12)
    if probability_files.lists_few(classifier.classes) and not several:
        array = str(probability_files.array_file(table_file))
        log_command("", array, f"all {len(classifier.classes):,} probabilities of each image", 12)
    if options.explain:
        _explain(classifier, listing, predictions, options.explain, table_file.parent / options.explain)
    return predictions


def _predicted(classifier: Classifier, listing: ImageListing, file: Path, top: int) -> ImagePredictions:
    """The predictions, written and shown. InputError if no image could be read."""
    scores, errors = predict_files(classifier, listing.images)
    names = [image.name for image in listing.images]
    predictions = as_predictions(classifier, names, scores, errors, top=top)
    _make(file.parent)
    predictions.to_csv(file)
    if len(errors) < len(names):
        _show(_results(predictions))
    _show(_unreadable(predictions))
    if len(errors) == len(names):
        raise InputError(f"none of the {len(names):,} images could be read; their reasons are in {file}")
    logger.info("")
    return predictions


def _submit(file: Path, plan: SubmissionPlan, predictions: ImagePredictions) -> None:
    _make(file.parent)
    if empty := write_submission(file, plan, predictions):
        rows = counted(empty, "row of the submission has", "rows of the submission have")
        log_sentence("note", f"{rows} no label: the images could not be read", 12)
    rows = counted(len(plan.ids), "row")
    log_command("submission", str(file), f"{rows} of {shortened(','.join(plan.header), 30)}", 12)


def _explain(
    classifier: Classifier, listing: ImageListing, predictions: ImagePredictions, method: str, folder: Path
) -> None:
    from keras_cnn.prediction.explaining import explain

    _make(folder)
    verdicts, common = [], _common_folder(predictions.images)
    for number, (name, _, verdict) in enumerate(explain(classifier, listing.images, predictions, method, folder)):
        verdicts.append(verdict)
        if number < _IN_LINES:
            short = shortened(name.removeprefix(common), _NAME, at_start=True)
            log_sentence("", f"{short:<{_NAME}}  {verdict.words}", 2)
    passed = sum(verdict.passes for verdict in verdicts)
    log_command("explained", str(folder), f"{method}: {passed:,} of {len(verdicts):,} pass their sanity checks", 12)


def _show(lines: Iterator[str]) -> None:
    for line in lines:
        logger.info(line)


def _files(stem: str, options: PredictOptions) -> tuple[Path, Path | None]:
    """The file of the predictions and that of the submission."""
    folder = Path("predictions") / stem
    if not options.submission and options.template is None:
        return options.output or folder / "predictions.csv", None
    return folder / "predictions.csv", options.output or folder / "submission.csv"


def _check_replaceable(file: Path, header: tuple[str, ...], kept: tuple[Path | None, ...] = ()) -> None:
    """Raises InputError for a file that exists and has another header than what is written, or is one of `kept`."""
    if file.is_dir():
        raise InputError(f"{file}: a folder; expected a file to write, such as {file / 'predictions.csv'}")
    if not file.exists():
        return
    with file.open("rb") as content:
        is_ours = content.readline().decode("utf-8", "replace").rstrip("\r\n").startswith(",".join(header))
    if not is_ours or any(other is not None and file.samefile(other) for other in kept):
        raise InputError(f"{file}: exists and is not replaced; expected a new file or an earlier result")


def check_array_replaceable(table: Path, classes: Sequence[str]) -> None:
    """Raises InputError if the files beside a new table of many classes exist; those of an earlier table are ours."""
    if table.exists() or not probability_files.lists_few(classes):
        return
    for file in (probability_files.array_file(table), probability_files.classes_file(table)):
        require(not file.exists(), str(file), "exists and is not replaced", f"no such file beside {table.name}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot make the folder: {error.strerror}") from None
    require(os.access(folder, os.W_OK | os.X_OK), str(folder), "not writable", "a folder to write to")


def _introduction(classifier: Classifier, listing: ImageListing) -> Iterator[str]:
    height, width, channels = classifier.image_shape
    kind = "grey" if channels == 1 else "RGB"
    yield f"predicts    {classifier.name}: {len(classifier.classes):,} classes, {kind} images of {height}×{width}"
    if found := classifier.temperature:
        yield f"calibrated  by temperature {found.value:.3f}, fitted on {found.images:,} validation images"
    if classifier.thresholds is not None:
        yield "labels      several an image, each from the threshold of its class"
    for note in (*classifier.notes, *listing.notes):
        yield from wrapped(note, "note        ", 12)
    left_out = f"; left out: {ignored_text(listing.ignored)}" if listing.ignored else ""
    yield f"images      {len(listing.images):,}{left_out}"


def _results(predictions: ImagePredictions) -> Iterator[str]:
    rows = [row for row in predictions if row.error is None]
    yield ""
    if len(rows) <= _IN_BLOCKS:
        for row in rows:
            yield from _block(row)
        return
    common = _common_folder([row.image for row in rows])
    shown = [replace(row, image=row.image.removeprefix(common)) for row in rows[:_IN_LINES]]
    width = min(_NAME, max(len(row.image) for row in shown))
    for row in shown:
        yield _line(row, width)
    if len(rows) > _IN_LINES:
        yield f"... {len(rows) - _IN_LINES:,} more in the file"
    yield ""
    counts = ", ".join(f"{name} {count:,}" for name, count in predictions.counts.items())
    yield shortened(f"predicted   {counts}", WIDTH)


def _common_folder(images: Sequence[str]) -> str:
    """The folder that all paths share, with a separator; "" if some are absolute and some are not."""
    if len({os.path.isabs(image) for image in images}) > 1:
        return ""
    return f"{os.path.commonpath([os.path.dirname(image) for image in images])}{os.sep}"


def _block(row: PredictedImage) -> Iterator[str]:
    yield shortened(row.image, WIDTH, at_start=True)
    if not row.classes:
        yield f"  {NO_LABEL}"
    for name, value in zip(row.classes, row.probabilities, strict=True):
        yield f"  {shortened(name, 50):<50}  {value:7.2%}"


def _line(row: PredictedImage, width: int) -> str:
    """The name of the image, in `width` columns, and as many classes as fit."""
    text = f"{shortened(row.image, width, at_start=True):<{width}}"
    if not row.classes:
        return f"{text}  {NO_LABEL}"
    for number, (name, value) in enumerate(zip(row.classes, row.probabilities, strict=True)):
        part = f"  {shortened(name, 30)} {value:.1%}"
        if number and len(text) + len(part) > WIDTH:
            break
        text += part
    return text


def _unreadable(predictions: ImagePredictions) -> Iterator[str]:
    errors = predictions.errors
    if not errors:
        return
    yield ""
    yield f"{len(errors):,} of {len(predictions):,} images could not be read; the file has them with their reasons:"
    for index in sorted(errors)[:_NAMED]:
        yield from wrapped(f"{predictions.images[index]}: {errors[index]}", "  ", 4)
    if len(errors) > _NAMED:
        yield f"  ... {len(errors) - _NAMED:,} more"


def shortened(text: str, width: int, at_start: bool = False) -> str:
    """The text in at most `width` characters; what is left out is shown by dots, at the start or at the end."""
    if len(text) <= width:
        return text
    return f"…{text[1 - width :]}" if at_start else f"{text[: width - 1]}…"
