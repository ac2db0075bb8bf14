"""One training run from config to final numbers, in the order in which things happen."""

import numpy as np

from keras_cnn import config as config_module
from keras_cnn.config import Config
from keras_cnn.errors import Stopped
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.loading import BUILDERS
from keras_cnn.models import arithmetic
from keras_cnn.runs import RunFolder, resume_command, write_json, write_text
from keras_cnn.tracking import Tracker
from keras_cnn.training import checkpoints, finder, results
from keras_cnn.training.fit import fit
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.parts import Parts, Say, Shared, build_trainer, decoded, introduce, prepare
from keras_cnn.training.session import Saved, Session, Watch


def train(config: Config, folder: RunFolder, say: Say = print) -> dict:
    """Trains in `folder` from its checkpoint, or from the start where there is none; returns what metrics.json holds.

    Raises Stopped on a signal, a loss that is not finite, a full disk or an image that cannot be read any more, with
    the command that goes on.
    """
    saved = checkpoints.load(folder / "checkpoint")
    parts = prepare(config, saved[1]["precision"] if saved else None)
    introduce(parts, say)
    try:
        parts = decoded(parts)
        say(f"run       {folder.path}")
        if saved is None:
            _describe(parts, folder)
            results.draw_augmentation(parts, folder)
        else:
            _record_resume(parts, folder, say)
        tracker = _track(parts, folder, say)
        try:
            best_epoch, predictor = _train(parts, folder, tracker, saved)
            if config.train.overfit_batch:
                say(_memorised(parts, predictor))
            parts.model.load_weights(folder / "model.keras")
            return results.finish(parts, folder, tracker, predictor, best_epoch)
        except (Stopped, KeyboardInterrupt):
            tracker.stop()
            raise
    except (Stopped, KeyboardInterrupt) as stop:
        raise _with_the_way_on(stop, folder) from stop


def train_trial(config: Config, folder: RunFolder, shared: Shared, watch: Watch, say: Say) -> dict:
    """Like `train`, as one of a sweep: data are shared, `watch` may end it early, and the test split is not read.

    Figures are left to the report, which draws them from the numbers.
    """
    saved = checkpoints.load(folder / "checkpoint")
    parts = prepare(config, saved[1]["precision"] if saved else None, shared)
    if saved is None:
        _describe(parts, folder)
    else:
        _record_resume(parts, folder, say)
    tracker = _track(parts, folder, say)
    try:
        best_epoch, predictor = _train(parts, folder, tracker, saved, watch)
        parts.model.load_weights(folder / "model.keras")
        return results.finish_trial(parts, folder, tracker, predictor, best_epoch)
    except BaseException:
        tracker.stop()  # whatever it is: the process lives on, and W&B would log the next trial into this run
        raise


def _with_the_way_on(stop: BaseException, folder: RunFolder) -> Stopped:
    complete = "; the checkpoint is complete" if (folder / "checkpoint").exists() else ""
    reason = str(stop) or f"stopped by a signal{complete}"
    if not (folder / "config.yaml").exists():  # nothing has been written yet
        return Stopped(reason)
    return Stopped(f"{reason}; go on with: {resume_command(folder.path)}")


def _track(parts: Parts, folder: RunFolder, say: Say) -> Tracker:
    config = parts.config
    where = {"project": config.tracking.project, "entity": config.tracking.entity, "group": config.tracking.group}
    flat = config_module.flat(config) | {"hardware": parts.hardware, "computed_in": parts.precision}
    return Tracker(config.tracking.wandb, folder.path, say, name=folder.path.name, config=flat, **where)


def _describe(parts: Parts, folder: RunFolder) -> None:
    """Writes what is known before the first step."""
    defaults = config_module.load(None, [], BUILDERS)
    folder.describe(parts.config, defaults, _hardware(parts))
    if notes := parts.without_effect:
        write_text(folder / "notes.txt", "\n".join(notes) + "\n")
    write_text(folder / "model.txt", arithmetic.text(parts.model))
    write_json(folder / "model.json", arithmetic.record(parts.model))
    write_json(folder / "split.json", parts.split)


def _record_resume(parts: Parts, folder: RunFolder, say: Say) -> None:
    if changes := folder.record_resume(_hardware(parts)):
        say(f"warning   not as when the run began, and so not equal to the last bit: {'; '.join(changes)}")


def _hardware(parts: Parts) -> dict:
    return parts.hardware | {"computed_in": parts.precision}


def _train(
    parts: Parts, folder: RunFolder, tracker: Tracker, saved: Saved | None, watch: Watch | None = None
) -> tuple[int, Predictor]:
    """Trains to the end; returns the best epoch, counted from 1, and the model's predictor, compiled already."""
    trainer, settings = build_trainer(parts), parts.config.train
    with Interrupt() as interrupt:
        session = Session(parts, folder, trainer, tracker, interrupt, watch)
        if saved:
            session.restore(saved)
        else:
            session.save()
        batches = parts.epochs_from(session.position.epoch, session.position.step)
        seconds = 60 * settings.checkpoint_minutes
        fit(trainer, batches, session, settings.epochs, parts.steps, checkpoint_seconds=seconds)
        session.save_model("last.keras")
    return session.best.epoch, trainer.predictor


def _memorised(parts: Parts, predictor: Predictor) -> str:
    """Judges the last weights: the best on validation are from before the batch was learnt by heart."""
    predicted = predictor.logits(parts.batches(parts.train)).argmax(axis=1)
    accuracy = float(np.mean(predicted == parts.train.labels))
    verdict = "memorised" if accuracy == 1 else "did not memorise"
    return f"one batch: the network {verdict} its {len(parts.train)} images (training accuracy {accuracy:.3f})"


def dry_run(config: Config, say: Say = print) -> None:
    """Says what `train` would do: data, network, steps and arithmetic."""
    parts = prepare(config)
    say(arithmetic.text(parts.model))
    introduce(parts, say)
    images = len(parts.train) * config.train.epochs
    each = sum(row.multiply_adds for row in arithmetic.table(parts.model))
    say(
        f"cost      {config.train.epochs} epochs of {parts.steps} steps, {images:,} training images,"
        f" about {float(3 * each * images):.2e} multiply-adds"
    )
    say("dry run: no run folder was made, no image kept")


def find_learning_rate(config: Config, folder: RunFolder, say: Say = print) -> float:
    """Runs the range test of `finder`, draws it into the folder and returns the suggested rate."""
    parts = prepare(config)
    introduce(parts, say)
    parts = decoded(parts)
    _describe(parts, folder)
    results.draw_augmentation(parts, folder)
    endless = parts.batches(parts.train, seed=config.seed, start=(0, 0), epochs=finder.STEPS)
    found = finder.find_learning_rate(build_trainer(parts), endless)
    table = np.column_stack([found.rates, found.losses])
    write_text(folder / "learning_rates.csv", "learning_rate,loss\n" + "".join(f"{r},{v}\n" for r, v in table))
    results.draw_range_test(found, folder)
    return found.suggestion
