"""The phases of fine-tuning: which stages of a network train in which epochs, and at which learning rates.

Staged: the head first, then the rest (Donahue et al. 2014 and every tutorial since). Gradual: one more stage every few
epochs, from the head towards the input; discriminative rates fall in that direction (both Howard & Ruder 2018).
"""

from dataclasses import dataclass
from typing import Literal

import keras

from keras_cnn.errors import InputError, require
from keras_cnn.messages import aligned
from keras_cnn.models.freezing import ALL, Upto, frozen_layers, trains, weighted_layers
from keras_cnn.models.stages import HEAD, INPUT, stages

Strategy = Literal["fixed", "staged", "gradual"]


@dataclass(frozen=True)
class Phase:
    """Epochs with one frozen part, `upto` as in `freezing.frozen_layers`; `until` is the last epoch, counted from 1."""

    until: int
    upto: Upto = 0


def phases(
    model: keras.Model, strategy: Strategy, upto: Upto, *, epochs: int, head_epochs: int, unfreeze_epochs: int
) -> list[Phase]:
    """The phases of `epochs` epochs; the last phase freezes `upto`.

    fixed: `upto` is frozen from the first epoch on; staged: the whole backbone is frozen for `head_epochs` first;
    gradual: then one more stage trains every `unfreeze_epochs`, the last stage first. Raises InputError, naming the
    field, if `upto` does not fit the model, the epochs do not suffice, or there is nothing to unfreeze.
    """
    last = Phase(epochs, upto)
    frozen_to_the_end = set(frozen_layers(model, upto))
    if strategy == "fixed":
        return [last]
    unfreezes = any(layer.name not in frozen_to_the_end for layer in weighted_layers(model))
    expected = "a part of the backbone to unfreeze, such as 0 for all"
    require(unfreezes, f"finetune.strategy {strategy}", f"found finetune.freeze_upto {upto}", expected)
    cuts: list[Upto] = [ALL]
    if strategy == "gradual":
        in_backbone = [(stage, layers) for stage, layers in stages(model) if stage not in (INPUT, HEAD)]
        weighted = [stage for stage, layers in in_backbone if any(map(trains, layers))]
        cuts += [cut for cut in reversed(weighted[:-1]) if set(frozen_layers(model, cut)) > frozen_to_the_end]
    ends = [head_epochs + i * unfreeze_epochs for i in range(len(cuts))]
    if ends[-1] >= epochs:
        raise InputError(
            f"train.epochs: found {epochs}, expected more than {ends[-1]}: {strategy} unfreezes {model.name} to"
            f" {upto} by then (finetune.head_epochs {head_epochs}, finetune.unfreeze_epochs {unfreeze_epochs})"
        )
    return [*(Phase(end, cut) for end, cut in zip(ends, cuts, strict=True)), last]


def rate_factors(model: keras.Model, stage_decay: float) -> dict[str, float]:
    """Rate factor by layer name: 1 in the head, `stage_decay` in the last stage, its square in the one before."""
    factors, factor = {}, 1.0
    for stage, layers in reversed(stages(model)):
        if stage != HEAD and any(map(trains, layers)):  # stages without weights do not count
            factor *= stage_decay
        factors |= {layer.name: factor for layer in layers}
    return factors


@dataclass(frozen=True)
class StagePlan:
    """The training plan of one stage; counts are of layers with weights and of their parameters."""

    stage: str
    layers: int
    parameters: int
    frozen_layers: int  # in the last phase
    frozen_parameters: int
    batch_norms: int
    frozen_batch_norms: int
    trained_from: int | None  # epoch, counted from 1; None: never
    rate_factor: float


def freeze_plan(model: keras.Model, planned: list[Phase], stage_decay: float) -> list[StagePlan]:
    """One row per stage, from the input on. The model is not changed."""
    frozen = [set(frozen_layers(model, phase.upto)) for phase in planned]
    starts = [0, *(phase.until for phase in planned[:-1])]
    factors = rate_factors(model, stage_decay)
    rows = []
    for stage, members in stages(model):
        weighted = [layer for layer in members if trains(layer)]
        if not weighted:
            continue
        kept = [layer for layer in weighted if layer.name in frozen[-1]]
        norms = [layer for layer in weighted if isinstance(layer, keras.layers.BatchNormalization)]
        trained = [start + 1 for start, names in zip(starts, frozen, strict=True) if not _all_in(weighted, names)]
        rows.append(
            StagePlan(
                stage=stage,
                layers=len(weighted),
                parameters=sum(layer.count_params() for layer in weighted),
                frozen_layers=len(kept),
                frozen_parameters=sum(layer.count_params() for layer in kept),
                batch_norms=len(norms),
                frozen_batch_norms=sum(layer.name in frozen[-1] for layer in norms),
                trained_from=min(trained, default=None),
                rate_factor=factors[members[0].name],
            )
        )
    return rows


def _all_in(members: list[keras.layers.Layer], names: set[str]) -> bool:
    return all(layer.name in names for layer in members)


def plan_text(rows: list[StagePlan], learning_rate: float) -> str:
    """The plan as a table for the screen."""
    lines = [("stage", "layers", "parameters", "", "batch norm", "learning rate")]
    for row in rows:
        lines.append(
            (
                row.stage,
                str(row.layers),
                f"{row.parameters:,}",
                _state(row),
                _norm_state(row),
                "-" if row.trained_from is None else f"{learning_rate * row.rate_factor:.2g}",
            )
        )
    frozen, total = (sum(getattr(row, name) for row in rows) for name in ("frozen_parameters", "parameters"))
    state = f"{frozen:,} frozen to the end" if frozen else "all trained"
    lines.append(("in all", str(sum(row.layers for row in rows)), f"{total:,}", state, "", ""))
    return "\n".join(aligned(lines, right=(1, 2, 5)))


def _state(row: StagePlan) -> str:
    if row.trained_from is None:
        return "frozen"
    words = "trained" if row.trained_from == 1 else f"trained from epoch {row.trained_from}"
    return f"{words}, {row.frozen_layers} layers frozen" if row.frozen_layers else words


def _norm_state(row: StagePlan) -> str:
    """The mode of the batch norms in the last phase: in inference mode they keep their statistics."""
    if not row.batch_norms:
        return "-"
    if row.frozen_batch_norms in (0, row.batch_norms):
        return "inference" if row.frozen_batch_norms else "training"
    return f"{row.frozen_batch_norms} of {row.batch_norms} inference"
