"""COMP5623: its logs of ImageNet10, which is not at hand, its table of layers, and the layers of AlexNet."""

from collections.abc import Iterator

from reproduction.evidence import Runs
from reproduction.networks import computed, convolutions, dense, recomputed
from reproduction.networks import rows as layer_rows
from reproduction.verdicts import NotMeasured, Printed, Row, judged

REPORT = "COMP5623"
SIDE = 128
NO_IMAGES = NotMeasured("ImageNet10 is not at hand; configs/published/comp5623_*.yaml run on a copy of it")
LOGS = {  # place -> what was trained, and the first number of its log
    "1.1.2": ("one batch", "2.321"),
    "1.2.1": ("full set", "1.979"),
    "1.2.2": ("fine-tuned", "2.046"),
}


def rows(runs: Runs) -> Iterator[Row]:
    for place, (what, first) in LOGS.items():
        printed = Printed(REPORT, place, f"{what}: log of 30 epochs, losses and accuracy", first, 30, count=90)
        yield judged(printed, NO_IMAGES)
    yield from _text()
    yield from _layers()


def _text() -> Iterator[Row]:
    place = "1.2.2"
    for what, text, final in (("full set, 1.2.1", "51", 51.6), ("fine-tuned", "63", 63.5)):
        printed = Printed(REPORT, place, f"{what}: validation accuracy after 30 epochs", text, 30, "%", rounded=True)
        yield judged(printed, recomputed(final, note="the last line of the log"))
    printed = Printed(REPORT, "1.1.2", "one batch: overfits from epoch", "26", 30)
    yield judged(printed, recomputed(9, note="after its lowest validation loss, at epochs 7 and 8 of the log"))
    place = "1.2.1"
    printed = Printed(REPORT, place, "accuracy rises until epoch", "5", 30)
    yield judged(printed, recomputed(5, note="the epoch of the highest accuracy in the log, which counts from 0"))
    printed = Printed(REPORT, place, "validation loss rises from epoch", "6", 30)
    yield judged(printed, recomputed(4, note="after its lowest value, at epoch 3 of the log, which counts from 0"))
    printed = Printed(REPORT, place, "best number of epochs", "10", 30)
    yield judged(printed, recomputed(4, note="epochs 0 to 3 of the log: up to the lowest validation loss"))
    place = "1.2.3"
    printed = Printed(REPORT, place, "counts of the two confusion matrices", "163", count=4)
    yield judged(printed, NO_IMAGES)


def _layers() -> Iterator[Row]:
    layers = [*convolutions("imagenet10", side=SIDE), *dense("imagenet10", side=SIDE)]
    inputs = [3, *(int(layer.output_shape[-1] or 0) for layer in layers[:3])]
    for number, (layer, before) in enumerate(zip(layers[:4], inputs, strict=True), 1):
        channels = int(layer.output_shape[-1] or 0)
        note = "a pool gets the maps of its convolution, not those before it"
        printed = Printed(REPORT, "table 1.1.3", f"input channels of pool {number}", str(before))
        yield judged(printed, computed(channels, note))
    flattened = next(row for row in layer_rows("imagenet10", side=SIDE) if row.type == "Flatten").output_shape[0] or 0
    printed = Printed(REPORT, "table 1.1.3", "values after the last pool of 128-pixel images", "9216")
    yield judged(printed, computed(flattened))
