"""The steps of a training: batches fed to the compiled step, one a call or several."""

import time
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from keras_cnn.data.pipeline import Batch, FileBatches
from keras_cnn.training.step import Trainer

MOST = 32  # steps a call; more gain nothing, and a signal waits for them
CALL_SECONDS = 0.1  # longest call that auto chooses
OVERHEAD = 1e-3  # seconds that each call takes outside TensorFlow, about
MEASURED = 8  # steps whose median duration decides

Sums = tuple[dict[str, float], int]  # sums of the objective's measures over a batch, and its images


class StepStream:
    """Trains step after step on a stream of batches.

    Several steps a call give the bytes of single steps. They save the time between the steps and, on a GPU, the wait
    for each result; but they are compiled once more.

    Args:
        steps_per_call: a number, or "auto": several as soon as they save more time than compiling them takes.
        steps: of all that is left of the run.
    """

    def __init__(self, trainer: Trainer, batches: Iterable[Batch], steps_per_call: int | str, steps: int):
        self._trainer, self._left = trainer, steps
        self._files = batches if isinstance(batches, FileBatches) and trainer.can_loop else None
        self._source: Iterator[Batch] = iter(self._files.dataset if self._files else batches)
        self._wanted = steps_per_call if self._files else 1
        self._seconds: list[float] = []  # of single steps; the first one compiles
        self._ahead: Batch | None = None  # on the device; only once every step is single

    def next_steps(self, most: int) -> int:
        """How many steps the next call makes, `most` at most."""
        if self._wanted == "auto" and len(self._seconds) > MEASURED:
            self._wanted = self._fastest()
        return min(most, 1 if self._wanted == "auto" else int(self._wanted))

    def advance(self, rates: Sequence[float]) -> list[Sums]:
        """Makes a step for each learning rate. Raises Stopped if an image can no longer be read."""
        begun = time.monotonic()
        try:
            results = self._several(rates) if len(rates) > 1 else [self._single(rates[0])]
        except tf.errors.OpError as error:
            raise self._reason(error) from error
        self._left -= len(rates)
        if self._wanted == "auto":
            self._seconds.append(time.monotonic() - begun)
        return results

    def _reason(self, error: tf.errors.OpError) -> Exception:
        return (self._files or self._trainer.replicas).reason(error)

    def _single(self, rate: float) -> Sums:
        batch, self._ahead = self._ahead or self._placed(), None
        if self._wanted == 1 and self._left > 1:
            self._ahead = self._placed()  # before the step, so that it is copied while the device computes
        sums = self._trainer.train_on_parts(batch, rate)
        return dict(zip(self._trainer.objective.measures, map(float, sums), strict=True)), int(batch.size)

    def _placed(self) -> Batch:
        return self._trainer.placed(next(self._source))

    def _several(self, rates: Sequence[float]) -> list[Sums]:
        sums, counts = self._trainer.steps(self._source, tf.constant(rates, tf.float32))
        rows = zip(sums.numpy().tolist(), counts.numpy().tolist(), strict=True)
        return [(dict(zip(self._trainer.objective.measures, row, strict=True)), count) for row, count in rows]

    def _fastest(self) -> int:
        first, *others = self._seconds
        step = sorted(others)[len(others) // 2]
        number = max(1, min(MOST, int(CALL_SECONDS / step)))
        return number if self._left * OVERHEAD > first else 1
