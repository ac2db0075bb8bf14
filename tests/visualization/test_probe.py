"""Points of a network against Keras's own sub-models, nested, shared and in 16 bits; and nothing left changed."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.models import build
from keras_cnn.visualization.gradients import Score, gradients
from keras_cnn.visualization.probe import Probe, taps


def test_taps_are_what_a_sub_model_of_keras_gives(small, photos):
    points = ["conv1", "bn1", "relu1", "pool1", "conv2", "add", "separable", "logits"]
    found = taps(small, points)(photos)
    expected = keras.Model(small.inputs[0], [small.get_layer(name).output for name in points])(photos, training=False)
    for point, values in zip(points, expected, strict=True):
        assert found[point].dtype == np.float32
        np.testing.assert_allclose(found[point], values, atol=1e-5)


def test_the_linear_part_is_what_the_activation_argument_gets(small, photos):
    found = taps(small, ["pool1", "conv2:linear", "conv2"])(photos)
    conv2 = small.get_layer("conv2")
    expected = keras.ops.conv(found["pool1"], conv2.kernel, padding="same") + conv2.bias
    np.testing.assert_allclose(found["conv2:linear"], expected, atol=1e-5)
    assert found["conv2:linear"].min() < 0
    np.testing.assert_array_equal(found["conv2"], np.maximum(found["conv2:linear"], 0))


def test_a_network_inside_a_network_is_looked_into(hand, hand_image):
    flat, nested = Probe(hand()), Probe(hand(nested=True))
    assert nested.names == ("outer", "conv", "relu", "mean", "logits")
    for point in ("conv", "relu", "mean", "logits"):
        np.testing.assert_array_equal(taps(flat, [point])(hand_image)[point], taps(nested, [point])(hand_image)[point])
    assert nested.node("inner/conv").name == "conv"
    np.testing.assert_array_equal(taps(nested, ["relu"])(hand_image)["relu"][0, ..., 0], [[2, 4], [6, 0]])


def test_a_sequential_model_inside_another_with_equal_names_has_paths():
    keras.utils.set_random_seed(1)
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, name="conv")], name="inner")
    outer = keras.Sequential([keras.Input((10, 10, 3)), layers.Conv2D(4, 3, name="conv"), inner], name="outer")
    probe = Probe(outer)
    assert probe.names[1:] == ("conv", "inner/conv")
    image = np.full((1, 10, 10, 3), 100.0)
    np.testing.assert_allclose(taps(probe, ["inner/conv"])(image)["inner/conv"], outer(image), rtol=1e-5)


def test_a_layer_called_twice_has_two_names():
    keras.utils.set_random_seed(2)
    image = keras.Input((6, 6, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    model = keras.Model(image, conv(conv(image)))
    found = taps(model, ["conv", "conv#2"])(np.full((1, 6, 6, 3), 9.0))
    np.testing.assert_allclose(found["conv#2"], conv(found["conv"]), rtol=1e-5)


def test_16_bit_layers_are_computed_in_32(photos):
    keras.utils.set_random_seed(3)
    with_policy = {}
    for policy in ("mixed_bfloat16", "bfloat16"):
        image = keras.Input((16, 16, 3), dtype="float32")
        x = layers.Conv2D(5, 3, dtype=policy, name="conv")(image)
        x = layers.BatchNormalization(dtype=policy, name="bn")(x)
        model = keras.Model(image, x)
        wide = keras.ops.conv(photos.astype("float32"), keras.ops.cast(model.get_layer("conv").kernel, "float32"))
        with_policy[policy] = taps(model, ["conv"])(photos)["conv"]
        np.testing.assert_allclose(with_policy[policy], wide, rtol=2e-5, atol=1e-3)
        assert model.get_layer("conv").dtype_policy.name == policy
        assert np.abs(model(photos) - taps(model, ["bn"])(photos)["bn"]).max() > 1e-3  # 16 bits have their own rounding


def test_blocks_are_convolution_batch_norm_and_activation(small):
    blocks = {block.name: block for block in Probe(small).convolutions}
    assert list(blocks) == ["conv1", "conv2", "separable"]
    assert (blocks["conv1"].linear, blocks["conv1"].normalised, blocks["conv1"].activated) == ("conv1", "bn1", "relu1")
    assert blocks["conv1"].before_activation == "bn1"
    assert (blocks["conv2"].linear, blocks["conv2"].normalised, blocks["conv2"].activated) == (
        "conv2:linear",
        None,
        "conv2",
    )
    assert blocks["separable"].activated.startswith("relu")


def test_net3_normalises_its_last_convolution_after_the_relu():
    probe = Probe(build("net3", (32, 32, 3), l1_oc=4))
    last = probe.convolutions[-1]
    assert (last.name, last.normalised, last.activated, last.before_activation) == ("conv4", None, "relu4", "conv4")
    assert probe.last_map() == "bn4"


def test_the_last_map_of_a_residual_network_is_its_last_sum():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.Add(name="sum")([x, layers.Conv2D(4, 3, padding="same")(x)])
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert Probe(model).last_map() == "sum"


@pytest.mark.parametrize("ending", ["argument", "layer", "softmax layer", "operation"])
def test_scores_are_read_before_the_softmax(ending):
    image = keras.Input((2, 2, 1))
    flat = layers.Flatten()(image)
    dense = layers.Dense(3, name="dense", activation="softmax" if ending == "argument" else None)
    x = dense(flat)
    if ending == "layer":
        x = layers.Activation("softmax", name="last")(x)
    if ending == "softmax layer":
        x = layers.Softmax(name="last")(x)
    if ending == "operation":
        x = keras.ops.softmax(x)
    model = keras.Model(image, x)
    head, pixels = Probe(model).head(), np.array([[1, 2], [3, 4]], np.float32)[None, :, :, None]
    assert head.squashing == "softmax"
    assert "softmax" in head.words
    scores = taps(model, [head.point])(pixels)[head.point]
    np.testing.assert_allclose(scores, pixels.reshape(1, 4) @ dense.kernel.numpy(), rtol=1e-5)
    np.testing.assert_allclose(head.probabilities(scores), model(pixels), rtol=1e-5)


def test_a_sigmoid_a_class_is_kept_as_such(hand, hand_image):
    probe = Probe(hand("sigmoid"))
    head = probe.head()
    scores = taps(probe, [head.point])(hand_image)[head.point]
    np.testing.assert_allclose(scores, [[4, -2.5]])
    np.testing.assert_allclose(head.probabilities(scores), [[1 / (1 + np.exp(-4)), 1 / (1 + np.exp(2.5))]])


@pytest.mark.parametrize(
    ("side", "images"), [(16, 64), (104, 64), (106, 62), (224, 13), (None, 13), (836, 1), (3000, 1)]
)
def test_700_000_pixels_are_computed_at_once_but_at_most_64_images(side, images):
    image = keras.Input((side, side, 3))
    assert Probe(keras.Model(image, layers.Conv2D(1, 1)(image))).batch_size() == images


def test_of_several_labels_each_class_has_a_sigmoid(hand, hand_image):
    probe = Probe(hand(), several_labels=True)
    assert probe.cloned().several_labels
    head = probe.head()
    assert (head.several, head.squashing, head.classes) == (True, None, 2)
    scores = np.array([[4, -2.5]], np.float32)
    chances = [[1 / (1 + np.exp(-4)), 1 / (1 + np.exp(2.5))]]
    np.testing.assert_allclose(head.probabilities(scores), chances, rtol=1e-6)
    np.testing.assert_allclose(head.confidences(scores), chances, rtol=1e-6)
    one = Probe(hand()).head()
    shares = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(one.probabilities(scores), shares, rtol=1e-6)
    np.testing.assert_allclose(one.confidences(scores), shares, rtol=1e-6)
    np.testing.assert_array_equal(one.weights(np.array([1, 0, 1])), [[0, 1], [1, 0], [0, 1]])
    assert one.class_scores(scores) is scores


def test_edits_and_replaced_activations_hold_for_one_run(small, photos, state_of):
    probe, before = Probe(small), state_of(small)
    end = probe.output().name
    plain = probe.run(photos, [end])[end]
    read = ["pool1", end]
    found = probe.run(photos, read, edits={"pool1": lambda x: x * 0}, activations={"conv2": lambda x: x})
    assert not np.any(found["pool1"])
    assert np.abs(found[end] - plain).max() > 1e-3
    np.testing.assert_array_equal(probe.run(photos, [end])[end], plain)
    assert state_of(small) == before


def test_nothing_of_the_network_changes(small, photos, state_of):
    before = state_of(small)
    probe = Probe(small)
    taps(probe, probe.names)(photos)
    with pytest.raises(InputError):
        taps(probe, ["conv9"])
    assert state_of(small) == before


def test_a_copy_has_the_weights_and_not_the_variables(small, photos, state_of):
    before = state_of(small)
    copy = Probe(small).cloned().model
    np.testing.assert_allclose(copy(photos), small(photos), rtol=1e-5)
    copy.get_layer("conv1").kernel.assign(copy.get_layer("conv1").kernel * 2)
    assert state_of(small) == before


def test_a_stage_is_its_last_layer_with_the_shapes_that_in4310_prints():
    probe = Probe(build("resnet18", (224, 224, 3), 6, weights="none"))
    printed = {"maxpool": (56, 56, 64), "layer1": (56, 56, 64), "layer2": (28, 28, 128)}
    printed |= {"layer3": (14, 14, 256), "layer4": (7, 7, 512)}
    assert {name: probe.map_shape(name) for name in printed} == printed
    for name in ("layer1", "layer2", "layer3", "layer4"):  # the ReLU behind the sum of the second block
        assert probe.point(name) == f"{name}_1_relu"
        assert isinstance(probe.node(probe.node(name).inputs[0]).operation, layers.Add)
    assert probe.point("conv1") == "conv1"  # a layer of that name comes before the stage
    with pytest.raises(InputError, match="resnet18: no layer 'layer5'; did you mean layer4"):
        probe.point("layer5")


def test_errors_name_what_was_found_and_what_is_near(small, photos):
    probe = Probe(small)
    with pytest.raises(InputError, match=r"small: no layer 'cnv1'; did you mean conv1\?"):
        probe.point("cnv1")
    with pytest.raises(InputError, match="found 'liner', expected LAYER or LAYER:linear"):
        probe.point("conv1:liner")
    with pytest.raises(InputError, match="a MaxPooling2D, expected a convolution or dense layer"):
        probe.point("pool1:linear")
    with pytest.raises(InputError, match="relu1, of type Activation, has no kernels; expected one of conv1, conv2"):
        probe.convolution("relu1")
    with pytest.raises(InputError, match=r"found shape \(3, 8, 8, 3\), expected \(N, 16, 16, 3\)"):
        taps(probe, ["conv1"])(photos[:, ::2, ::2])
    with pytest.raises(InputError, match="found values from 0 to 300, expected 0 to 255"):
        taps(probe, ["conv1"])(np.linspace(0, 300, 768).reshape(1, 16, 16, 3))
    with pytest.raises(InputError, match="found values from nan to nan"):
        taps(probe, ["conv1"])(np.full((1, 16, 16, 3), np.nan))


def test_what_is_no_network_of_images_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(InputError, match="a model of class Own, expected a graph of layers"):
        Probe(Own())
    vector = keras.Input((4,))
    with pytest.raises(InputError, match=r"inputs of shape \(4,\), expected images"):
        Probe(keras.Model(vector, layers.Dense(2)(vector)))
    image = keras.Input((4, 4, 3))
    with pytest.raises(InputError, match="2 outputs without a choice among conv2d, conv2d_1, expected a classifier"):
        Probe(
            keras.Model(image, [layers.Conv2D(1, 1, name="conv2d")(image), layers.Conv2D(1, 1, name="conv2d_1")(image)])
        ).head()
    with pytest.raises(InputError, match="2 inputs, expected one"):
        Probe(keras.Model([image, other := keras.Input((4, 4, 3))], layers.Add()([image, other])))
    with pytest.raises(InputError, match=r"its output conv is a 4×4×1 map, expected a classifier"):
        Probe(keras.Model(image, layers.Conv2D(1, 1, name="conv")(image))).head()
    with pytest.raises(InputError, match=r"its output one has 1 unit, expected a classifier.*one unit with a sigmoid"):
        Probe(keras.Model(image, layers.Dense(1, name="one")(layers.Flatten()(image)))).head()


def test_a_network_with_several_outputs_is_read_at_each():
    image = keras.Input((4, 4, 3))
    first = layers.Conv2D(2, 1, name="first")(image)
    model = keras.Model(image, [layers.Conv2D(1, 3, name="deep")(first), first])
    probe = Probe(model)
    assert probe.outputs == ("deep", "first")
    assert probe.output().name == "deep"
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    found = taps(probe, probe.outputs)(pixels)
    for name, expected in zip(probe.outputs, model(pixels), strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-3)


def binary(ending: str = "argument") -> keras.Model:
    """One logit, 2 × the mean of a 2×2 image - 3, and its sigmoid."""
    image = keras.Input((2, 2, 1))
    mean = layers.GlobalAveragePooling2D(name="mean")(image)
    dense = layers.Dense(1, name="dense", activation="sigmoid" if ending == "argument" else None)
    x = dense(mean)
    if ending == "layer and cast":
        x = layers.Activation("linear", dtype="float32")(layers.Activation("sigmoid", name="last")(x))
    dense.set_weights([np.array([[2.0]]), np.array([-3.0])])
    return keras.Model(image, x)


@pytest.mark.parametrize("ending", ["argument", "layer and cast"])
def test_one_unit_with_a_sigmoid_has_two_classes(ending, hand_image):
    probe = Probe(binary(ending))
    head = probe.head()
    assert (head.units, head.classes, head.squashing) == (1, 2, "sigmoid")
    assert head.words.startswith("logits before")
    scores = taps(probe, [head.point])(hand_image)[head.point]
    np.testing.assert_allclose(scores, [[0]], atol=1e-6)  # the mean is 1.5
    np.testing.assert_allclose(head.class_scores(np.array([[2.0]])), [[-2, 2]])
    one = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(head.probabilities(np.array([[2.0]])), [[1 - one, one]])
    np.testing.assert_allclose(head.confidences(np.array([[0.7]], np.float32)), [[0.3, 0.7]], rtol=1e-6)
    np.testing.assert_array_equal(head.weights(np.array([1, 0])), [[1], [-1]])


def test_one_of_several_outputs_is_chosen_by_name(photos):
    image = keras.Input((16, 16, 3))
    conv = layers.Conv2D(4, 3, name="conv")(image)
    mean = layers.GlobalAveragePooling2D()(conv)
    late = layers.Conv2D(2, 3, name="late")(conv)
    model = keras.Model(image, [layers.Dense(3, name="kind")(mean), layers.Flatten(name="map")(late)])
    assert not Probe(model).is_classifier
    kind = Probe(model, "kind")
    assert (kind.head().point, kind.head().classes, kind.last_map()) == ("kind", 3, "conv")
    assert (Probe(model, "map").head().point, Probe(model, "map").last_map()) == ("map", "late")
    with pytest.raises(InputError, match="no output 'kid'; did you mean kind"):
        Probe(model, "kid")


def test_a_map_of_one_unit_is_not_the_default_of_grad_cam():
    image = keras.Input((8, 8, 3))
    x = layers.ReLU(name="relu")(layers.Conv2D(4, 3, name="wide")(image))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    model = keras.Model(image, layers.Flatten()(layers.Conv2D(5, 1, name="head")(x)))
    assert Probe(model).last_map() == "relu"
    single = keras.Model(image, layers.Conv2D(5, 8, name="only")(image))
    assert Probe(single).last_map() == "only"


@pytest.mark.parametrize(
    ("scaled", "expected"),
    [
        (lambda x: x / 127.5 - 1, True),
        (lambda x: layers.ReLU()(keras.ops.flip(x, axis=-1)) * 0.1, True),
        (layers.Rescaling(1 / 255), True),
        (lambda x: x, False),
        (lambda x: layers.Conv2D(3, 1)(x) / 2, False),
    ],
)
def test_scaling_by_arithmetic_is_seen(scaled, expected):
    image = keras.Input((8, 8, 3))
    assert Probe(keras.Model(image, layers.Conv2D(2, 3)(scaled(image)))).scales_images == expected


def test_whole_numbers_as_input_have_a_gradient():
    image = keras.Input((4, 4, 3), dtype="uint8")
    x = layers.Rescaling(0.5)(image)
    model = keras.Model(image, layers.Flatten()(x))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype(np.uint8)
    probe = Probe(model)
    score = Score(probe.output().name, np.eye(48, dtype=np.float32)[[5]], ("unit 5",))
    scores, _, slopes = gradients(probe, pixels, score)
    assert scores[0] == pixels.ravel()[5] / 2
    np.testing.assert_allclose(slopes.ravel(), np.eye(48)[5] / 2)


@pytest.mark.parametrize("count", [11, 12])
def test_an_unknown_layer_among_many_is_told_with_the_ends_of_the_list(count):
    x = image = keras.Input((2, 2, 1), name="image")
    for number in range(count):
        x = layers.ReLU(name=f"r{number:02}")(x)
    with pytest.raises(InputError) as told:
        Probe(keras.Model(image, x, name="long")).node("something else")
    names = ["image", *(f"r{number:02}" for number in range(count))]
    some = f"; it has {count + 1}, from image, r00, r01 to r{count - 3:02}, r{count - 2:02}, r{count - 1:02}"
    if count == 11:
        assert all(name in str(told.value) for name in names)
    else:
        assert str(told.value).endswith(some)


def test_shapes_that_are_no_map_or_not_fixed_are_told(small):
    probe = Probe(small)
    assert (probe.fixed_shape("logits"), probe.fixed_shape("pool1"), probe.shape("conv2:linear")) == (
        (4,),
        (8, 8, 6),
        (8, 8, 6),
    )
    with pytest.raises(InputError, match=r"small: logits: an output of shape \(4,\), expected a map \(H, W, C\)"):
        probe.map_shape("logits")
    image = keras.Input((None, 4, 3))
    free = Probe(keras.Model(image, layers.Conv2D(1, 1, name="conv")(image), name="free"))
    for read in (free.fixed_shape, free.map_shape):
        with pytest.raises(InputError, match=r"free: conv: an output of shape \(None, 4, 1\)"):
            read("conv")
    pixels = np.zeros((1, 2, 4, 3))
    assert free.images(pixels + 255).dtype == np.float32
    for wrong, words in ((pixels - 1, "from -1 to -1"), (pixels + 255.5, "from 255.5"), (pixels[0], r"\(2, 4, 3\)")):
        with pytest.raises(InputError, match=words):
            free.images(wrong)
    with pytest.raises(InputError, match=r"found shape \(0, 2, 4, 3\), expected \(N, any, 4, 3\)"):
        free.images(pixels[:0])
