"""What a training or a sweep would do, without doing it: `--dry-run` for the library."""

import html
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any, ParamSpec, cast

from keras_cnn.api import detectors, sweeps, training
from keras_cnn.api.calls import bound, collected_lines, own_settings, public
from keras_cnn.api.settings import dotted_settings
from keras_cnn.errors import InputError
from keras_cnn.tasks.detection.task import prepare as prepare_boxes
from keras_cnn.training import experiment
from keras_cnn.training.experiment import TrainingCost
from keras_cnn.training.task import Prepare

Parameters = ParamSpec("Parameters")
Trials = int | None


@dataclass(frozen=True, repr=False)
class DryRun:
    """What a call would do; it prints as the command does with `--dry-run`."""

    text: str
    trials: int | None  #: number of trainings, each seed of a repeated one not counted; None for a sweep without end
    epochs: int  #: of the training, or of a sweep's first trial; and so on
    steps: int  #: of an epoch
    images: int  #: of the training split
    parameters: int  #: of the network, with the statistics of batch norms
    multiply_adds: int  #: of the whole training, without validation

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"


@public
def dry_run(call: Callable[Parameters, Any], *arguments: Parameters.args, **keywords: Parameters.kwargs) -> DryRun:
    """What a call would do, as `--dry-run` says: data, network, steps and cost. Nothing is trained or written.

    >>> plan = keras_cnn.dry_run(keras_cnn.train, "lenet", data, epochs=3, batch_size=16)
    >>> plan.epochs, plan.steps, plan.images
    (3, 4, 64)
    >>> print(plan)
    lenet
    ...
    dry run: no run folder was made, no image kept

    Args:
        call: train, finetune, sweep, compare or train_detector.
        arguments: of the call, as are the keywords; `path`, `workers` and `verbose` change nothing here.

    Raises InputError as the call would, before it trains.
    """
    plan = next((plan for known, plan in _PLANS.items() if known is call), None)
    if plan is None:
        names = ", ".join(each.__name__ for each in _PLANS)
        found = str(getattr(call, "__name__", call)).rpartition(".")[2]  # `report` may be the package of that name
        raise InputError(f"call: found {found!r}, expected one of {names}")
    given = bound(call, arguments, keywords)
    given.apply_defaults()
    with collected_lines() as lines, own_settings():
        trials, cost = plan(SimpleNamespace(**given.arguments))
    return DryRun("\n".join(lines), trials, **asdict(cost))


def _training(asked: Any) -> tuple[Trials, TrainingCost]:
    given = dotted_settings("train", asked.settings, asked.options)
    return 1, training.dry_run_training(asked.model, asked.data, asked.config, given)


def _finetuning(asked: Any) -> tuple[Trials, TrainingCost]:
    given = training.finetune_settings(asked.backbone, asked.weights, asked.config, asked.settings, asked.options)
    return 1, training.dry_run_training(asked.backbone, asked.data, asked.config, given)


def _sweeping(asked: Any) -> tuple[Trials, TrainingCost]:
    return sweeps.dry_run_sweep(asked.file, asked.data, asked.run_cap, asked.settings, asked.options)


def _comparing(asked: Any) -> tuple[Trials, TrainingCost]:
    return sweeps.dry_run_comparison(asked.file, asked.data, asked.settings, asked.options)


def _training_on_boxes(asked: Any) -> tuple[Trials, TrainingCost]:
    config = detectors.box_config(asked.source, asked.config, asked.settings, asked.options)
    return 1, experiment.dry_run(config, cast(Prepare, prepare_boxes))


_PLANS: dict[Callable[..., Any], Callable[[Any], tuple[Trials, TrainingCost]]] = {
    training.train: _training,
    training.finetune: _finetuning,
    sweeps.sweep: _sweeping,
    sweeps.compare: _comparing,
    detectors.train_detector: _training_on_boxes,
}
