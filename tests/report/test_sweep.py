"""The page about a sweep, and about a CSV file with a row a run: its numbers, found by hand, and what it refuses."""

import csv
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.analysis import sections
from keras_cnn.analysis.run_tables import find_table
from keras_cnn.analysis.sections import AnalysedRuns, PageSection
from keras_cnn.analysis.setting_sections import balance_section
from keras_cnn.analysis.swept_section import swept_section
from keras_cnn.charts import png
from keras_cnn.cli import program, report
from keras_cnn.errors import InputError
from keras_cnn.evaluation import protocol, repeats, verdicts
from keras_cnn.evaluation.facts import facts_of
from keras_cnn.report import html as html_module
from keras_cnn.report.findings import findings
from keras_cnn.report.html import LIMIT, write_report
from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.audits import audits, checks
from keras_cnn.report.sections.content import _findings
from keras_cnn.report.sections.runs import lead
from keras_cnn.run_folder.record import read_record

BAYES = {
    "method": "random",
    "metric": {"name": "val_accuracy", "goal": "maximize"},
    "run_cap": 500,
    "parameters": {
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0},
        "augment": {"values": [True, False], "probabilities": [0.25, 0.75]},
        "epochs": {"values": [2, 3]},
    },
    "keras_cnn": {
        "names": {
            "lr": "optim.learning_rate",
            "epochs": "train.epochs",
            "augment": {"true": {"data.augment.name": "cs6910"}, "false": {"data.augment.name": "none"}},
        }
    },
}


def page_of(*paths: Path) -> str:
    return write_report(list(paths)).read_text(encoding="utf-8")


def section(page: str, name: str) -> str:
    """The text of one section, entities resolved and tags left out."""
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)[0]
    found = re.sub(r"<script.*?</script>", "", found, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found)).split())


def rows(part: PageSection, caption: str) -> list[dict[str, str]]:
    """The rows of a part's table by the heads of its columns."""
    found = {**dict(part.tables), **dict(part.folded), **{c.title: c.table for c in part.charts}}[caption]
    return [dict(zip(found.head, row, strict=True)) for row in found.rows]


@pytest.fixture
def empty_pictures(monkeypatch) -> None:
    """The folder's pictures are empty files; tests/analysis and tests/charts draw them."""
    monkeypatch.setattr(png, "write", lambda charts, path, title, caption: path.touch())


@pytest.fixture(scope="module")
def grid_parts(grid_sweep) -> dict[str, PageSection]:
    return {part.name: part for part in sections(find_table([grid_sweep]))}


@pytest.fixture(scope="module")
def grid_page(grid_sweep) -> str:
    return page_of(grid_sweep)


# --- the numbers of a grid --------------------------------------------------------------------------------------------


def test_what_was_swept(grid_parts):
    part = grid_parts["sweep"]
    assert rows(part, "Parameters") == [
        {"parameter": "filters", "field": "model.filters", "distribution": "categorical", "values": "4, 8"},
        {"parameter": "lr", "field": "optim.learning_rate", "distribution": "categorical", "values": "0.001, 0.1"},
    ]
    facts = dict(part.tables[0][1].rows)
    assert (facts["method"], facts["metric"], facts["trials"]) == ("grid", "val_accuracy, to maximize", "4 finished")
    assert facts["seeds a trial"].startswith("2;")


def test_best_run_and_the_best_trained_again(grid_parts, grid_sweep):
    best, again = rows(grid_parts["best"], "")
    # 50 + 10 + 4 percent, and the better of its two seeds; cells in W&B's order, so the last trial.
    assert (best["run"], best["filters"], best["lr"]) == ("0004-seed2", "8", "0.1")
    assert best["validation accuracy"] == "65.00 %"
    assert best["test accuracy"] == "–"
    tested = json.loads((grid_sweep / "best" / "metrics.json").read_text())
    assert (again["run"], again["filters"], again["lr"]) == ("best", "8", "0.1")
    assert again["test accuracy"] == f"{100 * tested['accuracy']:.2f} %"
    assert any("trial 0004, 64.00 %" in note for note in grid_parts["best"].notes)


def test_effects_are_those_put_in(grid_parts):
    table = rows(grid_parts["effects"], "What a setting changes in validation accuracy")
    found = {row["setting"]: row for row in table}
    assert (found["filters"]["change"], found["filters"]["difference, points"]) == ("4 → 8", "+10.00")
    assert (found["lr"]["change"], found["lr"]["difference, points"]) == ("0.001 → 0.1", "+4.00")
    assert found["lr"]["plain difference"] == "+4.00"  # the grid is balanced


def test_grouped_means_by_one_and_by_two_settings(grid_parts):
    four, eight = rows(grid_parts["means"], "By filters, best epoch of each run")
    # Seeds of 49, 51, 53, 55 percent, and ten points more; train accuracy lies 5 points above in every epoch.
    assert (four["validation accuracy"], eight["validation accuracy"]) == ("52.00 %", "62.00 %")
    assert (four["train accuracy"], four["overfit%"], four["overfit%, clipped"]) == ("57.00 %", "5.00", "5.00")
    assert four["loss"] == f"{2 / 3:.4f}"
    assert four["runs"] == "4"
    both = rows(grid_parts["means"], "By filters and lr, best epoch of each run")
    assert [row["validation accuracy"] for row in both] == ["50.00 %", "54.00 %", "60.00 %", "64.00 %"]
    other = rows(grid_parts["means"], "By filters, other epochs")
    # Over all epochs: 1 and 2 points less in the two epochs before the last.
    assert {(r["mean over"], r["filters"]): r["validation accuracy"] for r in other}["all epochs", "4"] == "51.00 %"
    assert any("clipped: a row below 0 counts as 0" in note for note in grid_parts["means"].notes)


def test_means_by_epoch(grid_parts):
    found = rows(grid_parts["epoch-means"], "Mean accuracy by epoch")
    assert [row["validation accuracy"] for row in found] == ["55.00 %", "56.00 %", "57.00 %"]
    assert [row["validation loss"] for row in found] == ["2.5000", "1.2500", "0.8333"]


def test_pareto_front_over_time(grid_parts):
    found = rows(grid_parts["pareto"], "Validation accuracy over training time")
    # Seed 1 takes 6 s and seed 2 takes 12 s, and is two points better: of each seed the best is on the front.
    assert [row["run"] for row in found if row["on the Pareto front"] == "yes"] == ["0004-seed1", "0004-seed2"]


def test_balance_is_said(grid_parts):
    assert grid_parts["balance"].notes == ("The grid is balanced: 4 cells of 2 each.",)
    assert not grid_parts["balance"].warnings


def test_a_hole_in_the_grid_is_warned_of(make_sweep, tmp_path):
    parameters = {name: {"values": values} for name, values in (("lr", [1, 2]), ("width", [4, 8]), ("dense", [5, 6]))}
    names = {"lr": "optim.learning_rate", "width": "model.filters", "dense": "model.dense"}
    definition = {**BAYES, "method": "grid", "parameters": parameters, "keras_cnn": {"names": names}}
    sweep = make_sweep(tmp_path / "sweep", definition, [50, 60, 55, 40, 41, 42, 43])
    balance = balance_section(AnalysedRuns(find_table([sweep])))
    # Parameters by name, the last one fastest: the cell of all second values has not been tried.
    assert "of 8 cells 1 missing (dense 6, lr 2, width 8)" in balance.warnings[0]


def test_every_run_is_a_line_of_the_parallel_coordinates_under_short_names(grid_page, blobs):
    (trace,) = blobs(grid_page)["study-coordinates"]["data"]
    by_label = {dimension["label"]: dimension for dimension in trace["dimensions"]}
    assert set(by_label) == {"filters", "lr", "validation accuracy, %"}
    assert by_label["filters"]["values"] == [4, 4, 4, 4, 8, 8, 8, 8]
    assert by_label["lr"]["values"] == [-3, -3, -1, -1] * 2  # logarithmic: 0.1 is a hundred times 0.001
    assert by_label["lr"]["ticktext"] == ["0.001", "0.1"]
    assert trace["line"]["color"] == pytest.approx([49, 51, 53, 55, 59, 61, 63, 65])
    assert by_label["validation accuracy, %"]["values"] == trace["line"]["color"]


def test_importance_and_correlation_stand_side_by_side_with_intervals(grid_page, grid_parts, blobs):
    importance, correlation = blobs(grid_page)["study-importance"]["data"]
    assert (importance.get("xaxis", "x"), correlation["xaxis"]) == ("x", "x2")
    accuracies = np.array([49, 51, 53, 55, 59, 61, 63, 65])
    expected = {
        "filters": np.corrcoef([4, 4, 4, 4, 8, 8, 8, 8], accuracies)[0, 1],
        "lr": np.corrcoef([0.001, 0.001, 0.1, 0.1] * 2, accuracies)[0, 1],
    }
    assert dict(zip(correlation["text"], correlation["x"], strict=True)) == pytest.approx(expected, abs=1e-4)
    assert sum(importance["x"]) == pytest.approx(1, abs=1e-4)
    for row in rows(grid_parts["importance"], "What validation accuracy depends on"):
        assert row["importance"] != "–"
    assert len(importance["error_x"]["array"]) == 2


def test_surface_has_the_mean_of_every_cell_in_its_place(grid_page, blobs):
    (heat,) = blobs(grid_page)["study-surface"]["data"]
    table = np.array(heat["z"])
    assert table.shape == (2, 2)  # rows are the second setting
    places = {(heat["x"][j], heat["y"][i]): table[i, j] for i in range(2) for j in range(2)}
    best = max(places, key=places.get)
    assert best in (("8", "0.1"), ("0.1", "8"))


# --- trials are runs that are finished and were not tested ------------------------------------------------------------


def test_trials_are_finished_and_not_damaged(grid_page):
    assert 'id="problems"' not in grid_page
    table = section(grid_page, "runs")
    assert "unfinished" not in table
    assert table.count("finished") == 9
    assert "0001-seed1 4 0.001 – 49.00 %" in table
    kinds = re.findall(r"(validation|test) 100 ", section(grid_page, "evaluations"))
    assert set(kinds) == {"validation"}


def test_an_untested_sweep_says_so_and_has_no_column_of_tests(make_sweep, tmp_path):
    sweep = make_sweep(tmp_path / "sweep", BAYES, [40, 50, 60, 45])
    page = page_of(sweep)
    sentences = "The best, 0003, has validation accuracy 60.00 %. The test images have not been read."
    assert sentences in page
    assert "test accuracy" not in section(page, "runs")
    assert "The test split has not been read yet." in page
    shutil.copytree(sweep / "0003", sweep / "best")  # trained again, and not tested so far
    assert lead(find_runs([sweep])[0], find_table([sweep])).endswith(sentences)


def test_a_single_trial_is_shown_by_its_validation_images(make_sweep, tmp_path, blobs):
    sweep = make_sweep(tmp_path / "sweep", BAYES, [40])
    page = page_of(sweep / "0001")
    assert "of 100 validation images classified correctly, in epoch 3 of 3; the test images have not been read." in page
    assert np.trace(np.array(blobs(page)["confusion-0"]["data"][0]["text"], int)) == 40
    assert 'id="problems"' not in page
    assert "without an interval" not in page


def test_facts_of_a_trial_are_of_its_validation_images(make_sweep, tmp_path):
    sweep = make_sweep(tmp_path / "sweep", BAYES, [40])
    facts = facts_of(read_record(sweep / "0001"))
    assert (facts.result_split, facts.accuracy, facts.has_interval, facts.test_readings) == ("validation", 0.4, True, 0)
    flaws = {finding.flaw for finding in protocol.audit(facts)}
    assert "best-epoch-quoted" in flaws  # chosen and quoted on the same images
    assert "no-interval" not in flaws


def test_seeds_of_a_trial_are_repeats_by_validation_accuracy(grid_sweep):
    records = [read_record(path.parent) for path in sorted(grid_sweep.glob("0*/config.yaml"))]
    groups = repeats.sum_up(records)
    assert [group.values for group in groups] == [(0.49, 0.51), (0.53, 0.55), (0.59, 0.61), (0.63, 0.65)]
    assert {group.split for group in groups} == {"validation"}
    tested = repeats.sum_up([read_record(grid_sweep / "best")])
    with pytest.raises(InputError, match="validation images"):
        repeats.compare_recipes(tested[0], groups[0])


def test_findings_of_trials_are_of_validation_accuracy(grid_sweep):
    records = [read_record(path.parent) for path in sorted(grid_sweep.glob("0*/config.yaml"))]
    filters, rate = findings(records)
    # All blocks differ by the same, which gives no interval and so no claim.
    assert "model.filters 8 and 4 (10.0 points (no interval can be had), 4 runs each)" in filters.sentence
    assert "optim.learning_rate 0.1 and 0.001 (4.0 points" in rate.sentence
    assert filters.method.startswith("validation accuracy, matched")
    assert len(filters.rows) == 8
    runs, swept = find_runs([grid_sweep])[0], find_table([grid_sweep]).swept
    *compared, of_best = _findings(runs, runs, swept)
    assert [conclusion.sentence for conclusion in compared] == [filters.sentence, rate.sentence]
    assert of_best.rows == ("best",)  # trained again: of all runs, and of none of the comparisons of trials
    assert "best" not in filters.rows + rate.rows


def test_the_audit_of_a_sweep_knows_how_many_were_tried(grid_sweep, make_sweep, tmp_path):
    table = find_table([grid_sweep])
    runs, _ = find_runs([grid_sweep])
    by_run = {audit.run.label: audit for audit in audits(runs, [], table.swept)}
    assert by_run["best"].worst("configuration-chosen-on-test") == verdicts.PASSED
    assert by_run["best"].worst("best-configuration-quoted") == verdicts.PASSED
    assert by_run["0001-seed1"].worst("best-configuration-quoted") == verdicts.WEAKENS
    table = checks(list(by_run.values()))
    assert table.head[0] == "check"
    counts = {row[0]: dict(zip(table.head[1:], map(int, row[1:]), strict=True)) for row in table.rows}
    assert {sum(row.values()) for row in counts.values()} == {9}
    quoted = counts["best configuration quoted"]
    assert {name: n for name, n in quoted.items() if n} == {"weakens": 8, "passed": 1}
    for results, severity in (([40], verdicts.NOTE), ([40, 50], verdicts.WEAKENS)):  # one trial is no comparison
        sweep = make_sweep(tmp_path / severity, BAYES, results, finished=True)
        runs, _ = find_runs([sweep])
        groups = repeats.sum_up([run.record for run in runs])
        by_run = {audit.run.label: audit for audit in audits(runs, groups, find_table([sweep]).swept)}
        assert by_run["best"].worst("one-seed") == severity


# --- settings with names of their own, states, and what fails ---------------------------------------------------------


def test_parameters_keep_their_own_names_and_values(make_sweep, tmp_path):
    table = find_table([make_sweep(tmp_path / "sweep", BAYES, [40, 50, 60, 45, 30])])
    # A setting called as one of the table's own columns goes by its field.
    assert table.runs.attrs["factors"] == ["augment", "train.epochs", "lr"]
    assert set(table.runs["augment"]) <= {True, False}
    drawn = [trial.assignment["lr"] for trial in table.swept.trials]
    assert table.runs["lr"].tolist() == drawn
    sweep = {row[0]: row for row in dict(swept_section(table.swept).tables)["Parameters"].rows}
    assert sweep["augment"][1:] == ("data.augment.name", "categorical_w_probabilities", "true (0.25), false (0.75)")
    assert sweep["lr"][2:] == ("log_uniform_values", "min 0.0001, max 1")


def test_failed_trials_have_their_reasons_and_no_numbers(make_sweep, tmp_path):
    reason = "0002: stage2_pool: the map is 1 x 1, smaller than its window"
    sweep = make_sweep(tmp_path / "sweep", BAYES, [40, reason, 60, 50, "out of memory"])
    (sweep / "0005").mkdir()  # all that it left, which is no problem of the page
    (sweep / "0005" / "config.yaml").write_text("seed: 1\n")
    page = page_of(sweep)
    assert 'id="problems"' not in page
    runs, _ = html_module._runs([sweep], find_table([sweep]))
    assert {run.label: run.state for run in runs} == dict.fromkeys(("0001", "0003", "0004"), "finished") | {
        "0005": "failed"
    }
    assert "5 trials: 3 finished, 2 failed." in page
    found = section(page, "sweep")
    assert reason in found
    assert "out of memory" in found
    assert find_table([sweep]).runs.attrs["notes"] == ["left out: 2 failed (0002, 0005)"]


def test_a_sweep_by_loss_explains_the_loss(make_sweep, tmp_path):
    definition = {**BAYES, "metric": {"name": "val_loss", "goal": "minimize"}}
    table = find_table([make_sweep(tmp_path / "sweep", definition, [40, 50, 60])])
    assert table.metric == "validation_loss"
    assert table.swept.best.value == min(trial.value for trial in table.swept.trials)


def test_two_hundred_trials_stay_small_and_show_the_best(make_sweep, tmp_path, blobs):
    sweep = make_sweep(tmp_path / "sweep", BAYES, [30 + i % 50 for i in range(200)], epochs=12)
    page = page_of(sweep)
    assert len(page.encode()) < LIMIT
    curves = blobs(page)["curves-accuracy"]["data"]
    names = {trace["name"].split(",")[0] for trace in curves if "name" in trace}
    # Every fiftieth trial reaches 79 percent; then come those of 78.
    assert names == {"0050", "0100", "0150", "0200", "0049", "0099"}
    others = max(curves, key=lambda trace: len(trace["x"]))  # grey, with the name of the run at each point
    assert set(others["text"]) == {f"{number:04}" for number in range(1, 201)} - names
    assert others["x"].count(None) == 194
    assert len(blobs(page)["study-coordinates"]["data"][0]["line"]["color"]) == 200
    assert page.count('<details class="audit"') == 6


# --- a CSV file -------------------------------------------------------------------------------------------------------


def written(path: Path, head: list[str], lines: list[list]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *lines])
    return path


def test_a_table_of_runs_is_analysed_alone(tmp_path, capsys, empty_pictures):
    lines = [[f"r{i}", w, lr, 0.5 + w / 100 + lr, 1000 * w] for i, (w, lr) in enumerate(
        (w, lr) for w in (8, 16) for lr in (0.01, 0.02, 0.04))]  # fmt: skip
    path = written(tmp_path / "wide.csv", ["name", "width", "rate", "val_acc", "params"], lines)
    assert program.run(report.main, [str(path)]) == 0
    out = capsys.readouterr().out
    page = (tmp_path / "wide.html").read_text(encoding="utf-8")
    assert str(tmp_path / "wide.html") in out
    assert f"analysis  {tmp_path / 'wide_analysis'}" in out
    assert {p.name for p in (tmp_path / "wide_analysis").iterdir()} >= {"importance.png", "importance.csv", "notes.txt"}
    assert "6 runs in a table, 2 settings: width, rate." in page
    for absent in ("runs", "protocol", "reproduce", "environment", "curves", "sweep"):
        assert f'<section id="{absent}"' not in page
    assert "width: 8 → 16" in page or "8 → 16" in section(page, "effects")
    assert "+8.00" in section(page, "effects")
    assert "Not shown: no run has a time of creation" in section(page, "progress")


def test_a_table_by_epoch_has_means_by_epoch(tmp_path):
    lines = [[f"r{w}", w, e, w / 100 + e / 10] for w in (1, 2, 3) for e in (1, 2)]
    path = written(tmp_path / "epochs.csv", ["run", "width", "epoch", "val_accuracy"], lines)
    page = page_of(path)
    found = section(page, "epoch-means")
    assert "12.00 %" in found  # epoch 1: 11, 12 and 13 percent
    assert "22.00 %" in found


def test_columns_that_attack_are_text(tmp_path):
    nasty = '</script><img src=x onerror="window.hacked=1"> %{x}'
    lines = [[f"<b>{i}", value, 0.5 + i / 100] for i, value in enumerate((1, 2, 3, 1, 2, 3))]
    page = page_of(written(tmp_path / "runs.csv", ["name", nasty, "val_accuracy"], lines))
    assert "<img src=x" not in page
    assert "<b>0" not in page
    assert html.escape(nasty, quote=False) in page or "&lt;/script&gt;" in page


# --- what is asked for ------------------------------------------------------------------------------------------------


def test_analysis_is_written_into_the_sweep_and_its_place_said(make_sweep, tmp_path, capsys, empty_pictures):
    sweep = make_sweep(tmp_path / "sweep", BAYES, [40, 50, 60, 45, 30])
    assert program.run(report.main, [str(sweep), "--out", str(tmp_path / "a.html")]) == 0
    out = capsys.readouterr().out
    files = [path for path in (sweep / "analysis").rglob("*") if path.is_file()]
    assert f"analysis  {sweep / 'analysis'}\n            ({len(files)} files" in out
    assert {path.suffix for path in files} == {".png", ".csv", ".txt"}
    assert (tmp_path / "a.html").is_file()


def test_a_sweep_without_a_finished_trial_is_shown_as_far_as_it_goes(make_sweep, tmp_path, capsys):
    for name, results, words in (
        ("none", [], "No trial has started."),
        ("failed", ["out of memory", "no such model"], "2 trials: 2 failed. None has a result."),
    ):
        sweep = make_sweep(tmp_path / name, BAYES, results)
        assert program.run(report.main, [str(sweep)]) == 0
        page = (sweep / "report.html").read_text(encoding="utf-8")
        assert words in page
        assert "There is nothing to analyse yet: no trial has ended with a number." in page
        assert "analysis  " not in capsys.readouterr().out
        assert not (sweep / "analysis").exists()


def test_one_trial_is_shown_with_reasons_for_what_one_does_not_allow(make_sweep, tmp_path, capsys, empty_pictures):
    sweep = make_sweep(tmp_path / "sweep", BAYES, [40])
    assert program.run(report.main, [str(sweep)]) == 0
    page = (sweep / "report.html").read_text(encoding="utf-8")
    assert "1 trial: 1 finished. The best, 0001, has validation accuracy 40.00 %." in page
    why = "Not shown: runs with a validation accuracy: 1; expected at least 3 to compare."
    assert why in section(page, "importance")
    assert "0001" in section(page, "best")


def test_two_sweeps_are_compared_as_runs_and_that_is_said(make_sweep, tmp_path):
    both = [make_sweep(tmp_path / name, BAYES, [40, 50]) for name in ("one", "two")]
    page = page_of(*both)
    assert page.count("a sweep, which has its own report") == 2
    assert 'id="importance"' not in page
    assert {"one/0001", "two/0001"} <= set(re.findall(r"<bdi>(\w+/\d+)</bdi>", page))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.csv"], ["nothing.csv: empty", "a row for each run"]),
        (["good.csv", "--wandb"], ["--wandb", "good.csv is a table"]),
        (["plain.csv"], ["plain.csv: no column with an accuracy or a loss", "width"]),
        (["plain.csv", "sweep"], ["plain.csv: a table of runs has a report of its own"]),
        (["notes.txt"], ["notes.txt: expected", ".csv"]),
        (["torn"], ["torn: cannot be read as a sweep's folder"]),
    ],
)
def test_what_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    (tmp_path / "nothing.csv").touch()
    (tmp_path / "notes.txt").write_text("no table\n")
    written(tmp_path / "plain.csv", ["name", "width"], [["a", 1], ["b", 2]])
    written(tmp_path / "good.csv", ["name", "width", "val_acc"], [["a", 1, 0.5], ["b", 2, 0.6]])
    (tmp_path / "sweep").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "sweep.json").write_text("{}")
    (tmp_path / "torn" / "sweep.yaml").write_text("method: grid\nparameters: {train.epochs: {values: [1, 2]}}\n")
    monkeypatch.chdir(tmp_path)
    status = program.run(report.main, arguments)
    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    assert captured.err.count("\n") == 1
    assert all(word in captured.err for word in words)
