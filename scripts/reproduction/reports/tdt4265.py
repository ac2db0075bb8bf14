"""TDT4265: LeNet, models 1 and 2, and the parameters of LeNet layer by layer.

Its training numbers are compared with those of the training images after the epoch. Its own code is not at hand; the
course's starter code, on which it builds, measures them so.
"""

from collections.abc import Iterator

from reproduction import evidence
from reproduction.evidence import Quantity, Runs
from reproduction.networks import computed, convolutions, dense, recomputed
from reproduction.networks import rows as layer_rows
from reproduction.verdicts import NotMeasured, Printed, Row, judged

REPORT = "TDT4265"
TEST, VALIDATION = 10_000, 5_000
EPOCHS = 10
FIGURES = NotMeasured("printed as curves only")


def rows(runs: Runs) -> Iterator[Row]:
    yield from _lenet(runs)
    yield from _parameters()
    yield from _models(runs)
    yield from _text(runs)


def _run(
    runs: Runs,
    name: str,
    place: str,
    what: str,
    text: str,
    quantity: Quantity,
    images: int = 0,
    note: str = "",
    unit: str = "",
) -> Row:
    printed = Printed(REPORT, place, f"{name}: {what}", text, EPOCHS, unit)
    return judged(printed, runs.number(f"tdt4265.{name}", quantity, images=images, note=note))


def _lenet(runs: Runs) -> Iterator[Row]:
    loss_epoch = evidence.best_epoch("val_loss", smallest=True, epochs=EPOCHS)
    yield _run(runs, "lenet", "1.1 a", "epoch of the lowest validation loss", "6", loss_epoch)
    lowest = evidence.at_best("val_loss", "val_loss", smallest=True)
    yield _run(runs, "lenet", "1.1 a", "lowest validation loss", "0.8024", lowest)
    printed = Printed(REPORT, "Table 1", "lenet: final training accuracy", "0.9233", EPOCHS)
    yield judged(printed, runs.after("tdt4265.lenet", "accuracy"))
    yield _run(
        runs, "lenet", "Table 1", "final validation accuracy", "0.7092", evidence.last("val_accuracy"), VALIDATION
    )
    yield _run(runs, "lenet", "Table 1", "final test accuracy", "0.7149", evidence.last("test_accuracy"), TEST)


def _parameters() -> Iterator[Row]:
    place = "1.3 c"
    layers = [*convolutions("lenet"), *dense("lenet")]
    printed = ("2432", "51264", "204928", "131136", "640")
    for number, (layer, text) in enumerate(zip(layers, printed, strict=True), 1):
        note = "the print leaves out the biases of the last layer" if layer.trainable != int(text) else ""
        what = f"equation ({number}): parameters of layer {number}"
        yield judged(Printed(REPORT, place, what, text), computed(layer.trainable, note))
    formula = (4 * 4 + 1) * 128 * 64
    text = "equation (4) as printed, (H7 × W7 + 1) × C7 × D1"
    note = "the formula gives this; its number is that of H7 × W7 × C7 × D1 + D1"
    yield judged(Printed(REPORT, place, text, "131136", formula=True), recomputed(formula, note=note))
    total = sum(layer.trainable for layer in layers)
    for where in ("equation (6)", "text"):
        what = f"{where}: parameters of LeNet"
        note = "the sum of the printed terms, without 10 biases"
        yield judged(Printed(REPORT, place, what, "390400"), computed(total, note))


def _models(runs: Runs) -> Iterator[Row]:
    training = {"loss": ("0.0532", "0.1196"), "accuracy": ("0.9833", "0.9638")}
    for measure, texts in training.items():
        for name, text in zip(("model1", "model2"), texts, strict=True):
            printed = Printed(REPORT, "Table 3", f"{name}: final training {measure}", text, EPOCHS)
            yield judged(printed, runs.after(f"tdt4265.{name}", measure, _kernels(name)))
    last = {
        "final validation loss": ("val_loss", 0, ("0.8744", "0.8879")),
        "final validation accuracy": ("val_accuracy", VALIDATION, ("0.7792", "0.7386")),
        "final test loss": ("test_loss", 0, ("0.9055", "0.8628")),
        "final test accuracy": ("test_accuracy", TEST, ("0.7792", "0.7528")),
    }
    for what, (column, images, texts) in last.items():
        for name, text in zip(("model1", "model2"), texts, strict=True):
            yield _run(runs, name, "Table 3", what, text, evidence.last(column), images, _kernels(name))
    accuracy = evidence.at_best("val_accuracy", "val_accuracy")
    loss = evidence.at_best("val_loss", "val_loss", smallest=True)
    of_loss, of_accuracy = (
        evidence.best_epoch("val_loss", smallest=True, epochs=EPOCHS),
        evidence.best_epoch("val_accuracy", epochs=EPOCHS),
    )
    for name, texts in (("model1", ("0.7904", "9", "0.6595", "5")), ("model2", ("0.7582", "7", "0.7511", "7"))):
        note = _kernels(name)
        yield _run(runs, name, "2.2 b)", "best validation accuracy", texts[0], accuracy, VALIDATION, note)
        yield _run(runs, name, "2.2 b)", "epoch of the best validation accuracy", texts[1], of_accuracy, note=note)
        yield _run(runs, name, "2.2 b)", "lowest validation loss", texts[2], loss, note=note)
        yield _run(runs, name, "2.2 b)", "epoch of the lowest validation loss", texts[3], of_loss, note=note)


def _kernels(name: str) -> str:
    return "its kernel sizes are not printed, 3×3 here" if name == "model1" else ""


def _text(runs: Runs) -> Iterator[Row]:
    wide, narrow = convolutions("model1"), convolutions("model2")
    what = "more convolutions in model 1 than in model 2"
    yield judged(Printed(REPORT, "2.5 e)", what, "2"), computed(len(wide) - len(narrow)))
    for text, layers, name in (("512", wide, "model 1"), ("128", narrow, "model 2")):
        filters = layers[-1].output_shape[-1] or 0
        yield judged(Printed(REPORT, "2.5 e)", f"filters of the last convolution of {name}", text), computed(filters))
    gain = 100 * (0.7792 - 0.7386)
    note = "final validation accuracy of model 1 minus model 2, table 3; the best ones of 2.2 b) differ by 3.22"
    yield judged(
        Printed(REPORT, "2.5 e)", "gain by the architecture of model 1", "3", unit="%", rounded=True),
        recomputed(gain, note=note),
    )
    place = "figure 8"
    first = next(row for row in layer_rows("resnet18", 1000, 224, weights="none") if row.type == "Conv2D")
    yield judged(
        Printed(REPORT, place, "maps of the first convolution of ResNet18, 8 × 8", "64"),
        computed(first.output_shape[-1] or 0),
    )
    what = "gain of validation accuracy by dropout of 10 %"
    note = "the report does not say on which network"
    last = evidence.last("val_accuracy")
    gained = runs.difference("tdt4265.model2", "tdt4265.model2.no_dropout", last, 100, note)
    yield judged(Printed(REPORT, "2.5 e)", what, "1", unit="%", rounded=True), gained)
