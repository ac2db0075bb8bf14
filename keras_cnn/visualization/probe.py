"""The inside of a network: what any of its layers puts out, without altering a layer of it.

A `Probe` runs a functional model node by node, nested models included, through twins of its layers. A twin shares its
layer's variables and is another object, so that whatever is set on it (a linear activation, 32-bit arithmetic) leaves
the layer as it was; the network's own layers are never called. Everything is computed in inference mode and, where the
layers compute in 16 bits, in float32.

A point is a place in the network where a tensor can be read: the name of a layer (or operation) for what it puts out,
or `NAME:linear` for what a convolution or dense layer puts out before its own activation argument. A layer in a nested
model has its own name where that is unique in the whole network, else its path, `model/layer`; a layer that is called
more than once has `NAME#2` for its second call.
"""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras.src.models.functional import Functional, operation_fn  # what Keras runs a graph of layers with

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require

LINEAR = ":linear"
CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
# Layers whose `call` is an affine map and then `activation`, so that the two can be taken apart.
AFFINE = (*CONVOLUTIONS, layers.Conv2DTranspose, layers.Dense)
ACTIVATION_LAYERS = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU)
# Activations called as functions become operations of these names in `keras.ops` and `keras.activations`.
ACTIVATION_OPERATIONS = frozenset(
    ("Relu", "Relu6", "ReLU", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "HardSilu", "Sigmoid", "Tanh", "Softplus")
)
_SQUASHING = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid"}
_PIXELS_AT_ONCE = 700_000  # of images in a batch: thirteen of 224×224, whose gradients take 1.5 GB in ResNet50


@dataclass(frozen=True)
class Node:
    """One call of a layer or operation."""

    name: str
    operation: Any  # the network's own: look, never alter
    inputs: tuple[str, ...]  # names of the nodes whose outputs it reads
    shape: tuple[int | None, ...]  # of its output, without the batch axis


@dataclass(frozen=True)
class Block:
    """A convolution with the batch norm and the activation that read it and nothing else does."""

    node: Node
    linear: str  # point of the convolution with its bias
    normalised: str | None  # point of the batch norm between convolution and activation
    activated: str | None  # point of the activation, a layer of its own or the convolution's argument

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def before_activation(self) -> str:
        """The point that the activation reads, or would."""
        return self.normalised or self.linear


@dataclass(frozen=True)
class Head:
    """Where a classifier's scores are read."""

    point: str
    classes: int
    squashing: str | None  # "softmax" or "sigmoid": what the network does to the scores after that point
    words: str  # for titles: "logits", "logits before the softmax of dense_1"

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(N, classes) float64 in [0, 1]; a softmax unless the network itself ends with a sigmoid a class."""
        scores = np.asarray(scores, np.float64)
        if self.squashing == "sigmoid":
            return np.exp(-np.logaddexp(0, -scores))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


class Probe:
    """A functional or sequential model with one image input, opened for reading.

    Raises InputError for a model that is no graph of layers, and for another number of inputs.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        graph = _graph(model)
        require(graph is not None, model.name, f"a model of class {type(model).__name__}", "a graph of layers")
        require(len(model.inputs) == 1, model.name, f"{len(model.inputs)} inputs", "one")
        self._graph = graph
        self.input_shape: tuple[int | None, ...] = tuple(model.inputs[0].shape[1:])
        require(len(self.input_shape) == 3, model.name, f"inputs of shape {self.input_shape}", "images (H, W, C)")
        self._read_graph()
        self._compiled: dict[Any, Callable] = {}

    @classmethod
    def of(cls, model: "keras.Model | Probe") -> "Probe":
        return model if isinstance(model, cls) else cls(model)

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
        """Every point in the order in which they are computed."""
        return tuple(
            point for name in self.nodes for point in ((f"{name}{LINEAR}", name) if name in self._linear else (name,))
        )

    def node(self, name: str) -> Node:
        """The node of that name or path. InputError with the nearest name where there is none."""
        for candidate in (name, self._aliases.get(name)):
            if candidate in self.nodes:
                return self.nodes[candidate]
        names = [n for n, node in self.nodes.items() if isinstance(node.operation, layers.Layer)]
        hint = nearest(name, names)
        if hint.startswith("; expected") and len(names) > 12:
            hint = f"; it has {len(names)}, from {', '.join(names[:3])} to {', '.join(names[-3:])}"
        raise InputError(f"{self.name}: no layer {name!r}{hint}")

    def point(self, name: str) -> str:
        """The point as this module writes it. InputError for a layer that is not there or has no linear part."""
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

    @property
    def convolutions(self) -> tuple[Block, ...]:
        """Every 2-D convolution (plain, grouped, depthwise, separable) in the order in which they run."""
        return tuple(self._block(node) for node in self.nodes.values() if type(node.operation) in CONVOLUTIONS)

    def convolution(self, name: str) -> Block:
        """The convolution of that name. InputError, naming the nearest convolution, for any other layer."""
        node = self.node(name)
        if type(node.operation) not in CONVOLUTIONS:
            names = [block.name for block in self.convolutions]
            kind = type(node.operation).__name__
            raise InputError(f"{self.name}: {name}, of type {kind}, has no kernels{nearest(name, names)}")
        return self._block(node)

    def readers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read a node's output."""
        return tuple(node for node in self.nodes.values() if name in node.inputs)

    def ancestors(self, point: str) -> frozenset[str]:
        """Names of the nodes that the tensor at a point depends on, its own included."""
        found, todo = set(), [self.node(point.partition(":")[0]).name]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.nodes[name].inputs
        return frozenset(found)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the nodes whose outputs are the model's; a detector has several."""
        return self._outputs

    def output(self) -> Node:
        """The node whose output is the model's, or the first of several."""
        return self.nodes[self._outputs[0]]

    def head(self) -> Head:
        """Where the class scores are. InputError for a network whose output is not one number a class."""
        node = self.output()
        shape = "×".join(map(str, node.shape))
        expected = "a classifier: one number for each of at least 2 classes"
        require(len(self.outputs) == 1, self.name, f"{len(self.outputs)} outputs", expected)
        require(len(node.shape) == 1, self.name, f"its output {node.name} is a {shape} map", expected)
        require((node.shape[0] or 0) >= 2, self.name, f"its output {node.name} has {shape} unit", expected)
        squashing = _squashing(node.operation)
        if squashing and node.name in self._linear:
            point, words = f"{node.name}{LINEAR}", f"logits before the {squashing} of {node.name}"
        elif squashing:
            point, words = node.inputs[0], f"logits before {node.name}, a {squashing}"
        else:
            point, words = node.name, "logits"
        return Head(point, node.shape[0], squashing, words)

    def last_map(self) -> str:
        """The last point that has the size of the last convolution's map: what Grad-CAM takes for its layer.

        In a residual network it is the sum that the last block ends with.
        """
        require(bool(self.convolutions), self.name, "no convolutions", "at least one")
        name = self.convolutions[-1].name
        same = [n for n in self.nodes.values() if len(n.shape) == 3 and n.shape[:2] == self.nodes[name].shape[:2]]
        return same[-1].name

    # --- running ------------------------------------------------------------------------------------------------------

    def run(
        self,
        images: tf.Tensor,
        read: Collection[str] = (),
        *,
        activations: Mapping[str, Callable] | None = None,
        edits: Mapping[str, Callable] | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The network's first output for images (N, H, W, C) of 0-255, and the tensors at the points to `read`.

        `activations` puts other functions in the place of nodes that are activations, or of layers' own activation
        arguments, by name; `edits` changes the tensor at a point before it is read and before what follows gets it.
        Both hold for this run alone. Works eagerly, in a tf.function and under a gradient tape.
        """
        activations, edits = activations or {}, edits or {}
        found: dict[str, tf.Tensor] = {}

        def at(point, value):
            value = edits[point](value) if point in edits else value
            if point in read:
                found[point] = value
            return value

        def visit(key, operation, arguments, options):
            name = self._names[key]
            if name in self._linear:
                linear, activation = self._linear[name]
                value = at(f"{name}{LINEAR}", _call(linear, arguments, options))
                return at(name, activations.get(name, activation)(value))
            if name in activations:
                return at(name, activations[name](*arguments))
            return at(name, _call(self._twins[name], arguments, options))

        images = at(self.names[0], tf.cast(images, self.model.inputs[0].dtype))
        output = _walk(self._graph, [images], "", _numbered(visit), _cast)
        return keras.tree.flatten(output)[0], found

    def compiled(self, key: Any, build: Callable[[], Callable]) -> Callable:
        """What `build` gives, built once for each `key`: a traced function serves every later call."""
        if key not in self._compiled:
            self._compiled[key] = build()
        return self._compiled[key]

    def batch_size(self) -> int:
        """Images that are computed at once."""
        height, width, _ = self.input_shape
        return max(1, min(64, _PIXELS_AT_ONCE // max(1, (height or 224) * (width or 224))))

    def images(self, images: np.ndarray) -> np.ndarray:
        """The images as float32. InputError unless they are (N, H, W, C) of this network's size with values 0-255."""
        images = np.asarray(images)
        expected = "(N, " + ", ".join(str(side or "any") for side in self.input_shape) + ")"
        fits = images.ndim == 4 and all(
            side in (None, found) for side, found in zip(self.input_shape, images.shape[1:], strict=True)
        )
        require(fits and len(images) > 0, f"{self.name}: images", f"found shape {images.shape}", expected)
        floats = images.astype(np.float32)
        inside = bool(np.isfinite(floats).all()) and floats.min() >= 0 and floats.max() <= 255
        found = f"found values from {floats.min():g} to {floats.max():g}"
        require(inside, f"{self.name}: images", found, "0 to 255")
        return floats

    # --- reading the graph --------------------------------------------------------------------------------------------

    def _read_graph(self) -> None:
        calls: list[tuple[str, Any, list[int], Any]] = []
        made_by: dict[int, int] = {}  # id of a symbolic tensor -> index of its call; -1 the image
        kept = []  # so that no id is used twice

        def visit(key, operation, arguments, options):
            outputs = operation.compute_output_spec(*arguments, **options)
            tensors = [x for x in keras.tree.flatten((arguments, options)) if id(x) in made_by]
            calls.append((key, operation, [made_by[id(x)] for x in tensors], outputs))
            # A layer may hand its input on as it is; it is this layer's output all the same.
            outputs = keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, x.dtype), outputs)
            kept.append(outputs)
            made_by.update({id(x): len(calls) - 1 for x in keras.tree.flatten(outputs)})
            return outputs

        image = keras.KerasTensor(self.model.inputs[0].shape, self.model.inputs[0].dtype)
        made_by[id(image)] = -1
        found = keras.tree.flatten(_walk(self._graph, [image], "", _numbered(visit), lambda _, x: x))
        first = self._graph.inputs[0]._keras_history.operation
        self._names = _short([first.name, *(key for key, *_ in calls)])
        names = [self._names[key] for key, *_ in calls]
        self.nodes = {first.name: Node(first.name, first, (), self.input_shape)}
        for name, (_, operation, inputs, outputs) in zip(names, calls, strict=True):
            shape = tuple(keras.tree.flatten(outputs)[0].shape[1:])
            read = tuple(first.name if i < 0 else names[i] for i in inputs)
            self.nodes[name] = Node(name, operation, read, shape)
        self._aliases = {key: name for key, name in self._names.items() if key != name}
        ends = [made_by[id(output)] for output in found]
        self._outputs = tuple(names[end] if end >= 0 else first.name for end in ends)
        self._twins = {name: _twin(node.operation) for name, node in self.nodes.items() if node.inputs}
        self._linear = {
            name: (_twin(node.operation, activation=keras.activations.linear), node.operation.activation)
            for name, node in self.nodes.items()
            if type(node.operation) in AFFINE and node.operation.activation not in (None, keras.activations.linear)
        }

    def _block(self, node: Node) -> Block:
        if node.name in self._linear:
            return Block(node, f"{node.name}{LINEAR}", None, node.name)
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
        return Block(node, node.name, normalised, activated)


def taps(model: keras.Model | Probe, points: Iterable[str]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A compiled function from images (N, H, W, C) of 0-255 to what the network has at `points`, float32 by point.

    Nothing behind the last point is computed. Raises InputError, with the nearest name, for a point that is not there;
    the function does for images of another size or range.
    """
    probe = Probe.of(model)
    read = tuple(dict.fromkeys(probe.point(point) for point in points))

    build = functools.partial(traced, lambda images: probe.run(images, read)[1], probe.input_shape)
    function = probe.compiled(("taps", read), build)

    def call(images: np.ndarray) -> dict[str, np.ndarray]:
        parts = [function(tf.constant(batch)) for batch in in_batches(probe.images(images), probe.batch_size())]
        return {point: np.concatenate([tf.cast(part[point], tf.float32).numpy() for part in parts]) for point in read}

    return call


def traced(function: Callable, *shapes: tuple[int | None, ...]) -> Callable:
    """A TensorFlow graph of `function` for batches of these shapes, float32."""
    signature = [tf.TensorSpec((None, *shape), tf.float32) for shape in shapes]
    graph = tf.function(function, input_signature=signature, autograph=False)
    return graph.get_concrete_function()  # which, unlike the function, does not warn of many different ones


def in_batches(array: np.ndarray, size: int) -> Iterable[np.ndarray]:
    """Consecutive parts of at most `size` rows."""
    return (array[start : start + size] for start in range(0, len(array), size))


def copy_of(model: keras.Model) -> keras.Model:
    """A clone with layers and variables of its own, and the same weights; nested models are cloned too."""
    clone = keras.models.clone_model(model, recursive=True)
    clone.set_weights(model.get_weights())
    return clone


def is_activation(operation: Any) -> bool:
    """Whether it is an element-wise activation: a layer of that kind, or an activation called as a function."""
    if isinstance(operation, layers.Layer):
        linear = getattr(operation, "activation", None) is keras.activations.linear  # a name for what is there already
        return isinstance(operation, ACTIVATION_LAYERS) and not linear
    return type(operation).__name__ in ACTIVATION_OPERATIONS


def _graph(operation: Any) -> Functional | None:
    """The graph of layers that a model is; None for a layer, and for a model that computes in a way of its own."""
    if isinstance(operation, keras.Sequential) and type(operation).call is keras.Sequential.call:
        return operation._functional
    if isinstance(operation, Functional) and type(operation).call is Functional.call:
        return operation
    return None


def _walk(graph: Functional, inputs: Sequence, path: str, visit: Callable, convert: Callable):
    """Runs a graph and the models in it; `visit(path, operation, arguments, options)` gives each one's outputs."""

    def operation(found):
        inner = _graph(found)
        if inner is None:
            return lambda *arguments, **options: visit(f"{path}{found.name}", found, arguments, options)
        return lambda given, **_: _walk(inner, convert(inner, given), f"{path}{found.name}/", visit, convert)

    return graph._run_through_graph(inputs, operation)


def _cast(graph: Functional, given) -> list:
    """The inputs of a nested model in the types and ranks that it takes."""
    return graph._standardize_inputs(given)


def _numbered(visit: Callable) -> Callable:
    """`visit` with a number after the path of a layer that is called again."""
    calls: Counter[str] = Counter()

    def numbered(path, operation, arguments, options):
        calls[path] += 1
        key = path if calls[path] == 1 else f"{path}#{calls[path]}"
        return visit(key, operation, arguments, options)

    return numbered


def _short(paths: list[str]) -> dict[str, str]:
    """Path -> the last part of it where no other path has the same."""
    count = Counter(path.rpartition("/")[2] for path in paths)
    return {path: last if count[last := path.rpartition("/")[2]] == 1 else path for path in paths}


def _twin(operation: Any, **attributes: Any) -> Any:
    """Another object with the same class, variables and settings, but for `attributes` and 16-bit arithmetic.

    Not `copy.copy`, which for Keras means to save and load, and not `from_config`, which would need the memory of every
    weight again.
    """
    if not isinstance(operation, layers.Layer):
        return operation  # operations hold nothing and are changed by nothing
    twin = object.__new__(type(operation))
    twin.__dict__.update(operation.__dict__)
    policy = operation.dtype_policy
    if operation.compute_dtype in ("bfloat16", "float16") and operation.quantization_mode is None:
        wide = keras.DTypePolicy("float32")
        wide._variable_dtype = policy.variable_dtype  # weights stored in 16 bits are cast when they are read
        twin.__dict__["_dtype_policy"] = wide
    twin.__dict__.update(_losses=[], _loss_ids=set(), **attributes)
    return twin


def _call(operation: Any, arguments: tuple, options: dict):
    return operation_fn(operation, training=False)(*arguments, **options)


def _squashing(operation: Any) -> str | None:
    if isinstance(operation, layers.Softmax) or type(operation).__name__ == "Softmax":
        return "softmax"
    if type(operation).__name__ == "Sigmoid":
        return "sigmoid"
    return _SQUASHING.get(getattr(operation, "activation", None))
