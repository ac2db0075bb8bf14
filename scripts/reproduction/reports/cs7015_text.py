"""CS7015: numbers in its sentences, and the tables about the filters of network 4."""

from collections.abc import Iterator

from reproduction.evidence import Runs
from reproduction.networks import computed, convolutions, parameters, recomputed
from reproduction.reports import cs7015_inside
from reproduction.reports.cs7015_grids import BEST, REPORT
from reproduction.verdicts import Measured, NotMeasured, Printed, Row, judged

NET = {network: parameters(network, **row[1]) for network, row in BEST.items()}
WAITS = NotMeasured("needs network 4, trained for 100 epochs", waits=True)
OTHER_FILTERS = NotMeasured("the first filters of another training are other filters")

CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ABLATION = {  # Table 1: before, after, difference
    "plane": (86, 82, 4),
    "car": (96, 96, 0),
    "bird": (75, 81, -6),
    "cat": (70, 82, -12),
    "deer": (96, 92, 4),
    "dog": (84, 81, 3),
    "frog": (86, 88, -2),
    "horse": (88, 88, 0),
    "ship": (100, 81, 19),
    "truck": (92, 87, 5),
}
OVERALL = (89.86, 86.94, 2.92)
TOP20 = {  # Table 2: how many of the 20 images are of each class
    "Conv 1; Filt 0": (6, 1, 2, 3, 2, 1, 0, 1, 3, 1),
    "Conv 1; Filt 1": (1, 2, 0, 5, 7, 0, 1, 2, 0, 2),
    "Conv 2; Filt 0": (0, 0, 1, 9, 1, 5, 4, 0, 0, 0),
    "Conv 2; Filt 1": (2, 1, 3, 3, 1, 2, 3, 0, 3, 2),
    "Conv 3; Filt 0": (3, 0, 3, 6, 5, 2, 0, 0, 0, 1),
    "Conv 3; Filt 1": (4, 0, 3, 1, 4, 2, 3, 0, 3, 0),
    "Conv 4; Filt 0": (5, 1, 1, 1, 1, 0, 0, 2, 9, 0),
    "Conv 4; Filt 1": (0, 0, 4, 2, 2, 10, 1, 1, 0, 0),
    "Conv 5; Filt 0": (0, 0, 5, 0, 10, 1, 2, 2, 0, 0),
    "Conv 5; Filt 1": (0, 1, 3, 10, 1, 4, 1, 0, 0, 0),
}
PATCHES = (3, 5, 7, 13, 17)  # Table 4


def rows(runs: Runs) -> Iterator[Row]:
    yield from _networks_1_to_3()
    yield from _network_4()
    yield from _ablation()
    yield from _filters(runs)


def _networks_1_to_3() -> Iterator[Row]:
    def row(place: str, what: str, text: str, measured: Measured | NotMeasured, unit: str = "") -> Row:
        rounded = unit != "" and "." not in text
        return judged(Printed(REPORT, place, what, text, unit=unit, rounded=rounded), measured)

    place = "Analysis of Net 1 results, 1)"
    yield row(place, "best test accuracy of net 1", "67.04", recomputed(100 * 0.6704), "%")
    yield row(place, "parameters of net 1", "173", computed(NET["net1"] / 1000), "thousand")
    place = "Analysis of Net 1 results, 3)"
    for what, five, three in (("train", 0.510751, 0.403468), ("test", 0.490402, 0.392318)):
        gain = recomputed(100 * (five - three), note="of the means")
        yield row(place, f"gain of {what} accuracy by kernel 5 at stride 2", "10", gain, "%")
    place = "Analysis of Net 2 results, 1)"
    yield row(place, "best test accuracy of net 2", "75.03", recomputed(100 * 0.7503), "%")
    yield row(place, "parameters of net 2", "4,870,654", computed(NET["net2"]))
    yield row(place, "overfit% of the best net 2", "24.5", recomputed(100 * (0.99482 - 0.7503)), "%")
    place = "Summary & Net 3 parameter configurations"
    yield row(place, "accuracy that net 2 loses on the test images", "24", recomputed(24.452), "%")
    yield row(place, "gain of net 2 over net 1", "8", recomputed(75.03 - 67.04), "points")
    yield row(place, "parameters of net 1", "173", computed(NET["net1"] / 1000), "thousand")
    yield row(place, "parameters of net 2", "4.8", computed(NET["net2"] / 1e6), "million")
    minutes = NotMeasured("the machine is not named, and another one takes another time")
    yield judged(Printed(REPORT, place, "minutes of the grids of net 1 and net 2", "131", count=2), minutes)
    place = "Analysis of Net 3 results"
    yield row(f"{place}, 1)", "best test accuracy of net 3", "87.5", recomputed(100 * 0.875), "%")
    yield row(f"{place}, 1)", "parameters of net 3", "6,819,454", computed(NET["net3"]))
    yield row(f"{place}, 1)", "overfit% of the best net 3", "5.98", recomputed(100 * (0.9348 - 0.875), 0.002), "%")
    more = (NET["net3"] - NET["net2"]) / 1e6
    yield row(f"{place}, 1)", "more parameters than net 2", "2", computed(more), "million")
    yield row(
        f"{place}, 2)",
        "drop of train accuracy by dropout",
        "10",
        recomputed(100 * (0.870216 - 0.772994), note="0.1 to 0.5"),
        "%",
    )
    yield row(
        f"{place}, 2)",
        "drop of test accuracy by dropout",
        "7",
        recomputed(100 * (0.827451 - 0.757331), note="0.1 to 0.5"),
        "%",
    )
    yield row(
        f"{place}, 3)",
        "gain of test accuracy by width",
        "2",
        recomputed(100 * (0.805972 - 0.780493), note="l1_oc 32 to 96"),
        "%",
    )
    yield row(f"{place}, 4)", "mean overfit% at dropout 0.5", "1.9", recomputed(1.919489), "%")
    yield row(f"{place}, 4)", "mean overfit% at dropout 0.1", "4.6", recomputed(4.597644), "%")


def _network_4() -> Iterator[Row]:
    def row(place: str, what: str, text: str, measured: Measured | NotMeasured, unit: str = "") -> Row:
        rounded = unit != "" and "." not in text
        return judged(Printed(REPORT, place, what, text, unit=unit, rounded=rounded), measured)

    yield row("Summary & Net 4", "parameters of net 3 in millions", "6.8", computed(NET["net3"] / 1e6), "million")
    place = "Analysis of Net 4 results"
    yield row(f"{place}, 1)", "best test accuracy of net 4", "88.74", recomputed(100 * 0.8874), "%")
    yield row(f"{place}, 1)", "parameters of net 4", "4,403,518", computed(NET["net4"]))
    yield row(f"{place}, 1)", "overfit% of the best net 4", "8", recomputed(7.974), "%")
    yield row(f"{place}, 1)", "overfit% of net 3", "6", recomputed(5.98), "%")
    yield row(f"{place}, 1)", "gain of net 4 over net 3", "1.2", recomputed(88.74 - 87.5), "points")
    less = (NET["net3"] - NET["net4"]) / 1e6
    yield row(f"{place}, 1)", "fewer parameters than net 3", "2.4", computed(less), "million")
    share = 100 * (1 - NET["net4"] / NET["net3"])
    yield row(f"{place}, 1)", "fewer parameters than net 3", "35", computed(share), "%")
    mean = 100 * (0.851131 - 0.826185)
    yield row(
        f"{place}, 2)",
        "higher test accuracy at dropout 0.3 than at 0.5",
        "3",
        recomputed(mean, note="of the means; the highest accuracy at 0.5 is not printed"),
        "%",
    )
    yield row(f"{place}, 2)", "mean overfit% of epochs above 88 % test accuracy", "8.13", WAITS, "%")
    yield row(place, "test accuracy in evaluation mode", "90", recomputed(OVERALL[0]), "%")


def _ablation() -> Iterator[Row]:
    place = "Table 1"
    for name, (before, after, difference) in ABLATION.items():
        printed = Printed(REPORT, place, f"accuracy of {name}: before minus after", str(difference), unit="%")
        yield judged(printed, recomputed(before - after))
    yield judged(
        Printed(REPORT, place, "overall: before minus after", "2.92", unit="%"), recomputed(OVERALL[0] - OVERALL[1])
    )
    for index, when in enumerate(("before", "after")):
        mean = sum(pair[index] for pair in ABLATION.values()) / len(ABLATION)
        note = (
            f"the mean of the ten classes of the same table is {mean:.1f} %; each has a tenth of the test images,"
            " of which the author's code counts the first 4 of every batch of 128"
        )
        printed = Printed(REPORT, place, f"overall accuracy, {when}", str(OVERALL[index]), unit="%")
        yield judged(printed, recomputed(mean, 0.5, note))
    yield judged(Printed(REPORT, place, "accuracies of ten classes, before and after", "86", count=20), WAITS)
    place = "Part 2.2.2, text"
    drops = {"plane": 4, "ship": 19, "truck": 5, "cat": -12, "bird": -6}
    for name, text in drops.items():
        before, after, _ = ABLATION[name]
        what = f"{'drop' if text > 0 else 'rise'} of the accuracy of {name}"
        yield judged(Printed(REPORT, place, what, str(abs(text)), unit="%"), recomputed(abs(before - after)))
    yield judged(
        Printed(REPORT, place, "drop of the overall accuracy", "3", unit="%", rounded=True), recomputed(OVERALL[2])
    )
    layers = convolutions("net4", **BEST["net4"][1])
    filters = sum(int(layer.output_shape[-1] or 0) for layer in layers)
    yield judged(Printed(REPORT, place, "3×3 filters in net 4", "1280"), computed(filters))
    yield judged(Printed(REPORT, place, "images of the first 256 that are newly misclassified", "18"), WAITS)


def _filters(runs: Runs) -> Iterator[Row]:
    classes = CLASSES[:-1]
    yield judged(
        Printed(REPORT, "Table 2", f"images of {len(classes)} classes among the top 20 of ten filters", "6", count=90),
        OTHER_FILTERS,
    )
    for filter_name, counts in TOP20.items():
        printed = Printed(
            REPORT, "Table 2", f"{filter_name}: images of {CLASSES[-1]} among the top 20", str(counts[-1])
        )
        yield judged(printed, recomputed(20 - sum(counts[:-1]), note="20 less those of the other classes"))
    for filter_name, class_name, text in (
        ("Conv 1; Filt 0", "plane", "6"),
        ("Conv 4; Filt 0", "ship", "9"),
        ("Conv 4; Filt 1", "dog", "10"),
        ("Conv 5; Filt 0", "deer", "10"),
        ("Conv 5; Filt 0", "bird", "5"),
        ("Conv 5; Filt 1", "cat", "10"),
        ("Conv 5; Filt 1", "dog", "4"),
    ):
        count = TOP20[filter_name][CLASSES.index(class_name)]
        what = f"{filter_name}: images of {class_name} among the top 20"
        yield judged(Printed(REPORT, "Filter Identification Analysis", what, text), recomputed(count, note="Table 2"))
    yield judged(
        Printed(REPORT, "Table 3", "mean and maximal responses of ten filters", "578.772", count=20), OTHER_FILTERS
    )
    layers = convolutions("net4", **BEST["net4"][1])
    look = runs.look(cs7015_inside.LOOK)
    for number, (layer, patch) in enumerate(zip(layers, PATCHES, strict=False), 1):
        assert layer.field is not None
        size = layer.field.height.size
        note = "" if size == patch else "rounded up to an odd side in print, it seems"
        if look is not None:
            note = f"{note}; " * bool(note) + f"in a trained network {look['fields'][number - 1]} pixels change a unit"
        for filter_number in (0, 1):
            what = f"Conv {number}; Filt {filter_number}: side of the receptive field"
            yield judged(Printed(REPORT, "Table 4", what, str(patch), unit="pixels"), computed(size, note))
