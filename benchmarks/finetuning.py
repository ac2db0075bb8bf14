"""Fine-tuning ResNet50 on 500 photos at 224 x 224: ours against Keras's usual `trainable = False` and `fit`.

python -m benchmarks.finetuning

Each contestant builds its network, trains for five epochs with Adam in batches of 32, and validates after each epoch on
the other 100 photos. Ours computes the frozen part once, keeps checkpoints, writes its best model, and decodes the
photos from JPEG. Keras gets them as arrays in memory, with tf.data's autotune off because it stalls.
"""

import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from benchmarks import pipeline
from benchmarks.interleave import ROUNDS, interleave, table
from keras_cnn import config, models
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.loading import BUILDERS
from keras_cnn.messages import show_messages
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.classification.setup import SharedResources
from keras_cnn.tasks.preparing import trials_of
from keras_cnn.training import experiment, precision

TRAINED, VALIDATED, EPOCHS, BATCH, SIDE = 500, 100, 5, 32, 224
KERAS, FLOAT32, BF16 = "Keras trainable = False + fit, float32", "keras_cnn, float32", "keras_cnn, bfloat16"
CUTS = {"head only": ("all", {FLOAT32: 4.0, BF16: 6.0}), "cut at conv4": ("conv4", {FLOAT32: 2.0, BF16: 2.0})}


def plain_keras(images: np.ndarray, labels: np.ndarray, trained: str):
    """Fine-tuning as in Keras's guide."""
    options = tf.data.Options()
    options.autotune.enabled = False

    def dataset(part: slice) -> tf.data.Dataset:
        inputs = keras.applications.resnet.preprocess_input(images[part].astype("float32"))
        return tf.data.Dataset.from_tensor_slices((inputs, labels[part])).batch(BATCH).prefetch(2).with_options(options)

    train, validation = dataset(slice(TRAINED)), dataset(slice(TRAINED, None))

    def work() -> int:
        precision.apply(0, "float32", "auto")
        base = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3))
        for layer in base.layers:
            layer.trainable = trained == "conv5" and layer.name.startswith("conv5")
        inputs = keras.Input((SIDE, SIDE, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(base(inputs, training=False))
        model = keras.Model(inputs, keras.layers.Dense(pipeline.CLASSES)(pooled))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
        model.fit(train.shuffle(TRAINED).with_options(options), epochs=EPOCHS, validation_data=validation, verbose=0)
        keras.backend.clear_session()
        return TRAINED * EPOCHS

    return work


def ours(photos: Path, upto: str, number_format: str):
    """A run of finetune.py in this process, from config to numbers."""
    text = (
        f"--data.source folder:{photos} --data.validation {VALIDATED} --data.test 10 --data.train {TRAINED}"
        f" --model.name resnet50 --model.weights none --train.epochs {EPOCHS} --train.batch_size {BATCH}"
        f" --data.image_size {SIDE} --finetune.freeze_upto {upto} --precision {number_format} --tracking.wandb off"
    )
    settings = config.load(None, text.split(), BUILDERS)

    def work() -> int:
        with (
            tempfile.TemporaryDirectory() as folder,
            redirect_stdout(StringIO()),
            RunFolder.create("bench", Path(folder)) as run,
        ):
            experiment.train(settings, run, trials_of(SharedResources()))
        keras.backend.clear_session()
        return TRAINED * EPOCHS

    return work


def in_turns(contestants: dict) -> dict[str, list[float]]:
    """As `interleave`, without a warm-up call: each call builds and compiles anew, as a user waits for both."""
    rates = {name: [] for name in contestants}
    for turn in range(ROUNDS):
        for name, work in list(contestants.items())[:: 1 if turn % 2 == 0 else -1]:
            began = time.perf_counter()
            images = work()
            rates[name].append(images / (time.perf_counter() - began))
    return rates


def compare_prediction(images: np.ndarray) -> None:
    """The network's inference on arrays: the same file, run by Keras and by us."""
    chosen = precision.choose_precision("auto", precision.hardware())
    precision.apply(0, chosen, "auto")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        shape = (SIDE, SIDE, 3)
        models.build("resnet50", shape, pipeline.CLASSES, weights="none").save(file)
        model = keras.models.load_model(file, compile=False)
    predictor = Predictor(model)
    rates = interleave(
        {
            "model.predict": lambda: len(model.predict(images, batch_size=BATCH, verbose=0)),
            "keras_cnn": lambda: len(predictor.logits((images[i : i + BATCH],) for i in range(0, len(images), BATCH))),
        }
    )
    print(f"\nprediction, resnet50 saved in {chosen}, {len(images)} photos")
    print(table(rates, "model.predict", {"keras_cnn": 1.3}))


def main() -> None:
    show_messages()
    pipeline.COUNT = TRAINED + VALIDATED + 10
    with tempfile.TemporaryDirectory() as name:
        split = pipeline.read_split(pipeline.photos(Path(name)))
        images = np.concatenate([b.images.numpy() for b in pipeline.batches(split, (SIDE, SIDE, 3), 64)])
        photos = Path(name) / "classes"
        for title, (upto, targets) in CUTS.items():
            trained = "head" if upto == "all" else "conv5"
            contestants = {
                KERAS: plain_keras(images[:-10], split.labels[:-10], trained),
                FLOAT32: ours(photos, upto, "float32"),
                BF16: ours(photos, upto, "mixed_bfloat16"),
            }
            print(f"\n{title}, {EPOCHS} epochs of {TRAINED} photos")
            rates = in_turns(contestants)
            print(table(rates, KERAS, targets))
            for key, values in rates.items():
                print(f"  {key}: {TRAINED * EPOCHS / median(values):.1f} s")
        compare_prediction(images[:128])


if __name__ == "__main__":
    main()
