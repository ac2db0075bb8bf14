"""Arrays that are kept on the devices that train, where each step gathers its rows by their numbers."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.eager import context

from keras_cnn.distribution.replicas import SINGLE, Replicas

SHARE = 0.25  # of a GPU's free memory that an array may take; a step needs most of the rest
_WORD = 8  # bytes


class DeviceRows:
    """The rows of an array, a copy on each device of this process.

    Rows are kept and gathered as int64 words. TensorFlow gathers words of 8 bytes faster than single bytes, and it
    keeps int32 arguments of functions in the memory of the host, from which they would be copied in every step.

    Args:
        array: (N, ...) of any type.
        replicas: whose steps gather rows.
    """

    def __init__(self, array: np.ndarray, replicas: Replicas = SINGLE):
        self._shape, self._dtype = array.shape[1:], tf.as_dtype(array.dtype)
        self._replicas = replicas
        words = _packed(array)
        self._copies = []
        for device in replicas.devices:
            with tf.device(device):
                self._copies.append(tf.convert_to_tensor(words))

    def gathered(self, numbers: tf.Tensor) -> tf.Tensor:
        """The rows (B, ...) with these numbers, (B,) int64; in a step of several replicas, from the replica's copy."""
        words = tf.gather(self._copies[self._replicas.number()], numbers)
        values = tf.reshape(tf.bitcast(words, self._dtype), [-1, words.shape[1] * _WORD // self._dtype.size])
        return tf.reshape(values[:, : math.prod(self._shape)], [-1, *self._shape])


def _packed(array: np.ndarray) -> np.ndarray:
    """(N, words) int64: the bytes of each row, with zeros at its end where they do not fill the last word."""
    rows = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
    if spare := -rows.shape[1] % _WORD:
        rows = np.pad(rows, [(0, 0), (0, spare)])
    return rows.view(np.int64)


def size_on_device(rows: int, row_bytes: int) -> int:
    """Bytes that `rows` rows take on each device."""
    return rows * -(-row_bytes // _WORD) * _WORD


def fits_on_gpu(size: int) -> bool:
    """Whether `size` bytes are at most `SHARE` of the free memory of each GPU of this process; False without one."""
    gpus = tf.config.list_logical_devices("GPU")
    return bool(gpus) and all(size <= SHARE * _free_memory(gpu.name) for gpu in gpus)


def _free_memory(gpu: str) -> int:
    """Bytes that TensorFlow may still take on a GPU."""
    used = tf.config.experimental.get_memory_info(gpu.rpartition("device:")[2])["current"]
    return max(0, memory_limit(gpu) - used)


def memory_limit(device: str) -> int:
    """Bytes that TensorFlow may take on a device of this process in all: on a GPU, what was free when it began.

    Only TensorFlow's C interface tells it without opening every GPU of the machine.
    """
    opened: Any = context.context()
    listed = pywrap_tfe.TFE_ContextListDevices(opened._handle)
    for number in range(pywrap_tfe.TF_DeviceListCount(listed)):
        if pywrap_tfe.TF_DeviceListName(listed, number).endswith(device):  # the job and host are left out of some names
            return pywrap_tf_session.TF_DeviceListMemoryBytes(listed, number)
    raise ValueError(f"{device} is not a device of this process")
