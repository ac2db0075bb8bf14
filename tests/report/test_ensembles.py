"""The table of ensembles on the page, from the files that evaluate.py writes."""

import json

from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.ensembles import HEAD, ensembles

METRICS = {
    "images": 120,
    "images_of": "test",
    "accuracy": 0.8,
    "accuracy_interval": [0.72, 0.86],
    "ensemble": {
        "kind": "soup",
        "best": "runs/b",
        "runs": [
            {"run": "runs/a", "name": "a", "averaged": True, "accuracy": 0.7, "accuracy_interval": [0.61, 0.77]},
            {"run": "runs/b", "name": "b", "averaged": True, "accuracy": 0.75, "accuracy_interval": [0.67, 0.82]},
            {"run": "runs/c", "name": "c", "averaged": False, "accuracy": 0.6, "accuracy_interval": [0.5, 0.68]},
        ],
    },
}
CHANGE = {"difference": 0.05, "difference_interval": [0.01, 0.09], "mcnemar": {"b": 1, "c": 7, "p": 0.0703}}


def test_every_ensemble_has_a_row_and_a_damaged_one_a_line(make_run, tmp_path):
    run = make_run(tmp_path / "a")
    for name, metrics in (("good", METRICS), ("damaged", METRICS | {"ensemble": {"kind": "soup"}})):
        (run / "ensembles" / name).mkdir(parents=True)
        (run / "ensembles" / name / "metrics.json").write_text(json.dumps(metrics))
        (run / "ensembles" / name / "comparison.json").write_text(json.dumps(CHANGE))
    runs, _ = find_runs([run])
    table, problems = ensembles(runs)
    assert dict(zip(HEAD, table.rows[0], strict=True)) == {
        "kind": "soup",
        "runs": "a, b (of 3)",
        "images of": "test",
        "images": "120",
        "accuracy": "80.00 % [72.00, 86.00]",
        "best single run": "b",
        "its accuracy": "75.00 % [67.00, 82.00]",
        "difference in points": "+5.00",
        "95 % interval": "[+1.00, +9.00]",
        "McNemar p": "0.07",
    }
    assert len(table.rows) == len(problems) == 1
    assert "damaged/metrics.json: cannot be read (KeyError 'runs'); expected what evaluate.py --ensemble" in problems[0]
