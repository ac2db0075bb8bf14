"""The inside of a network: the output of any of its layers, read without changing a layer.

A `Probe` runs the graph of a model through twins of its layers. A twin is a separate object that shares the variables
of its layer. Changes to a twin, such as a linear activation or 32-bit arithmetic, do not affect the layer. The
network's own layers are never called. Everything is computed in inference mode, and layers that use 16 bits compute in
float32.

A point is a place in the network where a tensor can be read: the name of a node of the `Graph` for its output, or
`NAME:linear` for the output of a convolution or dense layer before its own activation argument. The name of a stage
that no node has, such as `layer2`, stands for the last node of the stage.
"""

import functools
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.predict import LINEAR
from keras_cnn.models.graph import Graph, GraphNode, call_operation, twin
from keras_cnn.models.layer_kinds import AFFINE, CONVOLUTIONS, is_activation, is_channel_flip, is_element_wise
from keras_cnn.models.stages import HEAD, INPUT, stages
from keras_cnn.visualization.class_heads import ClassHead, passes_on, squashing_of

Built = TypeVar("Built")

_SCALING = ("Add", "Divide", "Multiply", "Subtract", "TrueDivide")  # operations that bring images to another range
_PIXELS_AT_ONCE = 700_000  # in a batch of images: thirteen of 224×224, whose gradients take 1.5 GB in ResNet50


@dataclass(frozen=True)
class ConvolutionBlock:
    """A convolution with the batch norm and the activation behind it, if nothing else reads between them."""

    node: GraphNode
    linear: str  # point of the convolution with its bias
    normalised: str | None  # point of the batch norm between convolution and activation
    activated: str | None  # point of the activation, a separate layer or the convolution's argument

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def filters(self) -> int:
        """Number of output channels."""
        return self.node.shape[-1] or 0

    @property
    def before_activation(self) -> str:
        """The point that the activation reads, or would read if there were one."""
        return self.normalised or self.linear


class Probe:
    """A functional or sequential model with one image input, opened for reading.

    `output` is the name of the output whose classes are explained, for a model with several. `several_labels` says that
    an image may have several classes. Raises InputError for a model that is not a graph of layers or does not have one
    image input, and for an unknown output.
    """

    def __init__(self, model: keras.Model, output: str | None = None, *, several_labels: bool = False):
        self.model, self.several_labels = model, several_labels
        self.graph = Graph(model)
        self._output = None if output is None else self._named_output(output)
        require(len(self.graph.inputs) == 1, model.name, f"{len(self.graph.inputs)} inputs", "one")
        self.nodes = self.graph.nodes
        self._image = self.graph.inputs[0]
        self.input_shape: tuple[int | None, ...] = self.nodes[self._image].shape
        require(len(self.input_shape) == 3, model.name, f"inputs of shape {self.input_shape}", "images (H, W, C)")
        self._twins = {name: _wide_twin(node.operation) for name, node in self.nodes.items() if node.inputs}
        self._linear: dict[str, tuple[Any, Callable]] = {
            name: (twin(self._twins[name], activation=keras.activations.linear), node.operation.activation)
            for name, node in self.nodes.items()
            if type(node.operation) in AFFINE and node.operation.activation not in (None, keras.activations.linear)
        }
        self._built: dict[Hashable, Any] = {}

    @classmethod
    def of(cls, model: "keras.Model | Probe") -> "Probe":
        return model if isinstance(model, cls) else cls(model)

    def cloned(self) -> "Probe":
        """A probe of a clone of the model that has variables of its own and the same weights."""
        clone = keras.models.clone_model(self.model, recursive=True)
        clone.set_weights(self.model.get_weights())
        return Probe(clone, self._output, several_labels=self.several_labels)

    # --- names --------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all layers and operations in the order in which they run; the first is the input."""
        return tuple(self.nodes)

    @property
    def points(self) -> tuple[str, ...]:
        """All points in the order in which they are computed."""
        return tuple(
            point for name in self.nodes for point in ((f"{name}{LINEAR}", name) if name in self._linear else (name,))
        )

    def node(self, name: str) -> GraphNode:
        """The node of that name or path, or the last of that stage. InputError, with the nearest name, without any."""
        node = self.graph.find(name) or self.graph.find(self._stage_ends.get(name, ""))
        if node is not None:
            return node
        names = [n for n, node in self.nodes.items() if isinstance(node.operation, layers.Layer)]
        hint = nearest(name, dict.fromkeys((*names, *self._stage_ends)))
        if hint.startswith("; expected") and len(names) > 12:
            hint = f"; it has {len(names)}, from {', '.join(names[:3])} to {', '.join(names[-3:])}"
        raise InputError(f"{self.name}: no layer {name!r}{hint}")

    @functools.cached_property
    def _stage_ends(self) -> dict[str, str]:
        """Stage, as `--freeze-upto` takes it -> its last layer; nothing for a Sequential model, which has no stages."""
        if isinstance(self.model, keras.Sequential):
            return {}
        return {stage: members[-1].name for stage, members in stages(self.model) if stage not in (INPUT, HEAD)}

    def point(self, name: str) -> str:
        """The canonical name of a point. InputError for an unknown layer or one without a linear part."""
        layer, colon, part = name.partition(":")
        node = self.node(layer)
        require(f"{colon}{part}" in ("", LINEAR), f"{self.name}: {name}", f"found {part!r}", "LAYER or LAYER:linear")
        if not colon or node.name in self._linear:
            return f"{node.name}{LINEAR}" if colon else node.name
        is_affine = type(node.operation) in AFFINE
        require(is_affine, f"{self.name}: {name}", f"a {type(node.operation).__name__}", "a convolution or dense layer")
        return node.name

    def shape(self, point: str) -> tuple[int | None, ...]:
        """Shape of the tensor at a point, without the batch axis."""
        return self.node(point.partition(":")[0]).shape

    def fixed_shape(self, point: str) -> tuple[int, ...]:
        """Shape of a map (h, w, C) or vector (C,) at a point. InputError for another rank and for no fixed size."""
        shape = self.shape(point)
        sides = tuple(side for side in shape if side is not None)
        fits = len(shape) in (1, 3) and len(sides) == len(shape)
        require(fits, f"{self.name}: {point}", f"an output of shape {shape}", "a map or a vector of a fixed size")
        return sides

    def map_shape(self, point: str) -> tuple[int, int, int]:
        """Height, width and channels of the map at a point. InputError if there is no map of a fixed size."""
        shape = self.shape(point)
        expected = "a map (H, W, C)"
        require(len(shape) == 3 and None not in shape, f"{self.name}: {point}", f"an output of shape {shape}", expected)
        height, width, channels = (side or 0 for side in shape)
        return height, width, channels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images. InputError if they have no fixed size."""
        return self.map_shape(self._image)

    @property
    def scales_images(self) -> bool:
        """Whether the network scales its images itself, in a layer or by arithmetic."""
        if any(isinstance(node.operation, layers.Rescaling | layers.Normalization) for node in self.nodes.values()):
            return True
        pending = list(self.readers(self._image))
        while pending:
            node = pending.pop()
            if type(node.operation).__name__ in _SCALING:
                return True
            if is_element_wise(node.operation) or is_channel_flip(node.operation):
                pending += self.readers(node.name)
        return False

    @property
    def convolutions(self) -> tuple[ConvolutionBlock, ...]:
        """Every 2-D convolution (plain, grouped, depthwise, separable) in the order in which they run."""
        return tuple(self._block(node) for node in self.nodes.values() if type(node.operation) in CONVOLUTIONS)

    def convolution(self, name: str) -> ConvolutionBlock:
        """The convolution of that name. InputError, naming the nearest convolution, for any other layer."""
        node = self.node(name)
        if type(node.operation) not in CONVOLUTIONS:
            names = [block.name for block in self.convolutions]
            kind = type(node.operation).__name__
            raise InputError(f"{self.name}: {name}, of type {kind}, has no kernels{nearest(name, names)}")
        return self._block(node)

    def readers(self, name: str) -> tuple[GraphNode, ...]:
        """The nodes that read a node's output."""
        return self.graph.readers(name)

    def ancestors(self, point: str) -> frozenset[str]:
        """Names of the nodes that the tensor at a point depends on, including its own."""
        return self.graph.ancestors(self.node(point.partition(":")[0]).name)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the nodes that are the model's outputs; a detector has several."""
        return self.graph.output_names

    def output(self) -> GraphNode:
        """The node whose output is explained: the one that was chosen, or the first."""
        return self.nodes[self._output or self.outputs[0]]

    @property
    def is_classifier(self) -> bool:
        """Whether the network has a `head`."""
        return self._head_problem() is None

    def head(self) -> ClassHead:
        """Where the class scores are. InputError for a network whose output is not one number for each class."""
        problem = self._head_problem()
        expected = "a classifier: one number for each of at least 2 classes, or one unit with a sigmoid"
        require(problem is None, self.name, problem or "", expected)
        node = self._before_relays(self.output())
        (units,) = node.shape
        squashing = squashing_of(node.operation)
        if squashing and node.name in self._linear:
            point, words = f"{node.name}{LINEAR}", f"logits before the {squashing} of {node.name}"
        elif squashing:
            point, words = node.inputs[0], f"logits before {node.name}, a {squashing}"
        else:
            point, words = self.output().name, "logits"
        return ClassHead(point, units or 0, squashing, words, self.several_labels)

    def _head_problem(self) -> str | None:
        """Why the network has no class scores; None if it has some."""
        node = self.output()
        shape = "×".join(map(str, node.shape))
        if len(self.outputs) > 1 and self._output is None:
            return f"{len(self.outputs)} outputs without a choice among {', '.join(self.outputs)}"
        if len(node.shape) != 1:
            return f"its output {node.name} is a {shape} map"
        units = node.shape[0] or 0
        if units < 2 and not (units == 1 and squashing_of(self._before_relays(node).operation) == "sigmoid"):
            return f"its output {node.name} has {shape} unit"
        return None

    def _before_relays(self, node: GraphNode) -> GraphNode:
        """The node, or the earlier one whose output it passes on."""
        while passes_on(node.operation) and len(node.inputs) == 1:
            node = self.nodes[node.inputs[0]]
        return node

    def _named_output(self, name: str) -> str:
        names = dict(zip(getattr(self.model, "output_names", ()), self.graph.output_names, strict=False))
        names |= {node: node for node in self.graph.output_names}
        if name not in names:
            raise InputError(f"{self.model.name}: no output {name!r}{nearest(name, names)}")
        return names[name]

    def last_map(self) -> str:
        """The last point that has the size of the last convolution's map: the default layer of Grad-CAM.

        In a residual network it is the sum at the end of the last block. Convolutions whose map is a single unit are
        skipped, since they do not separate places, unless there are no others.
        """
        ends = [self.output().name] if self._output else self.outputs
        needed = self.graph.ancestors(*ends)
        nodes = [node for name, node in self.nodes.items() if name in needed]
        convolutions = [node for node in nodes if type(node.operation) in CONVOLUTIONS]
        require(bool(convolutions), self.name, "no convolutions", "at least one")
        last = ([node for node in convolutions if node.shape[:2] != (1, 1)] or convolutions)[-1]
        return [node for node in nodes if len(node.shape) == 3 and node.shape[:2] == last.shape[:2]][-1].name

    # --- running ------------------------------------------------------------------------------------------------------

    def run(
        self,
        images: tf.Tensor,
        read: Collection[str],
        *,
        activations: Mapping[str, Callable] | None = None,
        edits: Mapping[str, Callable] | None = None,
    ) -> dict[str, tf.Tensor]:
        """The tensors at the points to `read` for images (N, H, W, C) of 0-255; nothing else is computed.

        `activations` maps node names to functions that replace activation nodes or the activation arguments of layers.
        `edits` maps points to functions that change the tensor there before it is read and passed on. Both apply to
        this run only. Works eagerly, in a tf.function and under a gradient tape.
        """
        activations, edits = activations or {}, edits or {}
        tensors: dict[str, tf.Tensor] = {}

        def at(point: str, value: tf.Tensor) -> tf.Tensor:
            value = edits[point](value) if point in edits else value
            if point in read:
                tensors[point] = value
            return value

        def call(node: GraphNode, arguments: tuple, options: dict) -> tf.Tensor:
            name = node.name
            if name in self._linear:
                linear, own_activation = self._linear[name]
                value = at(f"{name}{LINEAR}", call_operation(linear, *arguments, **options))
                return at(name, activations.get(name, own_activation)(value))
            if name in activations:
                return at(name, activations[name](*arguments))
            return at(name, call_operation(self._twins[name], *arguments, **options))

        taken = self.model.inputs[0].dtype
        # Integers have no gradient, so a network for uint8 images gets them as float32.
        images = at(self._image, tf.cast(images, taken if "float" in taken else "float32"))
        self.graph.run({self._image: images}, [point.removesuffix(LINEAR) for point in read], call)
        return tensors

    def once(self, key: Hashable, build: Callable[[], Built]) -> Built:
        """The result of `build`, built once for each `key`: a traced function serves every later call."""
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]

    def batch_size(self) -> int:
        """Number of images that are computed at once."""
        height, width, _ = self.input_shape
        return max(1, min(64, _PIXELS_AT_ONCE // max(1, (height or 224) * (width or 224))))

    def images(self, images: np.ndarray) -> np.ndarray:
        """The images as float32. InputError unless they are (N, H, W, C) of this network's size with values 0-255."""
        images = np.asarray(images)
        expected = "(N, " + ", ".join(str(side or "any") for side in self.input_shape) + ")"
        fits = images.ndim == 4 and all(
            side in (None, length) for side, length in zip(self.input_shape, images.shape[1:], strict=True)
        )
        require(fits and len(images) > 0, f"{self.name}: images", f"found shape {images.shape}", expected)
        floats = images.astype(np.float32)
        inside = bool(np.isfinite(floats).all()) and floats.min() >= 0 and floats.max() <= 255
        extent = f"found values from {floats.min():g} to {floats.max():g}"
        require(inside, f"{self.name}: images", extent, "0 to 255")
        return floats

    def _block(self, node: GraphNode) -> ConvolutionBlock:
        if node.name in self._linear:
            return ConvolutionBlock(node, f"{node.name}{LINEAR}", None, node.name)
        normalised, activated, last = None, None, node.name
        while activated is None and len(readers := self.readers(last)) == 1:
            (reader,) = readers
            if isinstance(reader.operation, layers.BatchNormalization) and normalised is None:
                normalised = reader.name
            elif is_activation(reader.operation):
                activated = reader.name
            else:
                break
            last = reader.name
        return ConvolutionBlock(node, node.name, normalised, activated)


ModelOrProbe = keras.Model | Probe


def taps(model: ModelOrProbe, points: Iterable[str]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A compiled function from images (N, H, W, C) of 0-255 to the tensors at `points`, as a dict of float32 arrays.

    Nothing behind the last point is computed. Raises InputError, with the nearest name, for an unknown point; the
    function raises it for images of another size or range.
    """
    probe = Probe.of(model)
    read = tuple(dict.fromkeys(probe.point(point) for point in points))

    build = functools.partial(traced, lambda images: probe.run(images, read), probe.input_shape)
    function = probe.once(("taps", read), build)

    def call(images: np.ndarray) -> dict[str, np.ndarray]:
        parts = [function(tf.constant(batch)) for batch in in_batches(probe.images(images), probe.batch_size())]
        return {point: np.concatenate([tf.cast(part[point], tf.float32).numpy() for part in parts]) for point in read}

    return call


def traced(function: Callable, *shapes: tuple[int | None, ...]) -> Callable:
    """A TensorFlow graph of `function` for batches of these shapes, float32."""
    signature = [tf.TensorSpec((None, *shape), tf.float32) for shape in shapes]
    graph = tf.function(function, input_signature=signature, autograph=False)
    return graph.get_concrete_function()  # unlike `graph`, it does not warn about many tracings


def in_batches(array: np.ndarray, size: int) -> Iterable[np.ndarray]:
    """Consecutive parts of at most `size` rows."""
    return (array[start : start + size] for start in range(0, len(array), size))


def _wide_twin(operation: Any) -> Any:
    """A twin that computes in float32 where the layer computes in 16 bits."""
    if not isinstance(operation, layers.Layer):
        return operation
    if operation.compute_dtype not in ("bfloat16", "float16") or operation.quantization_mode is not None:
        return twin(operation)
    wide = keras.DTypePolicy("float32")
    wide._variable_dtype = operation.dtype_policy.variable_dtype  # weights of 16 bits are cast when they are read
    return twin(operation, _dtype_policy=wide)
