"""The kernels of convolutions of any kind, one for each output channel."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from keras_cnn.errors import require
from keras_cnn.visualization.probe import ModelOrProbe, Probe


@dataclass(frozen=True)
class Kernels:
    """The weights of a convolution; entry u of the last axis belongs to output channel u."""

    layer: str
    values: np.ndarray  # (kh, kw, inputs, outputs) float32, with the inputs of one group
    bias: np.ndarray | None  # (outputs,) float32
    groups: int  # output channel u reads the inputs from u // (outputs / groups) * inputs on

    @property
    def norms(self) -> np.ndarray:
        """(outputs,) the Euclidean norm of each kernel."""
        return np.sqrt((self.values.astype(np.float64) ** 2).sum(axis=(0, 1, 2)))

    def inputs_of(self, output: int) -> slice:
        """The input channels that output channel `output` sees."""
        inputs, outputs = self.values.shape[2:]
        first = output // (outputs // self.groups) * inputs
        return slice(first, first + inputs)


def kernels(model: ModelOrProbe, layer: str) -> Kernels:
    """The kernels of a convolution.

    For a separable convolution they are the kernels of the equivalent ordinary convolution: the depthwise kernels
    weighted by the pointwise ones. A depthwise convolution has a group for each input channel. Raises InputError for
    an unknown layer, a layer without kernels, and maps with the channels first.
    """
    probe = Probe.of(model)
    block = probe.convolution(layer)
    convolution = block.node.operation
    layout = convolution.data_format
    require(layout == "channels_last", f"{probe.name}: {block.name}", f"data_format {layout}", "channels_last")
    bias = _array(convolution.bias) if convolution.use_bias else None
    if isinstance(convolution, layers.SeparableConv2D):
        depthwise, pointwise = _array(convolution.depthwise_kernel), _array(convolution.pointwise_kernel)
        height, width, inputs, multiplier = depthwise.shape
        shares = pointwise.reshape(inputs, multiplier, -1)
        values = np.einsum("hwim,imo->hwio", depthwise, shares, optimize=True)
        return Kernels(block.name, values, bias, 1)
    values = _array(convolution.kernel)
    if isinstance(convolution, layers.DepthwiseConv2D):
        height, width, inputs, multiplier = values.shape
        return Kernels(block.name, values.reshape(height, width, 1, inputs * multiplier), bias, inputs)
    return Kernels(block.name, values, bias, convolution.groups)


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
