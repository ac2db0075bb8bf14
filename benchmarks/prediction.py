"""Evaluating 10,000 images of 32 x 32 with a saved net4: our Predictor against Keras's own model.predict.

python -m benchmarks.prediction

Keras predicts in three ways, each at the best of its batch sizes:
- the same file with the usual call, model.predict(images, batch_size=...); tf.data's autotune may delay its end until
  one of autotune's own ticks, at up to twice the time that the work took;
- the same file with autotune off, so that nothing waits: the time of the arithmetic alone;
- the same weights in float32, which is Keras's default, with autotune off.
"""

import tempfile
from pathlib import Path
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from benchmarks.interleave import interleave, table
from keras_cnn import models
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.models.model_files import load_model
from keras_cnn.training import precision

IMAGES, SAMPLE, SHAPE, CLASSES = 10_000, 2_048, (32, 32, 3), 10
BATCH, KERAS_BATCHES = 256, (32, 128, 512)
OURS, CALLED = "keras_cnn's Predictor", "model.predict(images)"
SAME, FLOAT32 = "model.predict, stall-free", "model.predict, stall-free, float32"


def saved_in(number_format: str, file: Path, weights: list[np.ndarray] | None = None) -> keras.Model:
    """net4 in a number format, saved and loaded, so that it has Keras's own layers."""
    precision.apply(0, number_format, "auto")
    model = models.build("net4", SHAPE, CLASSES)
    keras.config.set_dtype_policy("float32")
    model.set_weights(weights or [_trained(v) for v in model.variables if "seed" not in v.path])
    model.save(file)
    loaded = load_model(file)
    assert not any(type(layer).__module__.startswith("keras_cnn") for layer in loaded.layers)
    return loaded


def _trained(variable: keras.Variable) -> np.ndarray:
    """The variable's values; for batch norm as after training, because its initial values do nothing."""
    kind = variable.path.rpartition("/")[2]
    if kind in ("gamma", "moving_variance"):
        return np.random.default_rng(1).uniform(0.5, 1.5, variable.shape)
    return np.asarray(variable)


def ours(model: keras.Model, images: np.ndarray):
    predictor = Predictor(model)
    return lambda: predictor.logits((images[i : i + BATCH],) for i in range(0, len(images), BATCH))


def called(model: keras.Model, images: np.ndarray, batch: int):
    return lambda: model.predict(images, batch_size=batch, verbose=0)


def stall_free(model: keras.Model, images: np.ndarray, batch: int):
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = tf.data.Dataset.from_tensor_slices(images).batch(batch).prefetch(2).with_options(options)
    return lambda: model.predict(batches, verbose=0)


def best_batch(model: keras.Model, images: np.ndarray) -> int:
    """The batch size at which Keras predicts fastest."""
    rates = interleave({size: _counted(stall_free(model, images, size)) for size in KERAS_BATCHES}, rounds=2)
    return max(rates, key=lambda size: median(rates[size]))


def _counted(predict):
    return lambda: len(predict())


def main() -> None:
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *SHAPE), np.uint8)
    chosen = precision.choose_precision("auto", precision.hardware())
    with tempfile.TemporaryDirectory() as folder:
        same = saved_in(chosen, Path(folder) / "model.keras")
        float32 = saved_in("float32", Path(folder) / "float32.keras", same.get_weights())
    batch, batch32 = (best_batch(model, images[:SAMPLE]) for model in (same, float32))
    predictions = {
        CALLED: called(same, images, batch),
        SAME: stall_free(same, images, batch),
        FLOAT32: stall_free(float32, images, batch32),
        OURS: ours(same, images),
    }
    print(f"evaluating {IMAGES} images with net4 saved in {chosen}; Keras's best batch {batch}, in float32 {batch32}")
    _compare({name: predictions[name]() for name in (OURS, SAME, FLOAT32)})
    rates = interleave({name: _counted(predict) for name, predict in predictions.items()})
    print(table(rates, SAME, {}))
    middle = {name: median(values) for name, values in rates.items()}
    for name in (CALLED, SAME, FLOAT32):
        print(f"against {name}: {middle[OURS] / middle[name]:.2f}x   target 1.6x")


def _compare(logits: dict[str, np.ndarray]) -> None:
    """How far the logits lie from those in float32, and how many predictions are the same."""
    exact = logits.pop(FLOAT32)
    for name, values in logits.items():
        same = np.mean(values.argmax(axis=1) == exact.argmax(axis=1))
        error = np.abs(values - exact).max() / np.abs(exact).max()
        print(f"{name}: logits within {error:.1e} of the largest in float32; {same:.2%} the same predictions")


if __name__ == "__main__":
    main()
