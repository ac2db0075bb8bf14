"""CS7015: its conclusions in words."""

from collections.abc import Iterator

from reproduction import evidence
from reproduction.claims import (
    Claim,
    ClaimVerdict,
    Difference,
    best_against_next,
    between,
    larger,
    minus,
    over_cells,
    paired,
    similar,
)
from reproduction.evidence import Runs
from reproduction.networks import parameters
from reproduction.plan import grid
from reproduction.reports.cs7015_grids import BEST, REPORT

TEST, TRAIN, OVERFIT = evidence.mean("test_accuracy"), evidence.mean("accuracy"), evidence.mean("overfit")
BEST_TEST = evidence.at_best("test_accuracy", "test_accuracy")
WAITS: tuple[ClaimVerdict, str] = ("waits", "needs network 4, trained")
CELLS = {network: f"cs7015.{network}.{row[0]}" for network, row in BEST.items()}


def claims(runs: Runs) -> Iterator[Claim]:
    yield from _first_and_net1(runs)
    yield from _net2(runs)
    yield from _net3(runs)
    yield from _net4(runs)
    yield from _inside()


def _claim(
    place: str, words: str, verdict: tuple[ClaimVerdict, str], difference: Difference | None, unit="points"
) -> Claim:
    return Claim(REPORT, place, words, *verdict, difference, unit)


def _first_and_net1(runs: Runs) -> Iterator[Claim]:
    best = "cs7015.first.learning_rate0.01-batch_size128"
    found = best_against_next(runs, "cs7015.first", best, evidence.last("test_accuracy"))
    yield _claim("Part 1", "Batch size 128 and learning rate 0.01 are the best of six", larger(found), found)
    cells = grid("cs7015_net1")
    place = "Net 1, 1)"
    found = best_against_next(runs, "cs7015.net1", CELLS["net1"], BEST_TEST)
    yield _claim(place, "The widest network with the most parameters has the best test accuracy", larger(found), found)
    place = "Net 1, 2)"
    for what, quantity in (("train", TRAIN), ("test", TEST)):
        found = paired(runs, cells, "model.l1_oc", (18, 6), quantity)
        yield _claim(place, f"Mean {what} accuracy increases with the width", larger(found), found)
    found = paired(runs, cells, "model.l1_oc", (6, 18), evidence.mean("loss"))
    yield _claim(place, "The loss is lower for wider networks", larger(found), found, "nats")
    found = paired(runs, cells, "model.filter_multiplier", (2, 1.5), TEST)
    yield _claim(place, "Filter multipliers 1.5 and 2 give quite similar results", similar(found), found)
    place = "Net 1, 3)"
    found = paired(runs, cells, "model.stride", (1, 2), TEST)
    yield _claim(place, "Stride 2 is significantly worse than stride 1", larger(found), found)
    at_1, at_2 = {"model.stride": 1}, {"model.stride": 2}
    found = paired(runs, cells, "model.kernel_size", (3, 5), TEST, at_1)
    yield _claim(place, "Kernel 3 is better than kernel 5 at stride 1", larger(found), found)
    yield _claim(place, "... but only slightly", similar(found), found)
    for what, quantity in (("train", TRAIN), ("test", TEST)):
        found = paired(runs, cells, "model.kernel_size", (5, 3), quantity, at_2)
        yield _claim(place, f"At stride 2, kernel 5 gives a higher {what} accuracy than 3", larger(found), found)


def _net2(runs: Runs) -> Iterator[Claim]:
    cells = grid("cs7015_net2")
    found = best_against_next(runs, "cs7015.net2", CELLS["net2"], BEST_TEST)
    yield _claim("Net 2, 1)", "The widest network, with kernel 5, has the best test accuracy", larger(found), found)
    found = between(runs, CELLS["net2"], CELLS["net1"], BEST_TEST)
    yield _claim("Net 3 configurations", "Net 2 gains test accuracy over net 1", larger(found), found)
    place = "Net 2, 2)"
    for what, column in (("train", "accuracy"), ("test", "test_accuracy")):
        change = minus(evidence.at(column, 29), evidence.at(column, 1))
        found = over_cells(runs, cells, change, "epoch 29 minus epoch 1")
        yield _claim(place, f"With more epochs the {what} accuracy increases", larger(found), found)
    change = minus(evidence.at("overfit", 29), evidence.at("overfit", 9))
    found = over_cells(runs, cells, change, "overfit%, epoch 29 minus epoch 9")
    yield _claim(place, "The overfit% increases with the epochs", larger(found), found, "%")
    place = "Net 2, 3)"
    found = paired(runs, cells, "model.l1_oc", (64, 18), TEST)
    yield _claim(place, "Mean test accuracy increases with l1_oc", larger(found), found)
    found = paired(runs, cells, "model.kernel_size", (3, 5), TEST)
    yield _claim(place, "Kernel 3 performs better than 5", larger(found), found)
    found = paired(runs, cells, "model.kernel_size", (3, 7), TEST)
    yield _claim(place, "Kernel 3 performs significantly better than 7", larger(found), found)


def _net3(runs: Runs) -> Iterator[Claim]:
    cells = grid("cs7015_net3")
    found = best_against_next(runs, "cs7015.net3", CELLS["net3"], BEST_TEST)
    yield _claim("Net 3, 1)", "The widest network, with dropout 0.1, has the best test accuracy", larger(found), found)
    found = between(runs, CELLS["net3"], CELLS["net2"], BEST_TEST)
    yield _claim("Net 3, 1)", "Test accuracy is far above that of net 2", larger(found), found)
    at_test = evidence.at_best("overfit", "test_accuracy")
    found = between(runs, CELLS["net2"], CELLS["net3"], at_test)
    yield _claim("Net 3, 1)", "Dropout, batch norm and augmentation reduce the overfit%", larger(found), found, "%")
    place = "Net 3, 2)"
    found = paired(runs, cells, "model.dropout_rate", (0.1, 0.5), OVERFIT)
    yield _claim(place, "With more dropout the overfit% decreases", larger(found), found, "%")
    for what, quantity in (("train", TRAIN), ("test", TEST)):
        found = paired(runs, cells, "model.dropout_rate", (0.1, 0.5), quantity)
        yield _claim(place, f"With more dropout the {what} accuracy drops", larger(found), found)
    found = paired(runs, cells, "model.l1_oc", (96, 32), TEST)
    yield _claim("Net 3, 3)", "With l1_oc the test accuracy increases", larger(found), found)
    yield _claim("Net 3, 3)", "... but only marginally", similar(found), found)


def _net4(runs: Runs) -> Iterator[Claim]:
    found = between(runs, CELLS["net4"], CELLS["net3"], BEST_TEST)
    yield _claim("Net 4, 1)", "The deeper and sleeker network is slightly better than net 3", larger(found), found)
    fewer = 1 - parameters("net4", **BEST["net4"][1]) / parameters("net3", **BEST["net3"][1])
    exact = Difference(fewer, what="share of the parameters of net 3, exact")
    yield _claim("Net 4, 1)", "It has almost 35 % fewer parameters than net 3", ("holds", exact.what), exact)
    found = between(runs, "cs7015.net4.dropout_rate0.3", "cs7015.net4.dropout_rate0.5", BEST_TEST)
    yield _claim("Net 4, 2)", "Dropout 0.3 is much better than 0.5", larger(found), found)
    yield _claim("Net 4, 2)", "At no epoch does dropout 0.5 cross 88 %", WAITS, None)
    yield _claim("Net 4, note", "In evaluation mode the test accuracy is 90 %", WAITS, None)


def _inside() -> Iterator[Claim]:
    for place, words in (
        ("Part 2.1", "With a larger occluding window the sum of the confidence map decreases"),
        ("Part 2.1", "Occluding the deer makes the probability of deer drop quickly to 0"),
        ("Part 2.2.2", "Zeroing ten filters lowers the test accuracy by 3 %"),
        ("Part 2.2.2", "The class accuracies of cat and bird rise with ten filters at zero"),
        ("Part 2.2.2", "Classes of transport lose most by ten filters at zero"),
        ("Part 2.2.1", "The mean response of the top 20 images decreases with depth"),
        ("Part 2.2.1", "A filter of convolution 2 is negative on every test image (dying ReLU)"),
    ):
        yield _claim(place, words, WAITS, None)
    counted = "filters per convolution as the network has them: 64, 64, 128, 256, 256, 512"
    yield _claim("Part 2.2.2", "Only ten of 1280 filters were changed", ("holds", counted), None)
