"""CS7015: its conclusions in words."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from reproduction import evidence
from reproduction.claims import (
    OWN,
    Claim,
    ClaimVerdict,
    Difference,
    best_against_next,
    between,
    deciding,
    larger,
    of_print,
    on_stand_in,
    over_cells,
    paired,
    similar,
    trend,
)
from reproduction.evidence import Quantity, Runs
from reproduction.experiments import Experiment, grid
from reproduction.networks import parameters
from reproduction.reports import cs7015_inside
from reproduction.reports.cs7015_grids import BEST, IMAGES, REPORT, model_options
from reproduction.stand_ins import SHORT, short_grid, short_name

TEST, TRAIN, OVERFIT = evidence.mean("test_accuracy"), evidence.mean("accuracy"), evidence.mean("overfit")
BEST_TEST = evidence.at_best("test_accuracy", "test_accuracy")
WAITS: tuple[ClaimVerdict, str] = ("waits", "needs network 4, trained for 100 epochs")
TRAINED = 50_000  # images that the report trained on
# Its table of means over the grid of network 2, by epoch.
PRINTED_EPOCHS = (1, 5, 9, 13, 17, 21, 25, 29)
PRINTED_TRAIN = (0.158178, 0.576427, 0.748044, 0.848084, 0.918202, 0.953464, 0.969569, 0.980733)
PRINTED_TEST = (0.254411, 0.584967, 0.661889, 0.663333, 0.658233, 0.670867, 0.682633, 0.686378)
PRINTED_LOSS = (2.21909, 1.18948, 0.719404, 0.431949, 0.234653, 0.135134, 0.0896555, 0.0579632)
PRINTED_OVERFIT = (0, 0.177556, 8.61556, 18.4751, 25.9969, 28.2598, 28.6936, 29.4356)
# Its tables of means over the grids of networks 2 and 3: test accuracy by width and by kernel size; by dropout rate.
PRINTED_BY_WIDTH, PRINTED_BY_KERNEL = {18: 0.596192, 64: 0.663361}, {3: 0.649938, 5: 0.642742, 7: 0.599030}
WIDTHS_3, PRINTED_BY_WIDTH_3 = (32, 64, 96), (0.780493, 0.798076, 0.805972)
RATES = (0.1, 0.3, 0.5)
PRINTED_BY_RATE = {
    "train": (0.870216, 0.828132, 0.772994),
    "test": (0.827451, 0.799759, 0.757331),
    "overfit": (4.597644, 3.182089, 1.919489),
}
PRINTED_NET4 = {0.3: 0.851131, 0.5: 0.826185}  # mean test accuracy by dropout rate
CELLS = {network: f"cs7015.{network}.{row[0]}" for network, row in BEST.items()}


def claims(runs: Runs) -> Iterator[Claim]:
    yield from _first_and_net1(runs)
    yield from _net2(runs)
    yield from _net3(runs)
    yield from _net4(runs)
    yield from cs7015_inside.claims(runs)


def _claim(
    place: str,
    words: str,
    verdict: tuple[ClaimVerdict, str],
    difference: Difference | None,
    unit="points",
    **options: bool,
) -> Claim:
    return Claim(REPORT, place, words, *verdict, difference, unit, **options)


def _first_and_net1(runs: Runs) -> Iterator[Claim]:
    best = "cs7015.first.learning_rate0.01-batch_size128"
    found = best_against_next(runs, "cs7015.first", best, TEST)
    yield _claim("Part 1", "Batch size 128 and learning rate 0.01 are the best of six", larger(found), found)
    cells = grid("cs7015_net1")
    place = "Net 1, 1)"
    found = best_against_next(runs, "cs7015.net1", CELLS["net1"], BEST_TEST)
    yield _claim(place, "The widest network, with kernel 3, has the best test accuracy", larger(found), found)
    yield _most_parameters("net1", place)
    place = "Net 1, 2)"
    for what, quantity in (("train", TRAIN), ("test", TEST)):
        found = paired(runs, cells, "model.l1_oc", (18, 6), quantity)
        yield _claim(place, f"Mean {what} accuracy increases with the width", larger(found), found)
    found = paired(runs, cells, "model.l1_oc", (6, 18), evidence.mean("loss"))
    yield _claim(place, "The loss is lower for wider networks", larger(found), found, "nats")
    found = paired(runs, cells, "model.filter_multiplier", (2, 1.5), TEST)
    yield _claim(
        place, "Filter multipliers 1.5 and 2 give quite similar results", similar(found), found, similarity=True
    )
    place = "Net 1, 3)"
    found = paired(runs, cells, "model.stride", (1, 2), TEST)
    yield _claim(place, "Stride 2 is significantly worse than stride 1", larger(found), found)
    at_1, at_2 = {"model.stride": 1}, {"model.stride": 2}
    found = paired(runs, cells, "model.kernel_size", (3, 5), TEST, at_1)
    yield _claim(place, "Kernel 3 is better than kernel 5 at stride 1", larger(found), found)
    yield _claim(place, "... but only slightly", similar(found), found, similarity=True)
    for what, quantity in (("train", TRAIN), ("test", TEST)):
        found = paired(runs, cells, "model.kernel_size", (5, 3), quantity, at_2)
        yield _claim(place, f"At stride 2, kernel 5 gives a higher {what} accuracy than 3", larger(found), found)


def _most_parameters(network: str, place: str) -> Claim:
    """Whether the best cell of a grid is the one with the most parameters."""
    cells = {each.name: parameters(network, **model_options(each)) for each in grid(f"cs7015_{network}")}
    own, most = cells[CELLS[network]], max(cells, key=cells.__getitem__)
    holds = own == cells[most]
    finding = f"it has {own:,} parameters"
    if not holds:
        finding += f", and {most.removeprefix(f'cs7015.{network}.')} has {cells[most]:,}"
    return _claim(place, "... and it has the most parameters", ("holds" if holds else "does not hold", finding), None)


def _of_grid(runs: Runs, network: str, compute: Callable[[str, Sequence[Experiment]], Difference | None]):
    """The difference over the published grid or, until enough of it has run, over its cells on few images."""
    found = compute(f"cs7015.{network}", grid(f"cs7015_{network}"))
    if found is not None:
        return found
    return on_stand_in(compute(f"cs7015.short_{network}", short_grid(network)), SHORT)


def _best(runs: Runs, network: str) -> Difference | None:
    cell = BEST[network][0]
    return _of_grid(runs, network, lambda prefix, cells: best_against_next(runs, prefix, f"{prefix}.{cell}", BEST_TEST))


def _better(runs: Runs, better: str, worse: str, quantity: Quantity) -> Difference | None:
    """The difference of two networks' best cells."""
    found = between(runs, CELLS[better], CELLS[worse], quantity)
    if found is not None:
        return found
    return on_stand_in(between(runs, short_name(CELLS[better]), short_name(CELLS[worse]), quantity), SHORT)


def _printed(better: str, worse: str) -> Difference:
    """The difference of the printed best test accuracies, until both networks have run."""
    first, second = (float(BEST[network][3]["test"]) for network in (better, worse))
    return of_print(first, second, IMAGES, f"printed best test accuracies, {better} minus {worse}, one run each")


def _printed_overfit() -> Difference:
    """The printed overfit% of network 2 minus that of network 3, until both have run."""
    (train2, test2), (train3, test3) = (
        (float(BEST[network][3]["train"]), float(BEST[network][3]["test"])) for network in ("net2", "net3")
    )
    train, test = of_print(train2, train3, TRAINED, ""), of_print(test3, test2, IMAGES, "")
    size, half = 100 * (train.size + test.size), 100 * math.hypot(train.high - train.size, test.high - test.size)
    return Difference(size, size - half, size + half, "printed for one run each, over the images", OWN)


def _pairs(runs: Runs, network: str, field: str, levels: tuple[float, float], quantity: Quantity) -> Difference | None:
    return _of_grid(runs, network, lambda prefix, cells: paired(runs, cells, field, levels, quantity))


def _net2(runs: Runs) -> Iterator[Claim]:
    found = _best(runs, "net2")
    yield _claim("Net 2, 1)", "The widest network, with kernel 5, has the best test accuracy", larger(found), found)
    yield _most_parameters("net2", "Net 2, 1)")
    found = deciding(between(runs, CELLS["net2"], CELLS["net1"], BEST_TEST), _printed("net2", "net1"))
    yield _claim("Net 3 configurations", "Net 2 gains test accuracy over net 1", larger(found), found)
    place = "Net 2, 2)"
    found = _of_grid(runs, "net2", functools.partial(_change, runs, "loss", first=1, falls=True))
    falls = trend(np.log(PRINTED_EPOCHS), np.negative(PRINTED_LOSS), "epoch 1 minus epoch 29, over log(epoch)")
    found = deciding(found, falls, "nats")
    yield _claim(place, "With more epochs the loss decreases", larger(found), found, "nats")
    for what, column, printed in (("train", "accuracy", PRINTED_TRAIN), ("test", "test_accuracy", PRINTED_TEST)):
        found = _of_grid(runs, "net2", functools.partial(_change, runs, column, first=1))
        found = deciding(found, trend(np.log(PRINTED_EPOCHS), printed, "epoch 29 minus epoch 1, over log(epoch)"))
        yield _claim(place, f"With more epochs the {what} accuracy increases", larger(found), found)
    found = _of_grid(runs, "net2", functools.partial(_change, runs, "overfit", first=5))
    found = deciding(found, trend(PRINTED_EPOCHS, PRINTED_OVERFIT, "epoch 29 minus epoch 1"), "%")
    yield _claim(place, "The overfit% increases with the epochs", larger(found), found, "%")
    place = "Net 2, 3)"
    found = deciding(_pairs(runs, "net2", "model.l1_oc", (64, 18), TEST), _printed_means("l1_oc", PRINTED_BY_WIDTH))
    yield _claim(place, "Mean test accuracy increases with l1_oc", larger(found), found)
    found = _pairs(runs, "net2", "model.kernel_size", (3, 5), TEST)
    yield _claim(place, "Kernel 3 performs better than 5", larger(found), found)
    yield _claim(place, "... but only slightly", similar(found), found, similarity=True)
    by_kernel = {level: PRINTED_BY_KERNEL[level] for level in (7, 3)}
    found = deciding(_pairs(runs, "net2", "model.kernel_size", (3, 7), TEST), _printed_means("kernel_size", by_kernel))
    yield _claim(place, "Kernel 3 performs significantly better than 7", larger(found), found)


def _printed_means(field: str, means: Mapping[float, float]) -> Difference:
    """The printed mean test accuracy of the last level minus that of the first, each as if of one run."""
    first, last = means
    what = f"printed mean test accuracies, {field} {last:g} minus {first:g}, each taken as of one run"
    return of_print(means[last], means[first], IMAGES, what)


def _change(
    runs: Runs, column: str, prefix: str, cells: Sequence[Experiment], *, first: int, falls: bool = False
) -> Difference | None:
    """The mean over all cells of the last epoch minus an early one, or the other way round."""
    ends = (first, cells[0].epochs) if falls else (cells[0].epochs, first)
    change = evidence.minus(*(evidence.at(column, epoch) for epoch in ends))
    return over_cells(runs, cells, change, f"epoch {ends[0]} minus epoch {ends[1]}")


def _net3(runs: Runs) -> Iterator[Claim]:
    found = _best(runs, "net3")
    yield _claim("Net 3, 1)", "The widest network, with dropout 0.1, has the best test accuracy", larger(found), found)
    yield _most_parameters("net3", "Net 3, 1)")
    found = deciding(_better(runs, "net3", "net2", BEST_TEST), _printed("net3", "net2"))
    yield _claim("Net 3, 1)", "Test accuracy is far above that of net 2", larger(found), found)
    found = _better(runs, "net2", "net3", evidence.at_best("overfit", "test_accuracy"))
    found = deciding(found, _printed_overfit(), "%")
    yield _claim("Net 3, 1)", "Dropout, batch norm and augmentation reduce the overfit%", larger(found), found, "%")
    place = "Net 3, 2)"
    for words, quantity, printed, unit in (
        ("With more dropout the overfit% decreases", OVERFIT, "overfit", "%"),
        ("With more dropout the train accuracy drops", TRAIN, "train", "points"),
        ("With more dropout the test accuracy drops", TEST, "test", "points"),
    ):
        found = _pairs(runs, "net3", "model.dropout_rate", (0.1, 0.5), quantity)
        found = deciding(found, trend(RATES, np.negative(PRINTED_BY_RATE[printed]), "rate 0.1 minus 0.5"), unit)
        yield _claim(place, words, larger(found), found, unit)
    place = "Net 3, 3)"
    found = _pairs(runs, "net3", "model.l1_oc", (96, 32), TEST)
    found = deciding(found, trend(np.log(WIDTHS_3), PRINTED_BY_WIDTH_3, "l1_oc 96 minus 32, over log(l1_oc)"))
    yield _claim(place, "With l1_oc the test accuracy increases", larger(found), found)
    yield _claim(place, "... but only marginally", similar(found), found, similarity=True)
    narrow, _, wide = (parameters("net3", l1_oc=width, dropout_rate=0.1) for width in WIDTHS_3)
    finding = f"{wide / narrow:.2f} times as many with l1_oc 96 as with 32"
    verdict = "holds" if wide > 4 * narrow else "does not hold"
    yield _claim(place, "... with more than 4 times the parameters", (verdict, finding), None)


def _net4(runs: Runs) -> Iterator[Claim]:
    found = deciding(between(runs, CELLS["net4"], CELLS["net3"], BEST_TEST), _printed("net4", "net3"))
    yield _claim("Net 4, 1)", "The deeper and sleeker network is better than net 3", larger(found), found)
    yield _claim("Net 4, 1)", "... but only slightly", similar(found), found, similarity=True)
    fewer = 1 - parameters("net4", **BEST["net4"][1]) / parameters("net3", **BEST["net3"][1])
    exact = Difference(fewer, what="share of the parameters of net 3, exact", basis="computed")
    yield _claim("Net 4, 1)", "It has almost 35 % fewer parameters than net 3", ("holds", exact.what), exact)
    found = between(runs, "cs7015.net4.dropout_rate0.3", "cs7015.net4.dropout_rate0.5", BEST_TEST)
    found = deciding(found, _printed_means("dropout_rate", {rate: PRINTED_NET4[rate] for rate in (0.5, 0.3)}))
    yield _claim("Net 4, 2)", "Dropout 0.3 is much better than 0.5", larger(found), found)
    yield _claim("Net 4, 2)", "At no epoch does dropout 0.5 cross 88 %", WAITS, None)
