"""The training loop: epochs of steps, validation, checkpoints. A resume is exact, to the bit on one CPU.

The data of a step are a pure function of (seed, epoch, step), and its augmentation of (seed, epoch, image id). So the
state of a run is its variables (`Trainer.groups`) and the plain numbers of `TrainingState`.
"""

import math
import time
from collections.abc import Iterable
from typing import Protocol

from keras_cnn.data.pipeline import Batch
from keras_cnn.errors import Interrupted, Stopped
from keras_cnn.training.state import TrainingState
from keras_cnn.training.step import Trainer
from keras_cnn.training.step_stream import StepStream


class NotFinite(Stopped):
    """A loss, weights or the optimizer's state became infinite or nan: the settings are to blame."""

    on_all_ranks = True  # losses and weights are those of all


class LoopSession(Protocol):
    """What the loop needs of the run around it (`session.TrainingSession`)."""

    state: TrainingState

    def learning_rate(self, progress: float) -> float: ...

    def validate(self) -> dict[str, float]: ...

    def epoch_started(self) -> None: ...

    def step_done(self) -> None: ...

    def epoch_done(self, row: dict) -> bool: ...

    def save(self) -> None: ...

    def interrupted(self) -> str | None: ...


def fit(
    trainer: Trainer,
    batches: Iterable[Batch],
    session: LoopSession,
    *,
    epochs: int,
    steps: int,
    checkpoint_seconds: float,
    until: int | None = None,
    steps_per_call: int | str = 1,
) -> None:
    """Trains from the session's state to the end of `epochs` epochs of `steps` batches, or of epoch `until`.

    For `steps_per_call` see `StepStream`. Signals and checkpoints come between two calls.

    Raises Interrupted on a signal, after writing a checkpoint that resumes in mid-epoch. Raises NotFinite if the loss
    or a variable is not finite; the last checkpoint, which is finite, stays. Errors of the batches are passed on.
    """
    state, until = session.state, until or epochs
    stream = StepStream(trainer, batches, steps_per_call, (until - state.epoch) * steps - state.step)
    while not state.ended and state.epoch < until:
        session.epoch_started()
        began = saved = time.monotonic()
        seconds_before = state.epoch_seconds
        while state.step < steps:
            numbers = range(state.step, state.step + stream.next_steps(steps - state.step))
            rates = [session.learning_rate(state.epoch + number / steps) for number in numbers]
            for sums, images in stream.advance(rates):
                _count(state, sums, images)
            state.epoch_seconds = seconds_before + time.monotonic() - began
            session.step_done()
            due, signal = time.monotonic() - saved > checkpoint_seconds, session.interrupted()
            if (due or signal) and state.step < steps:
                _require_finite(trainer, state, f"epoch {state.epoch + 1}, step {state.step}")
                session.save()
                saved = time.monotonic()
                _stop_after(signal, state)
        row = _close_epoch(trainer, session)
        state.ended = not session.epoch_done(row) or state.epoch == epochs
        session.save()
        _stop_after(session.interrupted(), state)


def _count(state: TrainingState, sums: dict[str, float], images: int) -> None:
    loss = sums["loss"]
    if not math.isfinite(loss):
        raise NotFinite(_not_finite(f"loss became {loss}", state, f"epoch {state.epoch + 1}, step {state.step + 1}"))
    state.add(sums, images)


def _close_epoch(trainer: Trainer, session: LoopSession) -> dict:
    """Validates, and returns the epoch's row of the history."""
    state, began = session.state, time.monotonic()
    validation = session.validate()
    place = f"the end of epoch {state.epoch + 1}"
    if not math.isfinite(validation["val_loss"]):
        raise NotFinite(_not_finite(f"validation loss became {validation['val_loss']}", state, place))
    _require_finite(trainer, state, place)
    state.run_seconds += state.epoch_seconds + time.monotonic() - began
    row = {
        "epoch": state.epoch + 1,
        **state.means,
        **validation,
        "learning_rate": session.learning_rate(state.epoch + (state.step - 1) / state.step),
        "epoch_seconds": state.epoch_seconds,
        "run_seconds": state.run_seconds,
    }
    state.next_epoch(row)
    return row


def _require_finite(trainer: Trainer, state: TrainingState, place: str) -> None:
    """Checks before a checkpoint: a finite loss does not imply a finite update or finite optimizer moments."""
    if not trainer.is_finite():
        raise NotFinite(_not_finite("weights or the optimizer's state became infinite or nan", state, place))


def _not_finite(what: str, state: TrainingState, place: str) -> str:
    return (
        f"the {what} at {place}; kept: the last checkpoint, with {state.epoch} complete epochs."
        " Try a smaller optim.learning_rate, or optim.clip_norm 1"
    )


def _stop_after(signal: str | None, state: TrainingState) -> None:
    if signal and not state.ended:
        steps = f" and {state.step} steps" if state.step else ""
        stopped = Interrupted(f"stopped by {signal} after {state.epoch} epochs{steps}; the checkpoint is complete")
        stopped.on_all_ranks = True
        raise stopped
