"""One training run from config to final numbers, in the order in which things happen."""

import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keras_cnn import config as config_module
from keras_cnn.charts import architecture as diagrams
from keras_cnn.charts import png
from keras_cnn.charts.training import learning_rates
from keras_cnn.errors import InputError, Stopped
from keras_cnn.messages import counted, logger
from keras_cnn.models import arithmetic
from keras_cnn.models.architecture import architecture
from keras_cnn.run_folder import RunFolder, shell_command, write_json, write_text
from keras_cnn.run_folder.model_card import write_model_card
from keras_cnn.tracking import Tracker
from keras_cnn.training import checkpoints, finder
from keras_cnn.training.identity import identity_of, require_same_run
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.loop import fit
from keras_cnn.training.run_figures import save_figure
from keras_cnn.training.session import TrainingSession, Watch, warn_of_changes
from keras_cnn.training.state import CHECKPOINT_FIELDS
from keras_cnn.training.task import Prepare, Task, TaskConfig


def train(
    config: TaskConfig,
    folder: RunFolder,
    prepare: Prepare,
    *,
    watch: Watch | None = None,
    other_devices: bool = False,
) -> dict:
    """Trains in `folder` from its checkpoint, or from the start if there is none; returns the content of metrics.json.

    `prepare` makes the task of the config; `watch` may end the run early; `other_devices` allows a run to go on with
    another number of devices.

    Raises Stopped on a signal, a loss that is not finite, a full disk or an image that can no longer be read; except in
    a sweep, its note is the command that resumes. Raises InputError if the folder's files do not belong to one run.
    """
    checkpoint = checkpoints.load(folder / "checkpoint", CHECKPOINT_FIELDS)
    task = prepare(config, checkpoint.state["precision"] if checkpoint else None)
    ranks, changed_devices = task.replicas.ranks, []
    ranks.require_same({"precision": task.precision, "images and labels (split.json)": task.split["sha256"]})
    with _resumable(task, folder):
        if not task.is_trial:
            task.log_summary()
            logger.info(f"run       {folder.path}")
        if checkpoint is None:
            _describe(task, folder)
            task.draw_augmentation(folder)
        else:
            require_same_run(folder, checkpoint.state, identity_of(folder, task))
            task.require_same_start(folder)
            changed_devices = _changed_devices(task, folder, checkpoint.state.get("replicas") or 1, other_devices)
        with _tracked(task, folder) as tracker:
            with Interrupt() as interrupt:
                session = TrainingSession(task, folder, tracker, interrupt, watch=watch)
                if checkpoint:
                    session.restore(checkpoint)
                    warn_of_changes(folder.record_resume(_hardware(task)) + changed_devices)
                for until in session.phases():
                    fit(
                        session.phase_run.trainer,
                        session.phase_run.batches(session.state.epoch, session.state.step),
                        session,
                        epochs=config.train.epochs,
                        steps=task.steps,
                        checkpoint_seconds=60 * config.train.checkpoint_minutes,
                        until=until,
                        steps_per_call=task.steps_per_call,
                    )
                session.end()
            metrics = task.finish(folder, tracker, session.phase_run, session.best.epoch, session.best_validated)
            session.clean_up()
            write_model_card(folder.path)
            return metrics


@dataclass(frozen=True)
class TrainingCost:
    """What one training takes."""

    epochs: int
    steps: int  #: of an epoch
    images: int  #: of the training split
    parameters: int
    multiply_adds: int  #: of all epochs


def dry_run(config: TaskConfig, prepare: Prepare) -> TrainingCost:
    """Logs what `train` would do: data, network, steps and arithmetic. Returns the cost."""
    task = prepare(config, None)
    for line in arithmetic.text(task.model).splitlines():
        logger.info(line)
    task.log_summary()
    done, operations = 0, 0
    for phase in task.phases:
        phase_run = task.start_phase(phase)
        phase_run.log_summary()
        operations += phase_run.multiply_adds(phase.until - done)
        done = phase.until
    epochs = config.train.epochs
    logger.info(f"cost      {epochs} epochs of {task.steps} steps, {task.train_images * epochs:,} training images,")
    logger.info(f"          about {float(operations):.2e} multiply-adds")
    logger.info("dry run: no run folder was made, no image kept")
    return TrainingCost(epochs, task.steps, task.train_images, task.model.count_params(), operations)


def find_learning_rate(config: TaskConfig, folder: RunFolder, prepare: Prepare) -> float:
    """Runs the range test of `finder`, draws it into the folder and returns the suggested rate."""
    task = prepare(config, None)
    task.log_summary()
    _describe(task, folder)
    task.draw_augmentation(folder)
    phase_run = task.start_phase(task.phases[0])
    phase_run.log_summary()
    test = finder.find_learning_rate(phase_run.trainer, phase_run.batches(0, 0, finder.STEPS))
    rows = "".join(f"{rate},{loss}\n" for rate, loss in zip(test.rates, test.losses, strict=True))
    write_text(folder / "learning_rates.csv", "learning_rate,loss\n" + rows)
    plot = learning_rates(test.rates, test.losses, test.suggestion)
    save_figure(png.figure([plot], "Learning-rate finder"), folder, "learning_rates")
    return test.suggestion


def step_seconds(config: TaskConfig, prepare: Prepare, steps: int) -> float:
    """The median duration of `steps` training steps, after as many that are not timed, as the first one compiles."""
    task = prepare(config, None)
    phase_run = task.start_phase(task.phases[0])
    times = []
    for batch in itertools.islice(phase_run.batches(0, 0), 2 * steps):
        begun = time.perf_counter()
        total, *_ = phase_run.trainer.train_on(batch, config.optim.learning_rate)
        float(total)  # waits for the device
        times.append(time.perf_counter() - begun)
    return statistics.median(times[-steps:])


def _changed_devices(task: Task, folder: RunFolder, before: int, allowed: bool) -> list[str]:
    """The change of the number of devices since the checkpoint. Raises InputError if there is one unless `allowed`."""
    now = task.replicas.count
    if now == before:
        return []
    if not allowed:
        raise InputError(
            f"{folder / 'checkpoint' / checkpoints.FILE}: written with {counted(before, 'device')}, found"
            f" {counted(now, 'device')}; expected the same number; --devices with a value goes on with another, which"
            " changes the last bits"
        )
    return [f"devices: {before} -> {now}"]


@contextmanager
def _resumable(task: Task, folder: RunFolder) -> Iterator[None]:
    """Adds a note with the resume command to Stopped and KeyboardInterrupt. A trial gets none: its sweep handles them.

    `RunFolder` adds the note to other errors, such as a lack of memory.
    """
    try:
        yield
    except (Stopped, KeyboardInterrupt) as error:
        begun = (folder / "config.yaml").exists()  # else nothing has been written yet
        if begun and not task.is_trial:
            if isinstance(error, KeyboardInterrupt) and (folder / "checkpoint").exists():
                error.add_note("the checkpoint is complete")
            way_on = task.replicas.ranks.way_on() or shell_command(task.program, "--resume", folder.path)
            error.add_note(f"go on with: {way_on}")
        raise


@contextmanager
def _tracked(task: Task, folder: RunFolder) -> Iterator[Tracker]:
    """The run's mirror in W&B. An error closes it, so that it can be resumed and gets no rows of later runs."""
    tracking, is_first = task.config.tracking, task.replicas.ranks.rank == 0
    tracker = Tracker(
        tracking.wandb if is_first else "off",
        folder.path,
        tensorboard=tracking.tensorboard and is_first,
        name=folder.path.name,
        config=config_module.flat(task.config) | {"hardware": task.hardware, "computed_in": task.precision},
        project=tracking.project,
        entity=tracking.entity,
        group=tracking.group,
    )
    try:
        yield tracker
    except BaseException:
        tracker.stop()
        raise


def _describe(task: Task, folder: RunFolder) -> None:
    """Writes the files that are known before the first step."""
    folder.describe(task.config, task.default_config, _hardware(task))
    write_text(folder / "model.txt", arithmetic.text(task.model))
    write_json(folder / "model.json", arithmetic.record(task.model))
    write_text(folder / "model.svg", diagrams.svg(architecture(task.model)))
    write_json(folder / "split.json", task.split)
    task.describe(folder)


def _hardware(task: Task) -> dict:
    return task.hardware | {"computed_in": task.precision}
