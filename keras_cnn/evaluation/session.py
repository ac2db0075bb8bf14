"""What `python evaluate.py` does, in the order in which it does it."""

import itertools
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_cnn.errors import InputError, UsageError
from keras_cnn.evaluation import gallery, protocol, repeats, tables
from keras_cnn.evaluation.comparison import compare
from keras_cnn.evaluation.evaluations import Evaluation, evaluate, keep_comparisons, replacing_folder, write
from keras_cnn.evaluation.model_checks import model_facts
from keras_cnn.evaluation.predictions import read_predictions
from keras_cnn.evaluation.subjects import EvaluateOptions, EvaluationTarget, copies, open_subject
from keras_cnn.messages import logger
from keras_cnn.run_folder import python, record_test_reading, write_json
from keras_cnn.run_folder.record import Record, read_record

_CHECKED_IMAGES = 16  # that the checks of the model are made with


@dataclass(frozen=True)
class Outcome:
    """A run evaluated, and where that is kept."""

    subject: EvaluationTarget
    evaluation: Evaluation
    folder: Path


def evaluate_run(path: Path, asked: EvaluateOptions) -> Outcome:
    """Evaluates a run and says what was found. Where it cannot be, says what the run has on record, then raises."""
    try:
        outcome = _evaluate(path, asked)
    except UsageError:
        raise
    except InputError as error:
        for line in _on_record(path, asked, error):
            logger.info(line)
        raise
    _tell(outcome, asked)
    return outcome


def next_command(path: Path, asked: EvaluateOptions) -> str:
    """The comparison that an evaluation of the run at `path` invites to."""
    words = [python(), "evaluate.py", str(path), *(["--split", asked.split] if asked.split else [])]
    return f"{shlex.join(words)} --against OTHER_RUN"


def compare_runs(path: Path, other: Path, asked: EvaluateOptions) -> None:
    """Evaluates a run, and compares it with another one, the older, on the same images."""
    if path.resolve() == other.resolve():
        raise InputError(f"--against {other}: the run itself; expected another one")
    before_record = read_record(other)
    known = _predictions_of(other, asked)
    if known is not None:
        _check_same_images(path, asked, known)
    outcome = evaluate_run(path, asked)
    if known is None:
        logger.info("")
        known = evaluate_run(other, asked).folder / "predictions.csv"
    before, after = read_predictions(known), read_predictions(outcome.folder / "predictions.csv")
    try:
        found = compare(before, after)
    except InputError as error:
        raise InputError(f"{known} (first) and {outcome.folder / 'predictions.csv'} (second): {error}") from None
    folder = outcome.folder / f"against_{before_record.name}"
    with replacing_folder(folder, outcome.subject.folder.path) as staged:
        files = {"before": str(known), "after": str(outcome.folder / "predictions.csv")}
        title = f"{outcome.subject.name} against {before_record.name}, {_images_named(asked)}"
        gallery.draw_comparison(found, outcome.evaluation, staged / "figures", title)
        write_json(staged / "comparison.json", {"predictions": files} | found.as_json())
    logger.info("")
    for line in tables.comparison(found, before_record.name, outcome.subject.name):
        logger.info(line)
    logger.info(f"written     {folder}   (with figures)")


def _check_same_images(path: Path, asked: EvaluateOptions, known: Path) -> None:
    """Before any image is looked at: whether the other run's predictions are of the images that will be."""
    before = read_predictions(known)
    ids = read_record(path).split.get("ids", {}).get(asked.split or "test")
    if asked.source is None and ids is not None and set(ids) != set(before.ids):
        only = [len(set(a) - set(b)) for a, b in ((before.ids, ids), (ids, before.ids))]
        raise InputError(
            f"{known}: other images: {only[0]:,} of its {len(before):,} are not {path}'s, which has {only[1]:,} others;"
            " expected the same (evaluate both with one --source)"
        )


def sum_up_runs(paths: list[Path], asked: EvaluateOptions) -> None:
    """One line a run, from its record where that has the number; then runs that differ only in their seed together.

    A run that cannot be evaluated does not stop the others; InputError at the end has a line for each of them.
    """
    records, failed = [], []
    for path in paths:
        try:
            record, source = _measured(path, asked)
        except InputError as error:
            failed.append(str(error))
            logger.info(f"{path}   not evaluated: see below")
            continue
        records.append(record)
        if record.finished:
            logger.info(tables.one_run(record, source))
    groups = repeats.sum_up(records)
    for line in (*repeats.left_out(records), *(line for group in groups for line in tables.group(group))):
        logger.info(line)
    for group in groups:
        if len({tuple(record.split.get("ids", {}).get("test", ())) for record in group.records}) > 1:
            logger.info("note        the seed drew other test images too: the spread holds that of the images as well")
    for a, b in itertools.combinations(groups, 2):
        logger.info(_verdict(a, b))
    for record, facts in zip(records, repeats.facts_of_runs(records, groups), strict=True):
        for line in tables.findings(protocol.audit(facts)):
            logger.info(f"{record.name}  {line}")
    logger.info(f"next        {shlex.join([python(), 'report.py', *map(str, paths)])}")
    if failed:
        raise InputError(*failed)


def _verdict(a: repeats.Group, b: repeats.Group) -> str:
    try:
        return repeats.compare_recipes(a, b).verdict
    except InputError as error:  # two recipes need not have been tested on the same images; each stands for itself
        return f"not compared: {error}"


def _evaluate(path: Path, asked: EvaluateOptions) -> Outcome:
    subject = open_subject(path, asked)
    if asked.reads_test:
        record_test_reading(subject.folder, asked.source or "test split")
    for line in tables.introduction(subject, asked):
        logger.info(line)
    config = subject.config
    evaluation = evaluate(
        subject.model,
        subject.dataset,
        subject.split,
        batch_size=config.train.batch_size,
        fit=config.data.fit,
        views=subject.views,
        scale=asked.scale,
    )
    readings = len(_readings(read_record(path), asked))
    more = {"run": subject.name, "test_readings": readings, "protocol": _checked(subject, evaluation)}
    split = copies(subject) if asked.source is not None else {}
    folder = path / "evaluations" / asked.name
    with replacing_folder(folder, path) as staged:
        title = f"{subject.name}, {_images_named(asked)}"
        gallery.draw(evaluation, staged / "figures", title, asked.classes)
        write(evaluation, staged, more)
        if split:
            write_json(staged / "split.json", split)
        keep_comparisons(folder, staged)
    return Outcome(subject, evaluation, folder)


def _checked(subject: EvaluationTarget, evaluation: Evaluation) -> dict:
    """Measured facts about the model for the protocol audit; what stands against measuring them, where it cannot be."""
    images = evaluation.pixels(np.arange(min(_CHECKED_IMAGES, len(evaluation.images))))
    try:
        return protocol.known(model_facts(subject.model, images))
    except InputError as error:
        return {"not_measured": str(error)}


def _tell(outcome: Outcome, asked: EvaluateOptions) -> None:
    for line in tables.evaluation(outcome.evaluation.metrics):
        logger.info(line)
    record = read_record(outcome.subject.folder.path)
    recorded = _recorded(outcome.subject.record, asked).get("accuracy")
    if recorded not in (None, outcome.evaluation.metrics["accuracy"]):
        logger.info(
            f"note        on record was {recorded:.4f}: versions of the program and machines differ in rounding"
        )
    for line in tables.findings(protocol.audit(protocol.facts_of(_about(record, outcome, asked)))):
        logger.info(line)
    if asked.reads_test:
        what = "the test split has" if asked.source is None else "these images have"
        logger.info(f"readings    {what} been read with this run, this time included: {len(_readings(record, asked))}")
    logger.info(f"written     {outcome.folder}   (metrics.json, predictions.csv, logits.npy, softmax.npy, figures)")


def _readings(record: Record, asked: EvaluateOptions) -> tuple[dict[str, str], ...]:
    """When the images asked for were read with the run."""
    if asked.source is None:
        return record.test_readings
    return tuple(row for row in record.other_readings if row["images"] == asked.source)


def _about(record: Record, outcome: Outcome, asked: EvaluateOptions) -> Record:
    """The record for an audit of this evaluation: on other images nothing counts that is known of the run's own."""
    if asked.source is None:
        return record
    path = outcome.folder / "split.json"
    split = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    metrics = {"chosen_by": record.metrics.get("chosen_by"), **outcome.evaluation.metrics}
    evaluations = {asked.name: record.evaluations[asked.name]}
    readings = _readings(record, asked)
    return replace(record, split=split, metrics=metrics, evaluations=evaluations, test_readings=readings)


def _images_named(asked: EvaluateOptions) -> str:
    split = f"{asked.split or 'test'} split" if asked.source is None else asked.source
    return f"{split} ({asked.split})" if asked.source and asked.split else split


def _on_record(path: Path, asked: EvaluateOptions, error: InputError) -> Iterator[str]:
    try:
        metrics = _recorded(read_record(path), asked)
    except InputError:
        return  # no run at all
    if metrics:
        yield f"{path}: on record, not evaluated anew:"
        yield from tables.evaluation(metrics)


def _recorded(record: Record, asked: EvaluateOptions) -> dict:
    """What the run's folder already says, {} for nothing. Of another source's images nothing is sure to be of today."""
    if asked.source is not None:
        return {}
    split = asked.split or "test"
    if asked.views is None and not asked.scale:
        found = record.metrics if split == "test" else record.metrics.get(split, {})
        if found:
            return found
    return record.evaluations.get(asked.name, {})


def _measured(path: Path, asked: EvaluateOptions) -> tuple[Record, str]:
    """The run's record with the numbers asked for as its metrics, and where they are from; unfinished, as it is."""
    record = read_record(path)
    if not record.finished:
        return record, "not finished"
    metrics, source = _recorded(record, asked), "on record"
    ids = record.split.get("ids", {}).get(asked.split or "test")
    if not metrics:
        outcome = _evaluate(path, asked)
        metrics, source, ids = outcome.evaluation.metrics, "evaluated now", list(outcome.evaluation.images.ids)
    split = record.split | {"ids": record.split.get("ids", {}) | {"test": ids}} if ids else {}
    return replace(record, metrics=metrics, split=split), source


def _predictions_of(other: Path, asked: EvaluateOptions) -> Path | None:
    """The other run's predictions of the same images, if it has any on record."""
    evaluated = other / "evaluations" / asked.name
    if (evaluated / "metrics.json").is_file() and (evaluated / "predictions.csv").is_file():
        return evaluated / "predictions.csv"
    own = other / "predictions.csv"
    return own if asked.name == "test" and own.is_file() else None
