"""Fine-tuning beside plain Keras: what is computed once changes nothing, and what is frozen stays to the byte."""

import dataclasses
import json
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_cnn import config as config_module
from keras_cnn.config import OptimConfig
from keras_cnn.data import pipeline
from keras_cnn.data.augment import augment
from keras_cnn.distribution.device_rows import DeviceRows
from keras_cnn.errors import InputError, Stopped
from keras_cnn.loading import BUILDERS
from keras_cnn.models.model_files import load_model
from keras_cnn.run_folder import RunFolder, shell_command
from keras_cnn.tasks.classification import phase_runner, results
from keras_cnn.tasks.classification.objective import CrossEntropy
from keras_cnn.tasks.classification.phase_runner import FrozenChanged, PhaseRunner, fingerprints
from keras_cnn.tasks.classification.setup import SharedResources, TrainingSetup, prepare_setup
from keras_cnn.tasks.classification.task import ClassificationTask
from keras_cnn.tasks.preparing import prepare, trials_of
from keras_cnn.training import experiment
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.phases import rate_factors
from keras_cnn.training.step import Trainer

# Two stages and a tail: what is frozen ends at pool1, pool2, or in between.
TABLE = (
    "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {conv: 6, kernel: 3}, {bn: }, {relu: }, {pool: 2},"
    " {flatten: }, {dropout: 0.3}, {dense: 8}, {bn: }, {relu: }]"
)
CLASSES, A_CLASS, SIDE = ("dark", "grey", "light"), 16, 32
OPTIONS = {
    "name": "tuned",
    "seed": 3,
    "precision": "float32",
    "deterministic": "no",  # this process runs other tests
    "data.validation": 9,
    "data.test": 6,
    "model.name": "layers",
    "model.table": TABLE,
    "optim.learning_rate": 0.01,
    "train.epochs": 3,
    "train.batch_size": 8,
    "tracking.wandb": "off",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(5)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for i in range(A_CLASS):
            picture = rng.integers(50 * number, 50 * number + 150, (SIDE, SIDE, 3), np.uint8)
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Without figures, which take half of a tiny run's time; the number format that a run sets is put back."""
    monkeypatch.setattr(results, "draw_figures", lambda *_: None)
    monkeypatch.setattr(results, "draw_augmentation", lambda *_: None)
    yield
    keras.config.set_dtype_policy("float32")


def config_of(photos: Path, **changes) -> config_module.Config:
    """With the changed options, or without those that are changed to None."""
    options = OPTIONS | {"data.source": f"folder:{photos}", "data.cache_dir": photos.parent / "cache"}
    options |= {name.replace("__", "."): value for name, value in changes.items()}
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return config_module.load(None, words, BUILDERS)


def ready(photos: Path, **changes) -> tuple[TrainingSetup, PhaseRunner]:
    """A run before its first step, and its last phase."""
    found = prepare_setup(config_of(photos, **changes), None)
    return found, PhaseRunner(found, found.phases[-1])


def steps_through(running: PhaseRunner, epochs: int, rate: float = 0.01) -> list[float]:
    """The losses of every step."""
    trainer, losses = running.trainer, []
    for batch in running.batches(0, 0, epochs):
        losses.append(float(trainer.train_on(batch, rate)[0]))
    return losses


def train(photos: Path, folder: Path, **changes) -> dict:
    with RunFolder.create("run", path=folder) as run:
        return experiment.train(config_of(photos, **changes), run, prepare)


def history(folder: Path) -> np.ndarray:
    """(epochs, 6) without seconds."""
    return np.array([list(row.values())[:6] for row in RunFolder(folder).history()])


# --- what is computed once changes nothing ----------------------------------------------------------------------------

BRIGHTNESS = {"data__augment__name": "none", "data__augment__brightness": 0.3}
CASES = {  # changes, and how far the weights may be apart after three epochs
    "head only": ({"finetune__freeze_upto": "all"}, 1e-5),
    "inside the backbone": ({"finetune__freeze_upto": "bn1"}, 1e-5),
    "two views": ({"finetune__freeze_upto": "pool1", "finetune__augment_views": 2, **BRIGHTNESS}, 1e-5),
    "bfloat16": ({"finetune__freeze_upto": "pool1", "precision": "mixed_bfloat16"}, 2e-2),
}


ON_DEVICE = {  # changes, and what is kept there: images or features
    "files, mixed": ({"data__cache": "none", "data__augment__mixup": 0.3, **BRIGHTNESS}, "0.1 MiB of images"),
    "decoded, frozen in the step": ({"finetune__freeze_upto": "pool1", "finetune__features": "none"}, "of images"),
    "two views": ({"finetune__freeze_upto": "pool1", "finetune__augment_views": 2, **BRIGHTNESS}, "of features"),
    "bfloat16": ({"finetune__freeze_upto": "pool1", "finetune__features_dtype": "bfloat16"}, "of features"),
}


@pytest.mark.parametrize("name", ON_DEVICE)
def test_what_is_kept_on_the_device_changes_no_byte(photos, name, monkeypatch):
    changes, said = ON_DEVICE[name]
    found, logged = {}, []
    monkeypatch.setattr(phase_runner.logger, "info", logged.append)
    for kept in ("no", "yes"):
        made, running = ready(photos, train__on_device=kept, **changes)
        found[kept] = [steps_through(running, 3), *(w.tobytes() for w in made.model.get_weights())]
    assert found["no"] == found["yes"]
    assert [line for line in logged if said in line and line.endswith("on each device")]


@pytest.mark.parametrize("name", CASES)
def test_training_on_what_is_kept_equals_training_on_images(photos, name):
    changes, apart = CASES[name]
    found = {}
    for images_each_step in (False, True):
        kept = {"finetune__features": "none" if images_each_step else "disk" if name == "two views" else "auto"}
        made, running = ready(photos, optim__optimizer="sgd", **changes | kept)
        assert (running.features_place is None) == images_each_step
        losses = steps_through(running, 3)
        found[images_each_step] = [losses, *made.model.get_weights(), running.logits("validation")]
        assert running.verify_frozen() > 0
    for one, other in zip(found[False], found[True], strict=True):
        np.testing.assert_allclose(one, other, rtol=apart, atol=apart)


def plain_keras(made: TrainingSetup, epochs: int, rate: float) -> None:
    """The usual way: layers with `trainable = False`, a batch norm of which is in inference mode, and one optimizer."""
    views, optimizer = made.config.finetune.augment_views, keras.optimizers.SGD(rate)
    for images, labels, keys, epoch, _ in made.batches(made.train, seed=made.config.seed, epochs=epochs):
        if views:
            images, _ = augment(
                images, tf.zeros((len(labels), 1)), keys, epoch % views, seed=made.config.seed, recipe=made.augmentation
            )
        with tf.GradientTape() as tape:
            logits = made.model(tf.cast(images, tf.float32), training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        variables = made.model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)


CALM = TABLE.replace("{dropout: 0.3}, ", "")  # a dropout's draws depend on how the network is compiled


@pytest.mark.parametrize(
    ("upto", "epochs", "changes"),
    [
        ("pool1", 3, {"model__table": CALM}),
        ("pool1", 3, {"model__table": CALM, "finetune__augment_views": 2, **BRIGHTNESS}),
        ("layer2_0_conv1", 1, {"model__table": None, "model__name": "resnet8", "model__weights": "none"}),
    ],
    ids=["between stages", "two views", "inside a residual block"],
)
def test_a_frozen_part_trains_like_plain_keras(photos, upto, epochs, changes):
    weights = []
    for ours in (True, False):
        made, running = ready(photos, finetune__freeze_upto=upto, optim__optimizer="sgd", **changes)
        before = made.model.get_weights()
        if ours:
            steps_through(running, epochs)
        else:
            assert [layer.name for layer in made.model.layers if not layer.trainable][-1] == upto
            plain_keras(made, epochs, 0.01)
        weights.append(made.model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    assert max(np.abs(one - other).max() for one, other in zip(weights[0], before, strict=True)) > 1e-2


# --- rates by depth ---------------------------------------------------------------------------------------------------

FACTORS = {"last": 1.0, "middle": 0.4, "first": 0.16}


def three_layers() -> keras.Model:
    keras.utils.set_random_seed(2)
    x = image = keras.Input((2, 2, 1))
    x = keras.layers.Flatten()(x)
    for name in ("first", "middle"):
        x = keras.layers.Dense(5, "tanh", name=name)(x)
    return keras.Model(image, keras.layers.Dense(3, name="last")(x))


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("sgd", {"momentum": 0.9}),
        ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
        ("adam", {}),
        ("adam", {"loss_scaling": True}),
        ("adamw", {"weight_decay": 0.3}),
        ("rmsprop", {"momentum": 0.5}),
        ("adagrad", {}),
    ],
)
def test_rates_by_depth_are_an_optimizer_a_group(rule, settings):
    settings = dict(settings)
    rng = np.random.default_rng(4)
    images, labels = rng.random((9, 2, 2, 1), np.float32), rng.integers(0, 3, 9).astype(np.int32)
    ours, theirs = three_layers(), three_layers()
    by_path = {v.path: FACTORS[layer.name] for layer in ours.layers if layer.weights for v in layer.weights}

    def unchanged(images, labels, keys, epoch):
        return images, labels

    spec = tf.TensorSpec((None, 2, 2, 1))
    loss_scaling = settings.pop("loss_scaling", False)
    optim = OptimConfig(rule, **settings)
    optimizer = build_optimizer(optim, loss_scaling=loss_scaling)
    trainer = Trainer(ours, optimizer, unchanged, objective=CrossEntropy(3), inputs=spec, rate_factors=by_path)
    groups = {name: build_optimizer(optim) for name in FACTORS}
    for name, optimizer in groups.items():
        variables = theirs.get_layer(name).trainable_variables
        if optimizer.weight_decay is not None:
            optimizer.exclude_from_weight_decay(var_list=[v for v in variables if v.name == "bias"])
        optimizer.build(variables)
    for step in range(6):
        rate = 0.02 / (1 + step)
        trainer.step(images, labels, np.zeros((9, 2), np.int32), np.int32(0), np.float32(rate))
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, theirs(images))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, {name: theirs.get_layer(name).trainable_variables for name in groups})
        for name, optimizer in groups.items():
            optimizer.learning_rate.assign(rate * FACTORS[name])
            optimizer.apply(gradients[name])
    for one, other, start in zip(ours.get_weights(), theirs.get_weights(), three_layers().get_weights(), strict=True):
        np.testing.assert_allclose(one - start, other - start, rtol=1e-3, atol=1e-6)
        assert np.abs(one - start).max() > 1e-4


def test_the_rates_of_a_run_are_those_of_its_stages(photos):
    made, running = ready(photos, finetune__stage_decay=0.1, finetune__freeze_upto="bn1", optim__optimizer="sgd")
    before = {v.path: np.array(v) for v in made.model.trainable_variables}
    gradients = {}
    original = running.trainer.optimizer.apply

    def apply(values, variables):
        gradients.update((v.path, tf.Variable(g)) for v, g in zip(variables, values, strict=True))
        return original(values, variables)

    running.trainer.optimizer.apply = apply
    tf.config.run_functions_eagerly(True)
    try:
        running.trainer.train_on(next(iter(running.batches(0, 0, 1))), 0.5)
    finally:
        tf.config.run_functions_eagerly(False)
    factors = rate_factors(made.model, 0.1)
    assert len({round(factors[path.split("/")[0]], 9) for path in before}) >= 3
    for variable in made.model.trainable_variables:
        expected = before[variable.path] - 0.5 * factors[variable.path.split("/")[0]] * gradients[variable.path].numpy()
        np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)


# --- phases -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def phase_by_phase(monkeypatch) -> list[tuple[list[str], list[str]]]:
    """Of each phase of the next run: the layers that were to be frozen, and those of them whose bytes have changed."""
    found, original = [], experiment.fit

    def fit(trainer, batches, session, *arguments, **settings):
        model = session._task.model

        def bytes_of():
            return {x.name: [w.numpy().tobytes() for w in x.weights] for x in model.layers if x.weights}

        before = bytes_of()
        original(trainer, batches, session, *arguments, **settings)
        after = bytes_of()
        frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
        found.append((frozen, [name for name in before if before[name] != after[name]]))

    monkeypatch.setattr(experiment, "fit", fit)
    return found


@pytest.mark.parametrize("strategy", ["staged", "gradual"])
def test_in_each_phase_the_frozen_part_stays_to_the_byte_and_all_else_trains(
    photos, tmp_path, phase_by_phase, strategy, messages
):
    upto = 0 if strategy == "staged" else "conv2"  # then: the head; bn3; dense1; bn2
    options = {"finetune__strategy": strategy, "train__epochs": 5, "finetune__head_epochs": 2, "model__table": CALM}
    options["finetune__freeze_upto"] = upto
    train(photos, tmp_path / "run", **options)
    assert history(tmp_path / "run")[:, 0].tolist() == [1, 2, 3, 4, 5]
    # conv1, bn1, conv2, bn2, dense1 and bn3 are frozen at first
    assert [len(frozen) for frozen, _ in phase_by_phase] == ([6, 0] if strategy == "staged" else [6, 5, 4, 3])
    every = {name for frozen, changed in phase_by_phase for name in (*frozen, *changed)}
    for frozen, changed in phase_by_phase:
        assert set(changed) == every - set(frozen)  # batch norms have statistics among their weights
    assert (tmp_path / "run" / "freeze.json").exists() == (upto != 0)  # what is frozen to the end
    assert sum(line.startswith("verified") for line in messages) == (upto != 0)
    assert sum(line.startswith("features") for line in messages) == (1 if strategy == "staged" else 4)


def test_the_parts_outputs_are_let_go_of_before_the_next_phase_asks_for_room(photos, tmp_path, monkeypatch):
    """Those of the training images, in memory and on the device, and those of the validation images."""
    kept, introduced, in_memory = [], [], phase_runner.FrozenPart.in_memory

    class Remembered(DeviceRows):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.extend(map(weakref.ref, self._copies))

    def remembering(self, *arguments):
        found = in_memory(self, *arguments)
        kept.append(weakref.ref(found.values))
        return found

    original = PhaseRunner.log_summary

    def log_summary(self):
        introduced.append([ref() is None for ref in kept])
        original(self)

    monkeypatch.setattr(phase_runner, "DeviceRows", Remembered)
    monkeypatch.setattr(phase_runner.FrozenPart, "in_memory", remembering)
    monkeypatch.setattr(PhaseRunner, "log_summary", log_summary)
    staged = {"finetune__strategy": "staged", "finetune__freeze_upto": "bn1", "train__epochs": 2}
    train(photos, tmp_path / "run", train__on_device="yes", **staged)
    assert introduced == [[], [True, True, True]]
    assert len(kept) == 6


def test_early_stopping_in_the_first_phase_ends_the_run(photos, tmp_path, monkeypatch, phase_by_phase):
    monkeypatch.setattr(PhaseRunner, "validate", lambda self: {"val_loss": 1.0, "val_accuracy": 0.5})
    options = {"finetune__strategy": "staged", "finetune__head_epochs": 5, "train__early_stopping": 2}
    metrics = train(photos, tmp_path / "run", train__epochs=9, **options)
    assert len(history(tmp_path / "run")) == 3
    assert metrics["best_epoch"] == 1
    assert len(phase_by_phase) == 1


def test_the_best_weights_of_an_earlier_phase_are_the_runs(photos, tmp_path, monkeypatch):
    """The head's epochs are said to be the best ones, so that the rest must be as initialised in the model kept."""

    def validate(self) -> dict[str, float]:
        return {"val_loss": 1.0, "val_accuracy": 0.9 if self._phase.upto == "all" else 0.5}

    monkeypatch.setattr(PhaseRunner, "validate", validate)
    made = prepare_setup(config_of(photos), None)
    first = {layer.name: [np.array(w) for w in layer.weights] for layer in made.model.layers}
    options = {"finetune__strategy": "staged", "finetune__freeze_upto": "bn1", "finetune__head_epochs": 2}
    metrics = train(photos, tmp_path / "run", train__epochs=4, **options)
    assert metrics["best_epoch"] == 1
    for name, moves in (("conv1", False), ("conv2", False), ("logits", True)):
        kept = load_model(tmp_path / "run" / "model.keras").get_layer(name).get_weights()
        assert any((one != other).any() for one, other in zip(kept, first[name], strict=True)) == moves
    assert not (tmp_path / "run" / "best.npz").exists()


# --- verification -----------------------------------------------------------------------------------------------------


def test_averaged_weights_leave_the_frozen_ones_to_the_byte_and_statistics_only_where_frozen(
    photos, tmp_path, messages
):
    first = {layer.name: layer for layer in prepare_setup(config_of(photos), None).model.layers}
    metrics = train(photos, tmp_path / "run", finetune__freeze_upto="bn1", train__ema=0.9)
    assert "verified  weights and statistics of 2 frozen layers unchanged, byte for byte" in messages
    told = json.loads((tmp_path / "run" / "freeze.json").read_text())
    assert list(told["frozen"]) == ["conv1", "bn1"]
    model = load_model(tmp_path / "run" / "model.keras")
    for layer in ("conv1", "bn1"):
        for one, other in zip(model.get_layer(layer).weights, first[layer].weights, strict=True):
            assert one.numpy().tobytes() == other.numpy().tobytes()
    moved = zip(model.get_layer("bn2").weights, first["bn2"].weights, strict=True)
    assert all((np.array(one) != np.array(other)).any() for one, other in moved)
    assert metrics["validation"]["accuracy"] == pytest.approx(history(tmp_path / "run")[:, 4].max())


def test_a_frozen_weight_that_is_changed_by_force_is_found(photos, tmp_path, monkeypatch):
    original = experiment.TrainingSession.epoch_done

    def changing(self, row):
        kernel = self._task.model.get_layer("conv1").kernel
        kernel.assign(np.nextafter(kernel.numpy(), np.float32(9)))
        return original(self, row)

    monkeypatch.setattr(experiment.TrainingSession, "epoch_done", changing)
    with pytest.raises(FrozenChanged, match="1 frozen layers have changed in training, the first conv1"):
        train(photos, tmp_path / "run", finetune__freeze_upto="bn1")


def test_every_byte_of_a_frozen_layer_counts(photos):
    made, _ = ready(photos, finetune__freeze_upto="bn1")
    before = fingerprints(made.model)
    assert list(before) == ["conv1", "bn1"]
    variance = made.model.get_layer("bn1").moving_variance
    variance.assign(np.nextafter(variance.numpy(), np.float32(9)))
    after = fingerprints(made.model)
    assert after["conv1"] == before["conv1"]
    assert after["bn1"] != before["bn1"]


# --- numbers, and what else a run can be ------------------------------------------------------------------------------


def test_the_final_numbers_are_the_saved_models_own_where_features_are_rounded(photos, tmp_path, messages):
    """In training, validation goes by what is kept; what is written at the end is what the model gives to images."""
    options = {"finetune__freeze_upto": "pool1", "finetune__features_dtype": "bfloat16"}
    metrics = train(photos, tmp_path / "run", **options)
    assert any("bfloat16 in memory" in line for line in messages)
    model, made = load_model(tmp_path / "run" / "model.keras"), prepare_setup(config_of(photos), None)
    for name, split in (("validation", made.dataset.validation), ("train", made.train)):
        images = np.concatenate([batch.images.numpy() for batch in pipeline.batches(split, (SIDE, SIDE, 3), 8)])
        logits = model.predict(images, verbose=0).astype(float)
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(split)), split.labels]
        assert metrics[name]["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    rounded = history(tmp_path / "run")[int(metrics["best_epoch"]) - 1, 3]
    assert rounded != pytest.approx(metrics["validation"]["loss"], rel=1e-6)


def test_one_batch_is_overfitted_on_its_features(photos, tmp_path, messages):
    options = {"finetune__freeze_upto": "pool1", "train__overfit_batch": True, "train__epochs": 12}
    metrics = train(photos, tmp_path / "run", **options)
    assert metrics["train"]["images"] == 8
    assert any(line.startswith("one batch: the network ") for line in messages)
    assert any("computed once for 17 images and kept" in line for line in messages)


def test_the_range_test_leaves_the_frozen_part_alone(photos, tmp_path):
    made = []

    def preparing(config, precision):
        made.append(prepare(config, precision))
        return made[0]

    with RunFolder.create("run", path=tmp_path / "run") as run:
        rate = experiment.find_learning_rate(config_of(photos, finetune__freeze_upto="bn1"), run, preparing)
    assert 1e-6 < rate < 1
    assert json.loads((tmp_path / "run" / "freeze.json").read_text())["frozen"] == fingerprints(made[0].model)


def test_a_trial_of_a_sweep_may_have_a_frozen_part(photos, tmp_path, messages):
    config = config_of(photos, finetune__freeze_upto="pool1")
    with RunFolder.open_or_create(tmp_path / "0001") as folder:
        metrics = experiment.train(config, folder, trials_of(SharedResources()), watch=lambda rows: len(rows) == 2)
    assert metrics["validation"]["images"] == 9
    assert len(history(tmp_path / "0001")) == 2
    assert any(line.startswith("verified") for line in messages)
    assert not (tmp_path / "0001" / "test_readings.csv").exists()


def test_a_dry_run_says_what_is_frozen_kept_and_what_it_costs(photos, messages):
    experiment.dry_run(config_of(photos, finetune__freeze_upto="pool1", train__epochs=4), prepare)
    text = "\n".join(messages)
    images, validation = 48 - 9 - 6, 9
    # 3×3 kernels, "same": conv1 on 32², conv2 on 16²; then 8² × 6 numbers to 8 units and to 3
    front, tail = 32 * 32 * 27 * 4, 16 * 16 * 36 * 6 + 384 * 8 + 8 * 3
    assert f"about {float(images * front + 4 * images * 3 * tail):.2e} multiply-adds" in text
    size = (images + validation) * 16 * 16 * 4 * 4 / 2**20
    assert f"ends at pool1 16×16×4, {27 * 4 + 4 + 16} weights\n" in text
    assert f"          computed once for 42 images and kept: {size:.1f} MiB" in text
    assert any("frozen" in line and "inference" in line for line in messages)
    messages.clear()
    experiment.dry_run(config_of(photos, finetune__freeze_upto="pool1", data__augment__name="light"), prepare)
    assert f"about {float(3 * images * (front + 3 * tail)):.2e} multiply-adds" in "\n".join(messages)
    assert "finetune.augment_views keeps some views of each" in "\n".join(messages)


def test_views_of_mixed_images_are_refused(photos):
    options = {"data__augment__name": "light", "data__augment__cutmix": 0.5, "finetune__augment_views": 3}
    with pytest.raises(InputError, match=r"finetune.augment_views: found 3 with data.augment.cutmix, which mixes"):
        prepare_setup(config_of(photos, **options), None)


def test_where_memory_is_short_nothing_is_kept_the_views_are_the_same_and_the_reason_given(
    photos, monkeypatch, messages
):
    monkeypatch.setattr(phase_runner, "bytes_fit", lambda need: False)
    options = {"finetune__freeze_upto": "pool1", "finetune__augment_views": 2, **BRIGHTNESS}
    made = prepare_setup(config_of(photos, **options), None)
    short = PhaseRunner(made, made.phases[-1])
    short.log_summary()
    assert short.features_place is None
    assert "do not fit in memory; finetune.features disk keeps them" in "\n".join(messages)
    images, labels, keys, *_ = next(iter(short.batches(0, 0, 1)))
    views = [short._augmented(images, tf.one_hot(labels, 3), keys, tf.constant(epoch))[0].numpy() for epoch in range(4)]
    np.testing.assert_array_equal(views[0], views[2])
    np.testing.assert_array_equal(views[1], views[3])
    assert (views[0] != views[1]).any()


@pytest.mark.parametrize(("loaded", "program"), [(None, "train"), (object(), "finetune")])
def test_the_command_that_goes_on_is_of_the_program_that_began(photos, tmp_path, loaded, program):
    (tmp_path / "config.yaml").write_text("")
    task = ClassificationTask(dataclasses.replace(prepare_setup(config_of(photos), None), loaded=loaded))
    with pytest.raises(Stopped) as caught, experiment._resumable(task, RunFolder(tmp_path)):
        raise Stopped("the disk is full")
    assert caught.value.__notes__ == [f"go on with: {shell_command(program, '--resume', tmp_path)}"]
