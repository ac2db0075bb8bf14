"""IN4310: splits, layers of ResNet18, its classification report and the statistics of its maps."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from reproduction.evidence import Runs
from reproduction.networks import built, computed, dense, recomputed
from reproduction.networks import rows as layer_rows
from reproduction.spectra import CIFAR10, IMAGENET, SIDE
from reproduction.verdicts import NotMeasured, Printed, Row, judged

REPORT = "IN4310"
NO_IMAGES = NotMeasured("the Intel scenes are not at hand")
SPECTRA = "in4310.spectra"
NO_WEIGHTS = "the ImageNet weights of ResNet18 are not at hand"

SCORES = {  # precision, recall, F1, support
    "buildings": (0.98, 0.95, 0.97, 250),
    "forest": (1.00, 0.99, 1.00, 250),
    "glacier": (0.94, 0.94, 0.94, 250),
    "mountain": (0.95, 0.94, 0.95, 250),
    "sea": (0.99, 0.99, 0.99, 250),
    "street": (0.95, 0.98, 0.96, 250),
}
SOFTMAX = (  # rows of the printed tensor; each sums to 1
    (1.2677e-04, 6.1474e-03, 1.3926e-03, 9.9227e-01, 4.5625e-05, 1.4502e-05),
    (3.3747e-04, 9.9440e-01, 5.1782e-03, 8.0230e-07, 2.5734e-05, 6.1893e-05),
    (1.4682e-06, 9.9974e-01, 2.5627e-04, 1.3607e-07, 5.2376e-07, 3.0957e-06),
    (4.6122e-05, 1.3851e-05, 9.6874e-04, 9.3550e-05, 9.9885e-01, 3.1685e-05),
    (3.6631e-04, 1.0747e-03, 9.6500e-01, 3.0067e-03, 3.0245e-02, 3.1223e-04),
    (2.0704e-03, 5.2982e-06, 3.9158e-06, 2.9958e-07, 1.1883e-06, 9.9792e-01),
)
MAPS = {  # printed layer -> ours, and its printed shape
    "maxpool": ("maxpool", (64, 56, 56)),
    "layer1": ("layer1_1_relu", (64, 56, 56)),
    "layer2": ("layer2_1_relu", (128, 28, 28)),
    "layer3": ("layer3_1_relu", (256, 14, 14)),
    "layer4": ("layer4_1_relu", (512, 7, 7)),
    "avgpool": ("pool", (512, 1, 1)),
}


def rows(runs: Runs) -> Iterator[Row]:
    yield from _splits()
    yield from _network()
    yield from _report()
    yield from _maps(runs)


def _splits() -> Iterator[Row]:
    place = "Perform a train-validation-test split"
    share = 100 * 0.2 * (1 - 0.1)
    printed = Printed(REPORT, place, "share of the validation images", "18", unit="%")
    yield judged(printed, recomputed(share, note="20 % of the remaining 90 %"))
    images = 2500 * 0.10
    for name in SCORES:
        printed = Printed(REPORT, "Classification Report", f"support of {name}", "250")
        yield judged(printed, recomputed(images, note="10 % of 2,500 images of a class"))
    for where in ("accuracy", "macro avg", "weighted avg"):
        printed = Printed(REPORT, "Classification Report", f"support, {where}", "1500")
        yield judged(printed, recomputed(sum(row[3] for row in SCORES.values()), note="sum of the classes"))


def _network() -> Iterator[Row]:
    place = "Model (ResNet18)"
    layers = {row.layer: row for row in layer_rows("resnet18", 6, 224, weights="none")}
    model = built("resnet18", 6, 224, weights="none")
    first, norm, pool = (model.get_layer(name) for name in ("conv1", "bn1", "maxpool"))
    padding = model.get_layer("conv1_pad").padding[0][0]
    numbers = [
        ("conv1: input channels", "3", model.input_shape[-1]),
        ("conv1: output channels", "64", first.filters),
        ("conv1: side of the kernel", "7", first.kernel_size[0]),
        ("conv1: stride", "2", first.strides[0]),
        ("conv1: padding", "3", padding),
        ("bn1: channels", "64", norm.gamma.shape[0]),
        ("bn1: epsilon", "0.00001", norm.epsilon),
        ("bn1: momentum", "0.1", 1 - norm.momentum),
        ("maxpool: side of the window", "3", pool.pool_size[0]),
        ("maxpool: stride", "2", pool.strides[0]),
        ("maxpool: padding", "1", model.get_layer("maxpool_pad").padding[0][0]),
        ("fc: outputs", "6", dense("resnet18", 6, 224, weights="none")[-1].output_shape[-1] or 0),
        ("fc: inputs", "512", layers["pool"].output_shape[-1] or 0),
    ]
    block = [row for name, row in layers.items() if name.startswith("layer1_0_") and row.type == "Conv2D"]
    numbers.append(("convolutions of a BasicBlock", "2", len(block)))
    for number, channels in enumerate((64, 128, 256, 512), 1):
        blocks = len([name for name in layers if name.startswith(f"layer{number}_") and name.endswith("_add")])
        numbers.append((f"layer{number}: blocks", "2", blocks))
        found = layers[f"layer{number}_1_relu"].output_shape[-1] or 0
        numbers.append((f"layer{number}: output channels", str(channels), found))
        before = layers[f"layer{number - 1}_1_relu" if number > 1 else "maxpool"].output_shape[-1] or 0
        printed_before = str(channels // 2 if number > 1 else channels)
        numbers.append((f"layer{number}: input channels", printed_before, before))
    for what, text, own in numbers:
        note = "torch counts the momentum of the new value, Keras that of the old" if "momentum" in what else ""
        yield judged(Printed(REPORT, place, what, text), computed(own, note))


def _report() -> Iterator[Row]:
    place = "Classification Report"
    for name, (precision, recall, f1, _) in SCORES.items():
        yield judged(Printed(REPORT, place, f"precision and recall of {name}", f"{precision:.2f}", count=2), NO_IMAGES)
        own = 2 * precision * recall / (precision + recall)
        printed = Printed(REPORT, place, f"F1 of {name}", f"{f1:.2f}")
        yield judged(printed, recomputed(own, 0.005, "of its printed precision and recall"))
    for index, what in enumerate(("precision", "recall", "F1")):
        mean = sum(row[index] for row in SCORES.values()) / len(SCORES)
        for kind in ("macro", "weighted"):
            printed = Printed(REPORT, place, f"{kind} average of {what}", "0.97")
            yield judged(printed, recomputed(mean, 0.005, "mean of the six classes, which are equally large"))
    mean = sum(row[1] for row in SCORES.values()) / len(SCORES)
    printed = Printed(REPORT, place, "accuracy", "0.97")
    yield judged(printed, recomputed(mean, 0.005, "mean recall of six equally large classes"))
    sums = ", ".join(f"{sum(scores):.4f}" for scores in SOFTMAX)
    reason = NotMeasured(f"{NO_IMAGES.reason}; its six rows sum to {sums}")
    yield judged(Printed(REPORT, "SoftMax scores tensor", "probabilities of six images", "0.99227", count=36), reason)
    printed = Printed(REPORT, "Top-10 and bottom-10", "scores of the ranked images", "100.00", unit="%", count=34)
    yield judged(printed, NotMeasured(f"{NO_IMAGES.reason}; of 40 images, the text of the report shows 34"))


def _maps(runs: Runs) -> Iterator[Row]:
    layers = {row.layer: row for row in layer_rows("resnet18", 6, 224, weights="none")}
    percentages = ("23.30", "23.58", "49.18", "55.48", "43.03", "1.34")
    look = runs.look(SPECTRA)
    for place, ((name, (layer, shape)), text) in enumerate(zip(MAPS.items(), percentages, strict=True)):
        *sides, channels = layers[layer].output_shape
        own = (channels, *sides) if sides else (channels, 1, 1)
        for axis, printed_length, length in zip(("channels", "height", "width"), shape, own, strict=True):
            printed = Printed(REPORT, "Task 2, feature map layers", f"{name}: {axis}", str(printed_length))
            yield judged(printed, computed(int(length or 0)))
        printed = Printed(REPORT, "Task 2", f"{name}: values that are not positive", text, unit="%")
        yield judged(printed, NotMeasured(f"{NO_WEIGHTS}{_of_others(look, place)}"))


def _of_others(look: Mapping[str, Any] | None, place: int) -> str:
    """What the networks at hand have at this stage on ImageNet photos, as the end of a sentence."""
    if look is None:
        return "; random ones say nothing about it"
    random, xception = (100 * look[name][IMAGENET]["not_positive"][place][1] for name in ("resnet18", "xception"))
    return f"; random ones give {random:.1f} %, Xception with its ImageNet weights {xception:.1f} % at a like depth"


def spectra(runs: Runs) -> tuple[str, ...]:
    """What the spectra of features show, of which the report prints curves alone; none before they are measured."""
    look = runs.look(SPECTRA)
    if look is None:
        return ()
    (a, a_low, a_high), (b, b_low, b_high) = (look["xception"][name]["effective_rank"] for name in (IMAGENET, CIFAR10))
    low, high = a - b - math.hypot(a - a_low, b_high - b), a - b + math.hypot(a_high - a, b - b_low)  # MOVER
    return (
        f"The eigenvalues of task 3 are printed as curves alone. Here the features of Xception, with ImageNet weights"
        f" and {SIDE} pixels, have an effective rank of {a:.0f} on {IMAGENET} and of {b:.0f} on {CIFAR10}: a difference"
        f" of {a - b:.0f} [{low:.0f}, {high:.0f}] dimensions.",
    )
