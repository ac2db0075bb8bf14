"""Whether XLA can compile for the device of this process."""

import functools

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
