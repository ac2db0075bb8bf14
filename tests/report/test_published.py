"""Comparison with published results, against records worked out by hand; the published files against their rules."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from scipy.stats import binomtest

from keras_cnn import config
from keras_cnn.analysis.published_means import read_grid
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS
from keras_cnn.publications import PublishedDataset
from keras_cnn.report import published
from keras_cnn.report.published import PublishedFigure, compare_with_published, figures_of, read_published
from keras_cnn.run_folder.record import Record, read_record

ROOT = Path(__file__).resolve().parents[2]
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FILES = sorted(config.PUBLISHED.glob("*.yaml"))
CONFIGS = sorted((ROOT / "configs" / "published").glob("*.yaml"))
WITHOUT_NUMBERS = ("tdt4265_resnet18",)  # configs whose report prints curves alone
NAMES = [f"{f.stem}/{name}" for f in FILES for name in yaml.safe_load(f.read_text())["experiments"]]


def wilson(correct: int, images: int) -> tuple[float, float]:
    low, high = binomtest(correct, images).proportion_ci(0.95, "wilson")
    return low, high


def scores(correct: int, images: int, loss: float = 1.0) -> dict:
    return {
        "images": images,
        "accuracy": correct / images,
        "accuracy_interval": list(wilson(correct, images)),
        "loss": loss,
    }


def net1(correct: int = 6750, **changes) -> Record:
    """A run of cs7015/net1 under the published conditions, `correct` of 10,000 test images right."""
    conditions = dict(read_published("cs7015/net1")[0].conditions)
    record = Record(
        Path("runs/net1"),
        config={"data.source": "tfds:cifar10", **conditions},
        history=tuple(
            {
                "epoch": e,
                "loss": 2 / e,
                "accuracy": 0.1 * e,
                "val_loss": abs(e - 2) + 1.0,
                "val_accuracy": 0.5 + 0.01 * e,
            }
            for e in (1, 2, 3)
        ),
        metrics={
            **scores(correct, 10_000, 0.95),
            "best_epoch": 12,
            "train": scores(33_000, 45_000, 0.7),
            "validation": scores(3_400, 5_000, 0.9),
            "per_class": {
                "cat": {"precision": 0.75, "recall": 0.6, "recall_interval": [0.5, 0.7], "f1": 2 / 3, "support": 10},
                "dog": {"precision": 0.5, "recall": 2 / 3, "recall_interval": [0.3, 0.9], "f1": 4 / 7, "support": 6},
            },
            "confusion": [[6, 4], [2, 4]],
        },
        split={"classes": CIFAR10, "counts": {"train": 45_000, "validation": 5_000, "test": 10_000}},
        model={"totals": {"trainable": 173_026}},
    )
    return replace(record, **changes)


def row(record: Record, name: str, value: float, **details):
    figure = PublishedFigure(figure=name, value=value, source="page 1", **{"decimals": 4, **details})
    (found,) = compare_with_published(record, [figure])
    return found


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_published_value_inside_the_measured_interval_agrees():
    found = row(net1(6750), "test_accuracy", 0.6704)
    assert found.verdict == "agrees"
    assert found.measured == 0.675
    assert found.interval == pytest.approx((0.66576, 0.68411), abs=1e-5)  # Wilson, worked out with SciPy


def test_rounding_and_tolerance_widen_the_published_value():
    low, high = wilson(6750, 10_000)
    just_outside = low - 0.00004
    assert row(net1(), "test_accuracy", just_outside, decimals=4).verdict == "agrees"  # half a unit is 0.00005
    assert row(net1(), "test_accuracy", just_outside, decimals=5).verdict == "differs"
    assert row(net1(), "test_accuracy", just_outside, decimals=5, tolerance=0.00004).verdict == "agrees"
    assert row(net1(), "test_accuracy", high + 0.0006, decimals=3).verdict == "differs"


def test_a_difference_is_told_in_points_and_half_widths():
    found = row(net1(7000), "test_accuracy", 0.6704)
    low, high = wilson(7000, 10_000)
    times = (0.7 - 0.6704) / ((high - low) / 2)
    assert found.verdict == "differs"
    assert found.reason == f"measured 2.96 points higher, {times:.1f} half-widths of the interval"
    assert row(net1(6000), "test_accuracy", 0.6704).reason.startswith("measured 7.04 points lower")


def test_counts_agree_only_if_equal():
    assert row(net1(), "trainable_parameters", 173026, decimals=0).verdict == "agrees"
    found = row(net1(), "trainable_parameters", 173036, decimals=0)
    assert (found.verdict, found.reason) == ("differs", "measured 10 lower")
    assert row(net1(), "support", 10, decimals=0, class_name="cat").verdict == "agrees"
    assert row(net1(), "support", 10.4, decimals=0, class_name="cat").verdict == "differs"


def test_a_number_without_an_interval_says_so():
    found = row(net1(), "best_epoch", 9, decimals=0)
    assert (found.interval, found.verdict) == (None, "differs")
    assert found.reason == "measured 3 higher; a single run has no interval of it"
    assert row(net1(), "best_epoch", 9, decimals=0, tolerance=3).verdict == "agrees"
    assert row(net1(), "test_loss", 0.9502, decimals=3).verdict == "agrees"


@pytest.mark.parametrize(
    ("name", "measured", "interval"),
    [
        ("validation_accuracy", 0.68, wilson(3400, 5000)),
        ("train_accuracy", 33 / 45, wilson(33_000, 45_000)),
        ("validation_loss", 0.9, None),
        ("train_loss", 0.7, None),
        ("epochs", 3, None),
        ("best_validation_accuracy", 0.53, wilson(2650, 5000)),
        ("best_validation_accuracy_epoch", 3, None),
        ("best_validation_loss", 1.0, None),
        ("best_validation_loss_epoch", 2, None),
        ("final_validation_accuracy", 0.53, wilson(2650, 5000)),
        ("final_validation_loss", 2.0, None),
        ("final_train_accuracy", 0.3, None),
        ("final_train_loss", 2 / 3, None),
    ],
)
def test_every_figure_is_measured(name, measured, interval):
    found = row(net1(), name, 0.0)
    assert found.measured == pytest.approx(measured, abs=1e-12)
    assert found.interval == (interval if interval is None else pytest.approx(interval, abs=1e-9))


def test_a_loss_is_judged_by_its_interval_where_it_has_one():
    record = net1()
    record.metrics["loss_interval"] = [0.90, 1.00]
    assert row(record, "test_loss", 0.91).finding == "within the measured interval"
    assert row(record, "test_loss", 0.80).finding == "measured 0.1500 higher, 3.0 half-widths of the interval"
    record.metrics["loss_interval"] = [0.95, 0.95]  # all images have the same loss
    assert row(record, "test_loss", 0.80).verdict == "differs"


def test_figures_of_a_class():
    record = net1()
    assert row(record, "recall", 0.6, class_name="cat").interval == (0.5, 0.7)
    record.metrics["per_class"]["cat"] |= {"precision_interval": [0.41, 0.93], "f1_interval": [0.5, 0.8]}
    precision = row(record, "precision", 0.75, class_name="Cat")
    assert (precision.measured, precision.interval) == (0.75, (0.41, 0.93))
    assert row(record, "f1", 0.52, class_name="cat").finding == "within the measured interval"
    assert row(record, "f1", 0.5714, class_name="dog").verdict == "agrees"
    for name, value, text in (
        ("f1", 0.9, "measured 23.33 points lower, 1.6 half-widths"),
        ("precision", 0.3, "measured 45.00 points higher, 1.7 half-widths"),
        ("recall", 0.3, "measured 30.00 points higher, 3.0 half-widths"),
    ):
        assert row(record, name, value, class_name="cat").finding == f"{text} of the interval"
    assert row(record, "recall", 0.6, class_name="horse").reason == "because the run has no recall of horse"


# --- what cannot be compared ------------------------------------------------------------------------------------------


def test_every_measurable_figure_has_a_measure():
    names = config.PublishedNumber.__annotations__["figure"].__args__[0].__args__
    assert set(names) == set(published._MEASURES)


def test_an_unfinished_run_has_its_parameters_alone():
    record = net1(metrics={})
    found = row(record, "test_accuracy", 0.67)
    assert (found.verdict, found.measured) == ("cannot be compared", None)
    assert found.reason == "because the run is not finished"
    assert row(record, "trainable_parameters", 173026, decimals=0).verdict == "agrees"


def test_other_conditions_are_named_and_parameters_depend_on_the_model_alone():
    record = net1()
    record = replace(record, config=record.config | {"train.epochs": 4, "optim.optimizer": "adam"})
    rows = {found.figure: found for found in compare_with_published(record, read_published("cs7015/net1"))}
    found = rows["test accuracy"]
    assert found.verdict == "cannot be compared"
    assert found.reason.startswith("because optim.optimizer is adam, not sgd; train.epochs is 4, not 30")
    assert rows["trainable parameters"].verdict == "agrees"
    other = replace(record, config=record.config | {"model.name": "net2", "model.l1_oc": 64})
    reason = {found.figure: found.reason for found in compare_with_published(other, read_published("cs7015/net1"))}
    assert reason["trainable parameters"] == "because model.name is net2, not net1"


@pytest.mark.parametrize(
    ("source", "classes", "same"),
    [
        ("tfds:cifar10", CIFAR10, True),
        ("folder:photos", [name.upper() for name in CIFAR10], True),  # the classes say it
        ("folder:data/CIFAR-10", list("abcdefghij"), True),  # the name says it
        ("tfds:cifar100", [str(i) for i in range(100)], False),
        ("folder:cifar10", CIFAR10[:9], False),
        ("fashion-mini", [str(i) for i in range(10)], False),
    ],
)
def test_the_data_set_is_told_by_its_classes_or_its_name(source, classes, same):
    record = net1()
    record = replace(record, config=record.config | {"data.source": source}, split=record.split | {"classes": classes})
    found = compare_with_published(record, read_published("cs7015/net1"))[0]
    assert (found.verdict == "agrees") is same
    assert same or "it was measured on CIFAR-10" in found.reason


@pytest.mark.parametrize("part", ["data.subset", "data.per_class", "data.train", "train.overfit_batch"])
def test_a_run_on_a_part_of_the_images_is_no_comparison(part):
    record = net1()
    found = compare_with_published(replace(record, config=record.config | {part: 5}), read_published("cs7015/net1"))[0]
    assert found.verdict == "cannot be compared"
    assert f"a part of the images ({part} is 5)" in found.reason


def test_caveats_are_printed_with_the_verdict():
    assert row(net1(), "test_accuracy", 0.67, caveats=("one seed",)).reason.endswith("; caveat: one seed")
    rows = {found.figure: found for found in compare_with_published(net1(), read_published("cs7015/net1"))}
    assert rows["test accuracy"].verdict == "agrees"
    assert "; caveat: the published best epoch and configuration were chosen on the test set" in (
        rows["test accuracy"].reason
    )
    assert rows["test accuracy"].reason.endswith("caveat: 45,000 train images here, 50,000 there")
    assert rows["trainable parameters"].reason == "equal as printed"  # a count has no luck in it
    augmented = read_published("cs7015/net3")[0]
    assert any("dropout active and on randomly cropped images" in caveat for caveat in augmented.caveats)


def test_what_no_run_holds_is_told_only_when_asked_for():
    ablation = read_published("cs7015/net4-ablation")
    assert len(ablation) == 22
    found = compare_with_published(net1(), ablation)
    assert {r.verdict for r in found} == {"cannot be compared"}
    assert found[0].reason.startswith("because it needs the accuracies of net4 before and after")
    assert figures_of(net1(config={"published": "cs7015/net4-ablation"})) == ()


def test_damaged_folders_give_no_number_and_no_crash():
    record = net1(
        metrics={"accuracy": "much", "best_epoch": "x", "per_class": [], "train": 3},
        model={"totals": [1]},
        history=({"epoch": 1, "val_accuracy": math.nan},),
        split={"counts": 4},
    )
    for name in published._MEASURES:
        found = row(record, name, 0.5, class_name="cat")
        if name != "epochs":
            assert found.verdict == "cannot be compared", name


# --- references and blocks of a config --------------------------------------------------------------------------------


def load(tmp_path, text: str, *overrides: str) -> config.Config:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return config.load(path, list(overrides), {})


OWN = """published:
  - {figure: test_accuracy, value: 0.65, decimals: 3, source: "p. 3", note: "one seed", conditions: {train.epochs: 2}}
  - {figure: recall, class_name: cat, value: 7e-1, source: "table 2", tolerance: 0.01}
"""


@pytest.mark.parametrize("text", [OWN, "published: cs7015/net1\n", "published: null\n", "seed: 1\n"])
def test_a_block_survives_dump_flat_and_a_run_folder(tmp_path, text):
    first = load(tmp_path, text)
    again = load(tmp_path, config.dump(first))
    assert again == first
    assert config.differences(first, again) == []
    (tmp_path / "config.yaml").write_text(config.dump(first))
    flat = read_record(tmp_path).config
    assert flat == config.flat(first) == config.read_flat(tmp_path / "config.yaml")
    expected = {OWN: 2, "published: cs7015/net1\n": 5}.get(text, 0)
    assert len(figures_of(read_record(tmp_path))) == expected


def test_the_figures_of_a_block_are_compared(tmp_path):
    load(tmp_path, OWN)
    (tmp_path / "config.yaml").write_text(config.dump(load(tmp_path, OWN)))
    accuracy, recall = figures_of(read_record(tmp_path))
    assert (accuracy.value, accuracy.decimals, accuracy.caveats) == (0.65, 3, ("one seed",))
    assert accuracy.margin == pytest.approx(0.0005)
    assert recall.margin == pytest.approx(0.05 + 0.01)
    found = row(net1(), "test_accuracy", 0.65, conditions=accuracy.conditions, caveats=accuracy.caveats)
    assert found.reason == "because train.epochs is 30, not 2"


def test_a_block_can_be_given_and_taken_away_on_the_command_line(tmp_path):
    named = load(tmp_path, "seed: 1\n", "--published", "tdt4265/lenet")
    assert named.published == "tdt4265/lenet"
    assert load(tmp_path, "published: cs7015/net1\n", "--published", "null").published is None
    inline = load(tmp_path, "seed: 1\n", "--published", "[{figure: f1, class_name: cat, value: 1, source: x}]")
    assert inline.published == (config.PublishedNumber("f1", 1.0, "x", class_name="cat"),)
    assert config.differences(load(tmp_path, "seed: 1\n"), named) == ["published: None -> tdt4265/lenet"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "published: cs7015/net11\n",
            ["a.yaml:1", "published", "'cs7015/net11' is unknown", "did you mean cs7015/net1?"],
        ),
        ("published: 3\n", ["a.yaml:1", "found 3", "REPORT/EXPERIMENT", "a list of figures"]),
        ("published: {from: cs7015/net1}\n", ["found {'from'", "REPORT/EXPERIMENT"]),
        ("published:\n  - cs7015/net1\n", ["a.yaml:2", "published[0]", "a section with fields"]),
        (
            "published:\n  - {figure: test_accurracy, value: 1, source: x}\n",
            ["a.yaml:2", "published[0].figure", "did you mean test_accuracy?"],
        ),
        (
            "published:\n  - {figure: f1, valu: 1, source: x}\n",
            ["a.yaml:2", "published[0].valu", "did you mean value?"],
        ),
        ("published:\n  - {figure: f1, value: much, source: x}\n", ["published[0].value", "'much'", "a number"]),
        ("published:\n  - {figure: test_loss, value: 1}\n", ["a.yaml:2", "published[0]", "needs source"]),
        ("published:\n  - {figure: f1, value: 1, source: x}\n", ["class_name", "found None", "expected a class_name"]),
        (
            "published:\n  - {figure: test_loss, value: 1, source: x, class_name: cat}\n",
            ["class_name", "found 'cat'", "expected none"],
        ),
        (
            "published:\n  - {figure: test_loss, value: 1, source: x, tolerance: -1}\n",
            ["published[0].tolerance", "-1", "at least 0"],
        ),
        (
            "published:\n  - {figure: test_loss, value: 1, source: x, conditions: {train.epoch: 3}}\n",
            ["published[0].conditions", "'train.epoch'", "did you mean train.epochs?"],
        ),
    ],
)
def test_wrong_blocks_are_named_in_one_line(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_wrong_references_of_a_run_folder_are_named():
    with pytest.raises(InputError, match=r"'cs7015/net9' is unknown; did you mean cs7015/net"):
        read_published("cs7015/net9")
    with pytest.raises(InputError, match="published: 'x' is unknown"):
        figures_of(Record(Path("r"), config={"published": "x"}))
    for wrong in (
        [{"figure": "speed", "value": 1, "source": "x"}],
        [{"value": 1}],
        [3],
        [{"figure": "f1", "value": "a", "source": "x"}],
    ):
        with pytest.raises(InputError, match=r"r/config\.yaml: published: "):
            figures_of(Record(Path("r"), config={"published": wrong}))


# --- the published files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_published_figures_are_whole(name):
    figures = read_published(name)
    assert figures or read_grid(name)  # of one run, or means over a grid alone
    for figure in figures:
        assert isinstance(figure.dataset, PublishedDataset)
        assert math.isfinite(figure.value)
        assert figure.needs or figure.figure in published._MEASURES
        assert (figure.class_name is not None) == (figure.figure in config.PER_CLASS)
        assert figure.source.startswith(name.split("/")[0].upper())
        assert round(figure.value, figure.decimals) == figure.value  # no place below the last one printed
    told = [(f.figure, f.class_name, f.value) for f in figures]
    assert len(told) == len(set(told))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configs_meet_the_conditions_of_the_figures_they_name(path):
    found = config.load(path, [], BUILDERS)
    flat = config.flat(found)
    figures = figures_of(Record(path, config=flat))
    assert bool(figures) == (path.stem not in WITHOUT_NUMBERS)
    record = Record(path, config=flat, metrics={"accuracy": 0.5})
    for figure in figures:
        assert list(published._obstacles(record, figure)) == []


def test_printed_precision():
    net1_accuracy = read_published("cs7015/net1")[0]
    assert (net1_accuracy.value, net1_accuracy.margin) == (0.6704, pytest.approx(0.00005))
    assert [f.decimals for f in read_published("comp5623/tuned") if f.value == 0.65] == [3]  # printed as 65.0 %
    for value, decimals in ((0.6704, 4), (173026.0, 0), (12, 0), (3e-05, 5), (0.0, 0), (100.0, 0), (1.5e-7, 8)):
        assert published._decimals(value) == decimals
