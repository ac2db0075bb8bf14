"""Which experiments are run, in which order: those first that decide the most printed numbers a minute."""

import fnmatch
import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_cnn.checking import nearest
from keras_cnn.config.shipped import find_config
from keras_cnn.errors import InputError
from keras_cnn.sweeps import space, sweep_file

SECONDS_AROUND = 15  # of a run besides its epochs: loading, compiling, the final evaluation and figures

# Training images a second on two idle cores with bfloat16 instructions; a finished run of the same network says better.
RATES = {
    "lenet": 3000,
    "model1": 350,
    "model2": 4000,
    "net1": 9000,
    "net2": 900,
    "net3": 900,
    "net4": 310,
    "imagenet10": 120,
}


@dataclass(frozen=True)
class Experiment:
    """One training run: a config that comes with the package, with changes, and a seed."""

    name: str  # REPORT.EXPERIMENT or REPORT.EXPERIMENT.CELL
    config: str  # its name in the package
    network: str
    epochs: int
    options: tuple[str, ...] = ()  # "--train.epochs=2"
    seed: int = 1
    images: int = 45_000  # that an epoch trains on; of a single batch, that it costs as much as

    @property
    def key(self) -> str:
        """The name of the run folder and of the results file."""
        return f"{self.name}.seed{self.seed}"

    @property
    def overrides(self) -> list[str]:
        return [*self.options, f"--seed={self.seed}"]


_FLIPPED = ("--data.augment.name=none", "--data.augment.pad_crop=2", "--data.augment.flip=0.5")
# Our recipes within the published parameters and epochs: the networks are the published ones.
OWN = (
    Experiment(
        "own.first",
        "cs7015_net1",
        "net1",
        2,
        (
            *("--model.l1_oc=6", "--model.filter_multiplier=2.67", "--model.kernel_size=5", "--train.epochs=2"),
            *("--train.batch_size=64", "--optim.optimizer=adamw", "--optim.learning_rate=4e-3"),
            *("--optim.weight_decay=0.01", "--optim.schedule=one_cycle", "--optim.momentum=0"),
        ),
    ),
    Experiment(
        "own.net1",
        "cs7015_net1",
        "net1",
        30,
        (
            *_FLIPPED,
            *("--optim.optimizer=adamw", "--optim.learning_rate=4e-3", "--optim.momentum=0"),
            *("--optim.weight_decay=0.01", "--optim.schedule=one_cycle"),
        ),
    ),
)


# COMP5623 on enlarged CIFAR-10 in place of ImageNet10, which is not at hand: as many classes, pixels and epochs.
_SMALL = ("--data.per_class=100", "--data.validation=300")
_MIDDLE = ("--data.per_class=500", "--data.validation=1000")
STAND_INS = (
    Experiment("comp5623.single_batch", "comp5623_single_batch", "imagenet10", 30, _SMALL, images=500),
    Experiment("comp5623.full", "comp5623_full", "imagenet10", 30, _MIDDLE, images=5000),
    Experiment("comp5623.tuned", "comp5623_tuned", "imagenet10", 30, _MIDDLE, images=5000),
)


# TDT4265 2.5 e): what it says of its tricks, on model 2. The rate and momentum of its SGD are not printed.
VARIANTS = {
    "sgd": ("--optim.optimizer=sgd", "--optim.learning_rate=0.01", "--optim.momentum=0.9"),
    "no_batch_norm": ("--model.batch_norm=false",),
    "no_dropout": ("--model.dropout=0",),
    "dropout0.3": ("--model.dropout=0.3",),
    "stride": ("--model.downsampling=stride",),
}


def plan() -> list[Experiment]:
    """All experiments in the order in which they are run."""
    net1, net2, net3 = grid("cs7015_net1"), grid("cs7015_net2"), grid("cs7015_net3")
    best1, best2, best3 = (
        _named(net1, "filter_multiplier2-kernel_size3-l1_oc18-stride1"),
        _named(net2, "kernel_size5-l1_oc64"),
        _named(net3, "dropout_rate0.1-l1_oc96"),
    )
    first = grid("cs7015_first")
    (lenet,) = _published("tdt4265_lenet", "lenet", 10, ("--train.early_stopping=null",))
    (model1,), (model2,) = _published("tdt4265_model1", "model1", 10), _published("tdt4265_model2", "model2", 10)
    return [
        *first,
        *(each for cell in first for each in _seeds(cell, 2, 3)),
        best1,
        *_seeds(best1, 2, 3),
        *_seeds(OWN[0], 1, 2, 3, 4, 5, 6),
        OWN[1],
        *sorted((each for each in net1 if each != best1), key=_width),
        *_seeds(OWN[1], 2, 3, 4, 5, 6),
        *_seeds(STAND_INS[0], 1, 2, 3),
        lenet,
        model2,
        *_seeds(lenet, 2, 3),
        *_seeds(model2, 2, 3),
        *(each for variant in _variants(model2) for each in _seeds(variant, 1, 2, 3)),
        model1,
        *sorted(net2, key=lambda each: each != best2),
        *sorted(net3, key=lambda each: each != best3),
        *_seeds(model1, 2, 3),
        *_seeds(best2, 2, 3),
        *_seeds(best3, 2, 3),
        *(each for stand_in in STAND_INS[1:] for each in _seeds(stand_in, 1, 2, 3)),
        *grid("cs7015_net4"),
    ]


@functools.cache
def grid(sweep_name: str) -> tuple[Experiment, ...]:
    """Every cell of a grid that comes with the package, named by the values that vary."""
    sweep = sweep_file.read_sweep(find_config(Path(sweep_name), "sweep"), None)
    assert sweep.base is not None
    varied = [name for name, distribution in sweep.parameters.items() if len(distribution.values() or []) > 1]
    found = []
    for assignment in space.cells(sweep):
        values = dict(assignment)
        cell = "-".join(f"{name.rpartition('.')[2]}{values[name]:g}" for name in varied)
        epochs = int(values.get("train.epochs", _epochs(sweep.base)))
        network = sweep.base.stem.rpartition("_")[2]
        report, _, rest = sweep_name.partition("_")
        options = tuple(space.overrides(sweep, assignment))
        found.append(Experiment(f"{report}.{rest}.{cell}", sweep.base.stem, network, epochs, options))
    return tuple(found)


def chosen(experiments: Sequence[Experiment], pattern: str | None) -> list[Experiment]:
    """The experiments whose names match a shell pattern, or begin with it. InputError if there are none."""
    if pattern is None:
        return list(experiments)
    wanted = [e for e in experiments if fnmatch.fnmatchcase(e.key, pattern) or e.key.startswith(pattern)]
    if not wanted:
        names = sorted({e.name for e in experiments})
        raise InputError(f"--only: found {pattern}, expected the beginning of a name{nearest(pattern, names)}")
    return wanted


def _published(name: str, network: str, epochs: int, options: tuple[str, ...] = ()) -> list[Experiment]:
    report, _, rest = name.partition("_")
    return [Experiment(f"{report}.{rest}", name, network, epochs, options)]


def _variants(experiment: Experiment) -> Iterator[Experiment]:
    for name, options in VARIANTS.items():
        yield replace(experiment, name=f"{experiment.name}.{name}", options=(*experiment.options, *options))


def _seeds(experiment: Experiment, *seeds: int) -> Iterator[Experiment]:
    for seed in seeds:
        yield replace(experiment, seed=seed)


def _width(cell: Experiment) -> int:
    """Cells of one width together, for each mean of a table is over them; the widest and the narrowest first."""
    values = values_of(cell)
    return ((18, 2), (6, 2), (6, 1.5), (18, 1.5), (12, 2), (12, 1.5)).index(
        (values["model.l1_oc"], values["model.filter_multiplier"])
    )


def _named(cells: Sequence[Experiment], cell: str) -> Experiment:
    return next(each for each in cells if each.name.endswith(f".{cell}"))


def _epochs(config: Path) -> int:
    from keras_cnn.config import read_flat

    return int(read_flat(config)["train.epochs"])


def values_of(experiment: Experiment) -> dict[str, float]:
    """The numbers that the experiment's options set, by field."""
    pairs = (option.removeprefix("--").partition("=") for option in experiment.options)
    return {name: json.loads(text) for name, _, text in pairs}
