"""The conclusions in words of TDT4265, COMP5623 and IN4310."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from keras_cnn.models import arithmetic
from reproduction import evidence
from reproduction.claims import (
    Claim,
    ClaimVerdict,
    Difference,
    best_against_next,
    between,
    by_seed,
    larger,
    noted,
    of_numbers,
    over_seeds,
    similar,
)
from reproduction.evidence import Runs, minus
from reproduction.networks import convolutions, rows
from reproduction.spectra import CIFAR10, IMAGENET
from reproduction.stand_ins import SCRATCH_SIDE, TRANSFER

SPECTRA = "in4310.spectra"
NO_IMAGENET10: tuple[ClaimVerdict, str] = ("cannot be tested", "ImageNet10 is not at hand")
STAND_IN = "on enlarged CIFAR-10 as a stand-in"
NO_WEIGHTS: tuple[ClaimVerdict, str] = ("cannot be tested", "the pretrained weights are not at hand")


def claims(runs: Runs) -> Iterator[Claim]:
    yield from _tdt4265(runs)
    yield from _comp5623(runs)
    yield from _in4310(runs)


def _in4310(runs: Runs) -> Iterator[Claim]:
    def claim(place: str, words: str, verdict: tuple[ClaimVerdict, str], difference=None, unit="points") -> Claim:
        return Claim("IN4310", place, words, *verdict, difference, unit)

    found = best_against_next(runs, "in4310.grid", "in4310.grid.sgd-0.01", evidence.chosen("test_accuracy"))
    found = noted(found, TRANSFER)
    yield claim("Task 1", "SGD with a rate of 0.01 is the best of four", larger(found), found)
    yield claim("Task 1", "The three splits are disjoint", ("cannot be tested", "the Intel scenes are not at hand"))
    found = _spectra(runs)
    verdict, finding = larger(found)
    if found is not None and found.leaves_out_zero:
        verdict = "holds"  # whichever is larger
    yield claim(
        "Task 3",
        "The spectra of ImageNet and CIFAR-10 images differ (figures)",
        (verdict, finding),
        found,
        "dimensions",
    )


def _spectra(runs: Runs) -> Difference | None:
    """The difference of the effective ranks of Xception's features on both sets, with MOVER's interval."""
    look = runs.look(SPECTRA)
    if look is None:
        return None
    (a, a_low, a_high), (b, b_low, b_high) = (look["xception"][name]["effective_rank"] for name in (IMAGENET, CIFAR10))
    low, high = a - b - math.hypot(a - a_low, b_high - b), a - b + math.hypot(a_high - a, b - b_low)
    what = (
        f"effective rank {a:.0f} of {IMAGENET} minus {b:.0f} of {CIFAR10}, Xception with ImageNet weights, 224 pixels"
    )
    return Difference(a - b, low, high, what)


def _tdt4265(runs: Runs) -> Iterator[Claim]:
    def claim(place: str, words: str, verdict: tuple[ClaimVerdict, str], difference=None, unit="points") -> Claim:
        return Claim("TDT4265", place, words, *verdict, difference, unit)

    final = evidence.last("val_accuracy")
    found = between(runs, "tdt4265.model1", "tdt4265.model2", final)
    yield claim("2.5 e)", "Model 1 raises the final validation accuracy over model 2", larger(found), found)
    found = between(runs, "tdt4265.model2", "tdt4265.lenet", evidence.last("test_accuracy"))
    yield claim(
        "Tables 1 and 3", "LeNet with batch norm and dropout (model 2) is better than LeNet", larger(found), found
    )
    costs = {name: arithmetic.totals(list(rows(name))).multiply_adds for name in ("model1", "model2")}
    finding = (
        f"{costs['model1']:,} multiply-adds an image of model 1, {costs['model2']:,} of model 2: model 1 is heavier"
    )
    ratio = Difference(costs["model2"] / costs["model1"] - 1, what="model 2 over model 1, exact")
    yield claim("2.5 e)", "Model 2 is more computationally heavy", ("does not hold", finding), ratio, "share")
    wide, narrow = len(convolutions("model1")), len(convolutions("model2"))
    finding = f"{wide} convolutions and {narrow}"
    yield claim(
        "2.5 e)", "Model 1 has two more convolutions", ("holds" if wide - narrow == 2 else "does not hold", finding)
    )
    model2, first = "tdt4265.model2", evidence.at("val_accuracy", 1)
    for words, variant, quantity in (
        ("Adam in place of SGD raises validation accuracy", "sgd", final),
        ("Batch norm makes training converge faster", "no_batch_norm", first),
        ("Dropout of 10 % raises validation accuracy", "no_dropout", final),
        ("Dropout of 30 % is worse than 10 %", "dropout0.3", final),
    ):
        found = between(runs, model2, f"{model2}.{variant}", quantity)
        yield claim("2.5 e)", words, larger(found), found)
    found = between(runs, f"{model2}.stride", model2, final)
    yield claim("2.5 e)", "Strides in place of pools give comparable results", similar(found), found)
    lowest = evidence.at_best("val_loss", "val_loss", smallest=True)
    for words, quantity, what, unit in (
        ("The fine-tuned ResNet18 learns faster than model 1", evidence.mean("loss"), "mean training loss", "nats"),
        ("It converges to a lower validation loss than model 1", lowest, "lowest validation loss", "nats"),
    ):
        names = ("tdt4265.transfer.model1", "tdt4265.transfer.resnet8")
        found = noted(by_seed(runs, *names, quantity, f"{what} of model 1 minus that of the last 5 layers"), TRANSFER)
        yield claim("3.4 d)", words, larger(found), found, unit)
    test = evidence.chosen("test_accuracy")
    found = by_seed(runs, "tdt4265.transfer.resnet8", "tdt4265.transfer.model1", test, "test accuracy")
    found = noted(found, f"{TRANSFER}{_from_scratch(runs)}")
    yield claim("3.4 d)", "It generally performs much better than model 1", larger(found), found)
    words = "Filter 11 of its first convolution answers to horizontal lines, filter 12 to vertical ones"
    yield claim("3.5 e)", words, NO_WEIGHTS)


def _from_scratch(runs: Runs) -> str:
    """What ResNet18 reaches from random weights on all images, as the end of a sentence; "" if it has not run."""
    found = runs.of("tdt4265.resnet18_scratch")
    if not found:
        return ""
    value = 100 * float(np.mean([evidence.chosen("test_accuracy")(result) for result in found]))
    return (
        f"; from random weights on all of CIFAR-10, {SCRATCH_SIDE} pixels, ResNet18 reaches {value:.1f} % in 10 epochs"
    )


def _comp5623(runs: Runs) -> Iterator[Claim]:
    def claim(
        place: str, words: str, verdict: tuple[ClaimVerdict, str], difference: Difference | None = None, unit="points"
    ) -> Claim:
        return Claim("COMP5623", place, words, *verdict, difference, unit)

    for words, column, ends in (
        ("On one batch the training loss falls", "loss", (1, 30)),
        ("... while the validation loss rises", "val_loss", (30, 1)),
    ):
        change = minus(*(evidence.at(column, epoch) for epoch in ends))
        found = over_seeds(runs, "comp5623.single_batch", change, f"epoch {ends[0]} minus epoch {ends[1]}, {STAND_IN}")
        yield claim("1.1.1", words, larger(found), found, "nats")
    finding = "in its own log the validation loss is lowest at epoch 3 and the accuracy highest at epoch 5"
    yield claim("1.2.1", "The best number of epochs is 10", ("does not hold", finding))
    found = between(runs, "comp5623.tuned", "comp5623.full", evidence.last("val_accuracy"))
    verdict, finding = larger(found)
    yield claim(
        "1.2.2", "Augmentation and dropout raise validation accuracy", (verdict, f"{finding}, {STAND_IN}"), found
    )
    yield claim("1.2.2", "60 to 70 epochs would give more than 80 %", NO_IMAGENET10)
    yield claim("1.2.3", "Cats are taken for baboons more often than any other mistake", NO_IMAGENET10)
    layers = convolutions("alexnet", 1000, 224, weights="none")
    filters = [int(layer.output_shape[-1] or 0) for layer in layers]
    finding = f"filters of AlexNet by depth: {', '.join(map(str, filters))}"
    holds = min(filters) == filters[0]
    yield claim("2.2.2", "Early layers have fewer filters", ("holds" if holds else "does not hold", finding))
    falls = all(a > b for a, b in itertools.pairwise(filters))
    rises = all(a <= b for a, b in itertools.pairwise(filters))
    finding = f"{finding}; they {'rise' if rises else 'fall' if falls else 'rise and fall again'}"
    yield claim("2.2.2", "The number of filters increases with depth", ("holds" if rises else "does not hold", finding))
    look = runs.look(SPECTRA)
    found = None
    if look is not None:
        what = "values not above 0 in the last stage minus the first, 200 ImageNet photos, Xception in place of AlexNet"
        found = of_numbers(look["xception"][IMAGENET]["sparser"], what)
    yield claim("2.2.2", "Feature maps become sparser with depth", larger(found), found)
