"""The steps of `python evaluate.py`, in their order."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.evaluation import protocol, repeats, tables
from keras_cnn.evaluation.facts import facts_of, known
from keras_cnn.evaluation.kinds import AnyEvaluation, kind_of
from keras_cnn.evaluation.model_checks import model_facts
from keras_cnn.evaluation.predictions import find_predictions
from keras_cnn.evaluation.results_folder import check_writable, keep_comparisons, replacing_folder, restore_evaluations
from keras_cnn.evaluation.target import EvaluateOptions, EvaluationTarget, open_target, overlaps_with_training
from keras_cnn.messages import counted, log_sentence, logger
from keras_cnn.run_folder import read_json, record_test_reading, shell_command, write_json
from keras_cnn.run_folder.record import Record, read_record

_CHECKED_IMAGES = 16  # number of images for the checks of the model


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with its evaluation and the folder of its results."""

    target: EvaluationTarget
    evaluation: AnyEvaluation
    folder: Path


def evaluate_run(path: Path, options: EvaluateOptions) -> EvaluatedRun:
    """Evaluates a run and shows the results. Where that is impossible, shows the recorded results, then raises."""
    try:
        outcome = _evaluate(path, options)
    except UsageError:
        raise
    except InputError:
        _show(_on_record(path, options))
        raise
    _show_results(outcome, options)
    return outcome


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        logger.info(line)


def next_command(path: Path, options: EvaluateOptions) -> str:
    """The command that compares the run at `path` with another run."""
    split = ["--split", options.split] if options.split else []
    return shell_command("evaluate", path, *split, "--against", "OTHER_RUN")


def compare_runs(path: Path, other: Path, options: EvaluateOptions) -> None:
    """Evaluates a run and compares it with another, older run on the same images."""
    if path.resolve() == other.resolve():
        raise InputError(f"--against {other}: the run itself; expected another run")
    restore_evaluations(other)
    before_record = read_record(other)
    kind = kind_of(before_record.several_labels)
    if before_record.several_labels is not read_record(path).several_labels:
        raise InputError(f"--against {other}: one of the runs has several labels an image; expected both or neither")
    file_before = _predictions_of(other, options)
    if file_before is not None:
        _check_same_images(path, options, file_before)
    outcome = evaluate_run(path, options)
    if file_before is None:
        logger.info("")
        file_before = _table_in(evaluate_run(other, options).folder)
    file_after = _table_in(outcome.folder)
    before, after = kind.read(file_before), kind.read(file_after)
    try:
        comparison = kind.compare(before, after)
    except InputError as error:
        raise InputError(f"{file_before} (first) and {file_after} (second): {error}") from None
    folder = outcome.folder / f"against_{before_record.name}"
    with replacing_folder(folder, outcome.target.folder.path) as staged:
        files = {"before": str(file_before), "after": str(file_after)}
        title = f"{outcome.target.name} against {before_record.name}, {_images_named(options)}"
        kind.draw_comparison(comparison, outcome.evaluation, staged / "figures", title)
        write_json(staged / "comparison.json", {"predictions": files} | comparison.as_json())
    logger.info("")
    _show(kind.comparison_lines(comparison, before_record.name, outcome.target.name))
    logger.info(f"written     {folder}   (with figures)")


def _check_same_images(path: Path, options: EvaluateOptions, predictions: Path) -> None:
    """Raises InputError, before any image is read, unless `predictions` of another run are for the same images."""
    record, split = read_record(path), options.split or "test"
    others, ids = set(kind_of(record.several_labels).read(predictions).ids), set(record.ids_of(split) or ())
    if options.source is None and ids and ids != others:
        raise InputError(
            f"{predictions}: the runs have different {split} images: {len(ids & others):,} are in both,"
            f" {len(ids - others):,} only in {path} and {len(others - ids):,} only in the other run;"
            " expected the same images (evaluate both runs with the same --source)"
        )


@dataclass(frozen=True)
class SummedRuns:
    """Runs with their accuracies, those that differ only in their seed together."""

    records: tuple[Record, ...]  # in the order in which they were named
    groups: tuple[repeats.SeedGroup, ...]
    comparisons: tuple[repeats.RecipeComparison, ...]  # of every two groups that were tested on the same images


def show_runs(paths: list[Path], options: EvaluateOptions) -> SummedRuns:
    """Shows a line for each run, from its record where possible, then for each group of runs that differ only in seed.

    A run that cannot be evaluated does not stop the others; the InputError at the end has a line for each of them.
    """
    records, failed = [], []
    for path in paths:
        try:
            record, source = _measured(path, options)
        except InputError as error:
            failed.append(str(error))
            logger.info(f"{path}   not evaluated: see below")
            continue
        records.append(record)
        if record.finished:
            logger.info(tables.one_run(record, source))
    groups = repeats.sum_up(records)
    _show((*repeats.left_out(records), *map(tables.group, groups)))
    for group in groups:
        if len({record.ids_of("test") for record in group.records}) > 1:
            logger.info(
                "note        the seeds also drew different test images, so the spread includes that of the images"
            )
    comparisons = tuple(filter(None, itertools.starmap(_compared, itertools.combinations(groups, 2))))
    for record, facts in zip(records, repeats.facts_of_runs(records, groups), strict=True):
        for line in tables.findings(protocol.audit(facts)):
            logger.info(f"{record.name}  {line}")
    logger.info(f"next        {shell_command('report', *paths)}")
    if failed:
        raise InputError(*failed)
    return SummedRuns(tuple(records), tuple(groups), comparisons)


def _compared(a: repeats.SeedGroup, b: repeats.SeedGroup) -> repeats.RecipeComparison | None:
    """The comparison of two recipes, whose verdict is shown; None, with the reason shown, if there can be none."""
    try:
        comparison = repeats.compare_recipes(a, b)
    except InputError as error:
        logger.info(f"not compared: {error}")
        return None
    logger.info(comparison.verdict)
    return comparison


def _evaluate(path: Path, options: EvaluateOptions) -> EvaluatedRun:
    check_writable(path)
    restore_evaluations(path)
    target = open_target(path, options)
    if options.reads_test:
        record_test_reading(target.folder, options.source or "test split")
    _show(tables.introduction(target, options))
    kind = kind_of(target.dataset.several_labels)
    evaluation = kind.measure(target, options)
    readings = len(_readings(read_record(path), options))
    more = {"run": target.name, "test_readings": readings, "protocol": _model_facts(target, evaluation)}
    split = overlaps_with_training(target) if options.source is not None else {}
    folder = path / "evaluations" / options.name
    with replacing_folder(folder, path) as staged:
        title = f"{target.name}, {_images_named(options)}"
        kind.draw(evaluation, staged / "figures", title, options.classes)
        kind.write(evaluation, staged, more)
        if split:
            write_json(staged / "split.json", split)
        keep_comparisons(folder, staged)
    return EvaluatedRun(target, evaluation, folder)


def _model_facts(target: EvaluationTarget, evaluation: AnyEvaluation) -> dict:
    """Measured facts about the model for the protocol audit, or the reason why they could not be measured."""
    images = evaluation.pixels(np.arange(min(_CHECKED_IMAGES, len(evaluation.images))))
    try:
        return known(model_facts(target.model, images))
    except InputError as error:
        return {"not_measured": str(error)}


def _show_results(outcome: EvaluatedRun, options: EvaluateOptions) -> None:
    metrics, kind = outcome.evaluation.metrics, kind_of(outcome.target.dataset.several_labels)
    _show(kind.full(metrics) if options.full else kind.brief(metrics))
    record = read_record(outcome.target.folder.path)
    recorded = _recorded(outcome.target.record, options).get(kind.headline)
    if recorded not in (None, metrics[kind.headline]):
        why = "program versions and machines differ in rounding"
        log_sentence("note", f"the recorded {kind.headline} is {recorded:.4f}: {why}", 12)
    flaws = protocol.audit(facts_of(_record_of(outcome, record, options)))
    _show(tables.findings(flaws) if options.full else tables.findings_in_brief(flaws))
    if options.reads_test:
        images = "the test split" if options.source is None else "these images"
        count = len(_readings(record, options))
        logger.info(f"readings    {images}: read {counted(count, 'time')} by this run, counted in its folder")
    logger.info(f"written     {outcome.folder}   (figures; --full prints all)")


def _readings(record: Record, options: EvaluateOptions) -> tuple[dict[str, str], ...]:
    """The recorded readings of the evaluated images by this run."""
    if options.source is None:
        return record.test_readings
    return tuple(row for row in record.other_readings if row.get("images") == options.source)


def _record_of(outcome: EvaluatedRun, record: Record, options: EvaluateOptions) -> Record:
    """The record for the audit of this evaluation; for other images, without the facts on the run's own images."""
    if options.source is None:
        return record
    path = outcome.folder / "split.json"
    split = read_json(path) if path.is_file() else {}
    metrics = {"chosen_by": record.metrics.get("chosen_by"), **outcome.evaluation.metrics}
    evaluations = {options.name: record.evaluations[options.name]}
    readings = _readings(record, options)
    return replace(record, split=split, metrics=metrics, evaluations=evaluations, test_readings=readings)


def _images_named(options: EvaluateOptions) -> str:
    split = f"{options.split or 'test'} split" if options.source is None else options.source
    return f"{split} ({options.split})" if options.source and options.split else split


def _on_record(path: Path, options: EvaluateOptions) -> Iterator[str]:
    try:
        record = read_record(path)
        metrics = _recorded(record, options)
    except InputError:
        return  # not a run folder
    if metrics:
        kind = kind_of(record.several_labels)
        yield f"{path}: recorded results, not evaluated again:"
        yield from (kind.full if options.full else kind.brief)(metrics)


def _recorded(record: Record, options: EvaluateOptions) -> dict:
    """The recorded metrics, or {}. Metrics of another source are not used: its images may have changed."""
    if options.source is not None:
        return {}
    split = options.split or "test"
    if options.views is None and not options.scale:
        metrics = record.metrics if split == "test" else record.metrics.get(split)
        if metrics and _is_complete(record, metrics, record.path / "metrics.json"):
            return metrics
    metrics = record.evaluations.get(options.name)
    if metrics and _is_complete(record, metrics, record.path / "evaluations" / options.name / "metrics.json"):
        return metrics
    return {}


def _is_complete(record: Record, metrics: Any, place: Path) -> bool:
    """Whether recorded metrics can be shown; a note says why they cannot."""
    try:
        kind_of(record.several_labels).check(metrics if isinstance(metrics, dict) else {}, str(place))
    except InputError as error:
        logger.info(f"note        the recorded metrics are not used: {error}")
        return False
    return True


def _measured(path: Path, options: EvaluateOptions) -> tuple[Record, str]:
    """The record with the requested metrics, and their origin; the record of an unfinished run is unchanged."""
    record = read_record(path)
    if record.several_labels:
        raise InputError(f"{path}: several labels an image; expected it alone, or with --against RUN")
    if not record.finished:
        return record, "not finished"
    metrics, source = _recorded(record, options), "on record"
    ids = record.ids_of(options.split or "test")
    if not metrics:
        outcome = _evaluate(path, options)
        metrics, source, ids = outcome.evaluation.metrics, "evaluated now", list(outcome.evaluation.images.ids)
    split = record.split | {"ids": (record.split.get("ids") or {}) | {"test": ids}} if ids else {}
    return replace(record, metrics=metrics, split=split), source


def _predictions_of(other: Path, options: EvaluateOptions) -> Path | None:
    """The file of the other run's predictions for the same images, if it is on record."""
    evaluated = other / "evaluations" / options.name
    if (evaluated / "metrics.json").is_file() and (table := find_predictions(evaluated)):
        return table
    return find_predictions(other) if options.name == "test" else None


def _table_in(folder: Path) -> Path:
    """The table of predictions that an evaluation has just written."""
    table = find_predictions(folder)
    require(table is not None, str(folder), "found no predictions", "those of the evaluation")
    return cast(Path, table)
