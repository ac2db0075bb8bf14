"""A Keras model as a flat list of operations: the only reader of Functional, Sequential and nested models.

A `Graph` has one node for each call of a layer or operation, including those in nested models. Every node comes after
the nodes that it reads. A `Graph` can run any part of itself, from given tensors to wanted ones.

A node is named after its layer or operation. In a nested model it has that name if it is unique in the whole graph,
otherwise its path, `model/layer`. The second call of a layer is named `NAME#2`.

This is the only module that imports `keras.src`: the contents of a `Functional` model are not in Keras's public API.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import keras
from keras import layers
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional, operation_fn

from keras_cnn.errors import InputError

# A function that computes a node: (node, positional arguments, keyword arguments) -> output.
Call = Callable[["GraphNode", tuple, dict], Any]


@dataclass(frozen=True)
class TensorReference:
    """An output of a node, as a placeholder among the arguments of another node.

    `inputs` are the inputs of nested models that the tensor passes through: each converts it to its own type and rank.
    """

    node: str
    index: int = 0  # among the outputs of the node
    inputs: tuple[keras.KerasTensor, ...] = ()


@dataclass(frozen=True, eq=False)
class GraphNode:
    """One call of a layer or operation. `operation` belongs to the model: it may be read but must not be changed."""

    name: str
    path: str  # starts with the names of the nested models around the operation
    operation: Any
    arguments: tuple  # with a `TensorReference` in the place of each tensor
    options: Mapping[str, Any]  # keyword arguments, likewise
    outputs: tuple[keras.KerasTensor, ...]  # shape and type of each output
    position: tuple[int, ...]  # in `model.operations`, after the positions of the nested models around it

    @cached_property
    def references(self) -> tuple[TensorReference, ...]:
        """The tensors that the node reads, in the order of its arguments."""
        leaves = keras.tree.flatten((self.arguments, dict(self.options)))
        return tuple(leaf for leaf in leaves if isinstance(leaf, TensorReference))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes that the node reads, one for each tensor."""
        return tuple(reference.node for reference in self.references)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of the first output without the batch axis."""
        return tuple(self.outputs[0].shape[1:])


def is_graph(model: Any) -> bool:
    """Whether a model is a graph of layers that `Graph` can read: Functional or Sequential, with Keras's own `call`."""
    return _functional(model) is not None


class Graph:
    """The graph of a model. Raises InputError for a model that is not a graph of layers, such as a Model subclass."""

    def __init__(self, model: keras.Model):
        functional = _functional(model)
        if functional is None:
            raise InputError(f"{model.name}: a model of class {type(model).__name__}, expected a graph of layers")
        self.model = model
        self.inputs: tuple[str, ...] = tuple(_maker(tensor).name for tensor in functional.inputs)
        self._names = _shortened([*self.inputs, *_paths(functional)])
        self.nodes: dict[str, GraphNode] = {}
        references = [self._add_input(tensor, functional) for tensor in functional.inputs]
        paths = _paths(functional)
        self.outputs: tuple[TensorReference, ...] = tuple(self._add_calls(functional, references, paths))
        self._structure = functional.output

    def find(self, name: str) -> GraphNode | None:
        """The node with this name or path, or None."""
        return self.nodes.get(name) or self.nodes.get(self._names.get(name, ""))

    @cached_property
    def _readers(self) -> dict[str, tuple[GraphNode, ...]]:
        readers: dict[str, list[GraphNode]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    def readers(self, name: str) -> tuple[GraphNode, ...]:
        """The nodes that read an output of a node."""
        return self._readers[name]

    def ancestors(self, *names: str, given: Collection[str] = ()) -> frozenset[str]:
        """`names` and the nodes that their outputs are computed from; the search stops at `given`."""
        needed: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in needed:
                needed.add(name)
                pending += () if name in given else self.nodes[name].inputs
        return frozenset(needed)

    def run(self, given: Mapping[str, Any], wanted: Collection[str], call: Call | None = None) -> dict[str, Any]:
        """The outputs of the nodes `wanted`, by name, computed from the outputs of the nodes `given`.

        `call` computes a node, by default in inference mode. Nodes that `wanted` does not depend on, and
        those that only `given` depends on, are not called. `run` works eagerly, in a `tf.function` and under a
        gradient tape.
        """
        call = call or call_node
        needed = self.ancestors(*wanted, given=given)
        values = dict(given)
        for name, node in self.nodes.items():
            if name in needed and name not in given:
                arguments, options = _filled((node.arguments, dict(node.options)), values)
                values[name] = call(node, arguments, options)
        return {name: values[name] for name in wanted}

    def packed(self, values: Mapping[str, Any]) -> Any:
        """The model's output, in the structure that the model returns, from the outputs of its last nodes."""
        tensors = [_filled(reference, values) for reference in self.outputs]
        return tensors[0] if len(tensors) == 1 else keras.tree.pack_sequence_as(self._structure, tensors)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the nodes that compute the model's outputs, one for each output."""
        return tuple(reference.node for reference in self.outputs)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _add_input(self, tensor: keras.KerasTensor, graph: Functional) -> TensorReference:
        operation = _maker(tensor)
        position = (graph.operations.index(operation),)
        self.nodes[operation.name] = GraphNode(operation.name, operation.name, operation, (), {}, (tensor,), position)
        return TensorReference(operation.name)

    def _add_calls(
        self, graph: Functional, inputs: list[TensorReference], paths: Iterator[str], within: tuple[int, ...] = ()
    ) -> list[TensorReference]:
        """Adds the nodes of a graph with these inputs, and returns references to its outputs."""
        tensors = dict(zip(map(id, graph.inputs), inputs, strict=True))
        positions = {id(operation): place for place, operation in enumerate(graph.operations)}
        for call in _calls(graph):
            arguments, options = call.arguments.fill_in(tensors)
            position = (*within, positions[id(call.operation)])
            inner = _functional(call.operation)
            if inner is None:
                name = self._names[path := next(paths)]
                specified = self._specified(call, arguments, options)
                self.nodes[name] = GraphNode(name, path, call.operation, arguments, options, specified, position)
                outputs = [TensorReference(name, index) for index in range(len(specified))]
            else:
                outputs = self._add_calls(inner, _entering(inner, arguments, options), paths, position)
            tensors |= zip(map(id, call.outputs), outputs, strict=True)
        return [tensors[id(tensor)] for tensor in graph.outputs]

    def _specified(self, call: Any, arguments: tuple, options: dict) -> tuple[keras.KerasTensor, ...]:
        """Shape and type of each output of a call; a nested model may get another size than it was built for."""
        arguments, options = cast(tuple, keras.tree.map_structure(self._symbolic, (arguments, options)))
        tensors = [leaf for leaf in keras.tree.flatten((arguments, options)) if isinstance(leaf, keras.KerasTensor)]
        built = call.input_tensors
        if [(t.shape, t.dtype) for t in tensors] == [(t.shape, t.dtype) for t in built]:
            return tuple(call.outputs)
        return tuple(keras.tree.flatten(call.operation.compute_output_spec(*arguments, **options)))

    def _symbolic(self, leaf: Any) -> Any:
        if not isinstance(leaf, TensorReference):
            return leaf
        tensor = self.nodes[leaf.node].outputs[leaf.index]
        for entered in leaf.inputs:
            tensor = keras.KerasTensor(_of_rank(tuple(tensor.shape), entered), entered.dtype)
        return tensor


def call_node(node: GraphNode, arguments: tuple, options: dict) -> Any:
    """The output of a node in inference mode, as Keras computes it."""
    return call_operation(node.operation, *arguments, **options)


def call_operation(operation: Any, *arguments: Any, **options: Any) -> Any:
    """The output of a layer or operation in inference mode."""
    call = operation_fn(operation, training=False)
    if operation.name[0].isalnum():
        return call(*arguments, **options)
    with keras.name_scope("layer"):  # TensorFlow accepts a name such as `_x` only inside a scope
        return call(*arguments, **options)


def twin(operation: Any, **attributes: Any) -> Any:
    """A second object with the class, variables and settings of a layer, except for `attributes`.

    Attributes set on the twin do not change the layer. `copy.copy` is unsuitable because Keras then saves and loads the
    layer; `from_config` allocates every weight again. An operation that is not a layer has no state and is returned
    itself.
    """
    if not isinstance(operation, layers.Layer):
        return operation
    copied = object.__new__(type(operation))
    copied.__dict__.update(operation.__dict__)
    copied.__dict__.update(_losses=[], _loss_ids=set(), **attributes)
    return copied


@contextmanager
def unallocated() -> Iterator[None]:
    """Models that are built in the block have shapes, but no memory is allocated for their weights."""
    waiting = "uninitialized_variables"  # variables that Keras would allocate on leaving the scope
    before = global_state.get_global_attribute(waiting)
    global_state.set_global_attribute(waiting, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(waiting, before or [])


def weight_count(build: Callable[[], keras.Model]) -> int:
    """Number of weights of the model that `build` makes; no memory is allocated for them."""
    with unallocated():
        return sum(math.prod(weight.shape) for weight in build().weights)


def _maker(tensor: Any) -> Any:
    """The operation that makes a symbolic tensor."""
    return tensor._keras_history.operation


def _functional(operation: Any) -> Functional | None:
    """The model as a graph of layers; None for a layer, and for a model with its own `call`."""
    if isinstance(operation, keras.Sequential) and type(operation).call is keras.Sequential.call:
        return operation._functional
    if isinstance(operation, Functional) and type(operation).call is Functional.call:
        return operation
    return None


def _calls(graph: Functional) -> Iterator[Any]:
    """Keras's nodes in the order in which Keras runs them, without those that cannot be computed from the inputs.

    A model cut out of another model may hold such nodes.
    """
    known = set(map(id, graph.inputs))
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for call in graph._nodes_by_depth[depth]:
            if call.operation and not call.is_input and all(id(tensor) in known for tensor in call.input_tensors):
                known.update(map(id, call.outputs))
                yield call


def _paths(graph: Functional, within: str = "", counts: Counter[str] | None = None) -> Iterator[str]:
    """The path of each call; later calls of the same operation end in `#2`, `#3` and so on."""
    counts = Counter() if counts is None else counts
    for call in _calls(graph):
        path = f"{within}{call.operation.name}"
        inner = _functional(call.operation)
        if inner is not None:
            yield from _paths(inner, f"{path}/", counts)
            continue
        counts[path] += 1
        yield path if counts[path] == 1 else f"{path}#{counts[path]}"


def _shortened(paths: list[str]) -> dict[str, str]:
    """Path -> its last part if no other path has the same last part, else the path."""
    last_parts = Counter(path.rpartition("/")[2] for path in paths)
    return {path: last if last_parts[last := path.rpartition("/")[2]] == 1 else path for path in paths}


def _entering(model: Functional, arguments: tuple, options: dict) -> list[TensorReference]:
    """The tensors that a nested model is called with, in the order of its inputs."""
    given = arguments[0] if arguments else options["inputs"]
    if isinstance(given, Mapping) and not isinstance(model.input, Mapping):
        given = [given[tensor.name] for tensor in model.inputs]
    references = keras.tree.flatten(given)
    return [
        TensorReference(reference.node, reference.index, (*reference.inputs, tensor))
        for reference, tensor in zip(references, model.inputs, strict=True)
    ]


def _filled(structure: Any, values: Mapping[str, Any]) -> Any:
    """The structure with each reference replaced by its tensor."""

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, TensorReference):
            return leaf
        tensor = keras.tree.flatten(values[leaf.node])[leaf.index]
        for entered in leaf.inputs:
            tensor = _converted(tensor, entered)
        return tensor

    return keras.tree.map_structure(fill, structure)


def _converted(tensor: Any, entered: keras.KerasTensor) -> Any:
    """A tensor as the input of a nested model takes it."""
    tensor = keras.ops.convert_to_tensor(tensor, dtype=entered.dtype)
    rank, wanted = len(tensor.shape), len(entered.shape)
    if rank == wanted + 1 and tensor.shape[-1] == 1:
        return keras.ops.squeeze(tensor, axis=-1)
    if rank == wanted - 1 and entered.shape[-1] == 1:
        return keras.ops.expand_dims(tensor, axis=-1)
    return tensor


def _of_rank(shape: tuple, entered: keras.KerasTensor) -> tuple:
    """The shape after `_converted`."""
    if len(shape) == len(entered.shape) + 1 and shape[-1] == 1:
        return shape[:-1]
    if len(shape) == len(entered.shape) - 1 and entered.shape[-1] == 1:
        return (*shape, 1)
    return shape
