"""Our own recipes for the reports' networks, within the published parameters and epochs."""

from collections.abc import Iterator

from reproduction.experiments import Experiment

_FLIPPED = ("--data.augment.name=none", "--data.augment.pad_crop=2", "--data.augment.flip=0.5")
_ONE_CYCLE = (
    *("--optim.optimizer=adamw", "--optim.learning_rate=4e-3", "--optim.momentum=0"),
    *("--optim.weight_decay=0.01", "--optim.schedule=one_cycle"),
)
FIRST = Experiment(
    "own.first",
    "cs7015_net1",
    "net1",
    10,
    (
        *("--model.l1_oc=6", "--model.filter_multiplier=2.67", "--model.kernel_size=5", "--train.epochs=10"),
        *("--train.batch_size=64", "--optim.optimizer=adamw", "--optim.learning_rate=4e-3"),
        *("--optim.weight_decay=0.01", "--optim.schedule=one_cycle", "--optim.momentum=0"),
    ),
)
NET1 = Experiment("own.net1", "cs7015_net1", "net1", 30, (*_FLIPPED, *_ONE_CYCLE))
# Ten epochs are few: crops and flips, and a rate that rises and falls once within them.
MODEL2 = Experiment("own.model2", "tdt4265_model2", "model2", 10, (*_FLIPPED, *_ONE_CYCLE, "--model.dropout=0"))
LENET = Experiment(
    "own.lenet",
    "tdt4265_lenet",
    "lenet",
    10,
    (
        *("--train.early_stopping=null", "--train.monitor=val_accuracy", *_FLIPPED),
        *("--optim.optimizer=adamw", "--optim.learning_rate=2e-3"),
        *("--optim.weight_decay=0.01", "--optim.schedule=one_cycle"),
    ),
)
MODEL1 = Experiment(
    "own.model1",
    "tdt4265_model1",
    "model1",
    10,
    (
        *(*_FLIPPED, "--optim.optimizer=adamw", "--optim.learning_rate=2e-3"),
        *("--optim.weight_decay=0.02", "--optim.schedule=one_cycle"),
    ),
)


def _plain_network(widths: tuple[int, ...], pooled: frozenset[int]) -> Iterator[str]:
    """The rows of a table of layers: 3×3 convolutions, `pooled` ones with a pool behind, batch norm, ReLU; a mean."""
    for number, width in enumerate(widths):
        yield f"{{conv: {width}}}"
        if number in pooled:
            yield "{pool: 2}"
        yield from ("{bn: }", "{relu: }")
    yield "{gap: }"


# For network 4, the report's best, less than half of its parameters and epochs. A pool behind the first convolution of
# a stage, not the last, leaves more of the multiply-adds to wide maps.
NET4 = Experiment(
    "own.net4",
    "cs7015_net4",
    "layers",
    40,
    (
        "--model.name=layers",
        f"--model.table=[{', '.join(_plain_network((32, 64, 64, 256, 256, 256, 256), frozenset({1, 3, 5})))}]",
        *("--train.epochs=40", *_FLIPPED, "--data.augment.pad_crop=4"),
        *("--optim.optimizer=adamw", "--optim.learning_rate=4e-3", "--optim.momentum=0"),
        *("--optim.weight_decay=0.02", "--optim.schedule=one_cycle", "--train.label_smoothing=0.1"),
    ),
)
