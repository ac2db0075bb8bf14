"""Every config of the repository loads and builds its network, with the published number of parameters if any."""

import re
from pathlib import Path

import numpy as np
import pytest

from keras_cnn import config, models
from keras_cnn.analysis import recipes
from keras_cnn.detection.named_models import PACKAGED_CFGS
from keras_cnn.loading import BUILDERS
from keras_cnn.models import backbones, freezing
from keras_cnn.sweeps import space, sweep_file
from keras_cnn.sweeps.worker import trial_config
from keras_cnn.tasks.detection.settings import BoxConfig

FOLDER = Path(__file__).resolve().parents[2] / "configs"
BOXES = FOLDER / "boxes.yaml"
APART = {"sweeps", "comparisons"}
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.parent.name not in APART and path != BOXES)
COMPARISONS = sorted((FOLDER / "comparisons").glob("*.yaml"))
SIDES = {"comp5623": 128, "cs6910": 224, "default": 28}
PUBLISHED = {
    "cs7015_net1": 173_026,
    "cs7015_net2": 4_870_654,
    "cs7015_net3": 6_819_454,
    "cs7015_net4": 4_403_518,
    "tdt4265_lenet": 390_410,
    "comp5623_full": 40_940_852,
    "in4310_resnet18": 11_179_590 + 4 * 513,  # the report's 6 outputs, and 4 more of 512 weights and a bias
    "tdt4265_resnet18": 8_398_858,  # of torchvision's resnet18: layer4, and fc with 10 outputs
}


def test_the_config_for_boxes_loads_and_its_network_comes_with_the_package():
    found = config.load(BOXES, [], kind=BoxConfig)
    assert (PACKAGED_CFGS / f"{found.model.cfg}.cfg").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_config_loads_and_builds(path):
    found = config.load(path, [], BUILDERS)
    side = SIDES.get(path.stem.split("_")[0], 32)
    shape = (side, side, 1 if path.stem == "default" else 3)
    untrained = {"weights": "none"} if "weights" in found.model.options else {}  # imagenet is a download
    model = models.build(found.model.name, shape, 10, **found.model.options | untrained)
    freezing.freeze(model, found.finetune.freeze_upto)
    parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert parameters == PUBLISHED.get(path.stem, parameters)
    assert BUILDERS["data.augment"][found.data.augment.name](**found.data.augment.options)
    lines = path.read_text().splitlines()
    program = "finetune.py" if untrained else "train.py"
    assert f"python {program} configs/{path.relative_to(FOLDER)}" in lines[0] or path.stem in ("default", "finetune")


def test_published_counts_name_existing_configs():
    assert set(PUBLISHED) <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_config_sets_a_field_without_effect(path):
    own_splits = ["train"] if path.stem in ("photos", "finetune", "in4310_resnet18") else ["train", "test"]
    assert config.without_effect(config.load(path, [], BUILDERS), own_splits) == []


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda p: p.stem)
def test_comparison_opens_with_its_command_and_number_of_runs(path):
    sweep = sweep_file.read_sweep(path)
    recipes.check(sweep)
    command, *said = path.read_text().split("program:")[0].splitlines()
    assert command.startswith(f"# python finetune.py --compare configs/comparisons/{path.name}")
    runs = len(space.cells(sweep)) * sweep.repeats
    assert re.search(rf": {runs} runs, {sweep.repeats} seeds? a (# )?recipe", " ".join(said))
    assert sweep.notes == ()


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda p: p.stem)
def test_every_recipe_of_a_comparison_is_one_of_its_own(path):
    sweep = sweep_file.read_sweep(path)
    found = [trial_config(sweep, sweep.base, cell) for cell in space.cells(sweep)]
    recipes = {
        (
            *(c.model.name, c.model.options.get("weights"), c.finetune.freeze_upto),
            *(c.optim.optimizer, c.train.epochs, repr(c.data.augment)),
        )
        for c in found
    }
    assert len(recipes) == len(found)
    assert all((weights is None) == (name not in backbones.names()) for name, weights, *_ in recipes)
    for each in found:
        notes = config.without_effect(each, ["train"])
        assert [note for note in notes if not note.startswith("data.")] == []


def test_the_networks_of_cs6910_are_its_seven_with_what_is_trained_by_which_optimizer_and_for_how_long():
    sweep = sweep_file.read_sweep(FOLDER / "comparisons" / "cs6910_networks.yaml")
    found = [trial_config(sweep, sweep.base, cell) for cell in space.cells(sweep)]
    names = {"resnet50", "resnet101", "inceptionv3", "densenet161", "squeezenet1_1", "vgg11", "alexnet"}
    recipes = {(c.finetune.freeze_upto, c.optim.optimizer, c.train.epochs) for c in found}
    assert {c.model.name for c in found} == names
    assert recipes == {
        *((upto, "sgd", 5) for upto in ("all", -3, 0)),
        *((-3, optimizer, 5) for optimizer in ("adam", "adagrad")),
        *((-3, "sgd", epochs) for epochs in (10, 15)),
    }
    assert len(found) == len(names) * len(recipes) == 49
