"""How to add a network, an augmentation recipe, a data source and a view: each is one entry, and all else follows."""

import functools
import sys
import types
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_cnn import config, loading, models, views
from keras_cnn.cli import program, train
from keras_cnn.data import sources
from keras_cnn.data.arrays import part_of
from keras_cnn.data.augment import Augmentation
from keras_cnn.data.splits import LabelledSource
from keras_cnn.run_folder import read_json
from keras_cnn.tasks.classification import results
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.views.support.session import visualize


def stripes_network(input_shape: tuple[int, int, int], classes: int, *, filters: int = 4) -> keras.Model:
    """One convolution and the mean of its maps.

    Options:
        filters: of the convolution
    """
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Rescaling(1 / 255, name="scaled")(images)
    x = keras.layers.Conv2D(filters, 3, activation="relu", name="conv1")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(images, keras.layers.Dense(classes, name="logits")(x), name="stripes")


def read_stripes(argument: str, options: sources.ReadOptions) -> LabelledSource:
    """`stripes:N`: N images of 12×12 with horizontal or vertical stripes."""
    labels = np.arange(int(argument)) % 2
    rows = np.arange(12)[:, None] % 2 * np.ones((1, 12), np.int64)
    noise = np.random.default_rng(1).integers(0, 55, (len(labels), 12, 12))  # no two images are the same
    pixels = (np.stack([200 * (rows.T if label else rows) for label in labels]) + noise).astype(np.uint8)[..., None]
    ids = [f"stripes/{number}" for number in range(len(labels))]
    return LabelledSource(("horizontal", "vertical"), {"train": part_of(pixels, labels, ids)})


def draw_mean_image(opened: OpenedModel, out: Path, *, gain: float = 1.0) -> list[SavedFigure]:
    """The mean of the images.

    Options:
        gain: factor of the mean
    """
    mean = gain * opened.images.pixels.mean(axis=0)
    figure = Figure()
    figure.subplots().imshow(mean[..., 0])
    return [save_figure(out, "mean-image", figure, {"mean": mean}, f"mean of {len(opened.images.pixels)} images")]


@pytest.fixture(scope="module")
def extended():
    """The four entries. The last two are removed from tables that other tests count."""
    recipe = functools.partial(Augmentation, **asdict(Augmentation(brightness=0.1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.BUILDERS, "stripes", stripes_network)
        patch.setitem(loading.BUILDERS["data.augment"], "dim", recipe)
        patch.setitem(sources.READERS, "stripes", sources.SourceReader("N", read_stripes))
        module = types.ModuleType("keras_cnn.views.mean_image")
        module.draw = draw_mean_image
        patch.setitem(sys.modules, module.__name__, module)
        patch.setitem(views.VIEWS, "mean-image", views.View("mean-image", "mean_image", "the mean of the images"))
        yield


@pytest.fixture(scope="module")
def run(extended, tmp_path_factory) -> Path:
    """A run of train.py that names the new network with an option, the new recipe and the new source."""
    folder = tmp_path_factory.mktemp("extended") / "run"
    file = folder.parent / "stripes.yaml"
    file.write_text(
        "name: stripes\n"
        "data: {source: 'stripes:80', augment: {name: dim, flip: 0.5}}\n"
        "model: {name: stripes, filters: 6}\n"
        "train: {epochs: 2, batch_size: 16}\n"
        "tracking: {wandb: 'off'}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_figures", lambda *_: None)
        assert program.run(train.main, [str(file), "--run-dir", str(folder)]) == 0
    return folder


def test_a_new_network_recipe_and_source_train(run):
    metrics = read_json(run / "metrics.json")
    assert metrics["images"] == 8
    assert set(metrics["per_class"]) == {"horizontal", "vertical"}
    model = keras.models.load_model(run / "model.keras", compile=False)
    assert model.get_layer("conv1").filters == 6
    stored = (run / "config.yaml").read_text()
    assert "dim" in stored
    assert "stripes:80" in stored


def test_options_of_a_new_network_are_listed_and_checked(extended):
    assert "filters" in config.help_text(loading.BUILDERS).split("stripes", 1)[1][:400]
    with pytest.raises(ValueError, match=r"model\.filter: unknown.*filters"):
        config.load(None, ["--model.name", "stripes", "--model.filter", "3"], loading.BUILDERS)


def test_a_new_view_is_found_and_draws(run, tmp_path):
    view = views.find("mean-image")
    assert view.options["gain"][1] == 1.0
    (saved,) = visualize(str(run), {"mean-image": {"gain": 2.0}}, VisualizeOptions(out=tmp_path, image_count=4))
    assert saved.figure.is_file()
    mean = np.load(saved.arrays)["mean"]
    assert mean.max() <= 510  # twice the mean of images of 0 to 255
    assert mean.shape == (12, 12, 1)
