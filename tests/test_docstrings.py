"""The examples in the docstrings of the library, run one after the other in a folder with a few photos."""

import contextlib
import doctest
import inspect
import io
import json
import logging
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_cnn
from keras_cnn import machine
from keras_cnn.api import folds, sweeps
from keras_cnn.api.recorded_run import RecordedRun
from keras_cnn.messages import logger
from keras_cnn.sweeps import worker
from keras_cnn.training.session import TrainingSession
from tests.drawing import draw_nothing

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
COLOURS = {"cat": (200, 60, 40), "dog": (40, 90, 220)}
ORDER = [  # an example may use what one before it has made
    *("load_data", "build_model", "list_models", "list_options", "dry_run", "DryRun", "train", "overfit_batch"),
    *("find_learning_rate", "rank_backbones", "BackboneRanking", "finetune", "resume", "open_run", "predict"),
    *("evaluate_runs", "SeedSummary", "evaluate_ensemble", "EnsembleResult"),
    *("LabelPredictions", "MultilabelEvaluation"),
    *("doctor", "MachineReport", "Run", "RecordedRun", "Dataset", "Evaluation", "ImagePredictions", "explain"),
    *("Explanation", "Figures", "view", "sweep", "SweepResult", "compare", "ComparisonResult", "report", "demo"),
    *("cross_validate", "FoldsResult", "cross_validate_detector"),
    *("open_detector", "ObjectDetector", "DetectorRun", "ImageDetections", "train_detector", "InputError", "Stopped"),
]


def pictures(count: int, seed: int, name: str) -> np.ndarray:
    """(count, 32, 32, 3) uint8 noise around the colour of a class."""
    noise = np.random.default_rng(seed).integers(-30, 30, (count, 32, 32, 3))
    return (noise + COLOURS[name]).clip(0, 255).astype(np.uint8)


def stopped_run(data) -> None:
    """A run in runs/stopped that Ctrl-C has stopped after its first epoch."""
    done = TrainingSession.epoch_done

    def stop(session, row):
        goes_on = done(session, row)
        signal.raise_signal(signal.SIGINT)
        return goes_on

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(keras_cnn.Stopped):
        patch.setattr(TrainingSession, "epoch_done", stop)
        keras_cnn.train("lenet", data, epochs=2, path="runs/stopped", verbose=False)


def trained_detector(cfg: Path) -> None:
    """A run in runs/boxes, of twelve images with one box each."""
    folder = Path("boxes")
    images, boxes = [], []
    for number in range(12):
        pixels = np.random.default_rng(number).integers(90, 150, (64, 64, 3)).astype(np.uint8)
        pixels[16:40, 20:50] = list(COLOURS.values())[number % 2]
        folder.joinpath("images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append({"id": number + 1, "file_name": f"images/{number}.png", "width": 64, "height": 64})
        box = {"bbox": [20, 16, 30, 24], "category_id": number % 2 + 1, "image_id": number + 1}
        boxes.append({"id": number + 1} | box)
    names = [{"id": 1, "name": "bag"}, {"id": 2, "name": "shoe"}]
    content = {"images": images, "annotations": boxes, "categories": names}
    (folder / "instances.json").write_text(json.dumps(content))
    Image.fromarray(pixels).save("street.jpg")
    keras_cnn.train_detector(
        f"coco:{folder / 'instances.json'}", epochs=1, image_size=64, cfg=str(cfg), wandb="off", verbose=False
    )


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])
    monkeypatch.setattr(machine, "STEPS", 2)
    for module in (sweeps, folds):
        monkeypatch.setattr(module, "PrewarmedWorkers", lambda count: contextlib.nullcontext())
    monkeypatch.setattr(sweeps.local, "run", lambda study, *_, **__: worker.work(study))  # in this process
    draw_nothing(monkeypatch)  # no example looks at these figures
    for name in COLOURS:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, pixels in enumerate(pictures(40, 1, name)):
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "new").mkdir()
    for number, pixels in enumerate(pictures(2, 2, "cat")):
        Image.fromarray(pixels).save(tmp_path / "new" / f"{number}.png")
    Image.fromarray(pictures(1, 3, "dog")[0]).save(tmp_path / "dog.jpg")
    return tmp_path


def documented(name: str) -> list[tuple[str, str]]:
    """The docstrings of a public name and of its public methods, by their dotted names."""
    thing = RecordedRun if name == "RecordedRun" else getattr(keras_cnn, name)
    found = [(name, thing.__doc__)]
    if inspect.isclass(thing):
        members = ((member, value) for member, value in vars(thing).items() if not member.startswith("_"))
        found += [(f"{name}.{member}", getattr(value, "__doc__", None) or "") for member, value in members]
    return found


def test_every_public_name_is_in_the_order_of_the_examples():
    assert sorted(ORDER) == sorted([*keras_cnn.__all__, "RecordedRun"])


def test_the_examples_of_the_library_run(place, small_cfg):
    data = keras_cnn.load_data("folder:photos", image_size=32)
    stopped_run(data)
    trained_detector(small_cfg)
    images = np.concatenate([pictures(15, 4, name) for name in COLOURS])
    names = {"keras_cnn": keras_cnn, "images": images, "labels": np.repeat([0, 1], 15)}
    failures, said = 0, io.StringIO()
    for name, text in [("keras_cnn", keras_cnn.__doc__), *(pair for each in ORDER for pair in documented(each))]:
        example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(example, out=said.write, clear_globs=False)
        names |= example.globs
        failures += runner.failures
    assert failures == 0, said.getvalue()
