"""What a run folder says is read as far as it can be, and what is wrong with it is named."""

import json
from pathlib import Path

import pytest

from keras_cnn.errors import InputError
from keras_cnn.run_folder.drawn_views import read_views, record_view
from keras_cnn.run_folder.record import read_record

HISTORY = "epoch,loss,val_accuracy\n1,2.5,0.25\n2,1.5,0.5\n"


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "run"
    (folder / "evaluations" / "test").mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 3\ntrain: {epochs: 2}\nmodel: {name: net1, l1_oc: 6}\n")
    (folder / "changes.txt").write_text("seed: 1 -> 3\n")
    (folder / "history.csv").write_text(HISTORY)
    (folder / "test_readings.csv").write_text("date,command\n2026-01-01,python train.py\n")
    for name in ("environment", "split", "model", "metrics", "evaluations/test/metrics"):
        (folder / f"{name}.json").write_text(json.dumps({"is": name}))
    return folder


def test_a_complete_run_has_everything_and_no_problem(run):
    record = read_record(run)
    assert record.config == {"seed": 3, "train.epochs": 2, "model.name": "net1", "model.l1_oc": 6}
    assert record.history == (
        {"epoch": 1, "loss": 2.5, "val_accuracy": 0.25},
        {"epoch": 2, "loss": 1.5, "val_accuracy": 0.5},
    )
    assert record.test_readings == ({"date": "2026-01-01", "command": "python train.py"},)
    assert (record.metrics, record.evaluations) == ({"is": "metrics"}, {"test": {"is": "evaluations/test/metrics"}})
    assert (record.name, record.finished, record.changes, record.problems) == ("run", True, ("seed: 1 -> 3",), ())
    (run / "evaluations" / ".test.partial").mkdir()  # of an evaluation under way
    (run / "evaluations" / ".test.partial" / "metrics.json").write_text('{"is": "half of it"}')
    for name in ("changes.txt", "test_readings.csv"):  # a trial has no reading
        (run / name).unlink()
    record = read_record(run)
    assert (record.changes, record.test_readings, record.other_readings, record.problems) == ((), (), (), ())
    assert list(record.evaluations) == ["test"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metrics.json", None, "missing; the run is not finished"),
        ("environment.json", None, "missing; how the run was made is not known"),
        ("history.csv", None, "missing; no epoch has been completed"),
        ("split.json", None, "missing; whether the images are still the same, and duplicates, are not known"),
        ("model.json", None, "missing; written by an older version: no table of layers"),
        ("metrics.json", '{"accuracy": 0.', "cannot be read"),
        ("split.json", "[1]", "found list, expected a mapping"),
        ("environment.json", "\ud800", "cannot be read"),
        ("split.json", '{"ids": {"test": "a"}}', "ids.test: found 'a', expected a list of text"),
        ("split.json", '{"classes": {"a": 1}}', "classes: found {'a': 1}, expected a list of text"),
        (
            "environment.json",
            '{"resumes": {"date": "x"}}',
            "resumes: found {'date': 'x'}, expected a list of",
        ),
        ("environment.json", '{"git": ["a"]}', "git: found ['a'], expected text or null"),
        ("model.json", "[" * 100_000, "cannot be read"),
        ("test_readings.csv", "when,who\n1,2\n", "columns when, who, expected date, images and command"),
        ("history.csv", "", "cannot be read"),
        ("history.csv", HISTORY + "3,x,0.5\n", "could not convert"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_read(run, name, content, words):
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    record = read_record(run)
    assert len(record.problems) == 1
    assert record.problems[0].startswith(f"{run / name}: ")
    assert words in record.problems[0]
    assert record.config["seed"] == 3


def test_rows_before_a_cut_are_kept(run):
    (run / "history.csv").write_text(HISTORY + "3,0.1\n")
    record = read_record(run)
    assert [row["epoch"] for row in record.history] == [1, 2]
    assert record.problems == (f"{run / 'history.csv'}: row 3 has 2 of 3 fields (is it cut off?); left out",)


def test_a_history_without_rows_is_named(run):
    (run / "history.csv").write_text("epoch,loss\n")
    assert read_record(run).problems == (f"{run / 'history.csv'}: no rows; expected one per epoch",)


def test_a_run_whose_numbers_are_damaged_has_ended_all_the_same(run):
    (run / "metrics.json").write_text("{")
    assert read_record(run).finished
    (run / "metrics.json").unlink()
    assert not read_record(run).finished


def test_readings_of_other_images_are_kept_apart(run):
    images = ("test split", "folder:x", "test split (filters)", "test splitter")
    rows = [f"{date},{name},a" for date, name in enumerate(images, 1)]
    (run / "test_readings.csv").write_text("\n".join(["date,images,command", *rows]) + "\n")
    record = read_record(run)
    assert [row["date"] for row in record.test_readings] == ["1", "3"]
    assert [row["images"] for row in record.other_readings] == ["folder:x", "test splitter"]


def test_a_view_keeps_the_lines_of_its_earlier_figures(tmp_path):
    (tmp_path / "filters").mkdir()
    for name, lines in (("a.png", ["one"]), ("b.png", ["two", "three"])):
        (tmp_path / "filters" / name).touch()
        record_view(tmp_path, "filters", "what they answer to", {name: lines})
    ((view,), problems) = read_views(tmp_path)
    assert [view.words(figure) for figure in view.figures] == [("one",), ("two", "three")]
    assert (view.summary, view.amount, problems) == ("what they answer to", "2 figures", [])


def test_a_view_that_is_a_page_counts_no_figures(tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.html").touch()
    record_view(tmp_path, "page", "one to explore", {})
    ((view,), _) = read_views(tmp_path)
    assert view.amount == "1 page"


def test_views_come_in_the_order_of_their_first_drawing_and_then_by_name(tmp_path):
    for place in ("occlusion/b.png", "occlusion/a.svg", "occlusion/.c.partial.png", "occlusion/notes.txt", "old/1.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    (tmp_path / "empty").mkdir()
    record_view(tmp_path, "occlusion", "what it looks at", {})
    record_view(tmp_path, "filters", "", {}, left_out="no convolution")
    record_view(tmp_path, "occlusion", "where it looks", {"b.png": ["here"]})
    views, problems = read_views(tmp_path)
    assert [(view.name, view.summary, view.left_out, view.amount) for view in views] == [
        ("occlusion", "where it looks", "", "2 figures"),
        ("filters", "", "no convolution", ""),
        ("old", "", "", "1 figure"),
    ]
    assert [figure.name for figure in views[0].figures] == ["a.svg", "b.png"]
    assert problems == []
    (tmp_path / "views.json").write_text("[")
    views, (problem,) = read_views(tmp_path)
    assert [(view.name, view.words(tmp_path / "b.png")) for view in views] == [("occlusion", ()), ("old", ())]
    assert problem.startswith(f"{tmp_path / 'views.json'}: cannot be read (")
    assert problem.endswith("expected what a run writes; the figures are shown without their findings")
    record_view(tmp_path, "old", "anew", {})
    assert read_views(tmp_path)[0][0].summary == "anew"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_record(tmp_path / "none")
    with pytest.raises(InputError, match=r"has no config\.yaml"):
        read_record(tmp_path)
