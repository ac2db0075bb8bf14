"""The overview of the runs: the sentence at the top and the table of runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keras_cnn.analysis.factors import show
from keras_cnn.analysis.folds_section import folds_lead
from keras_cnn.analysis.run_tables import RETRAINED, RunTable, Swept
from keras_cnn.charts.text import count, digits, duration, interval, large, percent
from keras_cnn.messages import counted
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import SplitScores, number


@dataclass(frozen=True)
class Cell:
    """A number of the table of runs and the value that it is sorted by."""

    text: str
    value: float | str | None
    interval: tuple[float, float] | None = None
    bar: tuple[float, float, float] | None = None  # low, value and high in percent of the column's range


Columns = tuple[tuple[str, str], ...]  # (heading, sorted as: text or number)


def lead(runs: Sequence[ReportedRun], table: RunTable | None = None) -> str:
    """The most important results of the runs, the sweep or the table, in a few sentences."""
    if table is None:
        return _lead(runs)
    if table.swept is None:
        factors = table.runs.attrs["factors"]
        settings = f"{len(factors)} setting{'s' if len(factors) > 1 else ''}: {', '.join(factors)}"
        return f"{len(table.runs):,} runs in a table, {settings if factors else 'no settings'}."
    swept, best = table.swept, table.swept.best
    if swept.sweep.folds:
        return folds_lead(swept)
    total = len(swept.trials)
    states = ", ".join(f"{n:,} {'ended early' if s == 'early' else s}" for s, n in swept.counts.items())
    text = f"{counted(total, 'trial')}: {states}. " if total else "No trial has started. "
    if best is None:
        return text + ("None has a result." if total else "")
    text += f"The best, {best.label}, has {_metric(swept.metric, best.value)}. "
    again = [run for run in runs if run.label == RETRAINED and run.test.accuracy is not None]
    if again:
        test = again[0].test
        accuracy = f"{percent(test.accuracy)} {interval(test.interval)}"
        return f"{text}Trained again, it classifies {accuracy} of {count(test.images)} test images correctly."
    return text + "The test images have not been read."


def _lead(runs: Sequence[ReportedRun]) -> str:
    """The most important result of the runs in a sentence."""
    chosen = [run for run in runs if run.validation.accuracy is not None]
    best = max(chosen, key=lambda run: run.validation.accuracy or 0, default=runs[0])
    images = f"{best.test.images:,} test images" if best.test.images else "test images"
    test = f"{percent(best.test.accuracy)} {interval(best.test.interval)}".strip()
    measured = best.test.accuracy is not None
    equals = sum(run.validation.accuracy == best.validation.accuracy for run in chosen)
    shared = f", shared by {equals}" if equals > 1 else ""
    if not measured and best.record.finished and best.validation.accuracy is not None:
        images = f"{best.validation.images:,} validation images" if best.validation.images else "validation images"
        accuracy = f"{percent(best.validation.accuracy)} {interval(best.validation.interval)}".strip()
        end = "the test images have not been read."
        if len(runs) == 1:
            return f"{accuracy} of {images} classified correctly, in epoch {best.best_epoch} of {best.epochs}; {end}"
        return f"Of {len(runs)} runs, {best.label} has the highest validation accuracy, {accuracy}{shared}; {end}"
    if len(runs) == 1:
        epoch = f", in epoch {best.best_epoch} of {best.epochs}, chosen by {best.monitor}" if best.best_epoch else ""
        return f"{test} of {images} classified correctly{epoch}." if measured else f"No test accuracy: {best.state}."
    if not chosen:
        return f"{len(runs)} runs, none with a validation accuracy."
    validation = f"{percent(best.validation.accuracy)} {interval(best.validation.interval)}".strip()
    there = f"it classifies {test} of {images} correctly" if measured else f"no test accuracy, {best.state}"
    return f"Of {len(runs)} runs, {best.label} has the highest validation accuracy, {validation}{shared}; {there}."


def _metric(column: str, value: float) -> str:
    names = {"val_accuracy": "validation accuracy", "val_loss": "validation loss", "accuracy": "training accuracy"}
    return f"{names.get(column, column)} {percent(value) if column.endswith('accuracy') else f'{value:.4f}'}"


def table_of_runs(
    runs: Sequence[ReportedRun], swept: Swept | None = None
) -> tuple[Columns, tuple[tuple[Cell, ...], ...]]:
    """The columns and rows of the table of runs, with a sweep's parameters, without test columns if untested."""
    accuracies = [scores for run in runs for scores in (run.test, run.validation)]
    ends = [end for scores in accuracies if scores.accuracy is not None for end in scores.interval or ()]
    low, high = (min(ends), max(ends)) if ends else (0, 1)
    tested = any(run.test.accuracy is not None for run in runs) or not any(run.record.finished for run in runs)
    columns = {
        "run": ("text", lambda run: Cell(run.label, run.label)),
        **{name: (kind, cell) for name, kind, cell in _parameters(runs, swept)},
        "test accuracy": ("number", lambda run: _accuracy(run.test, low, high)),
        "validation accuracy": ("number", lambda run: _accuracy(run.validation, low, high)),
        "test loss": ("number", lambda run: Cell(digits(run.test.loss, 4), run.test.loss)),
        "validation loss": ("number", lambda run: Cell(digits(run.validation.loss, 4), run.validation.loss)),
        "best epoch": ("number", _best_epoch),
        "parameters": ("number", lambda run: Cell(count(run.total("trainable")), run.total("trainable"))),
        "multiply-adds": ("number", lambda run: Cell(large(run.total("multiply_adds")), run.total("multiply_adds"))),
        "time": ("number", lambda run: Cell(duration(run.seconds), run.seconds)),
        "seed": ("number", _seed),
        "state": ("text", lambda run: Cell(run.state, run.state)),
    }
    for name in ("test accuracy", "test loss") if not tested else ("validation loss",):
        del columns[name]
    rows = tuple(tuple(cell(run) for _, cell in columns.values()) for run in runs)
    return tuple((name, kind) for name, (kind, _) in columns.items()), rows


def _parameters(
    runs: Sequence[ReportedRun], swept: Swept | None
) -> Iterator[tuple[str, str, Callable[[ReportedRun], Cell]]]:
    """A column for each parameter of the sweep with several values."""
    trials = {run.label: swept.trial_of(run.label) or swept.best for run in runs} if swept else {}
    for name in swept.sweep.parameters if swept else ():
        values = {label: trial.assignment.get(name) for label, trial in trials.items() if trial}
        if len({repr(value) for value in values.values()}) < 2:
            continue
        kind = "number" if all(number(value) is not None for value in values.values()) else "text"

        def cell(run: ReportedRun, values: dict = values) -> Cell:
            value = values.get(run.label)
            return Cell("–" if value is None else show(value), value if number(value) is not None else str(value))

        yield name, kind, cell


def _best_epoch(run: ReportedRun) -> Cell:
    return Cell(f"{run.best_epoch} of {run.epochs}" if run.best_epoch else "–", run.best_epoch)


def _seed(run: ReportedRun) -> Cell:
    seed = run.record.config.get("seed")
    return Cell("–" if seed is None else str(seed), number(seed))


def _accuracy(scores: SplitScores, low: float, high: float) -> Cell:
    if scores.accuracy is None:
        return Cell("–", None)
    bar = None
    if scores.interval and high > low:

        def place(value: float) -> float:
            return round(100 * (value - low) / (high - low), 1)

        bar = (place(scores.interval[0]), place(scores.accuracy), place(scores.interval[1]))
    return Cell(percent(scores.accuracy), scores.accuracy, scores.interval, bar)
