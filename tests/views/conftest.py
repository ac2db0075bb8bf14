from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_cnn import config as config_module
from keras_cnn import data
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.run_folder import write_json, write_text

CLASSES = ("ant", "bee", "cow")


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(image)
    x = layers.Conv2D(6, 3, padding="same", name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.Conv2D(8, 3, activation="relu", name="conv2")(x)
    x = layers.Dense(5, name="hidden")(layers.GlobalAveragePooling2D(name="mean")(x))
    return keras.Model(image, layers.Dense(3, name="logits")(x), name="tiny")


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A run folder with all that a view reads: config, split, model, and 8 images a class beside it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (images := folder.parent / "photos" / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(generator.integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(images / f"{number}.png")
    folder.mkdir()
    cache = folder.parent / "cache"
    overrides = ["--data.source", f"folder:{folder.parent / 'photos'}", "--data.cache_dir", str(cache)]
    config = config_module.load(None, [*overrides, "--name", "tiny", "--model.name", "net1"], BUILDERS)
    write_text(folder / "config.yaml", config_module.dump(config))
    write_json(folder / "split.json", data.split_record(load_dataset(config)))
    network().save(folder / "model.keras")
    return folder
