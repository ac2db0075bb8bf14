"""The training images after a run's last epoch: their loss and accuracy in inference mode, not augmented.

The loss and accuracy that a run logs are those of training itself: dropout is active, and the weights change during the
epoch.
"""

from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.data.pipeline import decoded
from keras_cnn.evaluation.metrics import cross_entropy
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.models.model_files import load_model
from keras_cnn.run_folder import RunFolder
from reproduction.compact import rounded
from reproduction.images import Material

BATCH = 500


def measure(material: Material, folder: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the weights of the last epoch make of the images that the run trained on."""
    assert folder is not None
    model = load_model(folder / "last.keras")
    dataset = load_dataset(RunFolder.open(folder).config(BUILDERS))
    images, labels = decoded(dataset.train, dataset.image_shape), np.asarray(dataset.train.labels)
    batches = ((images[start : start + BATCH],) for start in range(0, len(images), BATCH))
    logits = Predictor(model).logits(batches)
    findings = {
        "images": len(images),
        "loss": cross_entropy(labels, logits),
        "accuracy": float(np.mean(logits.argmax(axis=1) == labels)),
    }
    return {"run": folder.name, "parameters": int(model.count_params())}, rounded(findings)
