"""The page's table of prediction sets, from what `evaluate.py` writes."""

import json

import numpy as np

from keras_cnn.evaluation import conformal
from keras_cnn.evaluation.conformal import METHODS, prediction_sets
from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.prediction_sets import prediction_sets as table_of


def test_the_table_has_a_row_for_each_method_of_an_evaluation(make_run, tmp_path):
    run = make_run(tmp_path / "photos")
    labels, probabilities = np.array([0, 1] * 50), np.tile([[0.9, 0.1]], (100, 1))  # 50 of 100 are right
    right = (np.zeros(99, int), np.tile([[0.9, 0.1]], (99, 1)))
    ids = [str(i) for i in range(100)]
    known = {"classes": ("cat", "dog"), "ids": ids, "calibration_ids": ids[:99]}
    several = [prediction_sets(labels, probabilities, *right, **known, method=method) for method in METHODS]
    summary = conformal.summary(several)
    evaluated = run / "evaluations" / "folder-new-123abc"
    evaluated.mkdir(parents=True)
    metrics = json.loads((run / "metrics.json").read_text()) | {"prediction_sets": summary}
    (evaluated / "metrics.json").write_text(json.dumps(metrics))
    (read,), _ = find_runs([run])
    table = table_of([read])
    lac, aps = (dict(zip(table.head, row, strict=True)) for row in table.rows)
    assert lac["images of"] == "folder-new-123abc"
    assert (lac["method"], aps["method"]) == ("LAC", "APS")
    assert lac["coverage"].startswith("50.00 % [")
    assert lac["verdict"] == aps["verdict"] == "too low"
    assert lac["classes in a set"] == "1.00 [1.00, 1.00]"
    assert (lac["one class"], lac["none"], lac["lowest class"]) == ("100.0 %", "0.0 %", "0.0 % dog")
    broken = metrics | {"prediction_sets": summary | {"level": "high"}}
    (evaluated / "metrics.json").write_text(json.dumps(broken))
    (read,), _ = find_runs([run])
    assert table_of([read]).rows == ()
    assert any("prediction_sets is" in problem for problem in read.problems)
