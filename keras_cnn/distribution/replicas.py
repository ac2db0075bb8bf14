"""The replicas of a model: a copy on each device, which train together on one global batch.

Each replica computes the gradient of its part of the batch. The gradients are summed over all replicas before they are
clipped and applied, so that every copy makes the same update. Keras would clip before the sum, and would add means of
parts as if they were means of batches; both are done here instead.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.distribution.devices import open_devices
from keras_cnn.distribution.ranks import ALONE, Ranks
from keras_cnn.distribution.shares import Share
from keras_cnn.errors import InputError


class Replicas:
    """The replicas of all processes of a run.

    Args:
        strategy: TensorFlow's strategy; None for one device, which computes as without any strategy.
        ranks: the processes.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None, ranks: Ranks = ALONE):
        self.strategy, self.ranks = strategy, ranks
        count = strategy.num_replicas_in_sync if strategy else 1
        local = count // ranks.count
        self.share = Share(count, ranks.rank * local, local)

    @property
    def count(self) -> int:
        """Replicas of all processes."""
        return self.share.replicas

    @property
    def devices(self) -> Sequence[str]:
        """The devices of the replicas of this process."""
        if self.strategy is None:
            return ["GPU:0" if tf.config.get_visible_devices("GPU") else "CPU:0"]
        return self.strategy.extended.worker_devices

    def scope(self) -> AbstractContextManager:
        """Variables made inside the block exist once on each device."""
        return self.strategy.scope() if self.strategy else nullcontext()

    # --- inside a step ---

    def number(self) -> int:
        """The number of this replica among those of this process."""
        if self.strategy is None:
            return 0
        return int(tf.get_static_value(_context().replica_id_in_sync_group)) - self.share.first

    def part_of_mean(self, mean: tf.Tensor, weight: Callable[[], tf.Tensor]) -> tf.Tensor:
        """What the mean over this replica's part adds to the mean over the batch; `weight` is that of the part."""
        if self.strategy is None:
            return mean
        own = weight()
        return mean * own / _context().all_reduce("SUM", own)

    def part_of_constant(self, value: tf.Tensor) -> tf.Tensor:
        """What one replica adds to a value that all have in common, such as a penalty on the weights."""
        return value if self.strategy is None else value / self.count

    def summed(self, gradients: Any) -> Any:
        """The gradients summed over all replicas."""
        return gradients if self.strategy is None else _context().all_reduce("SUM", list(gradients))

    # --- around a step ---

    def run(self, function: Callable, parts: Sequence[Any], *shared: Any, count: tf.Tensor) -> list[tf.Tensor]:
        """Calls `function(*part, *shared)` on every replica and returns the sums of its results over the batch.

        `count` is the number of images of the batch; see `Share` for batches with fewer images than replicas.
        """
        assert self.strategy is not None
        results = self.strategy.run(function, args=(*parts, *shared))
        copies = tf.where(count < self.count, self.count, 1)
        return [_quotient(self.strategy.reduce("SUM", result, axis=None), copies) for result in results]

    def reason(self, error: tf.errors.OpError) -> Exception:
        """Stopped if a step failed because another process no longer answers; else the error itself."""
        if self.ranks.count == 1 or isinstance(error, tf.errors.ResourceExhaustedError):
            return error
        return self.ranks.silence(type(error).__name__)

    def parts(self, tensors: Sequence[tf.Tensor], count: int, share: Share) -> list[Any]:
        """Each tensor, whose first axis has the rows of this process, as parts on the devices of its replicas."""
        assert self.strategy is not None
        devices, ends = self.devices, np.cumsum([0, *(len(rows) for rows in share.parts(count))])
        if len(tensors[0]) != ends[-1]:
            raise ValueError(f"a share of {ends[-1]} images of {count} was expected, not {len(tensors[0])}")

        def part(tensor: tf.Tensor) -> Callable:
            def of(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
                number = int(context.replica_id_in_sync_group) - share.first
                return on_device(tensor[ends[number] : ends[number + 1]], devices[number])

            return of

        return [self.strategy.experimental_distribute_values_from_function(part(tensor)) for tensor in tensors]

    def prepare_layers(self, model: keras.Model) -> None:
        """Makes dropout draw other numbers on each replica, and Keras's own batch norms use the whole batch."""
        if self.strategy is None:
            return
        for layer in model._flatten_layers(include_self=False):
            seeds = getattr(layer, "seed_generator", None)
            if isinstance(seeds, keras.random.SeedGenerator):
                seeds.__class__ = _SeedsByReplica  # an attribute of a new object would add a variable to the model
            if type(layer) is keras.layers.BatchNormalization:
                layer.synchronized = True

    def with_overlap(self, overlap: bool) -> Share:
        """The share of this process; see `Share.overlap`."""
        return self.share if self.share.is_whole else replace(self.share, overlap=overlap)

    # --- evaluation ---

    def local_parts(self, images: tf.Tensor) -> Any:
        """The images as parts for the replicas of this process, in order."""
        assert self.strategy is not None
        share = self.share
        ends = [len(images) * number // share.local for number in range(share.local + 1)]

        def part(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            number = context.replica_id_in_sync_group - share.first
            return images[ends[number] : ends[number + 1]]

        return self.strategy.experimental_distribute_values_from_function(part)

    def dealt(self, values: Sequence[tf.Tensor]) -> Any:
        """One of the tensors for each replica of this process, in order."""
        assert self.strategy is not None
        share = self.share
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group - share.first]
        )

    def map(self, function: Callable, parts: Any) -> tuple:
        """The results of `function` for the part of each replica of this process, in order; parts may be nested."""
        assert self.strategy is not None
        return self.strategy.experimental_local_results(self.strategy.run(function, args=(parts,)))

    def steps(self, images: int, batch_size: int) -> slice:
        """The rows of this process when the batches of `images` images are dealt out to the processes in blocks."""
        batches, ranks = -(-images // batch_size), self.ranks
        first, end = (batches * number // ranks.count for number in (ranks.rank, ranks.rank + 1))
        return slice(first * batch_size, min(end * batch_size, images))

    def gathered(self, rows: np.ndarray) -> np.ndarray:
        """The rows of all processes, one process after the other."""
        if self.ranks.count == 1:
            return rows
        parts = self.ranks.exchange(np.ascontiguousarray(rows).tobytes())
        return np.concatenate([np.frombuffer(part, rows.dtype).reshape(-1, *rows.shape[1:]) for part in parts])


SINGLE = Replicas()


def on_device(tensor: tf.Tensor, device: str) -> tf.Tensor:
    """The tensor on a device, to which it is copied while the device computes.

    An int32 tensor stays: TensorFlow keeps int32 arguments of functions in the memory of the host, also for a GPU.
    """
    if tensor.dtype == tf.int32:
        return tensor
    with tf.device(device):
        return tf.identity(tensor)


class Divided:
    """`forward`, compiled: images to arrays; the replicas of this process divide each batch among them."""

    def __init__(
        self, forward: Callable[[tf.Tensor], Sequence[tf.Tensor]], images: tf.TensorSpec, replicas: Replicas = SINGLE
    ):
        self._replicas = replicas
        self.whole = tf.function(forward, input_signature=[images], autograph=False)
        self._in_parts = tf.function(lambda parts: replicas.map(forward, parts), autograph=False)

    def __call__(self, images: tf.Tensor) -> list[np.ndarray]:
        local = self._replicas.share.local
        if local == 1 or len(images) < local:
            forward = self.whole.get_concrete_function()  # else TensorFlow warns of retracing at the fifth model
            return [output.numpy() for output in forward(tf.convert_to_tensor(images))]
        results = self._in_parts(self._replicas.local_parts(images))
        return [np.concatenate([part.numpy() for part in parts]) for parts in zip(*results, strict=True)]


class _SeedsByReplica(keras.random.SeedGenerator):
    """Seeds that depend on the replica; those of the first are Keras's."""

    def next(self, ordered: bool = True) -> Any:
        seed: Any = super().next(ordered)
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        return seed + tf.cast(tf.stack([replica, 0]), seed.dtype)


def open_replicas(devices: int | str, ranks: Ranks = ALONE) -> Replicas:
    """The replicas on the devices that the option `devices` names, of every process of the run.

    Call it before anything else uses TensorFlow. Raises InputError if the devices are not there.
    """
    if ranks.count > 1:
        return Replicas(_across_hosts(devices, ranks), ranks)
    names = open_devices(devices)
    return Replicas(tf.distribute.MirroredStrategy(names)) if names else SINGLE


def _across_hosts(devices: int | str, ranks: Ranks) -> tf.distribute.Strategy:
    if str(devices).startswith("cpu:"):
        raise InputError(f"devices: found {devices} on several hosts; expected cpu, which is one device a process")
    open_devices(devices)
    nccl = bool(tf.config.get_visible_devices("GPU"))
    implementation = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementation.NCCL if nccl else implementation.RING
    )
    ranks.exchange(b"")  # TensorFlow would wait for a rank that has ended, and let no thread notice it
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except RuntimeError as error:
        raise InputError(
            f"hosts: TensorFlow has already begun in this process ({error}); expected a new process"
        ) from None


def _context() -> tf.distribute.ReplicaContext:
    context = tf.distribute.get_replica_context()
    assert context is not None
    return context


def _quotient(total: tf.Tensor, copies: tf.Tensor) -> tf.Tensor:
    return total // tf.cast(copies, total.dtype) if total.dtype.is_integer else total / tf.cast(copies, total.dtype)
