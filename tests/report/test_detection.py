"""The page about a detector: its numbers in every table, from a run folder written by hand."""

import json

import pytest

from keras_cnn.report import detection

METRICS = {
    "map50": 0.75,
    "map50_interval": [0.7, 0.8],
    "map": 0.5,
    "map_interval": [0.25, None],
    "map75": 0.625,
    "images": 1200,
    "boxes": 3400,
    "best_epoch": 2,
    "chosen_by": "val_map50",
    "validation": {"map50": 0.5, "map": 0.25, "map75": None, "images": 12, "boxes": 34},
    "per_class": {"cat": {"map50": 0.6, "map50_interval": [0.5, 0.7], "map": 0.3, "boxes": 1500}, "damaged": 3},
    "precision50": {"cat": [1.0] * 50 + [0.25] + [None] * 50, "damaged": [1.0]},
    "anchors": [[10, 13.4], [16, 30]],
    "anchors_mean_iou": 0.6543,
    "trained_in": "float32",
}
LAYER = {"layer": "conv1", "type": "Conv2D", "output_shape": [30, None, 18], "trainable": 504, "other": 4}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "boxes"
    folder.mkdir()
    (folder / "config.yaml").write_text("data: {source: 'coco:cars'}\nmodel: {cfg: tiny.cfg}\ntrain: {epochs: 4}\n")
    (folder / "changes.txt").write_text("train.epochs: 10 -> 4\n")
    (folder / "history.csv").write_text(
        "epoch,loss,val_loss,val_map50,run_seconds\n" + "".join(f"{e},{e}.5,{e}.25,0.{e},{30 * e}\n" for e in (1, 2, 3))
    )
    (folder / "test_readings.csv").write_text("date,images,command\na,test split,b\nc,test split,d\n")
    files = {
        "metrics": METRICS,
        "split": {
            "counts": {"train": 1600, "test": 24},
            "boxes": {"train": {"cat": 1000, "dog": 2}, "test": {"dog": 1}},
        },
        "model": {
            "name": "tiny",
            "layers": [LAYER | {"multiply_adds": 437_400}],
            "totals": {"trainable": 504, "multiply_adds": 437_400},
        },
        "environment": {"command": "detect.py --train", "python": "3.11.7"},
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_every_table_of_the_page_by_hand(run):
    found, parts, pictures, problems = detection.content(run)
    assert (pictures, problems) == ([], [])
    scores = "mAP@0.5 0.7500 [0.7000, 0.8000] and mAP@[.5:.95] 0.5000"
    assert detection.lead(found) == f"tiny.cfg, trained on coco:cars: {scores} on 1,200 test images."
    by_name = {part.name: part for part in parts}
    assert list(by_name) == ["result", "curves", "classes", "training", "network", "environment"]
    result, classes, training = (by_name[name] for name in ("result", "classes", "training"))
    assert result.findings == ("Results of epoch 2, the best by val_map50. The test images were read 2 times.",)
    assert result.tables[0][1].rows == (
        ("test", "0.7500 [0.7000, 0.8000]", "0.5000", "0.6250", "1,200", "3,400"),
        ("validation", "0.5000", "0.2500", "–", "12", "34"),
    )
    assert classes.tables[0][1].rows == (("cat", "0.6000 [0.5000, 0.7000]", "0.3000", "1,500"),)
    (chart,) = classes.charts
    assert chart.table.head == ("recall", "cat")
    assert chart.table.rows == tuple(
        (f"{tenth / 10:.1f}", "1.000" if tenth < 5 else "0.250" if tenth == 5 else "–") for tenth in range(11)
    )
    losses = by_name["curves"].charts[0]
    row = dict(zip(losses.table.head, losses.table.rows[1], strict=True))
    assert (losses.name, row["epoch"], {"2.5000", "2.2500"} <= set(row.values())) == ("curve-0", "2", True)
    assert training.findings == (
        "Anchors in pixels of the network's image: 10×13, 16×30; mean IoU with the training boxes 0.654.",
        "Images: train 1,600, test 24. Training took 1 min 30 s in float32.",
    )
    boxes, changed = (table for _, table in training.tables)
    assert boxes.head == ("class", "train", "test")
    assert boxes.rows == (("cat", "1,000", "–"), ("dog", "2", "1"))
    assert changed.rows == (("train.epochs", "10", "4"),)
    network = by_name["network"]
    assert network.title == "Network: tiny"
    assert network.findings == ("504 trainable parameters, 437,400 multiply-adds per image.",)
    assert network.folded[0][1].rows == (("conv1", "Conv2D", "30×?×18", "504", "4", "437,400"),)
    environment = by_name["environment"]
    assert ("Python", "3.11.7") in environment.tables[0][1].rows
    assert environment.code == (
        ("Command", "detect.py --train"),
        ("Complete configuration, config.yaml", (run / "config.yaml").read_text()),
    )


def test_a_run_under_way_has_no_result(run):
    (run / "metrics.json").unlink()
    found, parts, *_ = detection.content(run)
    assert detection.lead(found) == "tiny.cfg, in training on coco:cars."
    assert parts[0].findings == ("Unfinished: epoch 3 of 4; the test images have not been read.",)
    assert [part.name for part in parts] == ["result", "curves", "training", "network", "environment"]
