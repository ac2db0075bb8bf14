"""From a folder of photos to probabilities: `predict` against image_dataset_from_directory and model.predict.

python -m benchmarks.predicting

Both open the same file, of the network of configs/photos.yaml at 128 x 128 and of a MobileNetV2 at 224 x 224, with
random weights, in the number format in which a run would save it, and the same 640 JPEG files. Keras predicts as in its
documentation.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import keras

from benchmarks.interleave import interleave, table
from benchmarks.pipeline import COUNT, photos
from keras_cnn import models
from keras_cnn.models import backbones
from keras_cnn.models.model_files import load_model
from keras_cnn.prediction.classifier import open_classifier
from keras_cnn.prediction.predicting import predict
from keras_cnn.training import precision

BATCH, TARGET = 32, 1.5
OURS, KERAS = "keras_cnn predict", "image_dataset_from_directory + model.predict"


def networks(number_format: str) -> Iterator[tuple[str, keras.Model]]:
    """Name and model, with random weights."""
    precision.apply(0, number_format, "auto")
    yield "five_block", models.build("five_block", (128, 128, 3), 10, filters=32, dropout=0.5, dense=256)
    yield "mobilenetv2", backbones.classifier("mobilenetv2", (224, 224, 3), 10, weights="none")
    keras.config.set_dtype_policy("float32")


def plain(model: keras.Model, folder: Path):
    """Keras's own way; the images are read again in each round."""

    def work() -> int:
        images = keras.utils.image_dataset_from_directory(
            folder, labels=None, shuffle=False, batch_size=BATCH, image_size=model.inputs[0].shape[1:3], verbose=False
        )
        return len(model.predict(images, verbose=0))

    return work


def main() -> None:
    chosen = precision.choose_precision("auto", precision.hardware())
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folder = photos(place)[0].parents[1]
        for title, model in networks(chosen):
            model.save(place / f"{title}.keras")
            classifier, loaded = open_classifier(place / f"{title}.keras"), load_model(place / f"{title}.keras")
            contestants = {
                KERAS: plain(loaded, folder),
                OURS: lambda classifier=classifier: len(predict(classifier, folder)),
            }
            print(f"{title} in {chosen}, {COUNT} photos")
            rates = interleave(contestants)
            print(table(rates, KERAS, {OURS: TARGET}))
            print(f"ratio {median(rates[OURS]) / median(rates[KERAS]):.2f}x")


if __name__ == "__main__":
    main()
