"""Which experiments are run, in which order: those first that decide the most numbers and conclusions a minute."""

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import replace

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError
from reproduction import own_recipes, stand_ins
from reproduction.experiments import Experiment, Look, Planned, grid, published, values_of, with_seeds

# TDT4265 2.5 e): what it says of its tricks, on model 2. The rate and momentum of its SGD are not printed.
VARIANTS = {
    "sgd": ("--optim.optimizer=sgd", "--optim.learning_rate=0.01", "--optim.momentum=0.9"),
    "no_batch_norm": ("--model.batch_norm=false",),
    "no_dropout": ("--model.dropout=0",),
    "dropout0.3": ("--model.dropout=0.3",),
    "stride": ("--model.downsampling=stride",),
}
# Cells of network 1 with three seeds, besides the best: how much another seed changes a narrow cell, or stride 2.
SEVERAL_SEEDS = (
    "filter_multiplier1.5-kernel_size3-l1_oc6-stride1",
    "filter_multiplier1.5-kernel_size5-l1_oc6-stride2",
    "filter_multiplier2-kernel_size5-l1_oc12-stride1",
    "filter_multiplier2-kernel_size3-l1_oc12-stride2",
)
SPECTRA = Look("in4310.spectra", "spectra", needs=("weights", "photos"), seconds=90)
INSIDE = Look("cs7015.short.inside", "inside", of=stand_ins.SHORT_NET4.key, seconds=200)


def plan() -> list[Planned]:
    """All experiments in the order in which they are run."""
    net1, net2 = grid("cs7015_net1"), grid("cs7015_net2")
    net3, net4 = ([_as_coded(cell) for cell in grid(name)] for name in ("cs7015_net3", "cs7015_net4"))
    best1, best2, best3 = (
        _named(net1, "filter_multiplier2-kernel_size3-l1_oc18-stride1"),
        _named(net2, "kernel_size5-l1_oc64"),
        _named(net3, "dropout_rate0.1-l1_oc96"),
    )
    first = grid("cs7015_first")
    lenet = published("tdt4265_lenet", "lenet", 10, ("--train.early_stopping=null",))
    model1, model2 = published("tdt4265_model1", "model1", 10), published("tdt4265_model2", "model2", 10)
    single, full, tuned = stand_ins.COMP5623
    return [
        *first,
        *(each for cell in first for each in with_seeds(cell, 2, 3)),
        best1,
        *with_seeds(best1, 2, 3),
        *with_seeds(own_recipes.FIRST, 1, 2, 3, 4, 5, 6),
        own_recipes.NET1,
        SPECTRA,
        stand_ins.SHORT_NET4,
        INSIDE,
        *stand_ins.by_seed((*stand_ins.PART_B, *stand_ins.IN4310)),
        *stand_ins.sweep(),
        *stand_ins.by_seed(stand_ins.TASK_3),
        *sorted((each for each in net1 if each != best1), key=_width),
        *(each for cell in SEVERAL_SEEDS for each in with_seeds(_named(net1, cell), 2, 3)),
        *with_seeds(single, 1, 2, 3),
        lenet,
        model2,
        *with_seeds(lenet, 2, 3),
        *with_seeds(model2, 2, 3),
        *_last_epochs(lenet, model2),
        *(each for variant in _variants(model2) for each in with_seeds(variant, 1, 2, 3)),
        *_short("net2", best2),
        *_short("net3", best3),
        *with_seeds(own_recipes.NET1, 2, 3, 4, 5, 6),
        own_recipes.NET4,
        *with_seeds(own_recipes.MODEL2, 1, 2, 3, 4, 5, 6),
        *with_seeds(own_recipes.LENET, 1, 2, 3, 4, 5, 6),
        model1,
        *stand_ins.NETWORKS,
        stand_ins.RESNET18,
        *sorted(net2, key=_filters),
        *with_seeds(_named(net2, "kernel_size3-l1_oc18"), 2, 3),  # the quickest: how much another seed changes a mean
        *with_seeds(best2, 2, 3),
        *sorted(net3, key=lambda each: each != best3),
        *with_seeds(model1, 2, 3),
        *_last_epochs(model1),
        *with_seeds(own_recipes.MODEL1, 1, 2, 3, 4, 5, 6),
        *with_seeds(best3, 2, 3),
        *(each for stand_in in (full, tuned) for each in with_seeds(stand_in, 1, 2, 3)),
        *net4,
    ]


def chosen(experiments: Sequence[Planned], pattern: str | None) -> list[Planned]:
    """The experiments whose names match a shell pattern, or begin with it. InputError if there are none."""
    if pattern is None:
        return list(experiments)
    wanted = [e for e in experiments if fnmatch.fnmatchcase(e.key, pattern) or e.key.startswith(pattern)]
    if not wanted:
        names = sorted({e.name for e in experiments})
        raise InputError(f"--only: found {pattern}, expected the beginning of a name{nearest(pattern, names)}")
    return wanted


def _as_coded(cell: Experiment) -> Experiment:
    """Augmented as in CS7015's public code, which its numbers come from: its text adds jitter of the saturation."""
    return replace(cell, options=(*cell.options, "--data.augment.saturation=0"))


def _last_epochs(*experiments: Experiment) -> Iterator[Look]:
    """Looks at three seeds of each: TDT4265's final training numbers are those after the epoch."""
    for each in (seed for experiment in experiments for seed in with_seeds(experiment, 1, 2, 3)):
        yield Look(f"{each.name}.last.seed{each.seed}", "last_epoch", of=each.key, seconds=20)


def _variants(experiment: Experiment) -> Iterator[Experiment]:
    for name, options in VARIANTS.items():
        yield replace(experiment, name=f"{experiment.name}.{name}", options=(*experiment.options, *options))


def _short(network: str, best: Experiment) -> Iterator[Experiment]:
    """A grid on few images; three seeds of the published best cell say how much another seed changes."""
    cells = stand_ins.short_grid(network)
    yield from cells
    (cell,) = (each for each in cells if each.name == stand_ins.short_name(best.name))
    yield from with_seeds(cell, 2, 3)


def _width(cell: Experiment) -> int:
    """Cells of one width together, for each mean of a table is over them; the widest and the narrowest first."""
    values = values_of(cell)
    return ((18, 2), (6, 2), (6, 1.5), (18, 1.5), (12, 2), (12, 1.5)).index(
        (values["model.l1_oc"], values["model.filter_multiplier"])
    )


def _filters(cell: Experiment) -> float:
    """The filters of its first convolution: the wider, the longer it takes."""
    return values_of(cell)["model.l1_oc"]


def _named(cells: Sequence[Experiment], cell: str) -> Experiment:
    return next(each for each in cells if each.name.endswith(f".{cell}"))
