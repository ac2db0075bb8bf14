"""Classification as a `training.task.Task`."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from keras_cnn import config as config_module
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS
from keras_cnn.models import custom
from keras_cnn.run_folder import HISTORY_COLUMNS, RunFolder, write_json, write_text
from keras_cnn.run_folder.json_files import read_json
from keras_cnn.run_folder.split_ids import write_ids
from keras_cnn.tasks.classification import results
from keras_cnn.tasks.classification.phase_runner import PhaseRunner, fingerprints
from keras_cnn.tasks.classification.setup import TrainingSetup
from keras_cnn.tasks.classification.summary import log_summary
from keras_cnn.tracking import Tracker
from keras_cnn.training.phases import Phase
from keras_cnn.training.task import CheckInterrupt, no_interrupt


class ClassificationTask:
    """A classifier's run, from scratch or from pretrained weights."""

    history_columns: Sequence[str] = HISTORY_COLUMNS
    several_labels = False
    is_trial = False

    def __init__(self, setup: TrainingSetup):
        self.setup = setup
        self.config, self.default_config = setup.config, config_module.load(None, [], BUILDERS)
        self.hardware, self.precision, self.model = setup.hardware, setup.precision, setup.model
        self.classes, self.split, self.phases = setup.dataset.classes, setup.split, setup.phases
        self.replicas = setup.replicas
        self.monitor = setup.monitor
        self.train_images, self.steps = len(setup.train), setup.steps
        self.steps_per_call = setup.config.train.steps_per_call
        self.program = "finetune" if setup.loaded else "train"
        # Otherwise only changing weights are kept: a frozen part may be large, and a trial saves time.
        self.keeps_whole_model = not (setup.freezes or self.is_trial)
        self.keeps_last_model = not setup.freezes

    def log_summary(self) -> None:
        log_summary(self.setup)

    def describe(self, folder: RunFolder) -> None:
        """Writes notes.txt; split_ids.csv for many images; freeze.json if weights stay frozen; initial.keras."""
        setup = self.setup
        if not setup.split["ids"]:
            splits = setup.dataset.splits | {"train": setup.train}
            write_ids(folder.path, {name: split.ids for name, split in splits.items()})
        if setup.config.model.name == custom.NAME and not (folder / custom.INITIAL).exists():
            shutil.copyfile(setup.config.model.options["file"], folder / custom.INITIAL)
        if notes := setup.notes:
            write_text(folder / "notes.txt", "\n".join(notes) + "\n")
        if setup.freezes:
            rows = [asdict(row) for row in setup.plan]
            write_json(folder / "freeze.json", {"stages": rows, "frozen": fingerprints(setup.model)})

    def draw_augmentation(self, folder: RunFolder) -> None:
        results.draw_augmentation(self.setup, folder)

    def require_same_start(self, folder: RunFolder) -> None:
        """Raises InputError if the frozen weights are not those of freeze.json."""
        if not self.setup.freezes:
            return
        path = folder / "freeze.json"
        if _frozen_in(path) != fingerprints(self.model):
            weights = self.config.model.options.get("weights")
            source = f" from model.weights {weights}" if weights else ""
            raise InputError(
                f"{path}: the frozen weights are not those that the run began with; expected the same as then{source}"
            )

    def start_phase(self, phase: Phase, check_interrupt: CheckInterrupt = no_interrupt) -> PhaseRunner:
        return PhaseRunner(self.setup, phase, check_interrupt)

    def write_log(self, folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None:
        """Writes train.log in the format of the COMP5623 coursework, epochs counted from 0."""
        lines = [
            f"epoch: {row['epoch'] - 1}\ttraining loss: {row['loss']:.3f}\tvalidation loss: {row['val_loss']:.3f}"
            f"\tAccuracy: {100 * row['val_accuracy']:.1f}%\n"
            for row in history
        ]
        write_text(folder / "train.log", "".join(lines))

    def finish(
        self,
        folder: RunFolder,
        tracker: Tracker,
        phase_run: PhaseRunner,
        best_epoch: int,
        validated: np.ndarray | None,
    ) -> dict:
        """Writes the model, evaluates all three splits, the test split once, and writes predictions and figures.

        With train.memorise it evaluates the one batch, and reads no other image.
        """
        if not self.keeps_whole_model:
            results.save_model(self.model, folder, self.classes, self.several_labels)
        if validated is not None:
            phase_run.known_logits["validation"] = validated
        if self.config.train.memorise:
            return self._evaluate_batch(self.setup, folder, tracker, phase_run, best_epoch)
        return self._evaluate(self.setup, folder, tracker, phase_run, best_epoch)

    _evaluate = staticmethod(results.finish)
    _evaluate_batch = staticmethod(results.finish_batch)


class ClassificationTrial(ClassificationTask):
    """A run of a sweep: it is silent, its figures are left to the report, and the test split is not read."""

    is_trial = True

    _evaluate = staticmethod(results.finish_trial)

    def draw_augmentation(self, folder: RunFolder) -> None: ...


class ClassificationFold(ClassificationTask):
    """A run of a cross-validation: it is silent, and measured once on the images that are held out."""

    is_trial = True

    def draw_augmentation(self, folder: RunFolder) -> None: ...


def _frozen_in(path: Path) -> dict[str, str]:
    try:
        return read_json(path, {"frozen": dict})["frozen"]
    except FileNotFoundError:
        raise InputError(f"{path}: missing; expected what a run with frozen weights writes") from None
