"""The flat list of a model's operations against Keras's own computation, for every way of building a model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.models.graph import Graph, is_graph, twin

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 9, 7, 3)).astype(np.float32)


def inner_model(shape=(None, None, 3)) -> keras.Model:
    image = keras.Input(shape, name="inner_image")
    x = layers.Conv2D(3, 3, padding="same", name="conv")(image)
    return keras.Model(image, layers.ReLU(name="relu")(x), name="inner")


def nested_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((9, 7, 3), name="image")
    inner = inner_model()
    x = layers.MaxPooling2D(2, name="pool")(inner(inner(image)))
    head = keras.Sequential([layers.Flatten(name="flatten"), layers.Dense(4, name="dense")], name="head")
    return keras.Model(image, head(x))


def test_nested_models_are_flattened_and_computed_as_keras_does():
    model = nested_model()
    graph = Graph(model)
    assert list(graph.nodes) == ["image", "conv", "relu", "conv#2", "relu#2", "pool", "flatten", "dense"]
    assert graph.nodes["conv#2"].path == "inner/conv#2"
    assert graph.find("inner/conv#2") is graph.nodes["conv#2"]
    assert graph.nodes["conv#2"].operation is graph.nodes["conv"].operation
    assert [node.shape for node in graph.nodes.values()][2:6] == [(9, 7, 3), (9, 7, 3), (9, 7, 3), (4, 3, 3)]
    assert (graph.inputs, graph.output_names) == (("image",), ("dense",))
    values = graph.run({"image": PIXELS}, graph.output_names)
    np.testing.assert_allclose(graph.packed(values), model(PIXELS), rtol=1e-6)


def test_a_part_of_the_graph_runs_from_given_tensors_and_calls_nothing_else():
    graph = Graph(nested_model())
    called = []

    def call(node, arguments, options):
        called.append(node.name)
        return node.operation(*arguments, **options)

    whole = graph.run({"image": PIXELS}, ["relu", "pool"])
    part = graph.run({"relu": whole["relu"]}, ["pool"], call)
    assert called == ["conv#2", "relu#2", "pool"]
    np.testing.assert_array_equal(part["pool"], whole["pool"])


def test_readers_and_ancestors_follow_the_tensors():
    image = keras.Input((4, 4, 3), name="image")
    left, right = (layers.Conv2D(3, 1, name=name)(image) for name in ("left", "right"))
    graph = Graph(keras.Model(image, layers.Add(name="twice")([left, left])))
    assert [node.name for node in graph.readers("left")] == ["twice"]
    graph = Graph(keras.Model(image, [layers.Add(name="sum")([left, right]), left]))
    assert {node.name for node in graph.readers("image")} == {"left", "right"}
    assert [node.name for node in graph.readers("left")] == ["sum"]
    assert graph.ancestors("sum") == {"image", "left", "right", "sum"}
    assert graph.ancestors("sum", given=["left"]) == {"image", "left", "right", "sum"}
    assert graph.ancestors("sum", given=["left", "right"]) == {"left", "right", "sum"}
    assert graph.output_names == ("sum", "left")


def test_outputs_keep_the_structure_of_the_model():
    image = keras.Input((4, 4, 3), name="image")
    model = keras.Model(
        image, {"b": layers.Conv2D(1, 1, name="one")(image), "a": layers.Conv2D(2, 1, name="two")(image)}
    )
    graph, pixels = Graph(model), PIXELS[:, :4, :4]
    found = graph.packed(graph.run({"image": pixels}, graph.output_names))
    assert {name: tuple(values.shape) for name, values in found.items()} == {"a": (2, 4, 4, 2), "b": (2, 4, 4, 1)}


def test_arguments_by_name_and_constants_are_kept():
    image = keras.Input((4, 4, 3), name="image")
    x = layers.Add()([2.0 * (image - 1.0), keras.ops.flip(image, axis=-1)])
    model = keras.Model(image, keras.ops.concatenate([x, image], axis=-1))
    graph, pixels = Graph(model), PIXELS[:, :4, :4]
    found = graph.packed(graph.run({"image": pixels}, graph.output_names))
    np.testing.assert_allclose(
        found, np.concatenate([2 * (pixels - 1) + pixels[..., ::-1], pixels], axis=-1), rtol=1e-6
    )


@pytest.mark.parametrize(("given", "taken"), [((4, 4), (4, 4, 1)), ((4, 4, 1), (4, 4)), ((4, 1), (4, 1))])
def test_a_nested_model_takes_its_input_in_its_own_type_and_rank(given, taken):
    inner_input = keras.Input(taken, dtype="float16", name="halves")
    inner = keras.Model(inner_input, layers.Identity(dtype="float16", name="same")(inner_input))
    outer = keras.Input(given, name="image")
    graph = Graph(keras.Model(outer, inner(outer)))
    found = graph.run({"image": np.full((1, *given), 1 / 3, np.float32)}, ["same"])["same"]
    assert graph.nodes["same"].shape == taken
    assert (found.shape, found.dtype.name) == ((1, *taken), "float16")


def test_equal_names_in_nested_models_become_paths():
    image = keras.Input((4, 4, 3), name="image")
    x = layers.Conv2D(3, 1, name="conv")(inner_model((4, 4, 3))(image))
    assert [*Graph(keras.Model(image, x)).nodes] == ["image", "inner/conv", "relu", "conv"]


def test_an_operation_with_several_outputs_is_read_at_each():
    image = keras.Input((4, 4, 4), name="image")
    first, second = keras.ops.split(image, 2, axis=-1)
    graph = Graph(keras.Model(image, layers.Subtract(name="difference")([second, first])))
    pixels = np.random.default_rng(1).normal(size=(1, 4, 4, 4)).astype(np.float32)
    found = graph.run({"image": pixels}, ["difference"])["difference"]
    np.testing.assert_allclose(found, pixels[..., 2:] - pixels[..., :2], rtol=1e-6)


def test_the_position_of_a_node_is_that_of_its_layer():
    model = nested_model()
    positions = {name: node.position for name, node in Graph(model).nodes.items()}
    names = [operation.name for operation in model.operations]
    assert positions["pool"] == (names.index("pool"),)
    assert positions["conv"] == positions["conv#2"] == (names.index("inner"), 1)


def test_a_layer_whose_name_begins_with_an_underscore_is_called():
    image = keras.Input((4, 4, 3), name="image")
    graph = Graph(keras.Model(image, layers.Conv2D(2, 1, name="_x")(image)))
    run = tf.function(lambda pixels: graph.run({"image": pixels}, ["_x"])["_x"])
    assert run(PIXELS[:, :4, :4]).shape == (2, 4, 4, 2)


def test_a_twin_shares_the_variables_and_nothing_that_is_set_on_it():
    layer = layers.Dense(2, activation="relu")
    layer.build((None, 3))
    copied = twin(layer, activation=keras.activations.linear)
    assert copied.kernel is layer.kernel
    assert layer.activation is keras.activations.relu
    np.testing.assert_allclose(copied(-np.ones((1, 3))), -layer.kernel.numpy().sum(axis=0)[None], rtol=1e-5)


def test_a_model_with_a_call_of_its_own_is_no_graph():
    class Own(keras.Model):
        def call(self, x):
            return x

    class Changed(keras.Sequential):
        def call(self, inputs, training=None, mask=None):
            return inputs

    assert is_graph(nested_model())
    assert not is_graph(Changed([keras.Input((4,)), layers.Dense(2)]))
    with pytest.raises(InputError, match="a model of class Own, expected a graph of layers"):
        Graph(Own())
