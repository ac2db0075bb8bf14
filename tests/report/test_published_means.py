"""Grouped means beside published ones: numbers worked out by hand, and the printed tables against each other."""

import csv
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from keras_cnn.analysis import sections
from keras_cnn.analysis.published_means import (
    PublishedGrid,
    PublishedTable,
    accurate_sentence,
    compare_means,
    order,
    order_sentence,
    read_grid,
)
from keras_cnn.analysis.run_tables import RunTable, find_table
from keras_cnn.analysis.sections import PageSection, write_section
from keras_cnn.errors import InputError
from keras_cnn.publications import PublishedDataset
from keras_cnn.report.html import write_report
from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.content import _published
from keras_cnn.run_folder.record import Record

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
GRIDS = ("cs7015/first", "cs7015/net1", "cs7015/net2", "cs7015/net3", "cs7015/net4")

# --- the printed tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRIDS)
def test_tables_of_one_balanced_grid_have_the_same_overall_means(name):
    """Every table groups the same rows another way, so its groups' mean is the same: a slip of a digit shows."""
    overall = {}
    for table in read_grid(name).tables:
        if "epoch" in table.by:
            continue
        for i, mean in enumerate(table.means):
            overall.setdefault(mean, []).append(np.mean([values[i] for _, values in table.rows]))
    for mean, found in overall.items():
        assert found == pytest.approx([found[0]] * len(found), abs=1.5e-6 if mean != "parameters" else 0.5)


@pytest.mark.parametrize("name", GRIDS)
def test_tables_have_a_row_for_every_group_of_the_grid(name):
    grid = read_grid(name)
    for table in grid.tables:
        if table.by == ("epoch",):
            assert [levels[0] for levels, _ in table.rows] == [1, 5, 9, 13, 17, 21, 25, 29]
            continue
        groups = [levels for levels, _ in table.rows]
        assert len(groups) == np.prod([len(grid.levels[field]) for field in table.by])
        assert len(set(groups)) == len(groups)
        assert all(level in grid.levels[f] for levels in groups for f, level in zip(table.by, levels, strict=True))
        assert all(len(values) == len(table.means) for _, values in table.rows)


def test_an_experiment_without_tables_has_no_grid():
    assert read_grid("cs7015/net3-32") is None
    with pytest.raises(InputError, match="did you mean cs7015/net1"):
        read_grid("cs7015/net11")


# --- the order of groups ----------------------------------------------------------------------------------------------


def test_order_by_hand():
    # Of 24 permutations 1 has no inversion and 3 have one: p = 2 * 4 / 24. Spearman: 1 - 6 * 2 / (4 * 15).
    found = order([1, 2, 3, 4], [10, 30, 20, 40])
    assert (found.groups, found.pairs, found.same, found.swapped) == (4, 6, 5, ((1, 2),))
    assert (found.spearman, found.kendall, found.p) == pytest.approx((0.8, 4 / 6, 1 / 3))
    same = order([1, 2, 3, 4, 5, 6], [0, 1, 4, 9, 16, 25])
    assert (same.same, same.spearman, same.kendall, same.p) == pytest.approx((15, 1, 1, 2 / 720))
    tied = order([1, 2, 3], [5, 5, 6])
    # tau-b: 2 concordant pairs over sqrt(3 * 2); ranks 1.5, 1.5, 3 against 1, 2, 3 have the correlation sqrt(3) / 2.
    assert (tied.same, tied.kendall, tied.spearman) == pytest.approx((2, 2 / 6**0.5, 3**0.5 / 2))
    assert tied.swapped == ()


@pytest.mark.parametrize(("a", "b"), [([1], [2]), ([], []), ([1, 2], [3, 3]), ([2, 2], [1, 3])])
def test_no_order_without_two_groups_that_differ(a, b):
    assert order(a, b) is None


# --- the runs' means --------------------------------------------------------------------------------------------------

DATASET = PublishedDataset("CIFAR-10", "cifar10", tuple(CIFAR10), 50_000, 10_000)
WIDTHS = PublishedTable(
    ("model.l1_oc",),
    ("loss", "test_accuracy", "overfit_percent"),
    (((6,), (1.0, 0.50, 2.0)), ((12,), (0.5, 0.60, 4.0))),
    "p. 1",
)
EPOCHS = PublishedTable(("epoch",), ("test_accuracy",), (((1,), (0.3,)), ((9,), (0.7,))), "p. 2")
GRID = PublishedGrid(
    "x/y",
    {"model.l1_oc": (6, 12), "model.stride": (1, 2)},
    {"model.name": "net1", "optim.learning_rate": 0.01, "train.epochs": 30},
    DATASET,
    ("a caveat",),
    (WIDTHS, EPOCHS),
)
RECORD = Record(
    Path("runs/1"),
    config={
        "data.source": "folder:cifar10",
        "model.name": "net1",
        "model.stride": 1,
        "optim.learning_rate": 0.01,
        "train.epochs": 30,
    },
    metrics={"accuracy": 0.5},
    split={"classes": CIFAR10, "counts": {"train": 45_000, "validation": 5_000, "test": 10_000}},
)


def rows(run: str, width: int, stride: int, *epochs: tuple[float, float, float]) -> list[dict]:
    """(loss, train accuracy, validation accuracy) of each epoch."""
    return [
        {"run": run, "width": width, "model.stride": stride, "epoch": i}
        | dict(zip(("loss", "train_accuracy", "validation_accuracy"), numbers, strict=True))
        for i, numbers in enumerate(epochs, 1)
    ]


def frame() -> pd.DataFrame:
    """Three cells of the four, and a run beside the grid."""
    return pd.DataFrame(
        [
            *rows("a", 6, 1, (2.0, 0.30, 0.32), (1.0, 0.50, 0.46)),  # overfit% -2, which counts 0, and 4
            *rows("b", 6, 2, (3.0, 0.20, 0.20), (2.0, 0.40, 0.30)),  # 0 and 10
            *rows("c", 12, 1, (1.5, 0.40, 0.40), (0.5, 0.70, 0.60)),  # 0 and 10
            *rows("d", 99, 1, (9.0, 0.99, 0.01), (9.0, 0.99, 0.01)),
        ]
    )


COLUMNS = {"model.l1_oc": "width", "model.stride": "model.stride"}


def test_means_are_over_all_epochs_of_the_runs_in_the_grid():
    found = compare_means(frame(), COLUMNS, RECORD, GRID)
    widths = found.tables[0].rows.set_index(["model.l1_oc", "mean"])
    expected = {
        (6, "loss"): (1.0, (2 + 1 + 3 + 2) / 4),
        (6, "test_accuracy"): (0.5, (0.32 + 0.46 + 0.20 + 0.30) / 4),
        (6, "overfit_percent"): (2.0, (0 + 4 + 0 + 10) / 4),
        (12, "loss"): (0.5, 1.0),
        (12, "test_accuracy"): (0.6, 0.5),
        (12, "overfit_percent"): (4.0, 5.0),
    }
    assert set(widths.index) == set(expected)
    for place, (published, measured) in expected.items():
        row = widths.loc[place]
        assert (row["published"], row["measured"]) == pytest.approx((published, measured))
        assert row["difference"] == pytest.approx(measured - published)
    counts = widths.loc[[(6, "loss"), (12, "loss")], ["runs", "rows", "cells", "published_cells"]]
    assert counts.to_numpy().tolist() == [[2, 4, 2, 2], [1, 2, 1, 2]]


def test_means_at_an_epoch_and_epochs_that_no_run_has():
    first, ninth = compare_means(frame(), COLUMNS, RECORD, GRID).tables[1].rows.to_dict("records")
    assert first["measured"] == pytest.approx((0.32 + 0.20 + 0.40) / 3)
    assert (first["cells"], first["published_cells"]) == (3, 4)
    assert np.isnan(ninth["measured"])
    assert (ninth["runs"], ninth["cells"], ninth["published_cells"]) == (0, 0, 4)


def test_the_mean_over_accurate_epochs_by_hand():
    """CS7015, network 4: "The mean overfit% observed for all epochs having a test accuracy score > 88% was 8.13%"."""
    (printed,) = read_grid("cs7015/net4").accurate_epochs
    assert (printed.above, printed.mean, printed.published) == (0.88, "overfit_percent", 8.13)
    grid = replace(GRID, accurate_epochs=(replace(printed, above=0.31), replace(printed, above=0.6)))
    found = compare_means(frame(), COLUMNS, RECORD, grid)
    some, none = found.accurate_epochs
    # above 0.31: 0.32 and 0.46 of run a, 0.40 and 0.60 of run c, with overfit% 0 (train 0.30), 4, 0 and 10
    assert (some.measured, some.runs, some.rows) == (pytest.approx((0 + 4 + 0 + 10) / 4), 2, 4)
    assert np.isnan(none.measured)
    assert (none.runs, none.rows) == (0, 0)
    assert accurate_sentence(some, found.held_out) == (
        "Over all epochs with a test accuracy above 31 % the published mean overfit% is 8.13; here it is 3.50 over 4"
        " epochs of 2 runs with a validation accuracy above 31 %"
    )
    assert accurate_sentence(none, found.held_out).endswith("here no epoch has a validation accuracy above 60 %")
    row = found.frame().set_index("by").loc["epochs by held-out accuracy"].iloc[0]
    assert (row["group"], row["published"], row["cells"], row["published_cells"]) == ("above 0.31", 8.13, 2, 4)
    assert (row["measured"], row["difference"]) == pytest.approx((3.5, 3.5 - 8.13))


def test_what_hinders_the_comparison_is_said():
    config = RECORD.config | {"train.epochs": 2, "data.subset": 0.1}
    table = frame().assign(rate=[0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])
    columns = COLUMNS | {"optim.learning_rate": "rate"}
    found = compare_means(
        table, columns, Record(RECORD.path, config=config, metrics={"a": 1}, split=RECORD.split), GRID
    )
    told = " | ".join(found.hindrances)
    for words in (
        "optim.learning_rate is 0.01 or 0.1, not 0.01",
        "train.epochs is 2, not 30; means over all epochs hold the first ones",
        "measured on 5,000 validation images, not on the test images",
        "45,000 train images here, 50,000 there",
        "a part of the images (data.subset is 0.1)",
        "of the 4 cells of the grid 1 has no run (model.l1_oc × model.stride): 12 × 2",
        "left out, for they lie outside the published grid: d",
        "one seed a cell",
    ):
        assert words in told
    assert found.caveats == ("a caveat",)


def test_test_accuracy_stands_beside_test_accuracy_where_every_epoch_has_it():
    table = frame().assign(test_accuracy=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    found = compare_means(table, COLUMNS, RECORD, GRID)
    assert found.held_out == "test_accuracy"
    narrow = found.tables[0].rows.set_index(["model.l1_oc", "mean"]).loc[(6, "test_accuracy")]
    assert narrow["measured"] == pytest.approx(0.25)
    assert not any("validation images" in text for text in found.hindrances)
    table.loc[0, "test_accuracy"] = np.nan
    assert compare_means(table, COLUMNS, RECORD, GRID).held_out == "validation_accuracy"


def test_a_field_that_all_runs_share_is_that_of_their_config():
    table = frame().drop(columns="model.stride").query("run != 'b'")
    found = compare_means(table, {"model.l1_oc": "width"}, RECORD, GRID)
    assert any("2 have no run (model.l1_oc × model.stride): 6 × 2, 12 × 2" in text for text in found.hindrances)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model.name": "lenet"}, "the runs are of lenet, the means of x/y are of net1"),
        ({"data.source": "fashion-mini"}, "it was measured on CIFAR-10, and the run's images are fashion-mini"),
    ],
)
def test_other_networks_and_other_images_are_no_comparison(config, message):
    split = {} if "data.source" in config else RECORD.split
    with pytest.raises(InputError, match=re.escape(message)):
        compare_means(frame(), COLUMNS, Record(RECORD.path, config=RECORD.config | config, split=split), GRID)


def test_runs_beside_the_grid_and_runs_without_its_fields_are_no_comparison():
    with pytest.raises(InputError, match=re.escape("no run lies in the grid of x/y: model.l1_oc 6, 12; model.stride")):
        compare_means(frame().query("run == 'd'"), COLUMNS, RECORD, GRID)
    with pytest.raises(InputError, match=r"the runs have no model\.l1_oc"):
        compare_means(frame(), {"model.stride": "model.stride"}, RECORD, GRID)


def test_the_sentence_on_the_order_has_its_numbers():
    table = compare_means(frame(), COLUMNS, RECORD, GRID).tables[0]
    sentence = order_sentence(table, {"model.l1_oc": "l1_oc"}, "validation_accuracy")
    assert sentence == "By l1_oc the published order of the 2 groups holds in validation accuracy: 1 of 1 pair"


# --- a sweep's page and files -----------------------------------------------------------------------------------------

NET1 = {
    "method": "grid",
    "metric": {"name": "val_accuracy", "goal": "maximize"},
    "parameters": {
        "l1_oc": {"values": [6, 12, 18]},
        "model.filter_multiplier": {"values": [1.5, 2]},
        "model.kernel_size": {"values": [3, 5]},
        "model.stride": {"values": [1, 2]},
    },
    "keras_cnn": {"names": {"l1_oc": "model.l1_oc"}},
}


def percent(cell: dict) -> int:
    """Of the last epoch: wider is better, a stride of 2 costs 10 points and with a kernel of 5 but 4."""
    stride = 0 if cell["model.stride"] == 1 else -4 if cell["model.kernel_size"] == 5 else -10
    return 40 + cell["l1_oc"] + 2 * (cell["model.filter_multiplier"] == 2) + stride


@pytest.fixture(scope="module")
def net1_sweep(make_sweep, tmp_path_factory) -> Path:
    """The grid of cs7015/net1 on CIFAR-10's classes, three epochs a cell; the second cell has failed."""
    folder = make_sweep(tmp_path_factory.mktemp("sweeps") / "net1", NET1, [percent, "out of memory", *[percent] * 22])
    for run in sorted(path.parent for path in folder.glob("*/config.yaml")):
        config = yaml.safe_load((run / "config.yaml").read_text())
        config |= {"published": "cs7015/net1", "optim": {"optimizer": "sgd", "learning_rate": 0.01}}
        config["train"] |= {"batch_size": 128}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        counts = {"train": 45_000, "validation": 5_000, "test": 10_000}
        (run / "split.json").write_text(json.dumps({"counts": counts, "classes": CIFAR10}))
    return folder


@pytest.fixture(scope="module")
def net1_table(net1_sweep) -> RunTable:
    return find_table([net1_sweep])


@pytest.fixture(scope="module")
def means_of_sweep(net1_table) -> PageSection:
    (part,) = (part for part in sections(net1_table) if part.name == "published-means")
    return part


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<script.*?</script>", "", found))).split())


def test_a_sweep_has_its_means_beside_the_published_ones(net1_table, means_of_sweep):
    found = net1_table.published_means
    failed = next(trial for trial in net1_table.swept.trials if trial.state == "failed")
    # In W&B's order, the names sorted and the last one fastest: l1_oc 6, multiplier 1.5, kernel 3, stride 2.
    assert (failed.assignment["l1_oc"], failed.assignment["model.stride"]) == (6, 2)
    narrow = dict(means_of_sweep.tables)["By l1_oc and filter_multiplier"]
    table = {row[:2]: dict(zip(narrow.head, row, strict=True)) for row in narrow.rows}
    # Last epochs of 6 × 2: 48, 38, 48, 44; one and two points less in the epochs before: 44.5 - 1.
    assert table["6", "2"]["validation accuracy, measured"] == "43.50"
    assert table["6", "2"]["test accuracy, published"] == "47.07"
    # Of 6 × 1.5 there are 46, 46, 42: 134 / 3 - 1 = 43.67, less the printed 45.8456.
    assert table["6", "1.5"]["cells"] == "3 of 4"
    assert table["6", "1.5"]["validation accuracy, measured"] == "43.67"
    assert narrow.rows[0][-1] == "−2.18"
    assert table["6", "2"]["train accuracy, measured"] == "48.50"  # five points above in every epoch
    assert table["6", "2"]["loss, measured"] == f"{(2 + 1 + 2 / 3) / 3:.4f}"
    assert any("1 has no run" in text and "6 × 1.5 × 3 × 2" in text for text in found.hindrances)


@pytest.fixture(scope="module")
def net1_page(net1_sweep) -> str:
    return write_report([net1_sweep]).read_text(encoding="utf-8")


def test_the_page_tells_the_order_and_what_hinders(net1_page):
    told = section(net1_page, "published-means")
    assert "By kernel_size and stride the published order of the 4 groups holds in part in validation accuracy" in told
    assert "What differs: train.epochs is 3, not 30" in told


def test_the_files_of_the_analysis_have_every_mean(means_of_sweep, tmp_path):
    assert means_of_sweep.findings[0].startswith("By l1_oc")
    assert means_of_sweep.findings[-1].startswith("What differs: train.epochs is 3, not 30")
    files = {path.name: path for path in write_section(tmp_path, means_of_sweep)}
    assert files["published_means.png"].is_file()
    with files["published_means.csv"].open() as file:
        read = list(csv.DictReader(file))
    assert len(read) == 6 * 3 + 4 * 3 + 2 * 2  # groups by means of the three printed tables
    (row,) = [r for r in read if r["by"] == "model.kernel_size" and r["group"] == "5" and r["mean"] == "test_accuracy"]
    # 40 + 12 + 1 in the last epoch on average, stride 2 costs 4 in half of the cells; a point less over all epochs.
    assert float(row["measured"]) == pytest.approx(0.50)
    assert (row["published"], row["measured_as"], row["cells"]) == ("0.527868", "validation_accuracy", "12")


def test_a_sweep_lists_only_the_runs_whose_figures_can_be_compared(net1_table, net1_page):
    told = section(net1_page, "published")
    best = {"l1_oc": 18, "model.filter_multiplier": 2, "model.kernel_size": 3, "model.stride": 1}
    (wanted,) = [t.label for t in net1_table.swept.trials if t.assignment == best]
    assert re.findall(r"(\d{4}) figure published", told) == [wanted]
    assert "22 other runs are left out: " in told
    # Of 23 runs: 8 of each smaller width, less the failed one of width 6; 12 of stride 2, less the same.
    assert "model.l1_oc is 12, not 18 (8 runs)" in told
    assert "model.l1_oc is 6, not 18 (7 runs)" in told
    assert "model.stride is 2, not 1 (11 runs)" in told


def test_a_sweep_without_a_figure_to_compare_lists_its_closest_run(net1_sweep):
    runs, _ = find_runs([net1_sweep])
    best = {"model.l1_oc": 18, "model.filter_multiplier": 2, "model.kernel_size": 3, "model.stride": 1}
    others = [run for run in runs if any(run.record.config[field] != value for field, value in best.items())]
    kept, left_out, _ = _published(others, True)
    (run, rows) = kept[0]
    assert len(kept) == 1
    assert all(row.obstacles for row in rows)
    # One field away, none is nearer: the wide one with the smaller multiplier, the other kernel or the other stride.
    assert sum(run.record.config[field] != value for field, value in best.items()) == 1
    assert left_out.startswith("21 other runs are left out: ")


def test_a_sweep_without_a_publication_has_no_such_part(grid_sweep):
    table = find_table([grid_sweep])
    assert table.published_means is None
    assert "published-means" not in [part.name for part in sections(table)]


def test_a_sweep_that_cannot_be_compared_says_why(net1_table):
    config = net1_table.record.config | {"model.name": "lenet"}
    other = replace(net1_table, record=replace(net1_table.record, config=config))
    (part,) = [part for part in sections(other) if part.name == "published-means"]
    assert part.warnings == ("Not shown: the runs are of lenet, the means of cs7015/net1 are of net1.",)
    assert not part.frames
