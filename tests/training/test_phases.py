"""Phases, plans and rates of a fine-tuning, worked out by hand on small networks and on ResNet18."""

import itertools
import re

import keras
import pytest
from keras import layers

from keras_cnn import models
from keras_cnn.errors import InputError
from keras_cnn.models.freezing import frozen_layers
from keras_cnn.training.phases import Phase, freeze_plan, phases, plan_text, rate_factors


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    return models.build("resnet18", (32, 32, 3), 6, weights="none")


def planned(model, strategy, upto, epochs=20, head_epochs=1, unfreeze_epochs=1) -> list[Phase]:
    return phases(model, strategy, upto, epochs=epochs, head_epochs=head_epochs, unfreeze_epochs=unfreeze_epochs)


def steps_of(*arguments, **settings) -> list[tuple[int, object]]:
    return [(phase.until, phase.upto) for phase in planned(*arguments, **settings)]


def test_the_phases_of_each_strategy(resnet):
    assert steps_of(resnet, "fixed", "layer2") == [(20, "layer2")]
    assert steps_of(resnet, "staged", "layer2", head_epochs=3) == [(3, "all"), (20, "layer2")]
    assert steps_of(resnet, "staged", 0) == [(1, "all"), (20, 0)]
    # after the head a stage more every four epochs: layer4, then layer3, then to the end layer2 and what is before it
    expected = [(2, "all"), (6, "layer3"), (10, "layer2"), (20, "layer1")]
    assert steps_of(resnet, "gradual", "layer1", head_epochs=2, unfreeze_epochs=4) == expected
    stages = ["all", "layer3", "layer2", "layer1", "conv1"]
    assert steps_of(resnet, "gradual", 0, epochs=6) == [*zip(range(1, 6), stages, strict=True), (6, 0)]
    assert steps_of(resnet, "gradual", -1) == [(1, "all"), (20, -1)]


@pytest.mark.parametrize("upto", [0, 3, -3, "layer2", "layer3_0_conv1", "conv1"])
def test_gradual_unfreezing_never_freezes_again_and_never_touches_what_stays_frozen(resnet, upto):
    frozen = [set(frozen_layers(resnet, phase.upto)) for phase in planned(resnet, "gradual", upto, 20, 1, 1)]
    for before, after in itertools.pairwise(frozen):
        assert before > after
    assert frozen[-1] == set(frozen_layers(resnet, upto))


def test_a_stage_that_lacks_what_stays_frozen_is_no_step():
    """Two branches side by side, of which the second is frozen too, and of a later stage."""
    image = keras.Input((4, 4, 1), name="image")
    branches = []
    for name in ("sum", "left"):
        x = layers.Conv2D(1, 1, name=f"{name}_1")(image)
        for number in (2, 3):
            x = layers.ReLU(name=f"{name}_{number}")(x)
        branches.append(layers.Conv2D(1, 1, name=f"{name}_4")(x))
    x = layers.Conv2D(1, 1, name="last")(layers.Add(name="sum_5")(branches))
    model = keras.Model(image, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D(name="pool")(x)))
    assert frozen_layers(model, 2) == ["image", "sum_1", "left_1"]
    assert frozen_layers(model, "left") == ["image", "left_1", "left_2", "left_3", "left_4"]
    assert steps_of(model, "gradual", 2) == [(1, "all"), (2, "sum"), (20, 2)]


@pytest.mark.parametrize(
    ("strategy", "upto", "epochs", "message"),
    [
        (
            "staged",
            "all",
            9,
            "finetune.strategy staged: found finetune.freeze_upto all, expected a part of the backbone",
        ),
        ("gradual", "layer4", 9, "finetune.strategy gradual: found finetune.freeze_upto layer4, expected a part"),
        ("gradual", 40, 9, "finetune.strategy gradual: found finetune.freeze_upto 40, expected a part"),
        ("staged", 0, 2, "train.epochs: found 2, expected more than 2: staged unfreezes resnet18 to 0 by then"),
        ("gradual", "conv1", 4, "train.epochs: found 4, expected more than 4"),
        ("fixed", "layer9", 5, "finetune.freeze_upto: resnet18 has no stage or layer 'layer9'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(resnet, strategy, upto, epochs, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        planned(resnet, strategy, upto, epochs, 2 if strategy == "staged" else 1, 1)
    assert "\n" not in str(error.value)


def test_rates_fall_from_the_head_down_stage_by_stage(resnet):
    factors = rate_factors(resnet, 0.5)
    expected = {"logits": 1, "layer4_1_bn2": 0.5, "layer3_0_conv1": 0.25, "layer2_0_downsample_0": 0.125}
    expected |= {"layer1_0_bn1": 0.0625, "conv1": 0.03125}
    assert {name: factors[name] for name in expected} == expected
    assert set(factors) == {layer.name for layer in resnet.layers}
    assert set(rate_factors(resnet, 1.0).values()) == {1.0}


def test_stages_without_weights_are_no_steps():
    x = image = keras.Input((8, 8, 1), name="image")
    for number in (1, 2):
        x = layers.Conv2D(1, 3, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(2, name="logits")(x))
    found = rate_factors(model, 0.5)
    assert {name: found[name] for name in ("logits", "conv2", "conv1")} == {"logits": 1, "conv2": 0.5, "conv1": 0.25}
    assert steps_of(model, "gradual", 0) == [(1, "all"), (2, "conv1"), (20, 0)]


def rows_of(model, steps, decay=1.0) -> dict[str, tuple]:
    """stage -> layers, parameters, frozen layers and parameters, batch norms, frozen ones, first epoch, factor"""
    rows = freeze_plan(model, steps, decay)
    return {
        row.stage: (
            *(row.layers, row.parameters, row.frozen_layers, row.frozen_parameters),
            *(row.batch_norms, row.frozen_batch_norms, row.trained_from, row.rate_factor),
        )
        for row in rows
    }


# Of ResNet18: 3×3 kernels without bias; a batch norm has four numbers a channel, two of them statistics.
CONV1 = 7 * 7 * 3 * 64 + 4 * 64
LAYER1 = 4 * (3 * 3 * 64 * 64 + 4 * 64)
LAYER2 = 3 * 3 * 64 * 128 + 3 * (3 * 3 * 128 * 128) + 64 * 128 + 5 * 4 * 128


def test_the_plan_of_a_fixed_part_that_ends_inside_a_stage(resnet):
    steps = planned(resnet, "fixed", "layer2_0_bn1", 20, 1, 1)
    found = rows_of(resnet, steps, 0.5)
    assert list(found) == ["conv1", "layer1", "layer2", "layer3", "layer4", "head"]
    assert found["conv1"] == (2, CONV1, 2, CONV1, 1, 1, None, 0.03125)
    assert found["layer1"] == (8, LAYER1, 8, LAYER1, 4, 4, None, 0.0625)
    assert found["layer2"] == (10, LAYER2, 2, 3 * 3 * 64 * 128 + 4 * 128, 5, 1, 1, 0.125)
    assert found["head"] == (1, 512 * 6 + 6, 0, 0, 0, 0, 1, 1.0)
    text = plan_text(freeze_plan(resnet, steps, 0.5), 0.01)
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert re.search(rf"{CONV1:,}  frozen +inference +-$", lines["conv1"])
    assert re.search(rf"{LAYER2:,}  trained, 2 layers frozen +1 of 5 inference +0\.0013$", lines["layer2"])
    assert re.search(r"trained +training +0\.005$", lines["layer4"])
    assert re.search(r"3,078  trained +- +0\.01$", lines["head"])
    assert text.splitlines()[0].split()[0] == "stage"
    assert len({len(line) for line in text.splitlines()[:-1]}) == 1  # the rates are flush right
    total = resnet.count_params()
    frozen = CONV1 + LAYER1 + 3 * 3 * 64 * 128 + 4 * 128
    assert re.search(rf"41 +{total:,}  {frozen:,} frozen to the end$", lines["in"])


def test_the_plan_says_from_which_epoch_a_stage_trains(resnet):
    found = rows_of(resnet, planned(resnet, "gradual", "conv1", 20, 2, 3))
    starts = {stage: row[-2] for stage, row in found.items()}
    assert starts == {"head": 1, "layer4": 3, "layer3": 6, "layer2": 9, "layer1": 12, "conv1": None}
    text = plan_text(freeze_plan(resnet, planned(resnet, "staged", 0, 20, 2, 1), 1.0), 0.01)
    assert "trained from epoch 3" in text
    assert text.splitlines()[-1].endswith("all trained")


def test_what_no_training_changes_is_no_row_of_the_plan():
    """EfficientNet's normalisation has ImageNet's mean and variance, which are no weights."""
    model = models.build("efficientnetb0", (32, 32, 3), 2, weights="none")
    found = rows_of(model, [Phase(5, 0)])
    assert "input" not in found
    grey = models.build("resnet18", (32, 32, 2), 2, weights="none")
    assert rows_of(grey, [Phase(5, 0)])["input"][:4] == (1, 2 * 3, 0, 0)  # the change to RGB
    assert rows_of(grey, [Phase(5, "all")])["input"][:4] == (1, 2 * 3, 1, 2 * 3)


def test_planning_changes_nothing(resnet):
    before = [layer.trainable for layer in resnet.layers]
    freeze_plan(resnet, planned(resnet, "gradual", "layer1", 20, 1, 1), 0.5)
    assert [layer.trainable for layer in resnet.layers] == before
