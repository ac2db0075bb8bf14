"""Trains one experiment in a run folder of its own, and reads the test split after every epoch beside it.

The epoch is chosen on the validation split, as in every run. The reports chose theirs on the test split; so that the
difference is a number, these runs also record the test accuracy of each epoch in `test_curve.csv`. Nothing is chosen
by it, and each reading is counted in `test_readings.csv`.
"""

import csv
import functools
import gc
import io
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from keras_cnn import config as config_module
from keras_cnn.config import Config
from keras_cnn.config.shipped import find_config
from keras_cnn.errors import InputError
from keras_cnn.evaluation.metrics import cross_entropy
from keras_cnn.loading import BUILDERS
from keras_cnn.run_folder import RunFolder, record_test_reading, write_text
from keras_cnn.tasks.classification.phase_runner import PhaseRunner
from keras_cnn.tasks.classification.results import finish
from keras_cnn.tasks.classification.setup import SharedResources, prepare_setup
from keras_cnn.tasks.classification.task import ClassificationTask
from keras_cnn.training import experiment
from keras_cnn.training.phases import Phase
from keras_cnn.training.task import CheckInterrupt, no_interrupt
from reproduction.experiments import Experiment
from reproduction.images import Material

CURVE = "test_curve.csv"
CURVE_COLUMNS = ("epoch", "test_loss", "test_accuracy")
OF_THIS_MACHINE = ("data.source", "data.cache_dir")  # may be others when a run goes on


class TestedPhase(PhaseRunner):
    """A phase that also measures the test split whenever it validates."""

    __test__ = False  # no test of pytest
    tested: tuple[float, float] | None = None  # mean cross-entropy and accuracy of the last validation's weights

    def validate(self) -> dict[str, float]:
        labels, features = self._setup.dataset.test.labels, self._test_features
        if features is None:
            logits = self._predictor.logits(self._setup.batches(self._test_images, self._inference_batch))
        else:
            logits = self._predict(features)
        self.tested = cross_entropy(labels, logits), float(np.mean(logits.argmax(axis=1) == labels))
        return super().validate()

    @functools.cached_property
    def _test_images(self):
        return self._setup.cached(self._setup.dataset.test)

    @functools.cached_property
    def _test_features(self):
        """The outputs of the frozen part, where those of the validation images are kept too."""
        return None if self._validation_features is None else self._features(self._setup.dataset.test, None)


class TestedTask(ClassificationTask):
    """A classifier's run that records its test accuracy after every epoch, and draws no figures."""

    __test__ = False
    _phase: TestedPhase | None = None
    _evaluate = staticmethod(functools.partial(finish, figures=False))

    def draw_augmentation(self, folder: RunFolder) -> None: ...

    def start_phase(self, phase: Phase, check_interrupt: CheckInterrupt = no_interrupt) -> TestedPhase:
        self._phase = TestedPhase(self.setup, phase, check_interrupt)
        return self._phase

    def write_log(self, folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None:
        super().write_log(folder, history)
        assert self._phase is not None
        assert self._phase.tested is not None
        epoch = int(history[-1]["epoch"])
        record_test_reading(folder, "test split (after each epoch; nothing is chosen by it)")
        rows = [row for row in read_curve(folder.path) if row["epoch"] < epoch]
        loss, accuracy = self._phase.tested
        _write_curve(folder, [*rows, {"epoch": epoch, "test_loss": loss, "test_accuracy": accuracy}])


def config_of(wanted: Experiment, material: Material) -> Config:
    """The config of an experiment with the images and weights at hand."""
    return config_module.load(find_config(Path(wanted.config)), _overrides(wanted, material), BUILDERS)


def train(wanted: Experiment, material: Material, folder: Path, shared: SharedResources, seconds: float) -> None:
    """Trains in `folder`, from its checkpoint if there is one.

    Raises Interrupted after `seconds`, with a complete checkpoint; InputError if the folder has a run of another
    config.
    """
    config = config_of(wanted, material)
    with _opened(folder, config) as run, signal_after(seconds):
        experiment.train(
            config,
            run,
            lambda config, precision: TestedTask(prepare_setup(config, precision, shared=shared, run=folder)),
        )
    keras.utils.clear_session()
    gc.collect()


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The rows of test_curve.csv; [] if no epoch has been completed."""
    path = folder / CURVE
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@contextmanager
def signal_after(seconds: float) -> Iterator[None]:
    """Sends this process SIGTERM after some seconds, unless the block has ended: training stops between two steps."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _overrides(wanted: Experiment, material: Material) -> list[str]:
    source = wanted.source or material.source
    return [*wanted.overrides, f"--data.source={source}", f"--name={wanted.key}", "--tracking.wandb=off"]


def _opened(folder: Path, config: Config) -> RunFolder:
    if not (folder / "config.yaml").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        return RunFolder.create(folder.name, path=folder)
    run = RunFolder.open(folder)
    changed = [
        line for line in config_module.differences(run.config(BUILDERS), config) if not line.startswith(OF_THIS_MACHINE)
    ]
    if changed:
        raise InputError(f"{folder}: a run of another config ({'; '.join(changed)}); expected another --runs")
    return run.lock()


def _write_curve(folder: RunFolder, rows: Sequence[Mapping[str, float]]) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, CURVE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / CURVE, table.getvalue())
