"""CS6910: formulas of a five-layer network, and fine-tunings on iNaturalist, which is not at hand."""

import functools
from collections.abc import Iterator

import keras

from keras_cnn.models import arithmetic, backbones
from reproduction import evidence
from reproduction.evidence import Runs
from reproduction.networks import computed, recomputed
from reproduction.stand_ins import TRANSFER
from reproduction.verdicts import NotMeasured, Printed, Row, judged

REPORT = "CS6910"
NO_IMAGES = NotMeasured("iNaturalist-12K is not at hand; configs/published/cs6910_*.yaml run on a copy of it")
SIDE, KERNEL, FILTERS, UNITS = 32, 3, 8, 16  # l, k, m, n at which the formulas are evaluated


def rows(runs: Runs) -> Iterator[Row]:
    yield from _computations()
    yield from _parameters()
    yield from _part_b(runs)


@functools.cache
def _network() -> tuple[arithmetic.LayerArithmetic, ...]:
    """Five valid convolutions of stride 1 without pools, as the formulas assume, and two dense layers."""
    images = maps = keras.Input((SIDE, SIDE, 3))
    for number in range(1, 6):
        maps = keras.layers.Conv2D(FILTERS, KERNEL, use_bias=False, name=f"conv{number}")(maps)
        maps = keras.layers.ReLU(name=f"relu{number}")(maps)
    hidden = keras.layers.Dense(UNITS, name="dense")(keras.layers.Flatten()(maps))
    logits = keras.layers.Dense(10, name="output")(keras.layers.ReLU(name="relu6")(hidden))
    return tuple(arithmetic.table(keras.Model(images, logits)))


def _layer(name: str) -> arithmetic.LayerArithmetic:
    return next(row for row in _network() if row.layer == name)


def _formula(what: str, value: int, own: int, note: str = "") -> Row:
    where = f"at l {SIDE}, k {KERNEL}, m {FILTERS}, n {UNITS}"
    printed = Printed(REPORT, "Part A, Ans 1", f"formula, {where}: {what}", str(value), formula=True)
    return judged(printed, computed(own, note if own != value else ""))


def _computations() -> Iterator[Row]:
    for number in range(1, 6):
        side = SIDE - number * (KERNEL - 1)
        channels = 3 if number == 1 else FILTERS
        layer, relu = _layer(f"conv{number}"), _layer(f"relu{number}")
        note = "the print lacks the factor m, the number of filters"
        own = layer.multiply_adds or 0
        yield _formula(f"computations of convolution {number}", side**2 * KERNEL**2 * channels, own, note)
        elements = 1
        for length in relu.output_shape:
            elements *= int(length or 0)
        yield _formula(f"computations of activation {number}", side**2 * FILTERS, elements)
    side = SIDE - 5 * (KERNEL - 1)
    dense, output = _layer("dense"), _layer("output")
    own = (dense.multiply_adds or 0) + UNITS  # and the additions of the biases, as the formula counts them
    yield _formula("computations of the dense layer", (side**2 * FILTERS + 1) * UNITS, own)
    yield _formula("computations of its activation", UNITS + 1, UNITS, "one for each of the n units")
    own = (output.multiply_adds or 0) + 10
    yield _formula("computations of the output layer", (UNITS + 1) * 10 + 1, own, "one too many in print")


def _parameters() -> Iterator[Row]:
    total = 0
    for number in range(1, 6):
        channels = 3 if number == 1 else FILTERS
        own = _layer(f"conv{number}").trainable
        total += own
        yield _formula(f"parameters of convolution {number}", FILTERS * KERNEL**2 * channels, own)
    side = SIDE - 5 * (KERNEL - 1)
    dense, output = _layer("dense").trainable, _layer("output").trainable
    yield _formula("parameters of the dense layer", (side**2 * FILTERS + 1) * UNITS, dense)
    yield _formula("parameters of the output layer", (UNITS + 1) * 10, output)
    convolutions = FILTERS * KERNEL**2 * 3 + 4 * FILTERS**2 * KERNEL**2
    whole = convolutions + (side**2 * FILTERS + 1) * UNITS + (UNITS + 1) * 10
    note = "printed as those in the convolutional layer; the terms are those of the network"
    yield _formula("parameters of all layers", whole, total + dense + output, note)
    note = "its own terms give m k² 3 + 4 m² k²"
    yield _formula("parameters of the five convolutions, 5 m k k", 5 * FILTERS * KERNEL**2, total, note)


def _part_b(runs: Runs) -> Iterator[Row]:
    place = "Part A, Ans 4 a)"
    yield judged(Printed(REPORT, place, "test accuracy of the best model of the sweep", "36.10", unit="%"), NO_IMAGES)
    place = "Part B, Question 1 (a)"
    for what, name, text in (("inception models", "inceptionv3", "299"), ("most other models", "resnet50", "224")):
        printed = Printed(REPORT, place, f"side of the images of {what}", text, unit="pixels")
        yield judged(printed, computed(backbones.default_side(name), f"{name} of this package"))
    place = "Part B, Question 3"
    for what, first, ways in (
        ("by feature_extract", "4.798", ("all", "head")),
        ("by use_pretrained", "2.364", ("random_all", "all")),
    ):
        printed = Printed(REPORT, place, f"table {what}: minutes, losses and accuracies of four runs", first, count=20)
        yield judged(printed, NotMeasured(f"{NO_IMAGES.reason}{_stand_in(runs, ways)}"))
    printed = Printed(REPORT, "Part B, Figure 1", "train and validation accuracy of 27 runs", "0.7532", count=54)
    yield judged(printed, NO_IMAGES)
    table = "the table by feature_extract"
    for what, text, own, slack in (
        ("validation accuracy of resnet50, all layers", "82.3", 100 * 0.823, 0.05),
        ("validation accuracy of resnet50, the head", "74.7", 100 * 0.747, 0.05),
        ("validation accuracy of inceptionv3, all layers", "83.33", 100 * 0.833, 0.05),
        ("validation accuracy of inceptionv3, the head", "75.3", 100 * 0.753, 0.05),
    ):
        yield judged(Printed(REPORT, place, what, text, unit="%"), recomputed(own, slack, table))
    for what, text, own in (
        ("minutes of resnet50, the head", "2.657", 2.657),
        ("minutes of resnet50, all layers", "4.798", 4.798),
        ("minutes of inceptionv3, the head", "3.225", 3.225),
        ("minutes of inceptionv3, all layers", "6.743", 6.743),
    ):
        yield judged(Printed(REPORT, place, what, text, unit="min"), recomputed(own, note=table))
    gain = (100 * (0.823 - 0.747) + 100 * (0.833 - 0.753)) / 2
    printed = Printed(REPORT, place, "gain of validation accuracy by training every layer", "8", unit="%", rounded=True)
    yield judged(printed, recomputed(gain, note="mean of the two networks"))
    of_figure = "the highest of its runs in Figure 1"
    for what, text, own, note in (
        ("resnet101", "82.6", 0.826, of_figure),
        ("inceptionv3", "81.6", 0.816, f"{of_figure}; its tables have 83.3 and 81.9 %"),
    ):
        for where in ("inferences", "conclusions") if what == "resnet101" else ("conclusions",):
            printed = Printed(REPORT, f"{place}, {where}", f"validation accuracy of {what}", text, unit="%")
            yield judged(printed, recomputed(100 * own, 0.05, note))


def _stand_in(runs: Runs, ways: tuple[str, ...]) -> str:
    """The validation accuracies of the stand-in's runs, as the end of a sentence; "" before they have run."""
    found = {way: runs.of(f"cs6910.transfer.{way}") for way in ways}
    if not all(found.values()):
        return ""
    accuracy = evidence.at_best("val_accuracy", "val_accuracy")
    means = [f"{way} {100 * sum(map(accuracy, results)) / len(results):.1f} %" for way, results in found.items()]
    return f"; {TRANSFER}, validation accuracy: {', '.join(means)}"
