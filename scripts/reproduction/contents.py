"""The contents of the document and of the page: sections of sentences and tables, from the verdicts and the runs."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_cnn.charts import TextTable
from keras_cnn.evaluation.intervals import mean_interval, wilson
from reproduction import beaten, claims, evidence, verdicts
from reproduction.claims import Claim
from reproduction.evidence import Runs
from reproduction.experiments import Experiment
from reproduction.reports import in4310
from reproduction.verdicts import HOW, Measured, Row

REPORTS = ("CS7015", "TDT4265", "COMP5623", "CS6910", "IN4310")
TEST_IMAGES = 10_000
_TESTED = ("holds", "does not hold", "undecided")
REPLACED = 4.4  # hours of the runs before CS7015's public code was known, and of a shorter recipe for network 4
LONG = 10  # epochs of a run in which there is something to choose
METHOD = (
    "Agrees: the printed number, give or take its rounding, equals ours or lies in its 95 % interval. The interval of"
    " a run is that of one more run with another seed (Student's t); of a mean over a grid, that of another such mean."
    " With one seed alone and no other cell to learn the spread from, it is Wilson's interval over the test images.",
    "The published numbers are of one seed each. Here training uses 45,000 of the 50,000 images, since 5,000 choose"
    " the epoch, and the images are CIFAR-10 re-encoded as JPEG. What CS7015 does not print comes from its author's"
    " public code and tables: SGD with momentum 0.9, pixels of 0-1, PyTorch's initial weights, and ten epochs for the"
    " first table, whose numbers are means over them; but our batches are shuffled anew in every epoch. What the other"
    " reports do not print is our choice. A number that differs may do so for these reasons alone.",
    "In the tables of numbers, a difference is our number minus the printed one. In those of conclusions, a"
    " difference above 0 speaks for the conclusion; a conclusion that two things are similar needs one near 0.",
    "With two or three seeds an interval is wide: a number that agrees is then no outlier, and no more. A mean over"
    " the cells of a grid has the spread over seeds of those cells that have several. The best of several others has"
    " Bonferroni's interval.",
    "Overfit% is 100 times training accuracy minus test accuracy, and 0 where test accuracy is higher.",
    "A stand-in is a run on other images, fewer of them or fewer epochs, where a report's own images or hours are not"
    " at hand. Its numbers cannot be compared with printed ones. The conclusions in words are tested on it, and what"
    " was different stands with the finding; the full runs take its place when they are done. Where its interval has"
    " zero in it and the report prints numbers that can be tested, these decide. Where both say the opposite, neither"
    " does.",
    "Of 20 numbers that agree in truth, one on average lies outside its 95 % interval by chance.",
    "Recomputed means that a number follows, or does not, from others that the same report prints. Settings, such as"
    " the rates that were tried, are not counted as numbers, nor are vague ones, such as the range of 80s.",
    "Of words of degree, slightly, marginally and similar are tested: the whole interval lies within ±2 points of 0."
    " Far and significantly are not; better is enough. Faster convergence is a lower training loss, mean of all"
    " epochs.",
    "The test split is read after every epoch, for the reports chose by it. Each reading is counted in the run"
    " folder; validation chooses, except where a column says that test did.",
    "Names: own is a recipe of ours; short, fewer images or a narrower network; last, the training images after the"
    " last epoch of a run.",
)


@dataclass(frozen=True)
class Section:
    """A part of the document, rendered as Markdown and as HTML."""

    name: str
    title: str
    sentences: tuple[str, ...] = ()
    tables: tuple[tuple[str, TextTable], ...] = ()  # captions with tables


def sections(rows: Sequence[Row], words: Sequence[Claim], runs: Runs, waiting: Sequence[Experiment]) -> list[Section]:
    return [
        _summary(rows, words, runs, waiting),
        _beaten(runs),
        _selection(runs),
        *(_report(name, rows, words, runs) for name in REPORTS),
        _waiting(waiting),
        Section("method", "How the verdicts are made", METHOD),
    ]


def hours(runs: Runs) -> float:
    """The time of all kept runs, validation and test readings included."""
    return sum(result["seconds"] for result in runs.results) / 3600


# --- summary ----------------------------------------------------------------------------------------------------------


def _summary(rows: Sequence[Row], words: Sequence[Claim], runs: Runs, waiting: Sequence[Experiment]) -> Section:
    numbers, formulas = verdicts.counts(rows), sum(row.printed.formula for row in rows)
    total = sum(row.printed.count for row in rows) - formulas
    decided = numbers["agrees"] + numbers["differs"]
    held = claims.counts(words)
    with_interval = Counter(c.verdict for c in words if c.leaves_out_zero)
    first = (
        f"The five reports print {total:,} numbers of results, settings left out, and {formulas} formulas, whose values"
        f" are counted with them. {decided:,} of all are measured, computed or recomputed here: {numbers['agrees']:,}"
        f" agree and {numbers['differs']:,} differ."
        f" {numbers['cannot be compared']:,} cannot be compared with what is at hand, and {numbers['waits']:,} wait for"
        " runs."
    )
    second = (
        f"Of {len(words)} conclusions in words, {held['holds']} hold, {with_interval['holds']} of them with an interval"
        f" that leaves out zero; {held['does not hold']} do not hold, {with_interval['does not hold']} of them with"
        f" such an interval; {held['undecided']} are undecided,"
        f" {held['cannot be tested']} cannot be tested and {held['waits']} wait."
    )
    third = (
        f"{len(runs.trained)} runs have taken {hours(runs):.1f} hours on two cores that other programs used too;"
        f" earlier ones, which they replace, took {REPLACED} hours. {len(waiting)} runs wait."
    )
    return Section(
        "summary",
        "Summary",
        (first, second, third),
        (
            ("Printed numbers by verdict", _by_how(rows)),
            ("Printed numbers by report", _by_report(rows)),
            ("Conclusions in words by report", _claims_by_report(words)),
            ("Conclusions in words by what the verdict rests on", _claims_by_basis(words)),
        ),
    )


def _by_how(rows: Sequence[Row]) -> TextTable:
    table = []
    for how, name in [*HOW.items(), (None, "without a number of ours")]:
        chosen = [row for row in rows if (row.measured.how if row.measured else None) == how]
        counted = verdicts.counts(chosen)
        table.append((name[:1].upper() + name[1:], *(f"{counted[v]:,}" for v in verdicts.VERDICTS)))
    counted = verdicts.counts(rows)
    table.append(("All", *(f"{counted[v]:,}" for v in verdicts.VERDICTS)))
    return TextTable(("Numbers", *verdicts.VERDICTS), tuple(table))


def _by_report(rows: Sequence[Row]) -> TextTable:
    table = []
    for report in REPORTS:
        chosen = [row for row in rows if row.printed.report == report]
        counted = verdicts.counts(chosen)
        printed = sum(row.printed.count for row in chosen)
        table.append((report, f"{printed:,}", *(f"{counted[v]:,}" for v in verdicts.VERDICTS)))
    return TextTable(("Report", "numbers and formulas", *verdicts.VERDICTS), tuple(table))


def _claims_by_report(words: Sequence[Claim]) -> TextTable:
    table = []
    for report in REPORTS:
        counted = Counter(claim.verdict for claim in words if claim.report == report)
        table.append((report, str(counted.total()), *(str(counted[v]) for v in claims.CLAIM_VERDICTS)))
    return TextTable(("Report", "conclusions", *claims.CLAIM_VERDICTS), tuple(table))


def _claims_by_basis(words: Sequence[Claim]) -> TextTable:
    table = []
    for basis, name in claims.BASES.items():
        chosen = [claim for claim in words if claim.verdict in _TESTED and claim.basis == basis]
        counted = Counter(claim.verdict for claim in chosen)
        sure = sum(claim.leaves_out_zero for claim in chosen)
        table.append((name, *(str(counted[v]) for v in _TESTED), str(sure)))
    return TextTable(("Evidence", *_TESTED, "interval without zero"), tuple(table))


def _beaten(runs: Runs) -> Section:
    sentences = (
        "Test accuracy of the epoch that validation chose, beside the one that the report prints: CS7015's is the"
        " highest of all epochs on the test images, but for its first grid from the author's public tables, since the"
        " report prints a mean over epochs, and for network 4 that of its table 1, in evaluation mode; TDT4265's is"
        " that of the last epoch. Parameters and epochs are the report's and ours. Intervals are 95 %, of our mean over"
        " seeds or, with one seed, over the test images; the"
        " verdict says on which side of the printed accuracy the interval lies. A task without a row waits for its"
        " runs.",
    )
    return Section("beaten", "Best accuracies, theirs and ours", sentences, (("", beaten.table(runs)),))


# --- selection on validation and on test ------------------------------------------------------------------------------


def _selection(runs: Runs) -> Section:
    whole = [result for result in runs.trained if result["images"]["test"] == TEST_IMAGES]
    names = list(dict.fromkeys(result["experiment"] for result in whole))
    on_validation, on_test = evidence.chosen("test_accuracy"), evidence.at_best("test_accuracy", "test_accuracy")
    table, gains = [], []
    for name in names:
        found = runs.of(name)
        pairs = [(on_validation(result), on_test(result)) for result in found]
        gains += [there - here for here, there in pairs if len(found[0]["epochs"]["loss"]) >= LONG]
        here, there = (float(np.mean(values)) for values in zip(*pairs, strict=True))
        epochs = "/".join(f"{result['chosen']['epoch']:g}" for result in found)
        best = "/".join(f"{evidence.best_epoch('test_accuracy')(result):g}" for result in found)
        table.append(
            (
                name,
                str(len(found)),
                _accuracy([pair[0] for pair in pairs]),
                epochs,
                _accuracy([pair[1] for pair in pairs]),
                best,
                f"{100 * (there - here):+.2f}",
            )
        )
    sentences: tuple[str, ...] = ()
    if len(gains) > 1:
        low, high = mean_interval(gains)
        gain = f"{100 * np.mean(gains):.2f} points [{100 * low:.2f}, {100 * high:.2f}]"
        sentences = (
            "Choosing the epoch by test accuracy, as the reports did, raises the reported test accuracy by"
            f" {gain} on average over {len(gains)} runs of {LONG} epochs or more.",
        )
    sentences = (
        *sentences,
        "Test accuracies in percent, with 95 % intervals: over the seeds or, of one seed, over the test images.",
    )
    head = (
        "Experiment",
        "seeds",
        "test accuracy, epoch chosen on validation",
        "its epoch, by seed",
        "test accuracy, epoch chosen on test",
        "its epoch, by seed",
        "points",
    )
    return Section(
        "selection",
        "Chosen on validation, and as the reports did on test",
        sentences,
        (("", TextTable(head, tuple(table))),),
    )


def _accuracy(values: Sequence[float]) -> str:
    value = float(np.mean(values))
    if len(values) > 1:
        low, high = mean_interval(values)
    else:
        low, high = wilson(round(value * TEST_IMAGES), TEST_IMAGES)
    return f"{100 * value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


# --- the reports ------------------------------------------------------------------------------------------------------


def _report(name: str, rows: Sequence[Row], words: Sequence[Claim], runs: Runs) -> Section:
    own = [row for row in rows if row.printed.report == name]
    head = ("Place", "number", "published", "here", "seeds", "epochs", "verdict", "reason")
    tables = []
    for how, title in [*HOW.items(), (None, "without a number of ours")]:
        cells = [_cells(row) for row in own if (row.measured.how if row.measured else None) == how]
        if cells:
            tables.append((f"{name}: {title}", TextTable(head, tuple(cells), searched=True)))
    conclusions = [_claim_cells(claim) for claim in words if claim.report == name]
    if conclusions:
        head = ("Place", "conclusion", "difference", "verdict", "finding")
        tables.append((f"{name}: conclusions in words", TextTable(head, tuple(conclusions))))
    return Section(name.lower(), name, in4310.spectra(runs) if name == in4310.REPORT else (), tuple(tables))


def _cells(row: Row) -> tuple[str, ...]:
    printed, measured = row.printed, row.measured
    epochs = f"{printed.epochs or '–'} / {measured.epochs or '–'}" if measured else f"{printed.epochs or '–'} / –"
    number = printed.what if printed.count == 1 else f"{printed.what} ({printed.count} numbers)"
    shown = f"{printed.text} {printed.unit}".strip() if printed.count == 1 else f"{printed.text}, …"
    seeds = str(measured.seeds) if measured and measured.seeds else "–"
    return (printed.place, number, shown, measured_text(measured), seeds, epochs, row.verdict, row.reason)


def measured_text(measured: Measured | None) -> str:
    """A number of ours with its interval."""
    if measured is None:
        return "–"
    value = f"{measured.value:,.0f}" if measured.value == round(measured.value) else f"{measured.value:.5g}"
    return value if math.isnan(measured.low) else f"{value} [{measured.low:.4g}, {measured.high:.4g}]"


def _claim_cells(claim: Claim) -> tuple[str, ...]:
    difference = "–" if claim.difference is None else claim.difference.text(claim.unit)
    return (claim.place, claim.words, difference, claim.verdict, claim.finding)


def _waiting(waiting: Sequence[Experiment]) -> Section:
    if not waiting:
        return Section("waiting", "What waits", ("Every experiment of the plan has been run.",))
    counted = Counter(".".join(each.name.split(".", 2)[:2]) for each in waiting)  # without the cell of a grid
    table = tuple((name, str(count)) for name, count in counted.items())
    return Section("waiting", "What waits", (), (("", TextTable(("Experiment", "runs"), table)),))


def records(rows: Sequence[Row]) -> Iterator[Mapping[str, Any]]:
    """The verdicts as the rows of numbers.csv."""
    for row in rows:
        printed, measured = row.printed, row.measured
        yield {
            "report": printed.report,
            "place": printed.place,
            "number": printed.what,
            "count": printed.count,
            "published": printed.text,
            "unit": printed.unit,
            "epochs_there": printed.epochs or "",
            "measured": "" if measured is None else f"{measured.value:.8g}",
            "low": "" if measured is None or math.isnan(measured.low) else f"{measured.low:.8g}",
            "high": "" if measured is None or math.isnan(measured.high) else f"{measured.high:.8g}",
            "how": measured.how if measured else "",
            "seeds": measured.seeds if measured else "",
            "epochs_here": measured.epochs if measured else "",
            "verdict": row.verdict,
            "reason": row.reason,
        }


def claim_records(words: Sequence[Claim]) -> Iterator[Mapping[str, Any]]:
    """The conclusions as the rows of conclusions.csv."""
    for claim in words:
        found = claim.difference
        yield {
            "report": claim.report,
            "place": claim.place,
            "conclusion": claim.words,
            "evidence": claim.basis if claim.verdict in _TESTED else "",
            "difference": "" if found is None else f"{found.size:.8g}",
            "low": "" if found is None or math.isnan(found.low) else f"{found.low:.8g}",
            "high": "" if found is None or math.isnan(found.high) else f"{found.high:.8g}",
            "verdict": claim.verdict,
            "finding": claim.finding,
        }
