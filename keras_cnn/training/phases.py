"""When which part of a network trains, and how fast: the phases of a fine-tuning and the table of them.

Staged: the head first, then the rest (Donahue et al. 2014 and every tutorial since). Gradual: one stage more every few
epochs, from the head down; with it, discriminative rates, lower stage by stage (both Howard & Ruder 2018).
"""

from dataclasses import dataclass
from typing import Literal

import keras

from keras_cnn.errors import InputError, require
from keras_cnn.models.freezing import ALL, Upto, frozen_layers, trains, weighted_layers
from keras_cnn.models.stages import HEAD, INPUT, stages

Strategy = Literal["fixed", "staged", "gradual"]


@dataclass(frozen=True)
class Phase:
    """Epochs with one frozen part; the last of them is number `until`, counted from 1."""

    until: int
    upto: Upto


def phases(
    model: keras.Model, strategy: Strategy, upto: Upto, epochs: int, head_epochs: int, unfreeze_epochs: int
) -> list[Phase]:
    """The phases of `epochs` epochs, which end with `upto` frozen.

    fixed: `upto` from the first epoch on; staged: first `head_epochs` with the whole backbone frozen; gradual: after
    these one stage more every `unfreeze_epochs`, from the last one on. Raises InputError, naming the field, where
    `upto` does not fit the model, the epochs do not suffice, or there is nothing to unfreeze.
    """
    last = Phase(epochs, upto)
    target = set(frozen_layers(model, upto))
    if strategy == "fixed":
        return [last]
    found = f"found finetune.freeze_upto {upto}"
    unfreezes = any(layer.name not in target for layer in weighted_layers(model))
    require(unfreezes, f"finetune.strategy {strategy}", found, "a part of the backbone to unfreeze, such as 0 for all")
    steps = [ALL]
    if strategy == "gradual":
        backbone = [stage for stage, found in stages(model) if stage not in (INPUT, HEAD) and any(map(trains, found))]
        steps += [stage for stage in reversed(backbone[:-1]) if set(frozen_layers(model, stage)) > target]
    ends = [head_epochs + i * unfreeze_epochs for i in range(len(steps))]
    if ends[-1] >= epochs:
        raise InputError(
            f"train.epochs: found {epochs}, expected more than {ends[-1]}: {strategy} unfreezes {model.name} to"
            f" {upto} by then (finetune.head_epochs {head_epochs}, finetune.unfreeze_epochs {unfreeze_epochs})"
        )
    return [*(Phase(end, step) for end, step in zip(ends, steps, strict=True)), last]


def rate_factors(model: keras.Model, stage_decay: float) -> dict[str, float]:
    """Layer name -> factor of the learning rate: 1 in the head, `stage_decay` in the last stage, its square before."""
    factors, factor = {}, 1.0
    for stage, found in reversed(stages(model)):
        if stage != HEAD and any(map(trains, found)):  # a stage without weights is no step down
            factor *= stage_decay
        factors |= {layer.name: factor for layer in found}
    return factors


@dataclass(frozen=True)
class StagePlan:
    """What becomes of a stage: layers are those with weights; `trained_from` is an epoch from 1, None: never."""

    stage: str
    layers: int
    parameters: int
    frozen_layers: int  # in the last phase
    frozen_parameters: int
    batch_norms: int
    frozen_batch_norms: int
    trained_from: int | None
    rate_factor: float


def freeze_plan(model: keras.Model, steps: list[Phase], stage_decay: float) -> list[StagePlan]:
    """A row a stage, from the image on. The model is not changed."""
    frozen = [set(frozen_layers(model, step.upto)) for step in steps]
    factors = rate_factors(model, stage_decay)
    rows = []
    for stage, members in stages(model):
        weighted = [layer for layer in members if trains(layer)]
        if not weighted:
            continue
        kept = [layer for layer in weighted if layer.name in frozen[-1]]
        norms = [layer for layer in weighted if isinstance(layer, keras.layers.BatchNormalization)]
        starts = [0, *(step.until for step in steps[:-1])]
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
    """The table that a reader checks before training."""
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
    widths = [max(len(line[i]) for line in lines) for i in range(6)]
    right = (1, 2, 5)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _state(row: StagePlan) -> str:
    if row.trained_from is None:
        return "frozen"
    words = "trained" if row.trained_from == 1 else f"trained from epoch {row.trained_from}"
    return f"{words}, {row.frozen_layers} layers frozen" if row.frozen_layers else words


def _norm_state(row: StagePlan) -> str:
    """Of the last phase: in inference mode a batch norm keeps its statistics."""
    if not row.batch_norms:
        return "-"
    if row.frozen_batch_norms in (0, row.batch_norms):
        return "inference" if row.frozen_batch_norms else "training"
    return f"{row.frozen_batch_norms} of {row.batch_norms} inference"
