"""Rows of arrays that are kept on the devices: their bytes, their kernels, their size."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.distribution import device_rows
from keras_cnn.distribution.device_rows import DeviceRows, fits_on_gpu, memory_limit, size_on_device
from keras_cnn.distribution.shares import WHOLE, Share
from tests.gpu_kernels import kernels_of

SHAPES = [
    ((5, 3, 1), np.uint8),
    ((4, 4, 2), np.uint8),
    ((3,), ml_dtypes.bfloat16),
    ((2, 3), np.float32),
    ((), np.float16),
]
SPLIT = Split(
    ids=tuple(f"i{i}" for i in range(11)),
    labels=np.arange(11),
    pixels=np.random.default_rng(0).integers(0, 256, (11, 5, 3, 1), np.uint8),
)


def gathering(shape, kind, count=9):
    """An array of random bytes, and the compiled function that gathers rows of it."""
    size = np.dtype(kind).itemsize * int(np.prod(shape))
    array = np.random.default_rng(1).integers(0, 256, (count, size), np.uint8).view(kind).reshape(count, *shape)
    return array, tf.function(DeviceRows(array).gathered, input_signature=[tf.TensorSpec((None,), tf.int64)])


@pytest.mark.parametrize(("shape", "kind"), SHAPES)
def test_the_gathered_rows_are_those_of_the_array_to_the_byte(shape, kind):
    array, gathered = gathering(shape, kind)
    for numbers in ([3, 0, 8, 3], []):
        found = gathered(np.array(numbers, np.int64)).numpy()
        assert (found.shape, found.dtype) == ((len(numbers), *shape), array.dtype)
        assert found.tobytes() == array[numbers].tobytes()  # NaN and infinity among them


@pytest.mark.parametrize(("shape", "kind"), SHAPES)
def test_every_op_has_a_kernel_for_gpus_which_leaves_the_rows_there(shape, kind):
    graph = gathering(shape, kind)[1].get_concrete_function().graph
    types = {op.type for op in graph.get_operations()}
    assert {"GatherV2", "Bitcast", "Reshape"} <= types
    for op in graph.get_operations():
        kernels = kernels_of(op)
        assert kernels, (op.type, op.outputs)
        rows = [output for output in op.outputs if output.shape.rank != 1 and output.dtype != tf.int32]
        if op.type != "Const" and rows:
            assert not all(set(kernel.host_memory_arg) & {"output"} for kernel in kernels), (op.type, rows)
    kept = [op.outputs[0].dtype for op in graph.get_operations() if op.type == "Placeholder"]
    assert set(kept) == {tf.int64}  # an int32 argument of a function stays in the memory of the host


@pytest.mark.parametrize("share", [WHOLE, Share(2, 1, 1), Share(3, 0, 3, overlap=True)])
def test_the_batches_are_those_of_the_host_to_the_byte(share):
    options = {"seed": 3, "start": (1, 2), "epochs": 4, "share": share}
    expected = list(pipeline.batches(SPLIT, (5, 3, 1), 4, **options))
    found = list(pipeline.row_batches(SPLIT, 4, **options))
    rows = DeviceRows(SPLIT.pixels)
    assert len(found) == len(expected) == 7
    for ours, theirs in zip(found, expected, strict=True):
        batch = ours._replace(images=rows.gathered(ours.images))
        assert [np.asarray(each).tobytes() for each in batch] == [np.asarray(each).tobytes() for each in theirs]


def test_the_size_counts_whole_words():
    assert size_on_device(3, 16) == 48
    assert size_on_device(3, 17) == 72


def test_a_quarter_of_the_free_memory_of_every_gpu(monkeypatch):
    assert not fits_on_gpu(1)  # there is none
    limits, used = {"/device:GPU:0": 1000, "/device:GPU:1": 900}, {"GPU:0": 200, "GPU:1": 300}
    gpus = [tf.config.LogicalDevice(name, "GPU") for name in limits]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda name: {"current": used[name]})
    monkeypatch.setattr(device_rows, "memory_limit", limits.__getitem__)
    assert [fits_on_gpu(size) for size in (150, 151)] == [True, False]  # of 800 and 600


def test_tensorflow_tells_the_limit_of_a_device():
    [cpu, *_] = tf.config.list_logical_devices("CPU")
    assert memory_limit(cpu.name) == 256 * 2**20  # what TensorFlow says of every processor
    with pytest.raises(ValueError, match="GPU:9 is not a device of this process"):
        memory_limit("GPU:9")
