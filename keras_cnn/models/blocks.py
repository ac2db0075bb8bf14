"""The parts that networks are built from: a fast batch norm, and a chain that names, checks and connects layers."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import keras
import tensorflow as tf
from keras import layers

from keras_cnn.errors import InputError, require

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "mish"]
Padding = Literal["same", "valid"]

# PyTorch's default for convolution and dense kernels: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
TorchDefault = partial(keras.initializers.VarianceScaling, scale=1 / 3, mode="fan_in", distribution="uniform")


class BatchNormalization(layers.BatchNormalization):
    """Keras's batch norm, with its weights, names and files, computed by TensorFlow's fused op where that is faster.

    Keras 3 computes batch norm with float32 element-wise ops; the fused op keeps float32 statistics too. On two
    AVX512-BF16 cores a training step of `net4` is 2.1 times as fast in mixed_bfloat16 and 1.2 times in float32;
    inference is 1.8 times as fast in mixed_bfloat16. The fused op handles `(N, H, W, C)` batches on TensorFlow: always
    in training, but in inference only 16-bit inputs, since it is no faster in float32. Everything else (masks, renorm,
    synchronized, other ranks, axes, types and backends) uses Keras's own call. Outputs, gradients and moving statistics
    equal Keras's up to rounding.

    TensorFlow has no deterministic GPU kernel for the gradient of 16-bit inference: with op determinism on, a frozen
    layer on a GPU raises UnimplementedError if a gradient passes through it.
    """

    # A .keras file records a layer by module and class name. With these two, it loads as Keras's own layer, with or
    # without this package.
    __module__ = "keras.layers"

    def call(self, inputs, training=None, mask=None):
        learning = bool(training and self.trainable)
        if learning and (context := _replica_context()):
            return self._over_all_replicas(inputs, context)
        if mask is not None or not self._fusable(inputs, learning):
            return super().call(inputs, training=training, mask=mask)
        mean, variance = (None, None) if learning else (_float32(self.moving_mean), _float32(self.moving_variance))
        channels = inputs.shape[-1]
        outputs, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=_float32(self.gamma) if self.scale else tf.ones(channels),
            offset=_float32(self.beta) if self.center else tf.zeros(channels),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            self._update_moving_statistics(inputs, batch_mean, batch_variance)
        return keras.ops.cast(outputs, self.compute_dtype)

    def _over_all_replicas(self, inputs, context: tf.distribute.ReplicaContext) -> tf.Tensor:
        """The output for the mean and variance of the whole batch, which one sum over the replicas gives.

        Sums are of differences from the moving mean, so that no digits cancel.
        """
        if self.axis not in (-1, inputs.shape.rank - 1) or self.renorm:
            raise InputError(
                f"{self.name}: batch norm over axis {self.axis} on several devices; expected the last axis"
            )
        shift = _float32(self.moving_mean)
        values = tf.cast(inputs, tf.float32) - shift
        axes, channels = list(range(values.shape.rank - 1)), inputs.shape[-1]
        count = tf.cast(tf.reduce_prod(tf.shape(values)[:-1]), tf.float32)
        sums = [tf.reduce_sum(values, axes), tf.reduce_sum(tf.square(values), axes), count[None]]
        total = context.all_reduce("SUM", tf.concat(sums, axis=0))
        offset, square = total[:channels] / total[-1], total[channels:-1] / total[-1]
        mean, variance = offset + shift, square - tf.square(offset)
        self._move_statistics(mean, variance)
        scale: Any = _float32(self.gamma) if self.scale else None
        centre: Any = _float32(self.beta) if self.center else None
        outputs = tf.nn.batch_normalization(values, offset, variance, centre, scale, self.epsilon)
        return tf.cast(outputs, self.compute_dtype)

    def _fusable(self, inputs, learning: bool) -> bool:
        if self.renorm or self.synchronized or not isinstance(inputs, tf.Tensor):
            return False
        types = (tf.bfloat16, tf.float16, tf.float32) if learning else (tf.bfloat16, tf.float16)
        return inputs.dtype in types and inputs.shape.rank == 4 and self.axis in (-1, 3)

    def _update_moving_statistics(self, inputs, mean, variance) -> None:
        # The fused op returns the unbiased variance, N/(N-1) times the biased one that Keras averages.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        self._move_statistics(mean, variance * ((count - 1.0) / count))

    def _move_statistics(self, mean, variance) -> None:
        old, new = self.momentum, 1.0 - self.momentum
        for variable, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            cast(keras.Variable, variable).assign(_float32(variable) * old + batch * new)


def _replica_context() -> tf.distribute.ReplicaContext | None:
    """The context of this replica if there are others; None for one device."""
    context = tf.distribute.get_replica_context()
    return context if context and context.num_replicas_in_sync > 1 else None


def _float32(variable) -> tf.Tensor:
    return cast(tf.Tensor, keras.ops.cast(variable, "float32"))


class Chain:
    """A sequential network under construction: each method adds one layer.

    A layer is named by its kind and its number among the layers of that kind: `conv1`, `bn1`, `relu1`, `pool1`,
    `dense1`. A layer that does not fit its input raises InputError with its name, before Keras sees it.
    """

    def __init__(
        self,
        name: str,
        input_shape: tuple[int, int, int],
        *,
        initializer: Callable[[], keras.initializers.Initializer] = keras.initializers.HeUniform,
        input_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        self.name = name
        self.where = name  # the place that errors name; for a table of layers, the row
        self.initializer = initializer  # called for every layer: one unseeded instance would repeat its values
        self.inputs = keras.Input(input_shape, name="image")
        low, high = input_range  # what pixel values of 0 and 255 become
        self.outputs = layers.Rescaling((high - low) / 255, offset=low, dtype="float32", name="rescale")(self.inputs)
        self._counts: Counter[str] = Counter()

    def bias_initializer(self, fan_in: int) -> keras.initializers.Initializer:
        """How the biases of a layer start whose units have `fan_in` inputs each."""
        return keras.initializers.Zeros()

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the current map."""
        return tuple(self.outputs.shape[1:3])

    def conv(
        self, filters: int, *, kernel: int = 3, stride: int = 1, padding: Padding = "same", dilation: int = 1
    ) -> None:
        """2-D convolution with bias."""
        name = self._next("conv")
        for option, value in {"filters": filters, "kernel": kernel, "stride": stride, "dilation": dilation}.items():
            self._require_positive(name, option, value)
        require(stride == 1 or dilation == 1, self._at(name), f"stride {stride}, dilation {dilation}", "one to be 1")
        self._require_map(name)
        if padding == "valid":
            self._require_window(name, (kernel - 1) * dilation + 1)
        self._add(
            layers.Conv2D,
            name,
            filters,
            kernel,
            strides=stride,
            padding=padding,
            dilation_rate=dilation,
            kernel_initializer=self.initializer(),
            bias_initializer=self.bias_initializer(kernel**2 * self.outputs.shape[-1]),
        )

    def pad(self, pixels: int) -> None:
        """Zeros on all four sides of the map."""
        name = self._next("pad")
        self._require_positive(name, "pixels", pixels)
        self._require_map(name)
        self._add(layers.ZeroPadding2D, name, pixels)

    def batch_norm(self, *, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        """Batch norm over all axes but the last; the defaults are PyTorch's."""
        name = self._next("bn")
        require(0 <= momentum < 1, self._at(name), f"momentum {momentum}", "at least 0 and below 1")
        require(epsilon > 0, self._at(name), f"epsilon {epsilon}", "a number above 0")
        self._add(BatchNormalization, name, momentum=momentum, epsilon=epsilon)

    def activation(self, function: Activation) -> None:
        """Element-wise activation, as a separate layer named after the function."""
        self._add(layers.Activation, self._next(function), function)

    def pool(self, size: int = 2, *, stride: int | None = None, padding: Padding = "valid") -> None:
        """Max pooling; the stride is the size unless given."""
        self._pool(layers.MaxPooling2D, self._next("pool"), size, stride, padding)

    def average_pool(self, size: int = 2, *, stride: int | None = None, padding: Padding = "valid") -> None:
        """Average pooling; the stride is the size unless given."""
        self._pool(layers.AveragePooling2D, self._next("avgpool"), size, stride, padding)

    def global_average_pool(self) -> None:
        """Mean over the map, one number per channel."""
        self._require_map("gap")
        self._add(layers.GlobalAveragePooling2D, "gap")

    def flatten(self) -> None:
        """Map to vector."""
        self._require_map("flatten")
        self._add(layers.Flatten, "flatten")

    def dense(self, units: int) -> None:
        """Fully connected layer with bias, without activation."""
        name = self._next("dense")
        self._require_positive(name, "units", units)
        self._require_vector(name)
        self._dense(name, units)

    def dropout(self, rate: float) -> None:
        """Dropout of single numbers; a rate of 0 adds no layer."""
        self._dropout(layers.Dropout, "dropout", rate)

    def spatial_dropout(self, rate: float) -> None:
        """Dropout of entire channels of a map; a rate of 0 adds no layer."""
        self._require_map("spatial_dropout")
        self._dropout(layers.SpatialDropout2D, "spatial_dropout", rate)

    def model(self, classes: int) -> keras.Model:
        """The network, ending in a float32 layer `logits` of `classes` units."""
        self._require_vector("logits")
        self._dense("logits", classes, dtype="float32")
        return keras.Model(self.inputs, self.outputs, name=self.name)

    def _dense(self, name: str, units: int, **options: Any) -> None:
        kernel, bias = self.initializer(), self.bias_initializer(self.outputs.shape[-1])
        self._add(layers.Dense, name, units, kernel_initializer=kernel, bias_initializer=bias, **options)

    def _pool(self, kind: type, name: str, size: int, stride: int | None, padding: Padding) -> None:
        stride = size if stride is None else stride
        self._require_positive(name, "size", size)
        self._require_positive(name, "stride", stride)
        self._require_map(name)
        if padding == "valid":
            self._require_window(name, size)
        self._add(kind, name, size, strides=stride, padding=padding)

    def _dropout(self, kind: type, name: str, rate: float) -> None:
        require(0 <= rate < 1, self._at(name), f"rate {rate}", "at least 0 and below 1")
        if rate > 0:
            self._add(kind, self._next(name), rate)

    def _add(self, kind: type, name: str, *arguments: Any, **options: Any) -> None:
        self.outputs = kind(*arguments, **options, name=name)(self.outputs)

    def _next(self, kind: str) -> str:
        self._counts[kind] += 1
        return f"{kind}{self._counts[kind]}"

    def _at(self, layer: str) -> str:
        return f"{self.where}: {layer}"

    def _require_positive(self, layer: str, option: str, value: int) -> None:
        require(value >= 1, self._at(layer), f"{option} {value}", "at least 1")

    def _require_map(self, layer: str) -> None:
        shape = self.outputs.shape[1:]
        require(len(shape) == 3, self._at(layer), f"gets a vector of {shape[0]}", "a map: put it before flatten or gap")

    def _require_vector(self, layer: str) -> None:
        shape = self.outputs.shape[1:]
        require(len(shape) == 1, self._at(layer), f"gets a {_times(shape)} map", "a vector: put flatten or gap before")

    def _require_window(self, layer: str, window: int) -> None:
        problem = f"a {window}×{window} window on a {_times(self.map_size)} map"
        expected = "a map at least as large: a larger image, a smaller window, fewer layers or padding same"
        require(min(self.map_size) >= window, self._at(layer), problem, expected)


def _times(sizes) -> str:
    return "×".join(map(str, sizes))
