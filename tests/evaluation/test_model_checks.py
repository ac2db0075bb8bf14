import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.evaluation import model_checks, protocol
from keras_cnn.evaluation.facts import known
from keras_cnn.evaluation.model_checks import between_batches, between_calls, model_facts, summarise_output

IMAGES = np.random.default_rng(1).integers(0, 256, (8, 4, 4, 1), np.uint8)


@keras.saving.register_keras_serializable("test_model_checks")
class AlwaysDropping(layers.Layer):
    """Monte Carlo dropout that no training argument switches off; `seeded` draws from a generator of the model."""

    def __init__(self, seeded=True, **options):
        super().__init__(**options)
        self.generator = keras.random.SeedGenerator(5) if seeded else None

    def call(self, inputs):
        return keras.random.dropout(inputs, 0.5, seed=self.generator)


class MinusBatchMean(layers.Layer):
    def call(self, inputs):
        return inputs - keras.ops.mean(inputs, axis=0, keepdims=True)


class Subclassed(keras.Model):
    """No graph; dropout and batch norm in training mode inside `call`."""

    def __init__(self):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(3)
        self.dropout, self.norm = layers.Dropout(0.5), layers.BatchNormalization()

    def call(self, inputs):
        scores = self.dense(self.flatten(keras.ops.cast(inputs, "float32") / 255))
        return self.norm(self.dropout(scores, training=True), training=True)


def network(middle=lambda x: x, end=lambda x: x) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((4, 4, 1), name="image")
    x = layers.Flatten(name="flatten")(layers.Rescaling(1 / 127.5, -1, name="rescale")(image))
    return keras.Model(image, end(layers.Dense(5, name="logits")(middle(x))))


def clean() -> keras.Model:
    return network(lambda x: layers.Dropout(0.5, name="drop")(layers.BatchNormalization(name="bn")(x)))


def found(model: keras.Model, images=IMAGES) -> tuple:
    facts = model_facts(model, images)
    return facts.dropout_active, facts.batch_norm_training, facts.fixed_training_mode, facts.output_activation


def test_a_clean_network_has_nothing_but_passes():
    facts = model_facts(clean(), IMAGES)
    checked = {
        "dropout-while-evaluating",
        "batch-norm-in-training-mode",
        "training-mode-fixed",
        "activation-on-logits",
    }
    assert protocol.audit(facts) == []
    assert {finding.flaw for finding in protocol.passed(facts)} == checked
    assert all(finding.evidence for finding in protocol.passed(facts))
    assert (between_calls(clean(), IMAGES).largest, between_batches(clean(), IMAGES).largest) == (0, 0)
    assert set(facts.sources) <= set(known(facts))


def test_dropout_fixed_in_training_mode_is_named_and_measured():
    model = network(lambda x: layers.Dropout(0.5, name="drop")(x, training=True))
    assert found(model) == (False, False, "drop (Dropout)", "linear")  # Keras overrides it in predict
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))
    change = between_calls(model, IMAGES, training=None)
    # Independently: the same two masks from the same seed, applied to the features by hand.
    kernel, bias = model.get_layer("logits").get_weights()
    features = (IMAGES.reshape(8, 16) / 127.5 - 1).astype(np.float32)
    state = model.get_layer("drop").seed_generator.state
    before = state.numpy()
    masks = [np.asarray(model.get_layer("drop")(np.ones((8, 16), np.float32), training=True)) for _ in range(2)]
    state.assign(before)
    assert set(np.unique(masks)) == {0, 2}  # kept with probability 0.5 and scaled up
    first, second = (features * mask @ kernel + bias for mask in masks)
    assert change.largest == pytest.approx(np.abs(first - second).max(), rel=1e-5)
    assert change.scale == pytest.approx(np.abs(first).max(), rel=1e-5)
    (finding,) = protocol.audit(model_facts(model, IMAGES))
    assert (finding.flaw, finding.severity) == ("training-mode-fixed", "note")
    assert "drop (Dropout)" in finding.sentence
    assert f"outputs up to {change.largest:.3g} apart" in finding.evidence[0]


def test_batch_norm_fixed_in_training_mode_is_named_and_measured():
    model = network(lambda x: layers.BatchNormalization(name="bn", epsilon=1e-3)(x, training=True))
    assert found(model) == (False, False, "bn (BatchNormalization)", "linear")
    change = between_batches(model, IMAGES, training=None)
    kernel, bias = model.get_layer("logits").get_weights()

    def by_hand(images):
        x = images.reshape(8, 16) / 127.5 - 1
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3) @ kernel + bias

    others = IMAGES.copy()
    others[4:] = np.random.default_rng(0).uniform(IMAGES.min(), IMAGES.max(), IMAGES.shape).astype(np.uint8)[4:]
    moved = np.abs(by_hand(IMAGES)[:4] - by_hand(others)[:4]).max()
    assert change.largest == pytest.approx(moved, rel=1e-4)
    assert change.layer == "bn (BatchNormalization)"
    assert between_calls(model, IMAGES, training=None).largest == 0


def test_both_are_told_apart_in_one_network():
    """The dropout before must not be taken for a dependence on the batch, nor hide that of the batch norm behind it."""

    def middle(x):
        x = layers.Dropout(0.5, name="drop")(x, training=True)
        return layers.BatchNormalization(name="bn")(x, training=True)

    assert found(network(middle))[2] == "drop (Dropout), bn (BatchNormalization)"
    dropping = network(lambda x: layers.Dropout(0.5, name="drop")(x, training=True))
    assert between_batches(dropping, IMAGES, training=None).largest == 0


def test_layers_that_no_argument_switches_off_are_active_while_evaluating():
    assert found(network(AlwaysDropping(name="mc"))) == (True, False, "none", "linear")
    assert between_calls(network(AlwaysDropping(name="mc")), IMAGES).layer == "mc (AlwaysDropping)"
    assert found(network(MinusBatchMean(name="mean"))) == (False, True, "none", "linear")
    assert between_batches(network(MinusBatchMean(name="mean")), IMAGES).layer == "mean (MinusBatchMean)"
    findings = protocol.audit(model_facts(network(AlwaysDropping(name="mc")), IMAGES))
    assert [f.flaw for f in findings] == ["dropout-while-evaluating"]
    assert "first in layer mc (AlwaysDropping)" in findings[0].evidence[0]


def test_a_foreign_random_generator_leaves_the_batch_unknown():
    model = network(AlwaysDropping(seeded=False, name="mc"))
    assert between_batches(model, IMAGES) is None
    assert found(model) == (True, None, "none", "linear")


def test_random_augmentation_inside_the_network_is_told_as_such():
    class RandomShift(layers.Layer):
        generator = keras.random.SeedGenerator(5)

        def call(self, inputs):
            return inputs + keras.random.normal((1, 16), seed=self.generator)

    facts = model_facts(network(RandomShift(name="shift")), IMAGES)
    assert (facts.dropout_active, facts.test_augmentation) == (None, "shift (RandomShift) inside the network")
    assert [f.flaw for f in protocol.audit(facts)] == ["test-images-augmented"]


def test_a_model_without_a_graph_is_judged_by_its_outputs():
    model = Subclassed()
    assert found(model) == (True, True, "none", "linear")
    assert between_calls(model, IMAGES).layer is None
    assert [f.severity for f in protocol.audit(model_facts(model, IMAGES))] == ["invalidates", "weakens"]


def test_a_loaded_and_a_sequential_model(tmp_path):
    model = network(lambda x: layers.Dropout(0.5, name="drop")(x, training=True))
    model.save(tmp_path / "model.keras")
    assert found(keras.models.load_model(tmp_path / "model.keras"))[2] == "drop (Dropout)"
    stack = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dropout(0.5), layers.Dense(3, "sigmoid", name="end")]
    assert found(keras.Sequential([keras.Input((4, 4, 1)), *stack])) == (False, False, "none", "sigmoid")


@pytest.mark.parametrize(
    ("end", "activation", "layer"),
    [
        (lambda x: x, "linear", "logits"),
        (lambda x: layers.ReLU(name="end")(x), "relu", "end"),
        (lambda x: layers.Activation("tanh", name="end")(x), "tanh", "end"),
        (lambda x: layers.Softmax(name="end")(x), "softmax", "end"),
        (lambda x: layers.Dense(3, "softmax", name="end")(x), "softmax", "end"),
        (lambda x: layers.LeakyReLU(name="end")(x), "leakyrelu", "end"),
        (lambda x: layers.Activation("linear", name="cast")(layers.ReLU(name="end")(x)), "relu", "end"),
        (lambda x: layers.Activation("linear", name="cast")(x), "linear", "cast"),
        (lambda x: layers.Dropout(0.5, name="drop")(layers.Dense(3, "relu", name="end")(x)), "relu", "end"),
        (lambda x: layers.Dense(3, name="end")(layers.ReLU()(x)), "linear", "end"),
        (lambda x: keras.ops.softmax(x), "softmax", None),
    ],
)
def test_the_activation_is_read_from_the_graph(end, activation, layer):
    result = summarise_output(network(end=end), IMAGES)
    assert result.activation == activation
    assert layer is None or result.layer == layer


@pytest.mark.parametrize(
    ("end", "activation"),
    [
        (lambda x: keras.ops.maximum(x, 0.0), "relu"),
        (lambda x: keras.ops.exp(x) / keras.ops.sum(keras.ops.exp(x), axis=1, keepdims=True), "softmax"),
        (lambda x: 1 / (1 + keras.ops.exp(-x)), "sigmoid"),
        (lambda x: keras.ops.exp(x) + 1, "a function that is never negative"),
        (lambda x: x * 0.01, "linear"),
    ],
)
def test_the_activation_shows_in_the_values_where_the_graph_is_silent(end, activation):
    model = network(end=end)
    result = summarise_output(model, IMAGES)
    assert result.activation == activation
    values = np.asarray(model(np.concatenate([IMAGES, model_checks._beside_noise(IMAGES)])))
    assert (result.smallest, result.largest) == pytest.approx((values.min(), values.max()), rel=1e-6)
    assert result.zeros == pytest.approx((values == 0).sum() / values.size)
    assert result.row_sum_error == pytest.approx(np.abs(values.sum(axis=1) - 1).max(), rel=1e-5, abs=1e-6)
    flawed = {"activation-on-logits"} if activation != "linear" else set()
    assert {f.flaw for f in protocol.audit(model_facts(model, IMAGES))} == flawed


def test_logits_that_happen_to_be_positive_are_no_activation():
    model = network()
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel, bias + 100])
    assert summarise_output(model, IMAGES).smallest > 0
    assert found(model)[3] == "linear"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_rounding_is_no_finding(policy):
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((12, 12, 3))
        x = layers.Conv2D(16, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
        x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x)))
        model = keras.Model(image, layers.Dense(10, dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(2).integers(0, 256, (16, 12, 12, 3), np.uint8)
    assert found(model, images) == (False, False, "none", "linear")


def test_nothing_of_the_model_is_left_changed():
    def middle(x):
        return layers.BatchNormalization(name="bn")(layers.Dropout(0.5)(x, training=True), training=True)

    model = network(middle)
    before = [variable.numpy() for variable in model.variables]
    model_facts(model, IMAGES)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    model(IMAGES)  # the call that the checks undo: it does move statistics and seeds
    assert any((variable.numpy() != value).any() for variable, value in zip(model.variables, before, strict=True))


def test_an_error_leaves_nothing_changed_either():
    model = network(lambda x: layers.Dropout(0.5, name="drop")(x, training=True), lambda x: x / 0.0)
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(InputError, match="outputs that are not finite"):
        model_facts(model, IMAGES)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:1], r"images of shape \(1, 4, 4, 1\); expected \(N, H, W, C\) with at least 2"),
        (IMAGES[0], r"images of shape \(4, 4, 1\)"),
        (np.zeros((4, 4, 4, 1), np.uint8), "all have one value"),
        (np.full((4, 4, 4, 1), np.nan, np.float32), "not finite"),
    ],
)
def test_images_that_show_nothing_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        model_facts(clean(), images)
