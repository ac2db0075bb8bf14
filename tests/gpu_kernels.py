"""The kernels that TensorFlow has for GPUs, which its registry lists without a GPU too."""

import functools

import tensorflow as tf
from tensorflow.python.framework import kernels as registry

GPU = ("GPU", "DEFAULT")  # kinds of device whose kernels a GPU can run


@functools.cache
def gpu_kernels(name):
    return [k for k in registry.get_registered_kernels_for_op(name).kernel if k.device_type in GPU]


def kernels_of(op):
    """The kernels with which a GPU can run this op."""

    def fits(kernel):
        kinds = {c.name: [tf.dtypes.as_dtype(t) for t in c.allowed_values.list.type] for c in kernel.constraint}
        return all(op.get_attr(name) in allowed for name, allowed in kinds.items())

    registered = gpu_kernels(op.type)
    return [kernel for kernel in registered if fits(kernel)] if op.type not in ("Placeholder", "NoOp") else registered
