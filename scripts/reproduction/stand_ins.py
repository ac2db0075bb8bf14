"""Experiments on other images, fewer of them or fewer epochs than a report's, where its own cannot be run here.

The numbers of such a run cannot be compared with the printed ones; the conclusions in words can be tested on them, with
what was different beside the verdict.
"""

import functools
import random
from collections.abc import Iterator
from dataclasses import replace

from reproduction.experiments import Experiment, grid, with_seeds

SEEDS = (1, 2, 3, 4, 5, 6)

# --- COMP5623: enlarged CIFAR-10 in place of ImageNet10, as many classes, pixels and epochs ---------------------------

_SMALL = ("--data.per_class=100", "--data.validation=300")
_MIDDLE = ("--data.per_class=500", "--data.validation=1000")
COMP5623 = (
    Experiment("comp5623.single_batch", "comp5623_single_batch", "imagenet10", 30, _SMALL, images=500),
    Experiment("comp5623.full", "comp5623_full", "imagenet10", 30, _MIDDLE, images=5000),
    Experiment("comp5623.tuned", "comp5623_tuned", "imagenet10", 30, _MIDDLE, images=5000),
)

# --- CS7015: fewer images and epochs ----------------------------------------------------------------------------------

SHORT = "2,700 training images and 10 epochs, batches of 32"
_SHORT = ("--data.per_class=300", "--data.validation=300", "--train.batch_size=32", "--train.epochs=10")
NET4_WIDTH, NET4_EPOCHS = 16, 20
NET4 = f"network 4 of width {NET4_WIDTH}, {NET4_EPOCHS} epochs"
SHORT_NET4 = Experiment(
    "cs7015.short.net4",
    "cs7015_net4",
    "net4",
    NET4_EPOCHS,
    (f"--model.l1_oc={NET4_WIDTH}", "--model.dropout_rate=0.3", f"--train.epochs={NET4_EPOCHS}"),
    images=5000,  # at full width
)


@functools.cache
def short_grid(network: str) -> tuple[Experiment, ...]:
    """The cells of the grid of network 2 or 3 on few images."""
    return tuple(
        replace(each, name=short_name(each.name), epochs=10, images=3500, options=(*each.options, *_SHORT))
        for each in grid(f"cs7015_{network}")
    )


def short_name(name: str) -> str:
    """The name of a cell's run on few images: cs7015.net2.CELL becomes cs7015.short_net2.CELL."""
    report, network, cell = name.split(".", 2)
    return f"{report}.short_{network}.{cell}"


# --- CS6910, part A: a sweep on CIFAR-10 ------------------------------------------------------------------------------

TRIALS = 50
SWEPT = "50 networks with a sixteenth of the filters on 1,000 images of CIFAR-10"
# As printed, but a sixteenth of the filters, and a quarter of the images a batch for a smaller set.
SPACE = {
    "optim.learning_rate": (0.0001, 0.0002, 0.0004),
    "model.activation": ("relu", "tanh", "leaky_relu"),
    "model.filters": (2, 4, 8, 16),
    "model.kernel_size": (3, 5, 7),
    "model.organisation": (2, 1),
    "train.batch_size": (25, 50),
    "model.dropout": (0.2, 0.3, 0.4, 0.5),
    "model.dense": (256, 128, 64),
    "data.augment.name": ("cs6910", "none"),
    "train.epochs": (10, 5, 15),
    "model.batch_norm": ("true", "false"),
}
_SWEPT = ("--data.image_size=32", "--model.padding=same", "--data.per_class=150", "--data.validation=500")


@functools.cache
def trials() -> dict[str, dict[str, float | str]]:
    """Name -> settings of each trial: every level of every setting equally often, in an order drawn at random."""
    drawn = random.Random(6910)
    columns = {}
    for field, levels in SPACE.items():
        column = [levels[number % len(levels)] for number in range(TRIALS)]
        drawn.shuffle(column)
        columns[field] = column
    return {
        f"cs6910.sweep.trial{number + 1:02}": {field: column[number] for field, column in columns.items()}
        for number in range(TRIALS)
    }


def sweep() -> Iterator[Experiment]:
    for name, settings in trials().items():
        options = tuple(f"--{field}={level}" for field, level in settings.items())
        epochs = int(settings["train.epochs"])
        yield Experiment(name, "cs6910_five_block", "five_block", epochs, (*_SWEPT, *options), images=2300)


# --- CS6910's part B, IN4310 and TDT4265's task 3: a small pretrained network on few images of other classes ----------

TRANSFER = "ResNet8, pretrained on six classes of Fashion-MNIST, on 100 images of the other four"
CLOTHES = "fashion-new"
_FEW = ("--data.train=100", "--data.validation=400")
_FASHION, _RANDOM = "--model.weights=fashion", "--model.weights=none"


def _tuned(name: str, epochs: int, weights: str, upto: int | str, *options: str) -> Experiment:
    settings = (*_FEW, weights, f"--finetune.freeze_upto={upto}", f"--train.epochs={epochs}", *options)
    return Experiment(name, "clothes", "resnet8", epochs, settings, images=100, source=CLOTHES)


PART_B = (
    _tuned("cs6910.transfer.head", 10, _FASHION, "all"),
    _tuned("cs6910.transfer.last_3", 10, _FASHION, -3),
    _tuned("cs6910.transfer.last_3_15_epochs", 15, _FASHION, -3, "--optim.schedule=constant"),
    _tuned("cs6910.transfer.all", 10, _FASHION, 0),
    _tuned("cs6910.transfer.random_all", 10, _RANDOM, 0),
    Experiment(
        "cs6910.transfer.five_block",
        "cs6910_five_block",
        "five_block",
        15,
        (*_FEW, "--data.image_size=28", "--data.augment.name=none", "--model.padding=same", "--train.batch_size=10"),
        images=300,
        source=CLOTHES,
    ),
)
IN4310 = tuple(
    _tuned(
        f"in4310.grid.{optimizer}-{rate:g}",
        10,
        _FASHION,
        0,
        *(f"--optim.optimizer={optimizer}", f"--optim.learning_rate={rate}", "--optim.schedule=constant"),
        *(f"--optim.momentum={0.9 if optimizer == 'sgd' else 0}", "--optim.weight_decay=0"),
    )
    for optimizer in ("sgd", "adam")
    for rate in (0.01, 0.001)
)
_ADAM = ("--optim.optimizer=adam", "--optim.learning_rate=5e-4", "--optim.schedule=constant", "--optim.weight_decay=0")
TASK_3 = (
    _tuned("tdt4265.transfer.resnet8", 5, _FASHION, -5, *_ADAM),
    Experiment(
        "tdt4265.transfer.model1",
        "tdt4265_model1",
        "model1",
        5,
        (*_FEW, "--train.epochs=5", "--train.batch_size=10"),
        images=700,
        source=CLOTHES,
    ),
)
SCRATCH_SIDE = 64
RESNET18 = Experiment(
    "tdt4265.resnet18_scratch",
    "tdt4265_resnet18",
    "resnet18",
    10,
    (_RANDOM, f"--data.image_size={SCRATCH_SIDE}", "--finetune.freeze_upto=0"),
)

# --- CS6910, part B: its seven networks, from random weights ----------------------------------------------------------

FAMILIES = ("resnet50", "resnet101", "inceptionv3", "densenet161")
OTHERS = ("squeezenet1_1", "vgg11", "alexnet")
NETWORKS = tuple(
    Experiment(
        f"cs6910.networks.{name}",
        "cs6910_resnet101",
        name,
        10,
        (
            *(f"--model.name={name}", _RANDOM, "--finetune.freeze_upto=0", "--data.image_size=75"),
            *("--data.per_class=70", "--data.validation=300", "--optim.learning_rate=0.01", "--train.epochs=10"),
        ),
        images=800,
    )
    for name in (*OTHERS, *FAMILIES)
)


def by_seed(experiments: tuple[Experiment, ...]) -> Iterator[Experiment]:
    """Six seeds of each; those of one seed follow each other, for they share their images."""
    for seed in SEEDS:
        for each in experiments:
            yield from with_seeds(each, seed)
