"""What the page says, section by section: runs in, plain rows and charts out; the templates only set them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import plotly.graph_objects as go

from keras_cnn.errors import InputError
from keras_cnn.evaluation import protocol, repeats
from keras_cnn.report import charts, published
from keras_cnn.report.inferences import Inference, inferences
from keras_cnn.report.runs import AGAIN, SPLITS, Run
from keras_cnn.report.scores import Scores, number
from keras_cnn.report.sweeps import BEST as BEST_FOLDER
from keras_cnn.report.sweeps import RunTable, Swept
from keras_cnn.sweeps.factors import show

MATRIX_IN_FULL = 16  # classes up to which the table below a confusion matrix has every cell
MISTAKES_LISTED = 60
_ABSENT = "-"  # as in changes.txt: a field that this side does not have
VERDICTS = {
    protocol.INVALIDATES: "invalidates",
    protocol.WEAKENS: "weakens",
    protocol.NOTE: "note",
    protocol.PASSED: "passed",
    protocol.UNKNOWN: "not checked",
}
_ASIDE = ("name", "tracking.")
FEW = 12  # runs up to which each has its own lines, columns and tables
SHOWN = 6  # of more, the best ones have them
MATRICES = 2  # of more, the best ones have their confusion matrices
_LISTED = 4  # different values of a fact that are printed where there are many runs


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names its row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A plotly figure and the same numbers as a table."""

    name: str  # unique on the page
    title: str
    figure: dict  # as plotly.js takes it
    table: Table
    note: str = ""
    shape: str = "wide"  # or square, or large square, or tall: as high as its layout says
    run: Run | None = None  # whose chart it is, where it is one's alone


@dataclass(frozen=True)
class Cell:
    """A number with what it is sorted by."""

    text: str
    value: float | str | None
    interval: tuple[float, float] | None = None
    bar: tuple[float, float, float] | None = None  # low, value and high in percent of the column's range


@dataclass(frozen=True)
class Audit:
    """The protocol audit of one run."""

    run: Run
    flaws: tuple[protocol.Finding, ...]
    passed: tuple[protocol.Finding, ...]
    unknown: tuple[protocol.Finding, ...]

    def worst(self, flaw: str) -> str:
        """The severity of a check: of its worst finding, else passed or unknown."""
        for findings in (self.flaws, self.unknown, self.passed):
            if found := [finding.severity for finding in findings if finding.flaw == flaw]:
                return found[0]
        return protocol.UNKNOWN


@dataclass(frozen=True)
class Model:
    """One network and the runs that have it."""

    runs: tuple[Run, ...]
    name: str
    layers: tuple[dict, ...]
    totals: dict


@dataclass(frozen=True)
class Fact:
    """A row of the environment: the same for all runs, or one text a run."""

    name: str
    texts: tuple[str, ...]

    @property
    def shared(self) -> bool:
        return len(set(self.texts)) == 1


@dataclass(frozen=True)
class Repro:
    """How a run is made again."""

    run: Run
    command: str | None
    commit: str | None
    config: str


@dataclass(frozen=True)
class Publication:
    """The published figures beside a run's own."""

    run: Run
    caveats: tuple[str, ...]  # of all rows that have any
    rows: tuple[published.Beside, ...]  # with the caveats of their own alone


@dataclass
class Content:
    """All of a page but its pictures."""

    title: str
    runs: list[Run]
    shown: list[Run]  # those with lines, columns and tables of their own: all of few, the best of many
    lead: str
    columns: tuple[tuple[str, str], ...]  # (heading, how it sorts: text or number)
    rows: tuple[tuple[Cell, ...], ...]
    inferences: list[Inference]
    published: list[tuple[Run, list[published.Beside]]]
    groups: list[repeats.Group]
    evaluations: Table
    differences: Table
    curves: list[Chart]
    costs: list[Chart]
    classes: list[Chart]
    confusions: list[Chart]  # one a run
    more_confusions: list[Chart]  # of further evaluations
    calibration: list[Chart]
    models: list[Model]
    audits: list[Audit]
    environment: list[Fact]
    reproduce: list[Repro]
    checks: Table | None = None  # of many runs, how many have which verdict
    problems: list[str] = field(default_factory=list)

    @property
    def publications(self) -> list[Publication]:
        return [_publication(run, rows) for run, rows in self.published]


def content(runs: list[Run], table: RunTable | None = None) -> Content:
    """Everything that the page says about `runs`, of a sweep or a file with `table` too.

    Of more than FEW runs the SHOWN best by validation accuracy are shown one by one, before them the sweep's `best`;
    all are in the table of runs, in the curves, among the repeats and behind the inferences.
    """
    swept = table.swept if table else None
    runs, shown = _ranked(runs, swept)
    groups = [group for group in repeats.sum_up([r.record for r in _trials(runs, swept)]) if group.n > 1]
    beside, problems = _published(shown)
    columns, rows = table_of_runs(runs, swept)
    every = audits(runs, groups, swept)
    matrices = _confusions(shown if len(shown) == len(runs) else shown[:MATRICES])
    return Content(
        title=table.name if table else runs[0].label if len(runs) == 1 else f"{len(runs)} runs",
        runs=runs,
        shown=shown,
        lead=_lead_of(runs, table),
        columns=columns,
        rows=rows,
        inferences=_inferences(runs, shown, swept),
        published=beside,
        groups=groups,
        evaluations=evaluations(shown),
        differences=differences(runs, swept),
        curves=_curves([run for run in runs if run.record.history], shown),
        costs=[] if table else _costs(runs),
        classes=_classes(shown),
        confusions=[chart for chart, further in matrices if not further],
        more_confusions=[chart for chart, further in matrices if further],
        calibration=_calibration(shown),
        models=models(shown),
        audits=[audit for audit in every if audit.run in shown],
        environment=environment(runs),
        reproduce=[_repro(run) for run in shown],
        checks=checks(every) if len(shown) < len(runs) else None,
        problems=problems,
    )


def _ranked(runs: list[Run], swept: Swept | None) -> tuple[list[Run], list[Run]]:
    """The runs with their numbers, and those that are shown; of many, the shown ones have the first numbers."""
    if len(runs) <= FEW:
        return runs, runs
    best = sorted(runs, key=lambda run: (not swept or run.label != BEST_FOLDER, -(run.validation.accuracy or 0)))
    numbers = {run.label: i for i, run in enumerate(best)}
    runs = [replace(run, number=numbers[run.label]) for run in runs]
    return runs, sorted((run for run in runs if run.number < SHOWN), key=lambda run: run.number)


def _trials(runs: Sequence[Run], swept: Swept | None) -> list[Run]:
    """Without the sweep's best trained again, which is one of its trials a second time."""
    return [run for run in runs if not swept or run.label != BEST_FOLDER]


def again(runs: Sequence[Run]) -> dict[str, float] | None:
    """The numbers of a sweep's best trial trained again, as a table of runs calls them; None if that is not done."""
    found = next((run for run in runs if run.label == BEST_FOLDER and run.test.accuracy is not None), None)
    if found is None:
        return None
    return {
        "validation_accuracy": found.validation.accuracy,
        "test_accuracy": found.test.accuracy,
        "validation_loss": found.validation.loss,
        "test_loss": found.test.loss,
        "best_epoch": found.best_epoch,
        "parameters": found.total("trainable"),
        "seconds": found.seconds,
    }


def _inferences(runs: Sequence[Run], shown: Sequence[Run], swept: Swept | None) -> list[Inference]:
    """Of many runs, what is said of single ones is kept of the shown ones alone."""
    trials = _trials(runs, swept)
    others = [run.record for run in runs if run not in trials]
    found = [*inferences([run.record for run in trials]), *(inferences(others) if others else [])]
    names = {run.record.name for run in shown}
    return [one for one in found if len(one.rows) > 1 or set(one.rows) <= names]


def _publication(run: Run, rows: Sequence[published.Beside]) -> Publication:
    """What all rows whose verdict a caveat can weaken have in common stands once."""
    weak = [row.caveats for row in rows if row.caveats]
    common = tuple(caveat for caveat in weak[0] if all(caveat in row for row in weak)) if len(weak) > 1 else ()
    own = (replace(row, caveats=tuple(caveat for caveat in row.caveats if caveat not in common)) for row in rows)
    return Publication(run, common, tuple(own))


def _published(runs: Sequence[Run]) -> tuple[list[tuple[Run, list[published.Beside]]], list[str]]:
    """The published figures beside those of each run that names some, and what is wrong with a reference."""
    rows, problems = [], []
    for run in runs:
        try:
            found = published.beside(run.record, published.figures_of(run.record))
        except InputError as error:
            problems.append(str(error))
            continue
        if found:
            rows.append((run, found))
    return rows, problems


# --- text of numbers --------------------------------------------------------------------------------------------------


def percent(value: float | None, digits: int = 2) -> str:
    """0.6848 -> 68.48 %; a number that is not known is a dash."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def interval(ends: tuple[float, float] | None, digits: int = 2) -> str:
    """(0.67562, 0.69383) -> [67.56, 69.38]; nothing where there is none."""
    return f"[{100 * ends[0]:.{digits}f}, {100 * ends[1]:.{digits}f}]" if ends else ""


def count(value: float | None) -> str:
    """173026 -> 173,026."""
    return "–" if value is None else f"{value:,.0f}"


def digits(value: float | None, places: int) -> str:
    """0.67041 with 4 places -> 0.6704; 173026 with 0 -> 173,026."""
    return "–" if value is None else f"{value:,.{places}f}"


def duration(seconds: float | None) -> str:
    """4000 -> 1 h 07 min; 99 -> 1 min 39 s; 4.25 -> 4.2 s."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def large(value: float | None) -> str:
    """1578528 -> 1.58 M, with three digits that count."""
    if value is None:
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 999.5 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


# --- the runs ---------------------------------------------------------------------------------------------------------


def _lead_of(runs: Sequence[Run], table: RunTable | None) -> str:
    if table is None:
        return lead(runs)
    if table.swept is None:
        factors = table.runs.attrs["factors"]
        settings = f"{len(factors)} setting{'s' if len(factors) > 1 else ''}: {', '.join(factors)}"
        return f"{len(table.runs):,} runs in a table, {settings if factors else 'no settings'}."
    swept, best = table.swept, table.swept.best
    total = len(swept.trials)
    states = ", ".join(f"{n:,} {'ended early' if s == 'early' else s}" for s, n in swept.counts.items())
    text = f"{total:,} trial{'' if total == 1 else 's'}: {states}. " if total else "No trial has begun. "
    if best is None:
        return text + ("None has ended with a value." if total else "")
    text += f"The best, {best.label}, has {_metric(swept.metric, best.value)}. "
    again = [run for run in runs if run.label == BEST_FOLDER and run.test.accuracy is not None]
    if again:
        test = again[0].test
        found = f"{percent(test.accuracy)} {interval(test.interval)}"
        return f"{text}Trained again it gets {found} of {count(test.images)} test images right."
    return text + "The test images have not been looked at."


def _metric(column: str, value: float) -> str:
    names = {"val_accuracy": "validation accuracy", "val_loss": "validation loss", "accuracy": "training accuracy"}
    return f"{names.get(column, column)} {percent(value) if column.endswith('accuracy') else f'{value:.4f}'}"


def lead(runs: Sequence[Run]) -> str:
    """One sentence with what matters most."""
    chosen = [run for run in runs if run.validation.accuracy is not None]
    best = max(chosen, key=lambda run: run.validation.accuracy, default=runs[0])
    images = f"{best.test.images:,} test images" if best.test.images else "test images"
    test = f"{percent(best.test.accuracy)} {interval(best.test.interval)}".strip()
    measured = best.test.accuracy is not None
    equals = sum(run.validation.accuracy == best.validation.accuracy for run in chosen)
    shared = f", shared by {equals}" if equals > 1 else ""
    if not measured and best.record.finished and best.validation.accuracy is not None:
        images = f"{best.validation.images:,} validation images" if best.validation.images else "validation images"
        found = f"{percent(best.validation.accuracy)} {interval(best.validation.interval)}".strip()
        end = "the test images have not been looked at."
        if len(runs) == 1:
            return f"{found} of {images} right, in epoch {best.best_epoch} of {best.epochs}; {end}"
        return f"Of {len(runs)} runs, {best.label} has the highest validation accuracy, {found}{shared}; {end}"
    if len(runs) == 1:
        epoch = f", in epoch {best.best_epoch} of {best.epochs}, chosen by {best.monitor}" if best.best_epoch else ""
        return f"{test} of {images} right{epoch}." if measured else f"No test accuracy: {best.state}."
    if not chosen:
        return f"{len(runs)} runs, none with a validation accuracy."
    validation = f"{percent(best.validation.accuracy)} {interval(best.validation.interval)}".strip()
    there = f"it gets {test} of {images} right" if measured else f"no test accuracy, {best.state}"
    return f"Of {len(runs)} runs, {best.label} has the highest validation accuracy, {validation}{shared}; {there}."


Columns = tuple[tuple[str, str], ...]  # (heading, how it sorts: text or number)


def table_of_runs(runs: Sequence[Run], swept: Swept | None = None) -> tuple[Columns, tuple[tuple[Cell, ...], ...]]:
    """The columns, and one row a run; a sweep's have its parameters, and where no run was tested there is no test."""
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


def _parameters(runs: Sequence[Run], swept: Swept | None) -> Iterator[tuple[str, str, Callable[[Run], Cell]]]:
    """A column for each parameter of the sweep that has several values."""
    trials = {run.label: swept.trial_of(run.label) or swept.best for run in runs} if swept else {}
    for name in swept.sweep.parameters if swept else ():
        values = {label: trial.assignment.get(name) for label, trial in trials.items() if trial}
        if len({repr(value) for value in values.values()}) < 2:
            continue
        kind = "number" if all(number(value) is not None for value in values.values()) else "text"

        def cell(run: Run, values: dict = values) -> Cell:
            value = values.get(run.label)
            return Cell("–" if value is None else show(value), value if number(value) is not None else str(value))

        yield name, kind, cell


def _best_epoch(run: Run) -> Cell:
    return Cell(f"{run.best_epoch} of {run.epochs}" if run.best_epoch else "–", run.best_epoch)


def _seed(run: Run) -> Cell:
    seed = run.record.config.get("seed")
    return Cell("–" if seed is None else str(seed), number(seed))


def _accuracy(scores: Scores, low: float, high: float) -> Cell:
    if scores.accuracy is None:
        return Cell("–", None)
    bar = None
    if scores.interval and high > low:
        places = (scores.interval[0], scores.accuracy, scores.interval[1])
        bar = tuple(round(100 * (place - low) / (high - low), 1) for place in places)
    return Cell(percent(scores.accuracy), scores.accuracy, scores.interval, bar)


def evaluations(runs: Sequence[Run]) -> Table:
    """Every split and every other set of images on which a run was measured, with what is known of each."""
    ks = sorted({k for run in runs for scores in run.scores.values() for k in scores.top_k or ()})
    head = ("run", "images of", "images", "accuracy", "95 % interval", *(f"top {k}" for k in ks))
    rows = tuple(
        (
            run.label,
            name,
            count(scores.images),
            percent(scores.accuracy),
            interval(scores.interval) or "–",
            *(percent((scores.top_k or {}).get(k)) for k in ks),
            digits(scores.loss, 4),
            digits(scores.brier, 4),
            percent(scores.calibration.error if scores.calibration else None),
            percent(scores.macro_f1),
        )
        for run in runs
        for name, scores in run.scores.items()
    )
    return Table((*head, "loss", "Brier score", "calibration error", "macro F1"), rows)


def differences(runs: Sequence[Run], swept: Swept | None = None) -> Table:
    """The fields in which the configurations differ; of a single run, its differences from the defaults.

    Of a sweep, whose table of runs has what differs, the differences from the defaults that all its runs have.
    """
    if swept:
        changes = [dict.fromkeys(run.record.changes) for run in runs if run.record.changes]
        kept = [_change(line) for line in (changes[0] if changes else ()) if all(line in other for other in changes)]
        return Table(("field", "default", "all runs"), tuple(row for row in kept if row and not _is_aside(row[0])))
    if len(runs) == 1:
        rows = [_change(line) for line in runs[0].record.changes]
        return Table(("field", "default", "this run"), tuple(row for row in rows if row))
    configs = [run.record.config for run in runs]
    names = dict.fromkeys(name for config in configs for name in config)
    rows = [
        (name, *(_shown(config.get(name, _ABSENT)) for config in configs))
        for name in names
        if not _is_aside(name) and len({repr(config.get(name, _ABSENT)) for config in configs if config}) > 1
    ]
    if len(runs) > FEW:  # a row a run
        by_run = zip(*(row[1:] for row in rows), strict=True) if rows else ()
        named = ((run.label, *values) for run, values in zip(runs, by_run, strict=False))
        return Table(("run", *(row[0] for row in rows)), tuple(named))
    return Table(("field", *(run.label for run in runs)), tuple(rows))


def _is_aside(name: str) -> bool:
    return name.startswith(_ASIDE)


def _change(line: str) -> tuple[str, str, str] | None:
    name, colon, values = line.partition(": ")
    before, arrow, after = values.partition(" -> ")
    return (name, before, after) if colon and arrow else None


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


# --- charts -----------------------------------------------------------------------------------------------------------


def _curves(runs: Sequence[Run], shown: Sequence[Run]) -> list[Chart]:
    others = [run for run in runs if run not in shown]
    runs, found = [run for run in runs if run in shown], []
    if not runs:
        return []
    for quantity, scale, places in (("loss", 1, 4), ("accuracy", 100, 2)):
        by_epoch = [{row["epoch"]: row for row in run.record.history} for run in runs]
        columns = [(rows, column) for rows in by_epoch for column in (quantity, f"val_{quantity}")]
        table = Table(
            ("epoch", *(f"{run.label}, {split}" for run in runs for split in ("training", "validation"))),
            tuple(
                (str(epoch), *(_scaled(rows.get(epoch, {}).get(column), scale, places) for rows, column in columns))
                for epoch in sorted({epoch for rows in by_epoch for epoch in rows})
            ),
        )
        title = {"loss": "Loss by epoch", "accuracy": "Accuracy by epoch"}[quantity]
        found.append(Chart(f"curves-{quantity}", title, _json(charts.curves(runs, quantity, others)), table))
    return found


def _scaled(value: float | None, scale: float, places: int) -> str:
    return digits(None if number(value) is None else value * scale, places)


def _costs(runs: Sequence[Run]) -> list[Chart]:
    found = []
    split = "test" if any(run.test.accuracy is not None for run in runs) else "validation"
    for quantity, title in (("seconds", "Accuracy over training time"), ("trainable", "Accuracy over parameters")):
        scores = {run.label: run.scores.get(split, Scores()) for run in runs}
        points = [r for r in runs if charts.cost_of(r, quantity) is not None and scores[r.label].accuracy is not None]
        if len(points) < 2:
            continue
        front = charts.pareto([(charts.cost_of(run, quantity), scores[run.label].accuracy) for run in points])
        shown = {"seconds": duration, "trainable": count}[quantity]
        rows = tuple(
            (
                run.label,
                shown(charts.cost_of(run, quantity)),
                percent(scores[run.label].accuracy),
                interval(scores[run.label].interval) or "–",
                "yes" if i in front else "no",
            )
            for i, run in enumerate(points)
        )
        axis = {"seconds": "time", "trainable": "parameters"}[quantity]
        head = ("run", axis, f"{split} accuracy", "95 % interval", "on the Pareto front")
        found.append(Chart(f"cost-{quantity}", title, _json(charts.cost(points, quantity, split)), Table(head, rows)))
    return found


def _classes(runs: Sequence[Run]) -> list[Chart]:
    known = [run for run in runs if any(score.recall is not None for score in run.result.classes)]
    if not known:
        return []
    rows = tuple(
        (
            score.name,
            run.label,
            percent(score.recall, 1),
            interval(score.interval, 1) or "–",
            percent(score.precision, 1),
            percent(score.f1, 1),
            count(score.support),
        )
        for name in dict.fromkeys(score.name for run in known for score in run.result.classes)
        for run in known
        for score in run.result.classes
        if score.name == name
    )
    head = ("class", "run", "recall", "95 % interval", "precision", "F1", "images")
    figure, note = _json(charts.class_scores(known)), _images_of(known)
    return [Chart("classes", "Recall of each class", figure, Table(head, rows), note, "tall")]


def _images_of(runs: Sequence[Run]) -> str:
    """Which images the runs' results are of."""
    splits = {run.result_split for run in runs}
    if len(splits) == 1:
        return f"{splits.pop().capitalize()} images."
    untested = [run.label for run in runs if run.result_split == "validation"]
    return f"Test images; of {', '.join(untested)} the validation images."


def _confusions(runs: Sequence[Run]) -> list[tuple[Chart, bool]]:
    """Each confusion matrix, and whether it is of a further evaluation instead of the run's result."""
    found = []
    for run in runs:
        for name, scores in run.scores.items():
            if scores.confusion is None or (name in SPLITS and name != run.result_split):
                continue
            title = run.label if name == "test" else f"{run.label}: {name}"
            table, note = _confusion_table(scores)
            right = f"{percent(scores.accuracy)} right. " if scores.accuracy is not None else ""
            figure = _json(charts.confusion(scores))
            shape = "square" if len(scores.confusion) <= MATRIX_IN_FULL else "large square"
            chart = Chart(f"confusion-{len(found)}", title, figure, table, right + note, shape, run)
            found.append((chart, name != run.result_split))
    return found


def _confusion_table(scores: Scores) -> tuple[Table, str]:
    matrix = scores.confusion
    names = [score.name for score in scores.classes] or list(map(str, range(len(matrix))))
    totals = matrix.sum(axis=1)
    mistakes = sorted(
        (-int(matrix[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j and matrix[i, j]
    )
    worst = ""
    if mistakes:
        n, i, j = -mistakes[0][0], *mistakes[0][1:]
        worst = f"Most confused: {names[i]} taken for {names[j]}, {n:,} of {totals[i]:,} images."
    if len(names) <= MATRIX_IN_FULL:
        rows = tuple((name, *map(count, row)) for name, row in zip(names, matrix.tolist(), strict=True))
        return Table(("true \\ predicted", *names), rows), worst
    listed = mistakes[:MISTAKES_LISTED]
    rows = tuple((names[i], names[j], count(-n), percent(-n / int(totals[i]), 1)) for n, i, j in listed)
    if len(mistakes) > len(listed):
        worst += f" The table lists the {len(listed)} most frequent of {len(mistakes):,} kinds of mistake."
    return Table(("true", "predicted", "images", "share of the true class"), rows), worst


def _calibration(runs: Sequence[Run]) -> list[Chart]:
    known = [(run, *run.calibrated) for run in runs if run.calibrated[1].calibration]
    if not known:
        return []
    again = [f"{run.label}: {name}" for run, name, _ in known if name.endswith(AGAIN)]
    known = [(run, scores) for run, _, scores in known]
    rows = tuple(
        (run.label, f"{100 * low:.1f} to {100 * high:.1f} %", count(n), percent(confidence, 1), percent(accuracy, 1))
        for run, scores in known
        for low, high, n, confidence, accuracy in zip(
            scores.calibration.edges,
            scores.calibration.edges[1:],
            scores.calibration.counts,
            scores.calibration.confidence,
            scores.calibration.accuracy,
            strict=False,
        )
    )
    head = ("run", "confidence from", "images", "mean confidence", "accuracy")
    errors = "; ".join(
        f"{run.label} {percent(scores.calibration.error)} in {len(scores.calibration.counts)} bins"
        for run, scores in known
    )
    note = f"{_images_of([run for run, _ in known])} Expected calibration error: {errors}."
    note += f" Without calibration in metrics.json, so from a later evaluation: {'; '.join(again)}." if again else ""
    return [
        Chart("reliability", "Reliability", _json(charts.reliability(known)), Table(head, rows), note, shape="square")
    ]


def _json(figure: go.Figure) -> dict:
    return figure.to_plotly_json()


# --- models, protocol, environment ------------------------------------------------------------------------------------


def models(runs: Sequence[Run]) -> list[Model]:
    """The different networks, each with its runs. A run without a readable model.json is in none."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        layers = run.record.model.get("layers")
        if isinstance(layers, list) and layers and all(isinstance(layer, dict) for layer in layers):
            found.setdefault(json.dumps(layers), []).append(run)
    return [
        Model(
            tuple(group),
            str(group[0].record.model.get("name", "")),
            tuple(_layer(layer) for layer in group[0].record.model["layers"]),
            {name: group[0].total(name) for name in ("trainable", "other", "multiply_adds")},
        )
        for group in found.values()
    ]


def _layer(row: dict) -> dict:
    """One layer as text; what an older or damaged file does not have is a dash."""
    shape, view = row.get("output_shape"), row.get("field")
    sides = [view.get(side) for side in ("height", "width")] if isinstance(view, dict) else []
    known = len(sides) == 2 and all(isinstance(side, dict) for side in sides)
    return {
        "layer": str(row.get("layer", "–")),
        "type": str(row.get("type", "–")),
        "output": "×".join("?" if n is None else str(n) for n in shape) if isinstance(shape, list) else "–",
        "trainable": count(number(row.get("trainable"))),
        "other": count(number(row.get("other"))),
        "multiply_adds": count(number(row.get("multiply_adds"))),
        "field": _both(sides, "size") if known else "–",
        "stride": _both(sides, "stride") if known else "–",
    }


def _both(sides: list[dict], name: str) -> str:
    height, width = (side.get(name, "?") for side in sides)
    return f"{height}" if height == width else f"{height}×{width}"


def audits(runs: Sequence[Run], groups: Sequence[repeats.Group], swept: Swept | None = None) -> list[Audit]:
    """The protocol audit of each run; the seeds of its repeats count as its own, and a sweep's trials as choices."""
    seeds = {record.path: group.seeds for group in groups for record in group.records}
    choice = protocol.Protocol()
    if swept and swept.trials:
        split = "validation" if swept.metric.startswith("val_") else "train"
        choice = protocol.Protocol(
            configurations=len(swept.trials),
            configuration_chosen_on=split,
            sources={
                "configurations": "trials of the sweep",
                "configuration_chosen_on": f"metric of the sweep: {swept.metric}",
            },
        )
    found = []
    for run in runs:
        facts = protocol.combined(protocol.facts_of(run.record, seeds.get(run.record.path)), choice)
        found.append(
            Audit(run, tuple(protocol.audit(facts)), tuple(protocol.passed(facts)), tuple(protocol.unknown(facts)))
        )
    return found


def checks(audits: Sequence[Audit]) -> Table:
    """How many runs have which verdict, a row a check."""
    found = {audit.worst(flaw) for audit in audits for flaw in protocol.FLAWS}
    verdicts = [verdict for verdict in VERDICTS if verdict in found]
    rows = tuple(
        (flaw.replace("-", " "), *(count(sum(a.worst(flaw) == verdict for a in audits)) for verdict in verdicts))
        for flaw in protocol.FLAWS
    )
    return Table(("check", *(VERDICTS[verdict] for verdict in verdicts)), rows)


def environment(runs: Sequence[Run]) -> list[Fact]:
    """Data, versions, hardware and commit: one row a fact that at least one run knows."""
    columns = [_environment(run) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    if len(runs) > FEW:
        return [Fact(name, (_spread([column.get(name, "–") for column in columns]),)) for name in names]
    return [Fact(name, tuple(column.get(name, "–") for column in columns)) for name in names]


def _spread(texts: Sequence[str]) -> str:
    """The one value, or the commonest with their numbers of runs."""
    counts = Counter(texts)
    if len(counts) == 1:
        return texts[0]
    listed = [f"{text} ({n:,} {'run' if n == 1 else 'runs'})" for text, n in counts.most_common(_LISTED)]
    more = f"; and {len(counts) - _LISTED:,} more" if len(counts) > _LISTED else ""
    return "; ".join(listed) + more


def _environment(run: Run) -> dict[str, str]:
    found, split, config = run.record.environment, run.record.split, run.record.config
    hardware = found.get("hardware") if isinstance(found.get("hardware"), dict) else {}
    packages = found.get("packages") if isinstance(found.get("packages"), dict) else {}
    counts = split.get("counts") if isinstance(split.get("counts"), dict) else {}
    gpus = hardware.get("gpus")
    facts = {
        "data": config.get("data.source") or split.get("source"),
        "images": ", ".join(f"{name} {count(number(n))}" for name, n in counts.items()),
        "split (SHA-256)": str(split.get("sha256") or "")[:16],
        "started": str(found.get("started") or "").replace("T", " ").replace("+00:00", " UTC"),
        "computed in": run.record.metrics.get("computed_in") or hardware.get("computed_in"),
        "processor": hardware.get("processor"),
        "cores": hardware.get("cores"),
        "GPUs": ", ".join(map(str, gpus)) or "none" if isinstance(gpus, list) else gpus,
        "platform": found.get("platform"),
        "Python": found.get("python"),
        **{name: version for name, version in packages.items() if version},
        "git commit": found.get("git"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _repro(run: Run) -> Repro:
    found = run.record.environment
    text = (run.record.path / "config.yaml").read_text(encoding="utf-8", errors="backslashreplace")
    command, commit = found.get("command"), found.get("git")
    return Repro(run, str(command) if command else None, str(commit) if commit else None, text)
