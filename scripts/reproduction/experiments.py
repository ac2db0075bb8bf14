"""What an experiment is: a training run of a config that comes with the package, or a look at trained networks."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from keras_cnn.config.shipped import find_config
from keras_cnn.sweeps import space, sweep_file

SECONDS_AROUND = 15  # of a run besides its epochs: loading, compiling, the final evaluation and figures

# Training images a second on two idle cores with bfloat16 instructions; a finished run of the same network says better.
RATES = {
    "lenet": 3000,
    "model1": 350,
    "model2": 4000,
    "net1": 9000,
    "net2": 900,
    "net3": 475,
    "net4": 310,
    "layers": 775,  # of our own recipe for network 4
    "imagenet10": 120,
    "five_block": 3000,
    "resnet18": 800,  # at 64 pixels
    "resnet8": 2000,
    "inceptionv3": 60,  # at 75 pixels, as all networks below
    "resnet50": 100,
    "resnet101": 60,
    "densenet161": 40,
    "squeezenet1_1": 600,
    "vgg11": 150,
    "alexnet": 500,
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
    source: str = ""  # of the images, if they come with the package; else CIFAR-10

    @property
    def key(self) -> str:
        """The name of the run folder and of the results file."""
        return f"{self.name}.seed{self.seed}"

    @property
    def length(self) -> str:
        return f"{self.epochs} epochs"

    @property
    def overrides(self) -> list[str]:
        return [*self.options, f"--seed={self.seed}"]

    needs = ()  # besides CIFAR-10


@dataclass(frozen=True)
class Look:
    """Numbers measured on networks that runs have trained, or on weights at hand; nothing is trained."""

    name: str
    measure: str  # a key of `looking.MEASURES`
    of: str = ""  # the key of the run whose network is looked at, whose folder must be there; "" for weights at hand
    needs: tuple[str, ...] = ()  # names of fields of `images.Material`
    seconds: float = 120  # about how long it takes

    @property
    def key(self) -> str:
        """The name of the results file."""
        return self.name

    @property
    def length(self) -> str:
        return "no training"


Planned = Experiment | Look


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


def published(name: str, network: str, epochs: int, options: tuple[str, ...] = ()) -> Experiment:
    """The run of a config of a report, REPORT_EXPERIMENT."""
    return Experiment(name.replace("_", ".", 1), name, network, epochs, options)


def with_seeds(experiment: Experiment, *seeds: int) -> Iterator[Experiment]:
    for seed in seeds:
        yield replace(experiment, seed=seed)


def values_of(experiment: Experiment) -> dict[str, float]:
    """The numbers that the experiment's options set, by field."""
    pairs = (option.removeprefix("--").partition("=") for option in experiment.options)
    return {name: json.loads(text) for name, _, text in pairs}


def _epochs(config: Path) -> int:
    from keras_cnn.config import read_flat

    return int(read_flat(config)["train.epochs"])
