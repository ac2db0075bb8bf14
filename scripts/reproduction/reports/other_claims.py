"""The conclusions in words of TDT4265, COMP5623 and IN4310."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from keras_cnn.evaluation.intervals import welch_interval
from keras_cnn.models import arithmetic
from reproduction import evidence
from reproduction.claims import (
    OWN,
    Claim,
    ClaimVerdict,
    Difference,
    best_against_next,
    between,
    beyond,
    by_seed,
    deciding,
    larger,
    of_numbers,
    of_print,
    on_stand_in,
    over_seeds,
    similar,
    trend,
)
from reproduction.evidence import Runs, minus
from reproduction.networks import built, convolutions, rows
from reproduction.reports.in4310 import SPECTRA
from reproduction.spectra import IMAGENET
from reproduction.stand_ins import SCRATCH_SIDE, TRANSFER

VALIDATION = 5_000  # images on which TDT4265 measured, if it took a tenth of the training images
TRAINING_LOSS = evidence.mean("loss")
ON_MODEL2 = "; the report does not say on which network"
# COMP5623's logs: the losses of the single batch, and validation accuracies in % on the full set and fine-tuned.
BATCH_LOSS = (2.321, 2.287, 2.538, 2.261, 2.278, 2.284, 2.280, 2.266, 2.239, 2.190, 2.128, 2.104, 2.027, 1.973, 1.916,
              1.836, 1.753, 1.685, 1.606, 1.519, 1.433, 1.338, 1.333, 1.292, 1.040, 1.031, 0.820, 0.727, 0.596,
              0.432)  # fmt: skip
BATCH_VALIDATION_LOSS = (2.309, 3.198, 2.341, 2.300, 2.298, 2.296, 2.293, 2.287, 2.287, 2.305, 2.420, 2.378, 2.310,
                         2.318, 2.422, 2.575, 2.738, 2.871, 2.906, 3.105, 3.407, 3.552, 3.622, 3.478, 3.618, 3.782,
                         4.207, 4.437, 4.590, 5.415)  # fmt: skip
FULL_ACCURACY = (32.1, 45.0, 49.9, 52.3, 55.1, 57.1, 56.4, 53.9, 53.8, 54.1, 53.1, 53.6, 53.8, 53.9, 53.2, 54.5, 53.2,
                 50.3, 53.0, 53.1, 52.0, 51.5, 52.2, 52.0, 51.3, 50.4, 51.8, 52.3, 52.7, 51.6)  # fmt: skip
TUNED_ACCURACY = (27.6, 31.1, 39.7, 44.8, 41.8, 48.8, 51.6, 52.0, 52.5, 54.5, 55.9, 58.3, 57.7, 59.6, 56.9, 61.7, 60.3,
                  62.2, 60.5, 62.9, 60.3, 61.7, 63.0, 61.9, 65.0, 63.2, 62.3, 60.8, 62.3, 63.5)  # fmt: skip
LAST = 10  # epochs of a log that are compared
NO_IMAGENET10: tuple[ClaimVerdict, str] = ("cannot be tested", "ImageNet10 is not at hand")
STAND_IN = "the modified network on enlarged CIFAR-10"
NO_WEIGHTS: tuple[ClaimVerdict, str] = ("cannot be tested", "the pretrained weights are not at hand")


def claims(runs: Runs) -> Iterator[Claim]:
    yield from _tdt4265(runs)
    yield from _comp5623(runs)
    yield from _in4310(runs)


def _in4310(runs: Runs) -> Iterator[Claim]:
    def claim(words: str, verdict: tuple[ClaimVerdict, str], difference: Difference | None = None) -> Claim:
        return Claim("IN4310", "Task 1", words, *verdict, difference)

    found = best_against_next(runs, "in4310.grid", "in4310.grid.sgd-0.01", evidence.chosen("test_accuracy"))
    found = on_stand_in(found, TRANSFER)
    yield claim("SGD with a rate of 0.01 is the best of four", larger(found), found)
    yield claim("The three splits are disjoint", ("cannot be tested", "the Intel scenes are not at hand"))


def _tdt4265(runs: Runs) -> Iterator[Claim]:
    def claim(
        place: str, words: str, verdict: tuple[ClaimVerdict, str], difference=None, unit="points", **options: bool
    ) -> Claim:
        return Claim("TDT4265", place, words, *verdict, difference, unit, **options)

    final = evidence.last("val_accuracy")
    printed = of_print(0.7792, 0.7386, VALIDATION, "printed validation accuracies of table 3, one run each")
    found = deciding(between(runs, "tdt4265.model1", "tdt4265.model2", final), printed)
    yield claim("2.5 e)", "Model 1 raises the final validation accuracy over model 2", larger(found), found)
    costs = {name: arithmetic.totals(list(rows(name))).multiply_adds for name in ("model1", "model2")}
    finding = (
        f"{costs['model1']:,} multiply-adds an image of model 1, {costs['model2']:,} of model 2: model 1 is heavier"
    )
    ratio = Difference(costs["model2"] / costs["model1"] - 1, what="model 2 over model 1, exact", basis="computed")
    yield claim("2.5 e)", "Model 2 is more computationally heavy", ("does not hold", finding), ratio, "share")
    wide, narrow = len(convolutions("model1")), len(convolutions("model2"))
    finding = f"{wide} convolutions and {narrow}"
    yield claim(
        "2.5 e)", "Model 1 has two more convolutions", ("holds" if wide - narrow == 2 else "does not hold", finding)
    )
    model2, adam = "tdt4265.model2", "; SGD at 0.01 with momentum 0.9, our choice"
    for words, variant, quantity, other_first, unit, note in (
        ("Adam in place of SGD raises the performance", "sgd", final, False, "points", adam),
        ("Adam makes training converge faster", "sgd", TRAINING_LOSS, True, "nats", adam),
        ("Adam's losses oscillate less", "sgd", evidence.unsteadiness("val_loss"), True, "nats", adam),
        ("Batch norm makes training converge faster", "no_batch_norm", TRAINING_LOSS, True, "nats", ""),
        ("Dropout of 10 % raises validation accuracy", "no_dropout", final, False, "points", ON_MODEL2),
        ("Dropout of 30 % is worse than 10 %", "dropout0.3", final, False, "points", ON_MODEL2),
    ):
        names = (model2, f"{model2}.{variant}")
        found = between(runs, *(reversed(names) if other_first else names), quantity)
        found = found and replace(found, what=f"{found.what}{note}")
        yield claim("2.5 e)", words, larger(found), found, unit)
    found = between(runs, f"{model2}.stride", model2, final)
    yield claim("2.5 e)", "Strides in place of pools give comparable results", similar(found), found, similarity=True)
    lowest = evidence.at_best("val_loss", "val_loss", smallest=True)
    chance = math.log(4)  # of four classes
    reached = min((lowest(result) for result in runs.of("tdt4265.transfer.model1")), default=chance)
    for words, quantity, what in (
        ("The fine-tuned ResNet18 learns faster than model 1", TRAINING_LOSS, "mean training loss"),
        ("It converges to a lower validation loss than model 1", lowest, "lowest validation loss"),
    ):
        names = ("tdt4265.transfer.model1", "tdt4265.transfer.resnet8")
        found = on_stand_in(
            by_seed(runs, *names, quantity, f"{what} of model 1 minus that of the last 5 layers"), TRANSFER
        )
        verdict, finding = larger(found)
        if quantity is lowest and reached > chance:
            verdict = "undecided"
            finding += f"; but model 1 stays above the {chance:.2f} of chance with every seed, in 50 steps"
        yield claim("3.4 d)", words, (verdict, finding), found, "nats")
    test = evidence.chosen("test_accuracy")
    found = by_seed(runs, "tdt4265.transfer.resnet8", "tdt4265.transfer.model1", test, "test accuracy")
    found = on_stand_in(found, f"{TRANSFER}{_from_scratch(runs)}")
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


def _of_log(column: str, falls: bool) -> Difference:
    """The printed log of the single batch: the fall of its training loss, or the rise of its validation loss."""
    log = BATCH_LOSS if column == "loss" else BATCH_VALIDATION_LOSS
    ends = "first epoch minus last" if falls else "last epoch minus first"
    what = f"{ends} of the printed log of the modified network, for the first one's is not printed"
    return trend(range(1, 31), [-value for value in log] if falls else log, what)


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
        found = over_seeds(runs, "comp5623.single_batch", change, f"epoch {ends[0]} minus epoch {ends[1]}")
        found = deciding(on_stand_in(found, STAND_IN), _of_log(column, falls=ends == (1, 30)), "nats")
        yield claim("1.1.1", words, larger(found), found, "nats")
    finding = (
        "in the printed log, which counts from 0, the validation loss is lowest at epoch 3, the accuracy highest at"
        " epoch 5"
    )
    yield Claim("COMP5623", "1.2.1", "The best number of epochs is 10", "does not hold", finding, counted_in=OWN)
    found = on_stand_in(between(runs, "comp5623.tuned", "comp5623.full", evidence.last("val_accuracy")), STAND_IN)
    tuned, full = (np.array(log[-LAST:]) / 100 for log in (TUNED_ACCURACY, FULL_ACCURACY))
    what = f"mean of the last {LAST} epochs of the two printed logs, each epoch taken as a run of its own"
    found = deciding(found, Difference(float(tuned.mean() - full.mean()), *welch_interval(tuned, full), what, OWN))
    yield claim("1.2.2", "Augmentation and dropout raise validation accuracy", larger(found), found)
    later = np.array(TUNED_ACCURACY[15:]) / 100
    found = beyond(range(16, 31), later, 70, 0.8, "epoch 70 minus 80 %, if accuracy rises as in epochs 16 to 30")
    yield claim("1.2.2", "60 to 70 epochs would give more than 80 %", larger(found), found)
    yield claim("1.2.3", "Cats are taken for baboons more often than any other mistake", NO_IMAGENET10)
    alexnet = [layer for layer in built("alexnet", 1000, 224, weights="none").layers if hasattr(layer, "kernel_size")]
    filters, sides = [layer.filters for layer in alexnet], [layer.kernel_size[0] for layer in alexnet]
    finding = f"filters of AlexNet by depth: {_listed(filters)}; sides of their kernels: {_listed(sides)}"
    holds = filters[0] == min(filters) and sides[0] == max(sides)
    verdict = "holds" if holds else "does not hold"
    yield claim("2.2.2", "Early layers have fewer filters and larger kernels", (verdict, finding))
    middle = len(alexnet) // 2 + 1
    holds = filters[:middle] == sorted(set(filters[:middle])) and sides[:middle] == sorted(set(sides), reverse=True)
    words = "At intermediate layers the filters are more and their kernels smaller"
    yield claim("2.2.2", words, ("holds" if holds else "does not hold", f"{finding}; up to layer {middle}"))
    look = runs.look(SPECTRA)
    found = None
    if look is not None:
        what = "values not above 0 in the last stage minus the first, 200 ImageNet photos, Xception in place of AlexNet"
        found = of_numbers(look["xception"][IMAGENET]["sparser"], what)
    yield claim("2.2.2", "Feature maps become sparser with depth", larger(found), found)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
