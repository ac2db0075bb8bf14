"""Cross-validation of a detector: the folds of images with boxes, their detections together, and the page."""

import csv

from keras_cnn.analysis.folds_section import write_folds
from keras_cnn.analysis.run_tables import Swept
from keras_cnn.report.pages import write_pages
from keras_cnn.run_folder import read_json
from keras_cnn.sweeps import folds, worker
from keras_cnn.sweeps.study import Study
from keras_cnn.tasks.detection import results
from keras_cnn.tasks.detection.settings import BoxConfig


def test_boxes_are_cross_validated(tmp_path, small_cfg, rectangles, monkeypatch):
    source = rectangles(tmp_path / "set", {"train": 16})
    options = {
        "--data.source": f"coco:{source}",
        "--data.image_size": "64",
        "--data.validation": "4",
        "--model.cfg": str(small_cfg),
        "--train.epochs": "1",
        "--train.batch_size": "4",
        "--tracking.wandb": "off",
    }
    words = [word for pair in options.items() for word in pair]
    study = folds.create(None, words, 2, BoxConfig, run_dir=tmp_path / "folds")
    monkeypatch.setattr(results, "draw_figures", lambda *_: None)
    worker.work(study)
    assert [trial.state for trial in study.trials()] == ["finished", "finished"]
    write_folds(Swept.of(Study(tmp_path / "folds")))
    rows = list(csv.DictReader((tmp_path / "folds" / "out_of_fold" / "predictions.csv").read_text().splitlines()))
    held = [set(read_json(tmp_path / "folds" / run / "split.json")["ids"]["test"]) for run in ("0001", "0002")]
    assert not held[0] & held[1]
    assert len(held[0] | held[1]) == 16
    assert {row["image"] for row in rows} <= held[0] | held[1]
    page = write_pages([tmp_path / "folds"]).read_text()
    assert "mAP@[.5:.95]" in page
    assert "mAP@0.5 of the folds" in page
    assert "2 folds of 2, 16 images held out in turn" in page
