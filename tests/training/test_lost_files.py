"""Images that vanish or are damaged while a run is under way: named, a stop on purpose, and a run that goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn import data, run_folder

ROOT = Path(__file__).resolve().parents[2]
TABLE = "[{conv: 4, kernel: 3}, {relu: }, {pool: 2}, {flatten: }]"
HOW = {"train": "vanished", "validation": "truncated", "test": "vanished"}  # split of the image: what happens to it

EPOCHS = 8

# Figures take most of a tiny run's time, and show nothing of what is tested.
NO_FIGURES = """
from keras_cnn.tensorflow_import import import_tensorflow
import_tensorflow()
from keras_cnn.tasks.classification import results
results.draw_figures = results.draw_augmentation = lambda *_: None
"""

# Each run loses its image when its first epoch ends: {run folder: [image, what happens to it]}.
LOSING = """
import os
from keras_cnn import run_folder
from keras_cnn.training.state import TrainingState
losses, lock, next_epoch = json.loads(%r), run_folder.RunFolder.lock, TrainingState.next_epoch
def locking(folder):
    global current
    current = losses[str(folder.path)]
    return lock(folder)
def losing(state, row):
    next_epoch(state, row)
    image, how = current
    if state.epoch == 1:
        os.rename(image, image + ".away")
        if how == "truncated":
            open(image, "wb").write(open(image + ".away", "rb").read()[:-100])
run_folder.RunFolder.lock, TrainingState.next_epoch = locking, losing
"""


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory, train_several) -> tuple[Path, dict[str, Path], dict[str, dict]]:
    """A folder with a run that lost an image of each split; the images; and what was said."""
    folder, rng = tmp_path_factory.mktemp("lost"), np.random.default_rng(2)
    for split in HOW:
        for name, low in (("dark", 0), ("light", 128)):
            (folder / f"photos {split}" / name).mkdir(parents=True)
            for i in range(12):
                kind = "png" if i % 2 else "jpg"
                picture = Image.fromarray(rng.integers(low, low + 128, (20, 20, 3), np.uint8))
                picture.save(folder / f"photos {split}" / name / f"{i}.{kind}")
    lines, images = {}, {}
    shared = {"validation": 4, "test": 4, "cache_dir": folder / "cache"}
    for split in HOW:
        source = f"folder:{folder / f'photos {split}'}"
        images[split] = getattr(data.load(source, **shared), split).files[0].path
        words = ["--data.source", source, "--data.cache", "none", "--model.name", "layers", "--model.table", TABLE]
        words += ["--train.epochs", EPOCHS, "--train.batch_size", 4, "--tracking.wandb", "off"]
        words += [word for name, value in shared.items() for word in (f"--data.{name}", value)]
        lines[split] = [*words, "--run-dir", folder / split]
    losses = json.dumps({str(folder / split): [str(images[split]), how] for split, how in HOW.items()})
    return folder, images, train_several(ROOT, lines, NO_FIGURES + LOSING % losses)


@pytest.mark.parametrize("split", HOW)
def test_the_lost_image_is_named_with_the_command_that_goes_on(broken_off, split):
    folder, images, answers = broken_off
    answer, how = answers[split], HOW[split]
    assert answer["status"] == 3
    (line,) = answer["err"].splitlines()
    assert line.startswith(f"{images[split]}: ")
    assert how in line
    assert line.endswith(f"; go on with: {run_folder.shell_command('train', '--resume', folder / split)}")
    assert not (folder / split / "metrics.json").exists()
    epochs = len((folder / split / "history.csv").read_text().splitlines()) - 1
    assert epochs == EPOCHS if split == "test" else 1 <= epochs < 5  # batches decoded ahead go on for a moment


def test_a_run_goes_on_once_its_image_is_back(broken_off, train_several):
    folder, images, _ = broken_off
    image, run = images["validation"], folder / "validation"
    image.with_name(f"{image.name}.away").replace(image)
    answer = train_several(ROOT, {"resume": ["--resume", run]}, NO_FIGURES)["resume"]
    assert answer["status"] == 0, answer["err"]
    assert json.loads((run / "metrics.json").read_text())["images"] == 4
    assert len((run / "history.csv").read_text().splitlines()) == 1 + EPOCHS
