"""The figures of a finished run."""

from types import SimpleNamespace

import numpy as np

from keras_cnn.data.dataset import Split
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.classification import results

EPOCH = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, "learning_rate": 0.1}


def test_the_surest_mistakes_come_first(tmp_path, monkeypatch):
    test = Split(tuple("abcd"), np.array([0, 0, 1, 1], np.int32), pixels=np.zeros((4, 4, 4, 1), np.uint8))
    setup = SimpleNamespace(
        dataset=SimpleNamespace(classes=("cat", "dog"), test=test, image_shape=(4, 4, 1)),
        config=SimpleNamespace(data=SimpleNamespace(fit="crop"), model=SimpleNamespace(name="net1")),
    )
    folder, shown, draw = RunFolder(tmp_path), [], results.sheets.image_sheet
    folder.write_history([{"epoch": 1, **EPOCH, "epoch_seconds": 1.0, "run_seconds": 1.0}])
    monkeypatch.setattr(results.sheets, "image_sheet", lambda *given: shown.extend(given[1]) or draw(*given))
    of_splits = {name: {"confusion": [[1, 0], [0, 1]]} for name in ("validation", "train")}
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    results.draw_figures(setup, folder, of_splits | {"best_epoch": 1}, probabilities)
    assert [(caption[0], caption.rpartition(" ")[2]) for caption in shown] == [
        ("b", "0.900"),
        ("d", "0.800"),
        ("a", "0.600"),
    ]
    names = {path.stem for path in folder.figures.glob("*.png")}
    assert names == {"curves", "confusion_validation", "confusion_train", "mistakes"}
