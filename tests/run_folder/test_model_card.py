"""The model card is made from the files of a run folder, old ones too."""

import ast
import json
from pathlib import Path

import pytest

from keras_cnn.run_folder.model_card import model_card, write_model_card
from keras_cnn.run_folder.record import Record

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


CARD = """# run
An image classifier: `lenet`, 1,234 trainable parameters, trained from pretrained weights (imagenet)
for 1 epoch with seed 3. The weights are those of epoch 2,
chosen by val_loss. The complete config is in `config.yaml`.

## Data
Source: `folder:photos`. Images: 1,040 train, 16 test. `split.json` lists them, with duplicates.

Classes, in the order of the outputs: dog, ca|t, eel, ant.

## Numbers
On 1,600 test images, with 95 % intervals:

| number | value | interval |
|---|---|---|
| accuracy | 0.6250 | [0.3860, 0.8150] |
| cross-entropy loss | 0.7500 | [0.5000, 1.0000] |
| Brier score | 0.1250 | [0.1000, 0.1500] |

| class | precision | recall | recall's interval | test images |
|---|---|---|---|---|
| dog | 0.500 | 1.000 | [0.100, 0.400] | 1,200 |
| ca\\|t | 0.500 | 0.250 | [0.100, 0.400] | 8 |
| eel | 0.500 | 0.300 | [0.100, 0.400] | 100 |
| ant | 0.000 | 0.000 | [0.000, 1.000] | 0 |

## Limits
- The numbers hold for images like those of the source. Any other image is also given one of the classes.
- They are of one seed. The intervals are about the images, not about another training.
- The test split was read once (`test_readings.csv`).
- The weakest class is ca|t, with a recall of 0.250.
- 2 of 4 classes have fewer than 100 test images: their numbers are uncertain.
- The most frequent confusion is eel taken for dog: 5 images.
"""
CITATION = """run, `lenet` on `folder:photos`, trained with keras_cnn
(tensorflow 2.21.0, keras 3.15.1) on 2026-01-02; split 0123456789ab, commit ba9876543210.
"""
NUMBERS = {
    "images": 1600,
    "loss": 0.75,
    "loss_interval": [0.5, 1.0],
    "brier": 0.125,
    "brier_interval": [0.1, 0.15],
    "worst_pair": {"true": "eel", "predicted": "dog", "count": 5},
    "per_class": {
        "dog": CLASS | {"recall": 1.0, "support": 1200},
        "ca|t": CLASS,
        "eel": CLASS | {"recall": 0.3, "support": 100},
        "ant": {"precision": 0.0, "recall": 0.0, "recall_interval": [0.0, 1.0], "support": 0},
    },
}


def test_the_card_of_a_run_to_the_letter():
    record = Record(
        Path("runs/run"),
        config={
            "seed": 3,
            "model.name": "lenet",
            "model.weights": "imagenet",
            "data.source": "folder:photos",
            "data.fit": "crop",
        },
        environment={
            "started": "2026-01-02T03:04:05+00:00",
            "git": "ba98765432101234",
            "packages": {"keras": "3.15.1", "numpy": "2.2.0", "tensorflow": "2.21.0"},
        },
        history=({"epoch": 1},),
        metrics=METRICS | NUMBERS,
        split={"counts": {"train": 1040, "test": 16}, "sha256": "0123456789abcdef"},
        model={"totals": {"trainable": 1234}},
        test_readings=({"date": "a"},),
    )
    before, _, after = model_card(record).partition("\n## Use\n")
    assert before + "\n" == CARD + "\n"
    use, _, citation = after.partition("\n## Cite\n")
    assert citation == CITATION
    assert "(`data.fit: crop`)" in use
    assert "`keras-cnn predict . PHOTO.jpg`" in use


@pytest.mark.parametrize("count", [40, 41])
def test_of_more_than_forty_classes_the_weakest_are_listed(count):
    names = [f"kind {i}" for i in range(count)]
    rows = {name: CLASS | {"recall": 1 - i / 100} for i, name in enumerate(names)}
    rows["kind 5"] = rows["kind 5"] | {"recall": 0.0, "support": 0}
    text = model_card(Record(Path("runs/run"), metrics=METRICS | {"per_class": rows}))
    listed = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| kind")]
    code = text.partition("```python\n")[2].partition("```")[0]
    if count == 40:
        assert listed == names
        assert "\n\nClasses, in the order of the outputs: kind 0, kind 1, " in text
        assert f"CLASSES = {json.dumps(names)}" in code
        return
    assert listed == [name for name in reversed(names) if name != "kind 5"]
    assert "\nThe 40 of 41 classes with the lowest recall; `metrics.json` has all:\n" in text
    words = (
        "41 classes, all in `split.json`, in the order of the outputs: kind 0, kind 1, kind 2, kind 3, kind 4 and 36"
    )
    assert f"\n{words} more.\n" in text
    assert code.startswith("import json\n\nimport keras\n")
    assert 'CLASSES = list(json.load(open("metrics.json", encoding="utf-8"))["per_class"])' in code
