"""CS7015, part 2: its conclusions about the filters of network 4, on a network 4 that was trained for fewer epochs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_cnn.evaluation.intervals import mean_interval, student_t, wilson
from reproduction.claims import Claim, Difference, deciding, larger, of_numbers, similar, trend
from reproduction.evidence import Runs
from reproduction.inside import CONVOLUTIONS, SIZES
from reproduction.stand_ins import NET4

REPORT, LOOK = "CS7015", "cs7015.short.inside"
NEAR_0 = 0.05  # a probability below this has dropped to 0
QUICK = 16  # side of the patch, half that of the image, at which it is judged
TRANSPORT = ("airplane", "automobile", "ship", "truck")
UNAFFECTED = ("automobile", "horse")
# Table 3: mean response of the top 20 images to the two filters of each convolution.
PRINTED_RESPONSES = (578.772, 285.001, 332.098, -13.1319, 52.3936, 29.0425, 67.9336, 87.874, 4.01055, 11.5044)
Found = Mapping[str, Any]
WORDS = {
    "sum": ("Part 2.1", "With a larger occluding window the sum of the confidence map decreases"),
    "mean": ("Part 2.1", "The confidence itself decreases overall with the window"),
    "deer": ("Part 2.1", "Occluding the deer makes the probability of deer drop quickly to 0"),
    "drop": ("Part 2.2.2", "Zeroing ten filters lowers the test accuracy"),
    "rise": ("Part 2.2.2", "The class accuracies of cat and bird rise with ten filters at zero"),
    "transport": ("Part 2.2.2", "The accuracy of classes of transport drops significantly with ten filters at zero"),
    "unaffected": ("Part 2.2.2", "Car and horse are unaffected by ten filters at zero"),
    "response": ("Part 2.2.1", "The mean response of the top 20 images decreases with depth"),
    "sparser": ("Part 2.2.1", "The feature maps become sparser with depth"),
    "dying": ("Part 2.2.1", "A filter of convolution 2 is negative on every test image (dying ReLU)"),
    "evaluation": ("Net 4, note", "Evaluation mode raises the test accuracy"),
}


def claims(runs: Runs) -> Iterator[Claim]:
    found = runs.look(LOOK)
    if found is None:
        for place, words in WORDS.values():
            yield Claim(REPORT, place, words, "waits", f"needs {NET4}")
    else:
        accuracy = f"test accuracy {100 * found['accuracy']:.1f} %"
        note = f"stand-in: {NET4}, {accuracy}"
        for name, unit, difference in _differences(found):
            verdict, finding = larger(difference)
            if name == "unaffected":
                verdict, finding = similar(difference)
            if name == "dying":
                verdict = "undecided"
            yield Claim(
                REPORT, *WORDS[name], verdict, f"{finding}; {note}", difference, unit, similarity=name == "unaffected"
            )
    counted = "filters per convolution as the network has them: 64, 64, 128, 256, 256, 512"
    yield Claim(REPORT, "Part 2.2.2", "Only ten of 1280 filters were changed", "holds", counted)


def _differences(found: Found) -> Iterator[tuple[str, str, Difference]]:
    """Of each conclusion its difference, which is above 0 if the conclusion holds, with its unit."""
    occlusion, ablation = found["occlusion"], found["ablation"]
    ends = f"patch of {SIZES[0]} minus {SIZES[-1]} pixels, {occlusion['images']} images"
    yield "sum", "", of_numbers(occlusion["sum_falls"], f"{ends}; a larger patch also has fewer places")
    yield "mean", "points", of_numbers(occlusion["mean_falls"], f"mean over the places, {ends}")
    yield "deer", "points", lowest_near_0(found["deer"])
    size, low, high = ablation["difference"]
    others = [100 * change for change in ablation["random_filters"]]
    span = f"{min(others):+.1f} to {max(others):+.1f} points"
    what = f"of {found['images']:,} test images; ten random filters change it by {span}"
    yield "drop", "points", Difference(-size, -high, -low, what, "stand-in")
    changes = {name: change[2:] for name, change in ablation["by_class"].items()}
    worse = min(("cat", "bird"), key=lambda name: changes[name][0])
    yield "rise", "points", of_numbers(changes[worse], f"of {worse}, the smaller rise of the two")
    ten = f"ten of {sum(layer['filters'] for layer in found['filters'])} filters here, of 1280 there"
    transport = [-change[0] for name, change in changes.items() if name in TRANSPORT]
    loss = Difference(float(np.mean(transport)), *mean_interval(transport), basis="stand-in")
    yield "transport", "points", replace(loss, what=f"mean loss of the four classes; {ten}")
    larger_change = max(UNAFFECTED, key=lambda name: abs(changes[name][0]))
    yield "unaffected", "points", of_numbers(changes[larger_change], f"of {larger_change}, the larger change; {ten}")
    printed = trend(np.repeat(range(1, 6), 2), np.negative(PRINTED_RESPONSES), "convolution 1 minus 5 of its table 3")
    yield "response", "", deciding(response_falls(found["filters"]), printed, "")
    what = f"values not above 0 after the ReLU, convolution {CONVOLUTIONS} minus 1"
    yield "sparser", "points", of_numbers(found["sparser"], what)
    second = found["filters"][1]
    low, high = wilson(second["dead"], second["filters"])
    alone = max(found["filters"], key=lambda layer: layer["negative_sums"] - layer["dead"])
    what = (
        f"{second['dead']} of its {second['filters']} filters, {_dead(found)} of all; Wilson's interval; that the sum"
        f" over the map is negative on every image does not show it: so it is with {alone['negative_sums']} filters of"
        f" {alone['layer']}, of which {alone['dead']} are dead"
    )
    yield "dying", "share", Difference(second["dead"] / second["filters"], low, high, what, "stand-in")
    training = found["training_mode"]
    what = (
        f"minus {100 * training['accuracy']:.1f} % with dropout active, batch norm by batches and images cropped at"
        " random, as the report measured; how much of it is the cropping's is not measured"
    )
    yield "evaluation", "points", of_numbers(training["gain_of_evaluation"], what)


def lowest_near_0(deer: Found) -> Difference:
    """5 % minus the lowest confidence under the patch."""
    size, low, high = deer["lowest"][SIZES.index(QUICK)]
    each = ", ".join(f"{100 * lowest[0]:.0f} %" for lowest in deer["lowest"])
    sides = ", ".join(map(str, SIZES))
    what = (
        f"{100 * NEAR_0:.0f} % minus the lowest confidence with a patch of {QUICK} pixels, {deer['images']} deer; with"
        f" {sides} pixels it is {each}"
    )
    return Difference(NEAR_0 - size, NEAR_0 - high, NEAR_0 - low, what, "stand-in")


def response_falls(layers: list[Found]) -> Difference:
    """The mean over the filters of convolution 1 minus that of convolution 5, with Welch's interval."""
    first, last = layers[0], layers[CONVOLUTIONS - 1]
    size = first["top_mean"][0] - last["top_mean"][0]
    variances = [layer["spread"] ** 2 / layer["filters"] for layer in (first, last)]
    total = sum(variances)
    freedom = total**2 / sum(v**2 / (layer["filters"] - 1) for v, layer in zip(variances, (first, last), strict=True))
    half = student_t(0.95, freedom) * math.sqrt(total)
    by_pixel = " and ".join(f"{layer['top_mean'][0] / layer['pixels']:.2g}" for layer in (first, last))
    what = (
        f"all filters of convolution 1 minus those of convolution {CONVOLUTIONS}; {by_pixel} for each pixel of their"
        f" {first['pixels']} and {last['pixels']}"
    )
    return Difference(size, size - half, size + half, what, "stand-in")


def _dead(found: Found) -> str:
    return (
        f"{sum(layer['dead'] for layer in found['filters'])} of {sum(layer['filters'] for layer in found['filters'])}"
    )
