"""The files of a run know each other: what is missing, damaged or of another run is named when a run is resumed.

The task is the smallest that the engine can train: one Dense layer on four images, whose validation is scripted.
"""

import dataclasses
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_cnn import config as config_module
from keras_cnn.data.pipeline import Batch
from keras_cnn.distribution.replicas import SINGLE
from keras_cnn.errors import InputError, explained
from keras_cnn.run_folder import HISTORY_COLUMNS, RunFolder, shell_command
from keras_cnn.run_folder.files import sha256_of
from keras_cnn.tasks.classification.objective import CrossEntropy
from keras_cnn.training import checkpoints, experiment
from keras_cnn.training.best_model import BestModel
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.phases import Phase
from keras_cnn.training.step import Trainer
from keras_cnn.training.task import no_interrupt

EPOCHS = 3
OPTIONS = ["--train.epochs", str(EPOCHS), "--train.batch_size", "4", "--tracking.wandb", "off", "--optim.optimizer"]
CONFIG = config_module.load(None, [*OPTIONS, "sgd"])
LABELS = np.array([0, 1, 0, 1], np.int32)


class Killed(BaseException):
    """Ends a process in the middle of what it does."""


class OneLayer:
    """A `Task`, and its only `PhaseRun`. `accuracies` are those of the epochs that this process validates."""

    default_config, hardware, precision, program = CONFIG, {}, "float32", "train"
    classes, split = ("0", "1"), {"sha256": "of the images"}
    phases, history_columns, train_images, steps = (Phase(EPOCHS),), HISTORY_COLUMNS, 4, 1
    is_trial, keeps_last_model, features_place, validated = False, False, None, None
    monitor, replicas, steps_per_call, several_labels = "val_accuracy", SINGLE, 1, False
    scale = 1.0

    def __init__(self, config, accuracies: list[float], keeps_whole_model: bool):
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        inputs = keras.Input((2, 2, 1))
        pixels = keras.layers.Rescaling(self.scale, name="rescale")(inputs)
        self.model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(pixels)))
        self.config, self.keeps_whole_model = config, keeps_whole_model
        self._accuracies = iter(accuracies)
        augment = lambda images, labels, keys, epoch: (tf.cast(images, tf.float32), labels)  # noqa: E731
        self.trainer = Trainer(self.model, build_optimizer(config.optim), augment, objective=CrossEntropy(2))

    def batches(self, epoch: int, step: int, epochs: int | None = None) -> Iterator[Batch]:
        for number in range(epoch, EPOCHS):
            images = np.full((4, 2, 2, 1), number, np.uint8) + LABELS[:, None, None, None].astype(np.uint8)
            yield Batch(*map(tf.constant, (images, LABELS, np.zeros((4, 2), np.int32), np.int32(number), np.int32(4))))

    def validate(self) -> dict[str, float]:
        return {"val_loss": 1.0, "val_accuracy": next(self._accuracies)}

    def start_phase(self, phase, check_interrupt=no_interrupt) -> "OneLayer":
        return self

    def finish(self, folder, tracker, phase_run, best_epoch, validated) -> dict:
        return {"best_epoch": best_epoch, "weights": self.model.get_weights()}

    def verify_frozen(self) -> int:
        return 0

    def log_summary(self): ...

    def describe(self, folder): ...

    def draw_augmentation(self, folder): ...

    def require_same_start(self, folder): ...

    def write_log(self, folder, history): ...

    def report_last_weights(self): ...


def train(path: Path, accuracies: list[float], *, whole=True, config=CONFIG, split="of the images") -> dict:
    task = OneLayer(config, accuracies, whole)
    task.split = {"sha256": split}
    with RunFolder.open_or_create(path) as folder:
        return experiment.train(config, folder, lambda *_: task)


def killed(path: Path, monkeypatch, place, name: str, call: int, accuracies: list[float], whole=True) -> None:
    """A run that dies when it calls a function for the `call`-th time."""
    original, calls = getattr(place, name), []

    def dying(*arguments, **settings):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return original(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, dying)
        with pytest.raises(Killed):
            train(path, accuracies, whole=whole)


@pytest.fixture(scope="module")
def weights_by_epoch(tmp_path_factory) -> list[list[np.ndarray]]:
    """The weights after each epoch, which do not depend on the accuracies: those of runs whose best epoch it is."""
    folder = tmp_path_factory.mktemp("whole")
    runs = [train(folder / str(best), [0.9 if e == best else 0.1 for e in range(EPOCHS)]) for best in range(EPOCHS)]
    assert [run["best_epoch"] for run in runs] == [1, 2, 3]
    assert (runs[0]["weights"][0] != runs[1]["weights"][0]).any()
    return [run["weights"] for run in runs]


# The checkpoint is saved at the start, and after each epoch.
MOMENTS = {  # what the process is about to do when it dies, and the best epoch that the checkpoint knows
    "before the checkpoint": ((checkpoints, "save", 3), 1),
    "before the model's renaming": ((BestModel, "publish", 3), 2),
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole model", "weights"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_model_that_is_kept_is_of_the_epoch_that_is_reported(
    tmp_path, monkeypatch, weights_by_epoch, moment, whole
):
    """Killed in the second epoch, which was the best; on another machine the resumed epochs score lower."""
    where, best = MOMENTS[moment]
    killed(tmp_path / "run", monkeypatch, *where, [0.7, 0.9, 0.1], whole)
    metrics = train(tmp_path / "run", [0.5, 0.6], whole=whole)
    assert metrics["best_epoch"] == best
    for found, expected in zip(metrics["weights"], weights_by_epoch[best - 1], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not list((tmp_path / "run").glob("*.next.*"))
    assert not (tmp_path / "run" / "best.npz").exists()


@pytest.fixture
def begun(tmp_path, monkeypatch) -> Path:
    """A run that died after two of its three epochs, the first of which is the best."""
    killed(tmp_path / "begun", monkeypatch, checkpoints, "save", 4, [0.9, 0.5, 0.6])
    return tmp_path / "begun"


def refused(path: Path, **changes) -> str:
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "run.lock"}
    with pytest.raises(InputError) as caught:
        train(path, [0.5], **changes)
    line = str(caught.value)
    assert "\n" not in line
    assert all(file.read_bytes() == content for file, content in before.items())
    return line


def test_a_run_that_nobody_changed_goes_on(begun):
    checkpoint = checkpoints.load(begun / "checkpoint")
    assert checkpoint.state["config"].pop("optim.clip_norm") is None  # as written before there was this option
    assert checkpoint.state.pop("replicas") == 1
    checkpoints.save(begun / "checkpoint", checkpoint.groups, checkpoint.state)
    assert train(begun, [0.5])["best_epoch"] == 1


def test_another_runs_model_is_refused(begun):
    checkpoint = checkpoints.load(begun / "checkpoint")
    keras.Model(inputs := keras.Input((2, 2, 1)), keras.layers.Flatten()(inputs)).save(begun / "model.keras")
    found, expected = (name[:12] for name in (sha256_of(begun / "model.keras"), checkpoint.state["best_model"]))
    assert refused(begun) == (
        f"{begun / 'model.keras'}: not the best model that the checkpoint names: found sha256 {found}, expected"
        f" {expected}; put back the run's own file, or start the run anew"
    )


@pytest.mark.parametrize("kept", [0, 1000, None])
def test_a_cut_or_missing_model_is_refused(begun, kept):
    model = begun / "model.keras"
    content = model.read_bytes()
    model.unlink()
    if kept is not None:
        model.write_bytes(content[:kept])
    assert refused(begun).startswith(f"{model}: " + ("No such file" if kept is None else "not the best model"))


def test_another_runs_checkpoint_is_refused(begun, tmp_path, monkeypatch):
    killed(tmp_path / "other", monkeypatch, checkpoints, "save", 3, [0.9, 0.5, 0.6])
    shutil.copy(tmp_path / "other" / "checkpoint" / "state.npz", begun / "checkpoint" / "state.npz")
    theirs, ours = (RunFolder(run).environment["run_id"] for run in (tmp_path / "other", begun))
    line = f"{begun / 'checkpoint' / 'state.npz'}: run_id: found {theirs}, expected {ours} as in environment.json"
    assert refused(begun).startswith(line)


def test_an_edited_config_is_refused_with_the_field(begun):
    config = dataclasses.replace(CONFIG, optim=dataclasses.replace(CONFIG.optim, learning_rate=0.5))
    line = f"{begun / 'config.yaml'}: changed since the last checkpoint: optim.learning_rate: 0.001 -> 0.5"
    assert refused(begun, config=config) == line


def test_other_images_are_refused(begun):
    assert refused(begun, split="of others").startswith(f"{begun / 'split.json'}: sha256: the images")


def test_a_network_with_other_settings_is_refused_though_the_weights_fit(begun, monkeypatch):
    monkeypatch.setattr(OneLayer, "scale", 0.5)
    assert refused(begun) == (
        f"{begun / 'checkpoint' / 'state.npz'}: the network has changed since the run began: layer rescale: scale: 1.0"
        " -> 0.5; finish the run with the code that began it, or start the run anew"
    )


def test_a_checkpoint_without_the_networks_settings_goes_on_with_a_warning(begun, caplog):
    checkpoint = checkpoints.load(begun / "checkpoint")
    checkpoint.state.pop("layers")
    checkpoints.save(begun / "checkpoint", checkpoint.groups, checkpoint.state)
    assert train(begun, [0.5])["best_epoch"] == 1
    assert f"{begun / 'checkpoint' / 'state.npz'}: layers: missing" in caplog.text
    assert checkpoints.load(begun / "checkpoint").state["layers"]  # the next process can compare


def test_an_edited_history_is_refused_and_a_missing_one_written_anew(begun):
    history = begun / "history.csv"
    text = history.read_text()
    history.write_text(text.replace(",0.9,", ",0.95,"))
    line = f"{history}: row 1: val_accuracy: found 0.95, expected 0.9 as in the checkpoint"
    assert refused(begun) == line
    history.write_text("".join(text.splitlines(keepends=True)[:2]))
    assert refused(begun) == f"{history}: found 1 rows, expected 2 as in the checkpoint"
    history.write_text(text + "".join(text.splitlines(keepends=True)[1:3]))
    assert refused(begun) == f"{history}: found 5 rows, expected 2 as in the checkpoint"
    history.write_text(text + text.splitlines(keepends=True)[1])
    assert refused(begun) == f"{history}: found 4 rows, expected 2 as in the checkpoint"
    history.unlink()
    train(begun, [0.5])
    assert history.read_text().startswith("".join(text.splitlines(keepends=True)[:3]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"precision": 3}, "precision: found 3, expected one of float32, mixed_bfloat16, mixed_float16"),
        ({"position": {"epoch": "two"}}, "ended: found None, expected true or false"),
        ({"callbacks": {"Best": {"epoch": None}}}, "damaged checkpoint (callbacks: Best: monitor: found None)"),
        ({"best_model": []}, "best_model: found [], expected text or null"),
        ({"phase": None}, "phase: found None, expected a whole number"),
        ({"position": {}, "run_id": None}, "run_id: found None, expected text"),
    ],
)
def test_a_checkpoint_whose_numbers_are_damaged_is_named_with_the_field(begun, change, words):
    checkpoint = checkpoints.load(begun / "checkpoint")
    checkpoints.save(begun / "checkpoint", checkpoint.groups, json.loads(json.dumps(checkpoint.state)) | change)
    line = refused(begun)
    assert line.startswith(f"{begun / 'checkpoint' / 'state.npz'}: ")
    assert words in line


def test_ctrl_c_twice_while_the_last_model_is_written_stops_after_it(tmp_path, monkeypatch):
    original = keras.Model.save

    def saving(model, path):
        original(model, path)
        if path.name.startswith(".last"):
            signal.raise_signal(signal.SIGINT)  # the first one is a request, the second one ends the program
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(keras.Model, "save", saving)
    monkeypatch.setattr(OneLayer, "keeps_last_model", True)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path, [0.1, 0.2, 0.3])
    keras.models.load_model(tmp_path / "last.keras")
    resume = f"go on with: {shell_command('train', '--resume', tmp_path)}"
    assert explained(caught.value) == ([f"stopped by a signal; the checkpoint is complete; {resume}"], 3)
    monkeypatch.undo()
    assert train(tmp_path, [])["best_epoch"] == 3


def test_out_of_memory_says_what_was_asked_for_what_to_lower_and_how_to_go_on(tmp_path, monkeypatch):
    def exhausted(self):
        raise MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000, 1000)")

    monkeypatch.setattr(OneLayer, "validate", exhausted)
    with pytest.raises(MemoryError) as caught:
        train(tmp_path, [])
    (line,), status = explained(caught.value)
    assert status == 3
    assert line.startswith("out of memory: Unable to allocate 7.45 GiB")
    assert "lower train.batch_size" in line
    assert line.endswith(f"; go on with: {shell_command('train', '--resume', tmp_path)}")


def test_a_checkpoint_of_an_older_version_is_refused_in_one_line(begun, monkeypatch):
    checkpoint = checkpoints.load(begun / "checkpoint")
    monkeypatch.setattr(checkpoints, "VERSION", 3)
    checkpoints.save(begun / "checkpoint", checkpoint.groups, checkpoint.state)
    monkeypatch.undo()
    assert "checkpoint of format 3, expected 4: another version of this program wrote it" in refused(begun)
