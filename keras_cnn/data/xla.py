"""Whether XLA can compile for the device of this process, and functions that it compiles."""

import functools
from collections.abc import Callable

import tensorflow as tf

from keras_cnn.errors import brief


@functools.cache
def xla_problem() -> str | None:
    """Why XLA cannot compile for the first GPU, in one line; None if it can, or if there is no GPU.

    XLA's compiler for CPUs is a part of TensorFlow. For a GPU it needs files of CUDA: `ptxas` for every program, and
    `libdevice` for functions such as the tangent.
    """
    with tf.init_scope():  # computes now, also while a function is traced
        if not tf.config.list_logical_devices("GPU"):
            return None
        program = tf.function(lambda x: tf.pow(tf.tan(x), x), jit_compile=True, autograph=False)
        try:
            with tf.device("GPU:0"):
                program(tf.ones(2)).numpy()
        except tf.errors.OpError as error:
            return brief(error)
    return None


def compiled(stage: Callable) -> Callable:
    """The function of tensors compiled by XLA or, where XLA cannot compile for the device, as it is."""
    by_xla = tf.function(stage, jit_compile=True, autograph=False)

    @functools.wraps(stage)
    def call(*arguments):
        return (stage if xla_problem() else by_xla)(*arguments)

    return call
