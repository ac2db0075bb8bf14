"""One training on boxes from config to final numbers, in the order in which things happen."""

import shutil

import tensorflow as tf

from keras_cnn import config as config_module
from keras_cnn.detection.training import batches, results
from keras_cnn.detection.training.loss import YoloLoss
from keras_cnn.detection.training.parts import Parts, introduce, prepare
from keras_cnn.detection.training.session import BEST, Session
from keras_cnn.detection.training.settings import BoxConfig
from keras_cnn.errors import Stopped
from keras_cnn.messages import logger
from keras_cnn.models import arithmetic
from keras_cnn.run_folder import RunFolder, resume_command, write_json, write_text
from keras_cnn.tracking import Tracker
from keras_cnn.training import checkpoints
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.loop import Trainer, fit
from keras_cnn.training.optimizers import build_optimizer


def train(config: BoxConfig, folder: RunFolder) -> dict:
    """Trains in `folder` from its checkpoint, or from the start where there is none; returns what metrics.json holds.

    Raises Stopped on a signal, a loss that is not finite, a full disk or an image that cannot be read any more, with
    the command that goes on.
    """
    saved = checkpoints.load(folder / "checkpoint")
    parts = prepare(config, saved[1]["precision"] if saved else None)
    introduce(parts)
    try:
        logger.info(f"run       {folder.path}")
        if saved is None:
            _describe(parts, folder)
            results.draw_augmentation(parts, folder)
        elif changes := folder.record_resume(_hardware(parts)):
            logger.info(f"warning   not as when the run began, and so not equal to the last bit: {'; '.join(changes)}")
        tracker = _track(parts, folder)
        try:
            best_epoch = _train(parts, folder, tracker, saved)
            found = results.finish(parts, folder, tracker, best_epoch)
        except (Stopped, KeyboardInterrupt):
            tracker.stop()
            raise
        shutil.rmtree(folder / BEST, ignore_errors=True)
        return found
    except (Stopped, KeyboardInterrupt) as stop:
        raise _with_the_way_on(stop, folder) from stop


def _with_the_way_on(stop: BaseException, folder: RunFolder) -> Stopped:
    complete = "; the checkpoint is complete" if (folder / "checkpoint").exists() else ""
    reason = str(stop) or f"stopped by a signal{complete}"
    if not (folder / "config.yaml").exists():  # nothing has been written yet
        return Stopped(reason)
    return Stopped(f"{reason}; go on with: {resume_command(folder.path, 'detect.py')}")


def _track(parts: Parts, folder: RunFolder) -> Tracker:
    wanted = parts.config.tracking
    where = {"project": wanted.project, "entity": wanted.entity, "group": wanted.group}
    flat = config_module.flat(parts.config) | {"hardware": parts.hardware, "computed_in": parts.precision}
    return Tracker(wanted.wandb, folder.path, name=folder.path.name, config=flat, **where)


def _describe(parts: Parts, folder: RunFolder) -> None:
    """Writes what is known before the first step."""
    folder.describe(parts.config, BoxConfig(), _hardware(parts))
    write_text(folder / "model.txt", arithmetic.text(parts.model))
    write_json(folder / "model.json", arithmetic.record(parts.model))
    write_text(folder / "model.cfg", parts.cfg.text)
    write_text(folder / "classes.names", "\n".join(parts.dataset.classes) + "\n")
    write_json(folder / "split.json", parts.split)


def _hardware(parts: Parts) -> dict:
    return parts.hardware | {"computed_in": parts.precision}


def trainer_of(parts: Parts) -> Trainer:
    """The compiled step with its optimizer."""
    config, optim = parts.config, parts.config.optim
    optimizer = build_optimizer(
        optim.optimizer,
        momentum=optim.momentum,
        nesterov=optim.nesterov,
        weight_decay=optim.weight_decay,
        clip_norm=optim.clip_norm,
    )
    objective = YoloLoss(parts.heads, parts.size, config.train.ignore_threshold)
    return Trainer(parts.model, optimizer, _as_they_are, objective=objective, ema=config.train.ema)


def _as_they_are(images, labels, keys, epoch):
    """The pipeline has augmented them: boxes must change with their pixels."""
    return tf.cast(images, tf.float32), labels


def _train(parts: Parts, folder: RunFolder, tracker: Tracker, saved: tuple | None) -> int:
    """Trains to the end; the model has its best weights then. Returns the best epoch, counted from 1."""
    config, settings = parts.config, parts.config.train
    with Interrupt() as interrupt:
        trainer = trainer_of(parts)
        session = Session(parts, trainer, folder, tracker, interrupt)
        if saved:
            session.restore(saved)
        else:
            session.save()
        position = session.position
        stream = batches.training(
            parts.images("train"),
            settings.batch_size,
            config.augment,
            config.seed,
            (position.epoch, position.step),
            settings.epochs,
        )
        fit(
            trainer,
            stream,
            session,
            settings.epochs,
            parts.steps,
            checkpoint_seconds=60 * settings.checkpoint_minutes,
        )
        session.load_best()
    return session.best.epoch


def dry_run(config: BoxConfig) -> None:
    """Says what `train` would do: data, anchors, network, steps and arithmetic."""
    parts = prepare(config)
    for line in arithmetic.text(parts.model).splitlines():
        logger.info(line)
    introduce(parts)
    epochs, images = config.train.epochs, len(parts.dataset.train)
    operations = 3 * arithmetic.record(parts.model)["totals"]["multiply_adds"] * epochs * images
    logger.info(
        f"cost      {epochs} epochs of {parts.steps} steps, {images * epochs:,} training images, about"
        f" {float(operations):.2e} multiply-adds"
    )
    logger.info("dry run: no run folder was made")
