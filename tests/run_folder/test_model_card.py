"""The model card is made from the files of a run folder, old ones too."""

import ast
import json

from keras_cnn.run_folder.model_card import write_model_card

CLASS = {"precision": 0.5, "recall": 0.25, "recall_interval": [0.1, 0.4], "support": 8}
METRICS = {
    "images": 16,
    "accuracy": 0.625,
    "accuracy_interval": [0.386, 0.815],
    "best_epoch": 2,
    "chosen_by": "val_loss",
    "per_class": {"ca|t": CLASS, "dog": CLASS | {"recall": 1.0, "support": 200}},
}


def test_the_card_of_an_old_run_has_its_numbers_limits_and_class_names(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 3\nmodel: {name: lenet}\ndata: {source: 'folder:photos', fit: crop}\n")
    assert write_model_card(tmp_path) is None  # not finished
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "split.json").write_text(json.dumps({"classes": ["ca|t", "dog"], "counts": {"train": 40, "test": 16}}))
    (tmp_path / "model.json").write_text(json.dumps({"layers": [], "totals": {"trainable": 1234}}))
    (tmp_path / "test_readings.csv").write_text("date,images,command\na,test split,b\nc,test split,d\n")
    text = write_model_card(tmp_path).read_text()
    assert "`lenet`, 1,234 trainable parameters, trained from random weights\nfor 0 epochs with seed 3." in text
    assert "| accuracy | 0.6250 | [0.3860, 0.8150] |" in text
    assert "| ca\\|t | 0.500 | 0.250 | [0.100, 0.400] | 8 |" in text
    assert "read 2 times" in text
    assert "The weakest class is ca|t" in text
    assert "1 of 2 classes have fewer than 100 test images" in text
    code = text.partition("```python\n")[2].partition("```")[0]
    (classes,) = [node.value for node in ast.parse(code).body if isinstance(node, ast.Assign) and node.lineno == 4]
    assert ast.literal_eval(classes) == ["ca|t", "dog"]
