"""The page's sections of unknown images, corruptions and exports, from the files that the programs write."""

import json
from pathlib import Path

import numpy as np

from keras_cnn.data.corruptions import CORRUPTIONS
from keras_cnn.evaluation.outliers import outlier_detection
from keras_cnn.evaluation.robustness import Robustness
from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.content import collect


def write(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def content_of(run: Path):
    runs, _ = find_runs([run])
    return collect(runs)


def test_unknown_images_have_two_rows_and_two_charts(make_run, tmp_path):
    run = make_run(tmp_path / "photos")
    known, unknown = np.array([[4.0, 0], [3, 0], [2, 0]]), np.array([[1.0, 0], [0, 2.5]])
    file = run / "evaluations" / "test" / "outliers_new-0123ab" / "outliers.json"
    write(file, {"unknown": "new"} | outlier_detection(known, unknown, ("cat", "dog")).as_json())
    content = content_of(run)
    softmax, _ = (dict(zip(content.outliers.head, row, strict=True)) for row in content.outliers.rows)
    assert softmax["ROC area"].startswith("0.8333 [")  # 5 of 6 pairs
    assert softmax["unknown accepted at 95 %"].startswith("50.0 % [")
    assert (softmax["unknown images"], softmax["taken for"]) == ("new", "cat 50.0 %, dog 50.0 %")
    assert len({chart.name for chart in content.outlier_charts}) == 2
    assert content.outlier_charts[1].title == "photos, test and new: energy"
    assert np.sum(content.outlier_charts[0].drawing.series[1].y[:-1]) == 100
    file.write_text("{}")
    damaged = content_of(run)
    assert damaged.outliers.rows == ()
    assert any("outliers.json: cannot be read" in problem for problem in damaged.problems)


def test_corruptions_have_a_curve_each_and_a_table_with_the_worst_first(make_run, tmp_path):
    run = make_run(tmp_path / "photos")
    wrong = dict.fromkeys(CORRUPTIONS, np.tile([True, False, False, False], (5, 1)))
    reference = Robustness(tuple("abcd"), np.zeros(4, bool), wrong).as_json() | {"run": "before"}
    worse = wrong | {"fog": np.tile([True, True, True, False], (5, 1))}
    numbers = Robustness(tuple("abcd"), np.zeros(4, bool), worse).as_json(reference)
    file = run / "evaluations" / "corruptions-test" / "corruptions.json"
    write(file, {"run": "photos", "images_of": "test"} | numbers)
    (chart,) = content_of(run).corruptions
    assert chart.table.rows[0][:2] == ("fog", "75.0 %")
    assert chart.table.rows[0][-2:] == ("3.000", "3.000")
    assert "mCE 1.133, relative mCE 1.133" in chart.note  # (14 · 1 + 3) / 15
    assert list(chart.drawing.series[list(CORRUPTIONS).index("fog")].y) == [0, 75, 75, 75, 75, 75]
    write(file, {"corruptions": []})
    assert any("corruptions.json: cannot be read" in problem for problem in content_of(run).problems)


def test_exports_have_size_latency_and_what_quantisation_costs(make_run, tmp_path):
    run = make_run(tmp_path / "photos")
    times = [{"batch": 1, "median": 0.5}, {"batch": 32, "median": 0.25}]
    row = {"format": "litert", "bytes": 2_000_000, "latencies": times, "max_relative_difference": 4.5e-7}
    change = {"after": 0.8, "difference": -0.01, "difference_interval": [-0.02, 0.005], "p": 0.25}
    eight = row | {"format": "litert-int8", "accuracy": change}
    write(run / "export" / "export.json", {"formats": [row | {"accuracy": None}, eight]})
    exact, quantised = content_of(run).exports.rows
    assert exact[1:] == ("litert", "2.00", "0.50", "0.25", "4.5e-07", "that of Keras")
    assert quantised[-1] == "80.00 %, -1.00 points [-2.00, +0.50], McNemar p 0.25"
    write(run / "export" / "export.json", {"formats": 3})
    assert any("export.json: cannot be read" in problem for problem in content_of(run).problems)
