"""The section of the page about a cross-validation, and its lines for a terminal."""

import math

from keras_cnn.analysis.folds import FoldRuns, pooled_metrics, read_folds, write_pooled
from keras_cnn.analysis.run_tables import Swept
from keras_cnn.analysis.sections import PageSection, sentences
from keras_cnn.charts import Chart, IntervalRow, IntervalRows, TextTable
from keras_cnn.charts.text import count, digits, percent_with_interval, with_interval
from keras_cnn.errors import InputError
from keras_cnn.messages import aligned, capitalised, counted

NAME, TITLE, SHORT = "folds", "Cross-validation", "Folds"
WORDS = {"accuracy": "accuracy", "macro_f1": "macro F1", "loss": "loss", "map50": "mAP@0.5", "map": "mAP@[.5:.95]"}
_HEAD = ("measure", "mean of the folds, 95 % interval", "std")
CONVENTIONS = (
    "each fold's images are read once, by the run that has trained and chosen its epoch on the other folds",
    "interval of a mean: that of the corrected resampled t-test of Nadeau and Bengio (2003), as the training images of"
    " two folds overlap; it holds for a training on this number of images",
    "interval of a fold: over its images, as of one network",
)


def folds_section(swept: Swept) -> PageSection:
    """The section; if no fold has finished, it holds only the reason."""
    try:
        folds = read_folds(swept.folder, swept.sweep, swept.trials)
    except InputError as error:
        return PageSection(NAME, TITLE, SHORT, warnings=(f"Not shown: {error}.",))
    table = folds.table
    charts = (_chart(folds),)
    pooled = pooled_metrics(folds.pooled) if folds.pooled else None
    classes = (("Classes, all held-out images together", _classes(pooled)),) if pooled else ()
    spreads = zip(table["measure"], table["std"], strict=True)
    rows = tuple((WORDS[m], _text(folds, m), digits(None if math.isnan(std) else std, 4)) for m, std in spreads)
    return PageSection(
        NAME,
        TITLE,
        SHORT,
        findings=sentences([_finding(folds)]),
        notes=sentences([*CONVENTIONS, *folds.notes]),
        charts=charts,
        tables=(
            ("", TextTable(_HEAD, rows)),
            ("Folds", _fold_table(folds)),
        ),
        folded=classes,
        frames={"folds": folds.runs, "means": table},
    )


def folds_lead(swept: Swept) -> str:
    """The result in a sentence."""
    try:
        folds = read_folds(swept.folder, swept.sweep, swept.trials)
    except InputError:
        return f"Cross-validation with {swept.sweep.folds} folds; none has finished."
    first = folds.measures[0]
    images = count(sum(folds.runs["images"].tolist()))
    held_out = f"{counted(len(folds.runs), 'fold')} of {folds.folds}, {images} images held out in turn"
    return f"{held_out}: {WORDS[first]} {_text(folds, first)}."


def write_folds(swept: Swept) -> list[str]:
    """Writes the pooled predictions of the folds that have finished; returns the result in lines for a terminal.

    Raises InputError as `read_folds` does.
    """
    folds = read_folds(swept.folder, swept.sweep, swept.trials)
    files = write_pooled(swept.folder, folds)
    head = ("fold", "images", *(WORDS[m] for m in folds.measures), "best epoch")
    rows = [
        (row["fold"], count(row["images"]), *(f"{row[m]:.4f}" for m in folds.measures), str(row["best_epoch"]))
        for row in folds.runs.to_dict("records")
    ]
    rows.append(("mean", "", *(f"{folds.mean(m):.4f}" for m in folds.measures), ""))
    first = folds.measures[0]
    interval = folds.interval(first)
    ends = (
        f"  [{interval[0]:.4f}, {interval[1]:.4f}] 95 % interval, corrected for the folds' overlap" if interval else ""
    )
    lines = [*aligned([head, *rows]), "", f"{WORDS[first]}  {folds.mean(first):.4f}{ends}", *folds.notes]
    return [*lines, f"predictions of the held-out images: {files[0]}"]


def _finding(folds: FoldRuns) -> str:
    first = folds.measures[0]
    mean = f"{WORDS[first]} {_text(folds, first)}, the mean of {counted(len(folds.runs), 'fold')}"
    if folds.pooled is None:
        return mean
    right = int(folds.pooled.correct.sum())
    return f"{mean}; all held-out images together: {right:,} of {len(folds.pooled):,} right"


def _text(folds: FoldRuns, measure: str) -> str:
    value, interval = folds.mean(measure), folds.interval(measure)
    if measure in ("accuracy",):
        return percent_with_interval(value, interval)
    return with_interval(value, interval)


def _fold_table(folds: FoldRuns) -> TextTable:
    first, *others = folds.measures
    rows = tuple(
        (
            str(row["fold"]),
            str(row["run"]),
            count(row["images"]),
            count(row["trained_on"]),
            percent_with_interval(row[first], (row["low"], row["high"]))
            if first == "accuracy"
            else with_interval(row[first], (row["low"], row["high"])),
            *(digits(row[m], 4) for m in others),
            str(row["best_epoch"]),
        )
        for row in folds.runs.to_dict("records")
    )
    head = ("fold", "run", "held out", "trained on", WORDS[first], *(WORDS[m] for m in others), "best epoch")
    return TextTable(head, rows)


def _classes(pooled: dict) -> TextTable:
    rows = tuple(
        (
            name,
            *(percent_with_interval(s[m], tuple(s[f"{m}_interval"])) for m in ("precision", "recall", "f1")),
            count(s["support"]),
        )
        for name, s in pooled["per_class"].items()
    )
    return TextTable(("class", "precision", "recall", "F1", "images"), rows)


def _chart(folds: FoldRuns) -> Chart:
    first, scale = folds.measures[0], 100
    low, high = folds.interval(first) or (folds.mean(first), folds.mean(first))
    rows = [
        IntervalRow(str(row["fold"]), scale * row[first], scale * row["low"], scale * row["high"])
        for row in folds.runs.to_dict("records")
    ]
    rows.append(IntervalRow("mean", scale * folds.mean(first), scale * low, scale * high))
    axis = f"{WORDS[first]}, %"
    table = TextTable(
        ("fold", axis, "interval"), tuple((r.label, f"{r.value:.2f}", f"[{r.low:.2f}, {r.high:.2f}]") for r in rows)
    )
    return Chart(
        "folds-scores",
        f"{capitalised(WORDS[first])} of the folds",
        IntervalRows(tuple(rows), axis),
        table,
    )
