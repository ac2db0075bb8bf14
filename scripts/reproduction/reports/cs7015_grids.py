"""CS7015: the tables of means over its grids, and the rows of its best runs."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_cnn.analysis.published_means import PublishedTable, read_grid
from reproduction import evidence
from reproduction.evidence import Quantity, Runs
from reproduction.experiments import Experiment, grid, values_of
from reproduction.networks import computed, parameters, recomputed
from reproduction.verdicts import Measured, NotMeasured, Printed, Row, judged

REPORT = "CS7015"
IMAGES = 10_000  # of the test split
SEVERAL_EPOCHS = {"cs7015_net1": 30, "cs7015_net2": 30, "cs7015_net3": 60, "cs7015_net4": 100}
_QUANTITIES: Mapping[str, str] = {
    "loss": "loss",
    "train_accuracy": "accuracy",
    "test_accuracy": "test_accuracy",
    "overfit_percent": "overfit",
}

BEST = {  # network -> grid, its best cell, and the printed row
    "net1": (
        "filter_multiplier2-kernel_size3-l1_oc18-stride1",
        {"l1_oc": 18, "filter_multiplier": 2, "kernel_size": 3, "stride": 1},
        "Analysis of Net 1 results, 1), row of run 21",
        {"epoch": "12", "loss": "0.70264", "train": "0.75468", "test": "0.6704", "parameters": "173026"},
        ("11.333719", "137.952505"),
        None,
    ),
    "net2": (
        "kernel_size5-l1_oc64",
        {"l1_oc": 64, "kernel_size": 5},
        "Analysis of Net 2 results, 1), row of run 8",
        {"epoch": "28", "loss": "0.016232", "train": "0.99482", "test": "0.7503", "parameters": "4870654"},
        ("71.089209", "2006.254373"),
        "24.452",
    ),
    "net3": (
        "dropout_rate0.1-l1_oc96",
        {"l1_oc": 96, "dropout_rate": 0.1},
        "Analysis of Net 3 results, 1), row of run 7",
        {"epoch": "42", "loss": "0.189188", "train": "0.9348", "test": "0.875", "parameters": "6819454"},
        ("109.561", "4596.02"),
        "5.98",
    ),
    "net4": (
        "dropout_rate0.3",
        {"l1_oc": 64, "dropout_rate": 0.3},
        "Analysis of Net 4 results, 1), row of run 1",
        {"epoch": "91", "loss": "0.0983406", "train": "0.96714", "test": "0.8874", "parameters": "4403518"},
        ("84.4099", "8562.45"),
        "7.974",
    ),
}
WITH_DROPOUT = "printed with dropout active and on randomly cropped test images, which lowers it"


def first_grid(runs: Runs) -> Iterator[Row]:
    """Part 1: learning rate by batch size. Each number is a mean over ten epochs, as the author's tables show."""
    printed = {
        ("0.001", "128"): ("2.112819", "0.215678", "0.22864"),
        ("0.001", "256"): ("2.288286", "0.155022", "0.15799"),
        ("0.001", "512"): ("2.306807", "0.115798", "0.11689"),
        ("0.01", "128"): ("1.442024", "0.478140", "0.48958"),
        ("0.01", "256"): ("1.560710", "0.435316", "0.45656"),
        ("0.01", "512"): ("1.971460", "0.264850", "0.28071"),
    }
    for (rate, batch), texts in printed.items():
        name = f"cs7015.first.learning_rate{rate}-batch_size{batch}"
        for text, mean, images in zip(texts, _QUANTITIES, (0, 0, IMAGES), strict=False):
            what = f"{mean.replace('_', ' ')}, learning rate {rate}, batch {batch}"
            quantity = evidence.mean(_QUANTITIES[mean])
            yield judged(Printed(REPORT, "Part 1, table", what, text, 10), runs.number(name, quantity, images=images))


def best_rows(runs: Runs) -> Iterator[Row]:
    """The row of each network's best run, at the epoch with the highest test accuracy, as the report chose it."""
    for network, (cell, options, place, row, durations, overfit) in BEST.items():
        name, epochs = f"cs7015.{network}.{cell}", SEVERAL_EPOCHS[f"cs7015_{network}"]
        note = WITH_DROPOUT if network in ("net3", "net4") else ""
        numbers: list[tuple[str, str, Quantity, int]] = [
            (
                "epoch of the highest test accuracy",
                row["epoch"],
                evidence.best_epoch("test_accuracy", epochs=epochs),
                0,
            ),
            ("loss at that epoch", row["loss"], evidence.at_best("loss", "test_accuracy"), 0),
            ("train accuracy at that epoch", row["train"], evidence.at_best("accuracy", "test_accuracy"), 0),
            ("highest test accuracy", row["test"], evidence.at_best("test_accuracy", "test_accuracy"), IMAGES),
        ]
        for what, text, quantity, images in numbers:
            printed = Printed(REPORT, place, f"{network}: {what}", text, epochs)
            yield judged(printed, runs.number(name, quantity, images=images, note=note))
        printed = Printed(REPORT, place, f"{network}: parameters", row["parameters"])
        yield judged(printed, computed(parameters(network, **options)))
        if overfit:
            own = recomputed(100 * (float(row["train"]) - float(row["test"])), 0.002)
            yield judged(Printed(REPORT, place, f"{network}: overfit%", overfit, epochs, "%"), own)
        reason = NotMeasured("the machine is not named, and another one takes another time")
        yield judged(
            Printed(REPORT, place, f"{network}: seconds of an epoch and of the run", durations[0], epochs, count=2),
            reason,
        )


def means(runs: Runs) -> Iterator[Row]:
    """Every mean of the tables over the grids of networks 1 to 4."""
    for sweep_name, epochs in SEVERAL_EPOCHS.items():
        network = sweep_name.partition("_")[2]
        cells = grid(sweep_name)
        implied = _implied(_tables(network))
        for table in _tables(network):
            for levels, values in table.rows:
                at = dict(zip(table.by, levels, strict=True))
                own = implied.get((table.by, levels), {})
                yield from _table_row(runs, network, cells, table, at, values, epochs, own)


def _implied(tables: Sequence[PublishedTable]) -> dict[tuple, dict[str, Measured]]:
    """The means in the last row that the other rows give, by the table's fields and the levels of the row.

    Two tables of means over all cells with one level of a setting have the same grand mean.
    """
    margins = [table for table in tables if len(table.by) == 1 and table.by[0] != "epoch"]
    if len(margins) != 2:
        return {}
    first, last = margins
    found = {}
    for name in set(first.means) & set(last.means):
        known = [values[first.means.index(name)] for _, values in first.rows]
        others = [values[last.means.index(name)] for _, values in last.rows][:-1]
        levels = len(others) + 1
        roundings = [Printed(REPORT, "", name, repr(value)).margin for value in (*known, *others)]
        value = levels * sum(known) / len(known) - sum(others)
        found[name] = recomputed(value, levels * max(roundings) + sum(roundings[len(known) :]), "by the grand mean")
    return {(last.by, last.rows[-1][0]): found}


@functools.cache  # reading the published files takes a second
def _tables(network: str) -> tuple[PublishedTable, ...]:
    published = read_grid(f"cs7015/{network}")
    assert published is not None
    return published.tables


def _table_row(
    runs: Runs,
    network: str,
    cells: Sequence[Experiment],
    table: PublishedTable,
    levels: Mapping[str, Any],
    values: tuple[float, ...],
    epochs: int,
    implied: Mapping[str, Measured],
) -> Iterator[Row]:
    group = [each for each in cells if all(values_of(each)[n] == v for n, v in levels.items() if n != "epoch")]
    shown = ", ".join(f"{name.rpartition('.')[2]} {level:g}" for name, level in levels.items())
    row = dict(zip(table.means, values, strict=True))
    note = WITH_DROPOUT if network in ("net3", "net4") else ""
    for mean, value in row.items():
        place = table.source.partition(", ")[2]
        printed = Printed(REPORT, place, f"{network}: {mean.replace('_', ' ')} at {shown}", repr(value), epochs)
        if mean == "parameters":
            own = [parameters(network, **model_options(each)) for each in group]
            yield judged(printed, computed(sum(own) / len(own), f"mean of {len(own)} networks"))
            continue
        epoch = levels.get("epoch")
        quantity = evidence.at(_QUANTITIES[mean], epoch) if epoch else evidence.mean(_QUANTITIES[mean])
        measured = runs.group([each.name for each in group], f"cs7015.{network}", quantity, note)
        if mean == "overfit_percent":
            measured = _or_recomputed(measured, row)
        yield judged(printed, measured if isinstance(measured, Measured) else implied.get(mean, measured))


def _or_recomputed(measured: Measured | NotMeasured, row: Mapping[str, float]) -> Measured | NotMeasured:
    """Without runs, the overfit% that the printed accuracies of the same row give.

    The report counts a run's overfit% as 0 where its test accuracy is higher, so that its means can lie above these:
    then only runs can tell. They cannot lie below.
    """
    if isinstance(measured, Measured):
        return measured
    own = 100 * max(0.0, row["train_accuracy"] - row["test_accuracy"])
    return measured if row["overfit_percent"] - own > 1e-3 else recomputed(own, 1e-4)


def model_options(experiment: Experiment) -> dict[str, Any]:
    options = {n.removeprefix("model."): v for n, v in values_of(experiment).items() if n.startswith("model.")}
    return {name: value for name, value in options.items() if name != "name"}
