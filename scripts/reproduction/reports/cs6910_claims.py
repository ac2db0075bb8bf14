"""CS6910: its conclusions in words, from its own tables and on stand-ins for iNaturalist-12K."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from keras_cnn.evaluation.intervals import mean_interval
from reproduction import evidence, stand_ins
from reproduction.claims import (
    OWN,
    Claim,
    ClaimVerdict,
    Difference,
    by_seed,
    deciding,
    larger,
    of_print,
    on_stand_in,
    over_seeds,
    shift,
    similar,
)
from reproduction.effects import Effects, Row, fitted
from reproduction.evidence import Runs
from reproduction.stand_ins import SWEPT, TRANSFER, trials

REPORT = "CS6910"
# Part B, figure 1: validation accuracies of the printed runs.
DENSENET = (0.794, 0.796, 0.784)
INCEPTION = (0.765, 0.744, 0.706, 0.816, 0.723, 0.734, 0.77, 0.796)
RESNETS = (0.826, 0.766, 0.786, 0.793, 0.585, 0.805, 0.807, 0.753, 0.76, 0.501)
OTHERS = (0.613, 0.22, 0.654, 0.756, 0.745, 0.100)  # squeezenet and vgg11; no run of alexnet is printed
IMAGES = 1_000  # of validation: a tenth of iNaturalist-12K's training images
TEST, VALIDATION = evidence.chosen("test_accuracy"), evidence.at_best("val_accuracy", "val_accuracy")
FEWEST = 30  # trials with which the sweep says something


def claims(runs: Runs) -> Iterator[Claim]:
    yield from _sweep(runs)
    yield from _tuning(runs)
    yield from _networks(runs)


def _claim(
    place: str,
    words: str,
    verdict: tuple[ClaimVerdict, str],
    difference: Difference | None = None,
    unit: str = "points",
    **options: bool,
) -> Claim:
    return Claim(REPORT, place, words, *verdict, difference, unit, **options)


# --- part A -----------------------------------------------------------------------------------------------------------


def row_of(settings: Mapping[str, float | str]) -> Row:
    """The columns of a trial: powers of two as their logarithms, choices as 0 and 1."""
    filters, kernel = math.log2(float(settings["model.filters"])), float(settings["model.kernel_size"])
    return {
        "rate 0.0001": float(settings["optim.learning_rate"] == 0.0001),
        "rate 0.0002": float(settings["optim.learning_rate"] == 0.0002),
        "tanh": float(settings["model.activation"] == "tanh"),
        "leaky": float(settings["model.activation"] == "leaky_relu"),
        "filters": filters,
        "kernel": kernel,
        "filters × kernel": (filters - 2.5) * (kernel - 5),
        "organisation": math.log2(float(settings["model.organisation"])),
        "batch": math.log2(float(settings["train.batch_size"])),
        "dropout": float(settings["model.dropout"]),
        "dense": math.log2(float(settings["model.dense"])),
        "augmented": float(settings["data.augment.name"] != "none"),
        "epochs": float(settings["train.epochs"]),
        "batch norm": float(settings["model.batch_norm"] == "true"),
    }


def _sweep(runs: Runs) -> Iterator[Claim]:
    place, fit = "Part A, Ans 3", swept(runs)
    conclusions: tuple[tuple[str, Row, str], ...] = (
        ("Dropout of 50 % in the dense layers works better than less", {"dropout": 0.2}, "0.5 minus 0.3"),
        (
            "With many filters, large kernels such as 7 work better than small ones",
            {"kernel": 4, "filters × kernel": 6},
            "kernel 7 minus 3 at 16 filters",
        ),
        ("Batch norm after every layer works better than none", {"batch norm": 1}, "with minus without"),
        (
            "Learning rates of 0.0001 or 0.0002 work better than 0.0004",
            {"rate 0.0001": 0.5, "rate 0.0002": 0.5},
            "mean of the two minus 0.0004",
        ),
        (
            "tanh reaches a higher accuracy in less time than ReLU and leaky ReLU",
            {"tanh": 1, "leaky": -0.5},
            "accuracy after as many epochs, tanh minus the mean of the two",
        ),
        ("More filters in all layers work better than fewer", {"filters": 3}, "16 minus 2"),
        ("More neurons in the dense layer work better than fewer", {"dense": 2}, "256 minus 64"),
    )
    words = "Doubling the filters from layer to layer works better than halving them"
    yield _claim(place, words, ("cannot be tested", "the printed sweep has factors 2 and 1, no halving"))
    for words, change, what in conclusions:
        found = None if fit is None else on_stand_in(fit.of(change, what), SWEPT)
        yield _claim(place, words, larger(found), found)


def swept(runs: Runs) -> Effects | None:
    """The effects of the settings on test accuracy over the trials that have run; None with fewer than FEWEST."""
    done = [(row_of(settings), TEST(runs.of(name)[0])) for name, settings in trials().items() if runs.of(name)]
    if len(done) < FEWEST:
        return None
    rows, values = zip(*done, strict=True)
    return fitted(rows, values)


# --- part B -----------------------------------------------------------------------------------------------------------


def _tuning(runs: Runs) -> Iterator[Claim]:
    place = "Part B, Question 3"
    finding = "its own table: 4.798 and 6.743 minutes with every layer trained, 2.657 and 3.225 with the head alone"
    twice = Difference((4.798 / 2.657 + 6.743 / 3.225) / 2, what="times as long, mean of two networks", basis=OWN)
    yield _claim(place, "Training every layer takes almost half the time", ("does not hold", finding), twice, "times")
    for words, gains, better, worse in (
        (
            "Training every layer gives a higher validation accuracy than the head",
            (0.823 - 0.747, 0.833 - 0.753),
            "all",
            "head",
        ),
        (
            "Pretrained weights give a far higher validation accuracy than random ones",
            (0.812 - 0.146, 0.819 - 0.139),
            "all",
            "random_all",
        ),
    ):
        of_table = Difference(
            sum(gains) / 2, *mean_interval(gains), "from the printed table, 2 networks, one run each", OWN
        )
        found = deciding(_transfer(runs, better, worse), of_table)
        yield _claim(place, words, larger(found), found)
    gains = [2.297 / 2.364 - 1, 2.733 / 2.723 - 1]
    found = Difference(
        sum(gains) / 2, *mean_interval(gains), "change of the minutes by pretrained weights, 2 networks", OWN
    )
    yield _claim(
        place,
        "Pretrained or random weights take almost the same time",
        similar(found, "0.02"),
        found,
        "share",
        similarity=True,
    )
    found = _transfer(runs, "last_3", "head")
    yield _claim(place, "Training the last three layers is better than training the last", larger(found), found)
    names = (f"cs6910.transfer.{each}" for each in ("all", "last_3"))
    found = on_stand_in(by_seed(runs, *names, evidence.median("epoch_seconds"), "an epoch, all minus last_3"), TRANSFER)
    yield _claim(place, "... and takes less time than training all", larger(found), found, "s")
    change = evidence.minus(evidence.at("val_accuracy", 15), evidence.at("val_accuracy", 6))
    found = over_seeds(runs, "cs6910.transfer.last_3_15_epochs", change, "epoch 15 minus epoch 6")
    found = on_stand_in(found, TRANSFER)
    yield _claim(
        place, "Validation accuracy hardly changes with more than 5 to 7 epochs", similar(found), found, similarity=True
    )
    found = of_print(0.826, 0.361, IMAGES, "printed accuracies of ResNet101, validation, and of part A, test")
    yield _claim(place, "A huge pretrained network is better than a small one from scratch", larger(found), found)
    found = _transfer_speed(runs)
    yield _claim(place, "A pretrained network converges faster than one from scratch", larger(found), found, "nats")


def _transfer(runs: Runs, first: str, second: str) -> Difference | None:
    """The difference of the best validation accuracies of two ways to train on the stand-in."""
    names = (f"cs6910.transfer.{each}" for each in (first, second))
    return on_stand_in(by_seed(runs, *names, VALIDATION, f"{first} minus {second}"), TRANSFER)


def _transfer_speed(runs: Runs) -> Difference | None:
    names = (f"cs6910.transfer.{each}" for each in ("random_all", "all"))
    return on_stand_in(
        by_seed(runs, *names, evidence.mean("loss"), "mean training loss, random_all minus all"), TRANSFER
    )


def _networks(runs: Runs) -> Iterator[Claim]:
    place, groups = "Part B, Question 3", {"ResNets": RESNETS, "InceptionV3": INCEPTION, "DenseNet161": DENSENET}
    pairs = [
        shift(second, first, f"{b} minus {a}, printed runs: {len(second)} and {len(first)}")
        for (a, first), (b, second) in itertools.combinations(groups.items(), 2)
    ]
    found = max(pairs, key=lambda each: abs(each.size))
    words = "ResNets, InceptionV3 and DenseNet161 have comparable validation accuracies"
    yield _claim(place, words, similar(found), found, similarity=True)
    better = (*RESNETS, *INCEPTION)
    found = shift(better, OTHERS, f"median of the differences of {len(better)} printed runs from {len(OTHERS)}")
    ours = [
        [VALIDATION(result) for name in names for result in runs.of(f"cs6910.networks.{name}")]
        for names in (stand_ins.FAMILIES, stand_ins.OTHERS)
    ]
    if [len(group) for group in ours] == [len(stand_ins.FAMILIES), len(stand_ins.OTHERS)]:
        what = (
            f"{found.what}; from random weights on 400 images of CIFAR-10, 75 pixels, these and DenseNet161 reach"
            f" {100 * np.mean(ours[0]):.1f} %, SqueezeNet, VGG11 and AlexNet {100 * np.mean(ours[1]):.1f} %"
        )
        found = replace(found, what=what)
    words = "SqueezeNet and VGG11 are not as suitable as InceptionV3 and ResNets"
    yield _claim(place, words, larger(found), found)
    yield _claim(place, "... nor is AlexNet", ("cannot be tested", "no run of AlexNet is printed"))
