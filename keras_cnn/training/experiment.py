"""One training run from config to final numbers, in the order in which things happen."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from keras_cnn import config as config_module
from keras_cnn.config import Config
from keras_cnn.errors import InputError, Stopped
from keras_cnn.loading import BUILDERS
from keras_cnn.messages import logger
from keras_cnn.models import arithmetic
from keras_cnn.run_folder import RunFolder, resume_command, write_json, write_text
from keras_cnn.tracking import Tracker
from keras_cnn.training import checkpoints, finder, results
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.loop import fit
from keras_cnn.training.phase_runner import PhaseRunner, fingerprints
from keras_cnn.training.session import Saved, Session, Watch
from keras_cnn.training.setup import SharedResources, TrainingSetup, log_summary, prepare


def train(config: Config, folder: RunFolder) -> dict:
    """Trains in `folder` from its checkpoint, or from the start where there is none; returns what metrics.json holds.

    Raises Stopped on a signal, a loss that is not finite, a full disk or an image that cannot be read any more, with
    the command that goes on.
    """
    saved = checkpoints.load(folder / "checkpoint")
    parts = prepare(config, saved[1]["precision"] if saved else None)
    log_summary(parts)
    try:
        logger.info(f"run       {folder.path}")
        if saved is None:
            _describe(parts, folder)
            results.draw_augmentation(parts, folder)
        else:
            _record_resume(parts, folder)
        tracker = _track(parts, folder)
        try:
            best_epoch, running = _train(parts, folder, tracker, saved)
            return results.finish(parts, folder, tracker, running, best_epoch)
        except (Stopped, KeyboardInterrupt):
            tracker.stop()
            raise
    except (Stopped, KeyboardInterrupt) as stop:
        raise _with_the_way_on(stop, folder, parts) from stop


def train_trial(config: Config, folder: RunFolder, shared: SharedResources, watch: Watch) -> dict:
    """Like `train`, as one of a sweep: data are shared, `watch` may end it early, and the test split is not read.

    Figures are left to the report, which draws them from the numbers.
    """
    saved = checkpoints.load(folder / "checkpoint")
    parts = prepare(config, saved[1]["precision"] if saved else None, shared)
    if saved is None:
        _describe(parts, folder)
    else:
        _record_resume(parts, folder)
    tracker = _track(parts, folder)
    try:
        best_epoch, running = _train(parts, folder, tracker, saved, watch)
        return results.finish_trial(parts, folder, tracker, running, best_epoch)
    except BaseException:
        tracker.stop()  # whatever it is: the process lives on, and W&B would log the next trial into this run
        raise


def _with_the_way_on(stop: BaseException, folder: RunFolder, parts: TrainingSetup) -> Stopped:
    complete = "; the checkpoint is complete" if (folder / "checkpoint").exists() else ""
    reason = str(stop) or f"stopped by a signal{complete}"
    if not (folder / "config.yaml").exists():  # nothing has been written yet
        return Stopped(reason)
    program = "finetune.py" if parts.loaded else "train.py"
    return Stopped(f"{reason}; go on with: {resume_command(folder.path, program)}")


def _track(parts: TrainingSetup, folder: RunFolder) -> Tracker:
    config = parts.config
    where = {"project": config.tracking.project, "entity": config.tracking.entity, "group": config.tracking.group}
    flat = config_module.flat(config) | {"hardware": parts.hardware, "computed_in": parts.precision}
    return Tracker(config.tracking.wandb, folder.path, name=folder.path.name, config=flat, **where)


def _describe(parts: TrainingSetup, folder: RunFolder) -> None:
    """Writes what is known before the first step."""
    defaults = config_module.load(None, [], BUILDERS)
    folder.describe(parts.config, defaults, _hardware(parts))
    if notes := parts.notes:
        write_text(folder / "notes.txt", "\n".join(notes) + "\n")
    write_text(folder / "model.txt", arithmetic.text(parts.model))
    write_json(folder / "model.json", arithmetic.record(parts.model))
    write_json(folder / "split.json", parts.split)
    if parts.freezes:
        rows = [asdict(row) for row in parts.plan]
        write_json(folder / "freeze.json", {"stages": rows, "frozen": fingerprints(parts.model)})


def _record_resume(parts: TrainingSetup, folder: RunFolder) -> None:
    if parts.freezes:
        _require_the_same_frozen(parts, folder / "freeze.json")
    if changes := folder.record_resume(_hardware(parts)):
        _warn(changes)


def _require_the_same_frozen(parts: TrainingSetup, path: Path) -> None:
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))["frozen"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected what a run writes") from None
    if begun != fingerprints(parts.model):
        weights = parts.config.model.options.get("weights")
        expected = f"expected the same as then from model.weights {weights}" if weights else "expected the same as then"
        raise InputError(f"{path}: the frozen weights are not those that the run began with; {expected}")


def _warn(changes: list[str]) -> None:
    logger.info(f"warning   not as when the run began, and so not equal to the last bit: {'; '.join(changes)}")


def _hardware(parts: TrainingSetup) -> dict:
    return parts.hardware | {"computed_in": parts.precision}


def _train(
    parts: TrainingSetup, folder: RunFolder, tracker: Tracker, saved: Saved | None, watch: Watch | None = None
) -> tuple[int, PhaseRunner]:
    """Trains phase after phase to the end; returns the best epoch, counted from 1, and what predicts with its weights.

    Raises FrozenChanged where a frozen weight has not stayed as it was.
    """
    settings = parts.config.train
    with Interrupt() as interrupt:
        session = Session(parts, folder, tracker, interrupt, watch)
        if saved:
            session.restore(saved)
        position = session.position
        for number, phase in enumerate(parts.phases):
            if number < session.phase or (position.epoch >= phase.until and not position.ended):
                continue
            running = PhaseRunner(parts, phase, interrupt.heed)
            running.log_summary()
            began = time.monotonic()
            if changes := session.enter(number, running):
                _warn(changes)
            position.run_seconds += time.monotonic() - began  # what is computed once is part of the price
            fit(
                running.trainer,
                running.epochs_from(position.epoch, position.step),
                session,
                settings.epochs,
                parts.steps,
                checkpoint_seconds=60 * settings.checkpoint_minutes,
                until=phase.until,
            )
            running.verify_frozen()
            if position.ended:
                break
            session.leave()
        if not parts.freezes:
            session.save_model("last.keras")
        if settings.overfit_batch:
            logger.info(_memorised(parts, running))
        session.load_best()
    if frozen := running.verify_frozen():
        logger.info(f"proof     the weights and statistics of {frozen} frozen layers are byte for byte what they were")
    return session.best.epoch, running


def _memorised(parts: TrainingSetup, running: PhaseRunner) -> str:
    """Judges the last weights: the best on validation are from before the batch was learnt by heart."""
    accuracy = float(np.mean(running.logits("train").argmax(axis=1) == parts.train.labels))
    verdict = "memorised" if accuracy == 1 else "did not memorise"
    return f"one batch: the network {verdict} its {len(parts.train)} images (training accuracy {accuracy:.3f})"


def dry_run(config: Config) -> None:
    """Says what `train` would do: data, network, steps and arithmetic."""
    parts = prepare(config)
    for line in arithmetic.text(parts.model).splitlines():
        logger.info(line)
    log_summary(parts)
    begins, operations = 0, 0
    for phase in parts.phases:
        running = PhaseRunner(parts, phase)
        running.log_summary()
        operations += running.multiply_adds(phase.until - begins)
        begins = phase.until
    logger.info(
        f"cost      {config.train.epochs} epochs of {parts.steps} steps, {len(parts.train) * config.train.epochs:,}"
        f" training images, about {float(operations):.2e} multiply-adds"
    )
    logger.info("dry run: no run folder was made, no image kept")


def find_learning_rate(config: Config, folder: RunFolder) -> float:
    """Runs the range test of `finder`, draws it into the folder and returns the suggested rate."""
    parts = prepare(config)
    log_summary(parts)
    _describe(parts, folder)
    results.draw_augmentation(parts, folder)
    running = PhaseRunner(parts, parts.phases[0])
    running.log_summary()
    found = finder.find_learning_rate(running.trainer, running.epochs_from(0, 0, finder.STEPS))
    table = np.column_stack([found.rates, found.losses])
    write_text(folder / "learning_rates.csv", "learning_rate,loss\n" + "".join(f"{r},{v}\n" for r, v in table))
    results.draw_range_test(found, folder)
    return found.suggestion
