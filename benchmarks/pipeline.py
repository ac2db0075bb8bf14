"""From photos to augmented batches of 32 at 224 x 224: our pipeline from disk and from the cache, against Keras's own.

python -m benchmarks.pipeline
"""

import shutil
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.interleave import interleave, table
from keras_cnn.data.augment import Augmentation, augment
from keras_cnn.data.dataset import Split
from keras_cnn.data.decoding import read_image_file
from keras_cnn.data.pipeline import batches, cached

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet200.zip"
COUNT, CLASSES, BATCH, SHAPE = 640, 10, 32, (224, 224, 3)
RECIPE = Augmentation(
    rotation=15, scale=(0.9, 1.1), translation=0.1, flip=0.5, brightness=0.2, contrast=0.2, fill="reflect"
)  # fmt: skip
KERAS, DISK, CACHE = "image_dataset_from_directory + Keras layers", "keras_cnn from disk", "keras_cnn from uint8 cache"
TARGETS = {DISK: 2.3, CACHE: 3.5}


def photos(folder: Path) -> list[Path]:
    """COUNT JPEG files in class folders below `folder`: copies of real photos, or noise if there are none."""
    originals = folder / "originals"
    if PHOTOS.exists():
        zipfile.ZipFile(PHOTOS).extractall(originals)
    else:
        print(f"{PHOTOS} not found; measured on noise instead of photos")
        originals.mkdir()
        coarse = np.random.default_rng(0).integers(0, 256, (20, 64, 85, 3), np.uint8)
        for number, pixels in enumerate(coarse):
            Image.fromarray(pixels).resize((341, 256)).save(originals / f"{number}.jpg", quality=95)
    sources, copies = sorted(originals.rglob("*.jpg")), []
    for number in range(COUNT):
        copies.append(folder / "classes" / f"{number % CLASSES}" / f"{number:05}.jpg")
        copies[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sources[number % len(sources)], copies[-1])
    return copies


def ours(split: Split):
    """One epoch: batches from `split`, augmented as in a training step."""

    @tf.function
    def step(batch):
        labels = tf.one_hot(batch.labels, CLASSES)
        return augment(batch.images, labels, batch.keys, batch.epoch, seed=0, recipe=RECIPE)

    def epoch():
        done = 0
        for batch in batches(split, SHAPE, BATCH, seed=0):
            images, _ = step(batch)
            done += len(images.numpy())
        return done

    return epoch


def keras_layers(folder: Path):
    """The same epoch, as in Keras's documentation."""
    layers = [
        keras.layers.RandomRotation(15 / 360, fill_mode="reflect"),
        keras.layers.RandomZoom((-0.1, 0.1), fill_mode="reflect"),
        keras.layers.RandomTranslation(0.1, 0.1, fill_mode="reflect"),
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomBrightness(0.2),
        keras.layers.RandomContrast(0.2),
    ]

    def change(images, labels):
        for layer in layers:
            images = layer(images, training=True)
        return images, labels

    dataset = keras.utils.image_dataset_from_directory(
        folder / "classes", label_mode="categorical", batch_size=BATCH, image_size=SHAPE[:2], seed=0, verbose=False
    )
    dataset = dataset.map(change, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    return lambda: sum(len(images.numpy()) for images, _ in dataset)


def read_split(paths: list[Path]) -> Split:
    labels = np.array([int(path.parent.name) for path in paths], np.int32)
    return Split(tuple(path.name for path in paths), labels, files=[read_image_file(path) for path in paths])


def main():
    with tempfile.TemporaryDirectory() as name:
        split = read_split(photos(Path(name)))
        size = np.mean([file.path.stat().st_size for file in split.files]) / 1000
        print(f"{COUNT} JPEG files of {size:.0f} KB on average -> augmented batches of {BATCH} at 224 x 224")
        contestants = {
            KERAS: keras_layers(Path(name)),
            DISK: ours(split),
            CACHE: ours(cached(split, SHAPE, cache="memory")),
        }
        print(table(interleave(contestants), KERAS, TARGETS))


if __name__ == "__main__":
    main()
