import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_cnn.analysis import means_sections, sections, write_analysis
from keras_cnn.analysis.csv_files import read_table
from keras_cnn.analysis.effects import marginal_differences
from keras_cnn.analysis.factors import factor_of
from keras_cnn.analysis.run_sections import (
    _nearest_places,
    _parallel_axis,
    _result_axis,
    coordinates_section,
    cost_section,
    landscape_section,
    progress_section,
    setting_axis,
)
from keras_cnn.analysis.run_tables import RunTable
from keras_cnn.analysis.sections import AnalysedRuns
from keras_cnn.analysis.table import chooser, epochs_table, runs_of_epochs, runs_table
from keras_cnn.charts import png
from keras_cnn.errors import InputError
from keras_cnn.run_folder.record import Record


def grid_records():
    """Twelve runs of three epochs; accuracy rises with the width, falls with the stride, and a little with the seed."""
    records = []
    for i, (width, stride, kind) in enumerate(itertools.product((8, 16, 32), (1, 2), ("relu", "tanh"))):
        top = 0.3 + 0.05 * math.log2(width) - 0.1 * stride + 0.01 * (kind == "relu") + 0.001 * (i * 7 % 5)
        history = tuple(
            {
                "epoch": e,
                "loss": 2 - top * e / 3,
                "accuracy": top * e / 3 + 0.1 * (e - 1.5),
                "val_loss": 2.2 - top * e / 3,
                "val_accuracy": top * e / 3,
                "learning_rate": 0.01,
                "epoch_seconds": 1.0,
                "run_seconds": float(e * width),
            }
            for e in (1, 2, 3)
        )
        metrics = {
            "accuracy": top - 0.02,
            "loss": 2 - top,
            "best_epoch": 3,
            "train": {"accuracy": top + 0.1, "loss": 1 - top},
            "validation": {"accuracy": top, "loss": 1.1 - top},
        }
        config = {"seed": 1, "model.width": width, "model.stride": stride, "model.activation": kind, "train.epochs": 3}
        started = f"2026-11-21T12:{4 * i:02}:00+00:00"
        totals = {"trainable": 100 * width, "other": 0, "multiply_adds": 1000 * width}
        record = Record(
            Path(f"sweep/t{i}"), config, (), {"started": started}, history, metrics, {}, {"totals": totals}
        )  # fmt: skip
        records.append(record)
    return records


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    records, folder = grid_records(), tmp_path_factory.mktemp("grid")
    runs, epochs = runs_table(records), epochs_table(records)
    return folder, runs, epochs, written(folder, runs, epochs)


@pytest.fixture(scope="module")
def view(grid) -> AnalysedRuns:
    _, runs, *_ = grid
    return AnalysedRuns(RunTable("runs", runs, None, "validation_accuracy"))


def written(folder, runs, epochs=None, metric=None):
    """The files of the analysis of these tables."""
    return write_analysis(folder, RunTable("runs", runs, epochs, metric or chooser(runs)[0]))


WHOLE = {
    *("runs.csv", "epochs.csv", "best_run.csv", "notes.txt", "parallel_coordinates.csv", "parallel_coordinates.png"),
    *("progress.csv", "progress.png", "importance.csv", "importance.png", "balance.csv", "balance.png"),
    *("marginal_means.csv", "marginal_means.png", "marginal_differences.csv", "marginal_differences.png"),
    *("pareto_seconds.csv", "pareto_parameters.csv", "pareto.png", "slices.csv", "slices.png"),
    *("surface.csv", "surface.png", "means_by_epoch.csv", "means_by_epoch.png"),
}
GROUPS = ("model.width", "model.stride", "model.activation")


def test_everything_is_written_as_csv_and_as_png(grid):
    folder, _, _, paths = grid
    names = {str(path.relative_to(folder)) for path in paths}
    means = {name for name in names if name.startswith("means/")}
    assert names - means == WHOLE
    singles = {f"means/{name}.csv" for name in GROUPS}
    conventions = ("runs", "all_epochs", "last_epochs", "best_epochs")
    assert singles <= means
    assert {f"means/{name}_{convention}.png" for name in GROUPS for convention in conventions} <= means
    assert len(means) == 6 * 5  # three settings and three pairs, a table and four pictures each
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(paths)
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert np.asarray(image.convert("L")).std() > 5, path
        elif path.suffix == ".csv":
            assert len(pd.read_csv(path)) > 0


def test_the_tables_on_disk_are_those_of_the_functions(grid):
    folder, runs, epochs, _ = grid
    differences = marginal_differences(runs, "validation_accuracy")
    read = pd.read_csv(folder / "marginal_differences.csv", keep_default_na=False, na_values=["nan"])
    np.testing.assert_allclose(read["difference"].astype(float), differences["difference"])
    means = pd.read_csv(folder / "means" / "model.stride.csv")
    every = means[means["convention"].str.contains("all epochs of all runs")]
    expected = epochs.groupby("model.stride")["validation_accuracy"].mean()
    assert every["validation_accuracy"].tolist() == pytest.approx(expected.tolist())
    assert means["convention"].nunique() == 4
    best = pd.read_csv(folder / "best_run.csv")
    assert best["run"].tolist() == [runs.loc[runs["validation_accuracy"].idxmax(), "run"]]


def test_the_known_effects_are_in_the_tables(grid):
    _, runs, _, _ = grid
    found = marginal_differences(runs, "validation_accuracy").set_index(["factor", "change"])
    row = found.loc[("model.width", "8 → 32")]
    assert row["low"] < 0.1 < row["high"]
    assert row["high"] - row["low"] < 0.01
    assert found.loc[("model.stride", "1 → 2"), "difference"] == pytest.approx(-0.1, abs=0.002)


def test_settings_and_result_fill_their_parallel_axes(grid, view):
    """Numbers of more than a factor of four by their logarithm; words at whole places, from one end to the other."""
    _, runs, _, _ = grid
    (chart,) = coordinates_section(view).charts
    *settings, result = chart.drawing.axes
    axes = {axis.name: axis for axis in settings}
    assert set(axes["width"].places) == {math.log10(width) for width in (8, 16, 32)}
    ends = {name: (axis.low, axis.high) for name, axis in axes.items()}
    assert ends == {"width": (math.log10(8), math.log10(32)), "stride": (1, 2), "activation": (0, 1)}
    assert (axes["activation"].places, axes["activation"].ticks) == ([0, 1] * 6, ((0, "relu"), (1, "tanh")))
    accuracies = (100 * runs["validation_accuracy"]).tolist()
    assert list(result.places) == pytest.approx(accuracies)
    assert (result.low, result.high) == pytest.approx((min(accuracies), max(accuracies)))
    assert chart.drawing.best == int(np.argmax(accuracies))
    best_first = sorted(zip(runs["run"], accuracies, strict=True), key=lambda run: -run[1])
    assert [(row[0], row[-1]) for row in chart.table.rows] == [(name, f"{a:.2f} %") for name, a in best_first]


def test_many_values_have_few_ticks_on_their_parallel_axis():
    for values, logarithmic in ([*range(1, 41)], False), ([10**i for i in range(9)], True):
        values = [*values, values[-1]]
        axis = _parallel_axis("x", factor_of("x", [value + 100 for value in values] if not logarithmic else values))
        places, texts = zip(*axis.ticks, strict=True)
        assert 3 <= len(places) <= 6
        assert np.ptp(np.diff(places)) < 1e-9
        assert axis.low <= places[0] < places[-1] <= axis.high
        if logarithmic:
            assert (axis.low, axis.high, places) == (0, 8, (0, 2, 4, 6, 8))
            assert texts == ("1", "100", "10k", "1M", "100M")
        else:
            assert (axis.low, axis.high) == (101, 140)
            assert [float(text) for text in texts] == list(places)
    constant = _result_axis("accuracy", [0.5, 0.5])
    assert (constant.ticks, constant.low, constant.high) == (((0.5, "0.5"),), -0.5, 1.5)


def test_progress_has_the_best_so_far(grid, view):
    _, runs, *_ = grid
    (chart,) = progress_section(view).charts
    best, each = chart.drawing.series
    accuracies = 100 * runs["validation_accuracy"].to_numpy()
    times = [f"2026-11-21 12:{4 * i:02}:00" for i in range(12)]
    assert best.x == each.x == times
    assert (each.y, each.hover) == (pytest.approx(accuracies.tolist()), [f"t{i}" for i in range(12)])
    assert best.y == pytest.approx(np.maximum.accumulate(accuracies).tolist())
    assert chart.table.rows[-1] == ("t11", times[-1], f"{accuracies[-1]:.2f} %", f"{accuracies.max():.2f} %")


def test_cost_has_the_runs_that_no_other_beats(grid, view):
    """A run takes three times its width in seconds, and has a hundred times its width in parameters."""
    _, runs, *_ = grid
    accuracies = 100 * runs["validation_accuracy"].to_numpy()
    best = [int(np.argmax(np.where(runs["model.width"] == width, accuracies, 0))) for width in (8, 16, 32)]
    for chart, scale, text in zip(cost_section(view).charts, (3 / 60, 100), ("24.0 s", "800"), strict=True):
        others, front = chart.drawing.series
        assert list(front.x) == pytest.approx([8 * scale, 16 * scale, 32 * scale])
        assert list(front.y) == pytest.approx(accuracies[best])
        assert list(front.hover) == [f"t{i}" for i in best]
        assert len(others.x) == len(others.hover) == 9
        assert chart.drawing.x.scale == "logarithmic"  # from a span of four on
        yes = [row for row in chart.table.rows if row[-1] == "yes"]
        assert yes[0] == (f"t{best[0]}", text, f"{accuracies[best[0]]:.2f} %", "yes")
        assert len(yes) == 3


def test_the_landscape_has_every_run_at_its_settings(grid, view):
    _, runs, *_ = grid
    accuracies = 100 * runs["validation_accuracy"].to_numpy()
    by_stride, by_width, over_both = landscape_section(view).charts
    for chart, name, levels in ((by_stride, "model.stride", [1, 2]), (by_width, "model.width", [8, 16, 32])):
        each, mean = chart.drawing.series
        assert (list(each.x), list(each.y)) == (runs[name].tolist(), pytest.approx(accuracies))
        means = [accuracies[runs[name] == level].mean() for level in levels]
        assert (mean.x, mean.y) == (levels, pytest.approx(means))
        assert chart.drawing.x.ticks == tuple((level, str(level)) for level in levels)
        assert chart.table.rows[5] == ("t5", str(runs[name][5]), f"{accuracies[5]:.2f} %")
    assert (by_stride.drawing.x.scale, by_width.drawing.x.scale) == ("linear", "logarithmic")
    heat = over_both.drawing
    assert (heat.rows, heat.columns) == (("8", "16", "32"), ("1", "2"))
    assert heat.dots == ([0] * 4 + [1] * 4 + [2] * 4, [0, 0, 1, 1] * 3)
    cells = [[accuracies[(runs["model.width"] == w) & (runs["model.stride"] == s)].mean() for s in (1, 2)]
             for w in (8, 16, 32)]  # fmt: skip
    np.testing.assert_allclose(heat.values, cells, atol=2)
    assert over_both.table.head == ("stride \\ width", "8", "16", "32")
    assert over_both.table.rows[1][1:] == tuple(row[1] for row in heat.texts)
    words = setting_axis("kind", factor_of("kind", ["tanh", "relu"]))
    assert (words.scale, words.levels) == ("category", ("relu", "tanh"))
    assert _nearest_places([0.1, 1.0, 10.0], [0.2, 6, 100]) == [0, 2, 2]
    assert _nearest_places(["a", "b"], ["b", "a"]) == [1, 0]


def test_the_notes_say_what_was_done(grid):
    folder, *_ = grid
    notes = (folder / "notes.txt").read_text()
    assert notes.startswith("explained: validation accuracy\n")
    assert "best run: Best by validation accuracy" in notes
    assert "out-of-bag R²" in notes
    assert "Not shown" not in notes
    assert "epochs: loss and train accuracy of an epoch are measured while training" in notes


def test_a_single_run_has_what_one_run_allows_and_the_reasons_for_the_rest(tmp_path):
    records = grid_records()[:1]
    paths = written(tmp_path, runs_table(records), epochs_table(records))
    names = {path.name for path in paths}
    assert {"runs.csv", "epochs.csv", "best_run.csv", "progress.png", "means_by_epoch.png", "pareto.png"} <= names
    assert not names & {"importance.csv", "marginal_means.csv", "surface.csv", "slices.csv", "balance.csv"}
    notes = (tmp_path / "notes.txt").read_text().splitlines()
    for title in (
        *("importance and correlation", "parallel coordinates", "balance", "grouped means", "marginal effects"),
        "slices and surface",
    ):
        assert any(line.startswith(f"{title}: Not shown: ") for line in notes), title


def test_a_constant_metric_still_has_pictures_of_what_there_is(tmp_path):
    runs = runs_table(grid_records())
    runs["validation_accuracy"] = 0.5
    paths = written(tmp_path, runs)
    names = {path.name for path in paths}
    assert {"parallel_coordinates.png", "progress.png", "pareto.png", "slices.png", "balance.png"} <= names
    notes = (tmp_path / "notes.txt").read_text()
    assert "importance and correlation: Not shown: validation accuracy is 0.5 in all 12 runs" in notes
    assert "marginal effects: Not shown: validation accuracy is 0.5 in all 12 runs" in notes
    assert "means by epoch" not in notes  # there is no table by epoch


@pytest.fixture
def undrawn(monkeypatch):
    """No pictures, which take most of the time."""
    monkeypatch.setattr(png, "write", lambda *_: None)


def test_runs_that_failed_are_named(tmp_path, undrawn):
    runs = runs_table(grid_records()[:6])
    runs.loc[2, ["validation_accuracy", "train_accuracy", "loss"]] = math.nan
    written(tmp_path, runs)
    assert "Left out: 1 run has no finite validation accuracy: t2" in (tmp_path / "notes.txt").read_text()


def test_a_csv_file_of_another_program_goes_all_the_way(tmp_path, undrawn):
    rows = [
        f"{run},{epoch},{0.2 * epoch + 0.1 * width},{0.15 * epoch + 0.1 * width},{width},{kernel}"
        for run, (width, kernel) in enumerate(itertools.product((1, 2), (3, 5)))
        for epoch in (1, 2, 3)
    ]
    (tmp_path / "r.csv").write_text("\n".join(["run,epoch,train_accuracy,test_accuracy,width,kernel_size", *rows]))
    epochs = read_table(tmp_path / "r.csv")
    paths = written(tmp_path / "out", runs_of_epochs(epochs), epochs)
    names = {path.name for path in paths}
    assert {"importance.png", "marginal_means.csv", "width_all_epochs.png", "width+kernel_size.csv"} <= names
    notes = (tmp_path / "out" / "notes.txt").read_text()
    assert "explained: test accuracy" in notes
    assert "chosen on the test images" in notes
    assert "result and its cost: Not shown: no seconds in the table; no parameters in the table" in notes
    assert "progress: Not shown: no run has a time of creation" in notes


def test_tables_without_rows_or_metric_are_refused(tmp_path):
    runs = runs_table(grid_records()[:2])
    with pytest.raises(InputError, match="no rows"):
        written(tmp_path, runs.iloc[:0], metric="validation_accuracy")
    with pytest.raises(InputError, match=r"no column 'val_accuracy'.*did you mean validation_accuracy\?"):
        written(tmp_path, runs, metric="val_accuracy")
    with pytest.raises(InputError, match="no accuracy and no loss"):
        written(tmp_path, runs[["run", "model.activation"]])


def test_epochs_of_one_run_for_each_value_are_averaged(tmp_path):
    """As in a grid of dropouts with one run each: no value is shared by runs, but each run has its epochs."""
    rows = [f"r{i},{rate},{epoch},{0.1 * epoch + rate}" for i, rate in enumerate((0.1, 0.3)) for epoch in (1, 2, 3)]
    (tmp_path / "r.csv").write_text("\n".join(["run,dropout,epoch,val_accuracy", *rows]))
    epochs = read_table(tmp_path / "r.csv")
    table = RunTable("r", runs_of_epochs(epochs), epochs, "validation_accuracy")
    (means,) = (section for section in sections(table) if section.name == "means")
    caption, table = means.tables[0]
    assert caption == "By dropout, all epochs"
    found = [dict(zip(table.head, row, strict=True)) for row in table.rows]
    # 10, 20 and 30 percent, and the dropout's rate more.
    assert [(row["dropout"], row["rows"], row["validation accuracy"]) for row in found] == [
        ("0.1", "3", "30.00 %"),
        ("0.3", "3", "50.00 %"),
    ]
    assert means.frames["means/dropout"]["convention"].nunique() == 4


@pytest.mark.parametrize(("limit", "settings"), [(3, ["stride", "width", "activation"]), (2, ["stride", "width"])])
def test_means_by_more_settings_than_a_page_holds_are_by_the_most_important_ones(monkeypatch, view, limit, settings):
    """The variances that stride and width bring are 0.0025 and 0.0017."""
    for name in ("MEANS", "DRAWN"):
        monkeypatch.setattr(means_sections, name, limit)
    part = means_sections.means_section(view)
    assert [caption.split()[1].strip(",") for caption, _ in part.tables] == settings
    assert len(part.folded) == limit * (limit - 1) / 2  # a table for each pair
    said = ["Tables of the 2 most important of 3 settings.", "Pairs are of the 2 most important settings."]
    assert [note for note in part.notes if "most important" in note] == (said if limit == 2 else [])
