"""A new sweep: its file and its base config are read together, described, and kept in a new folder."""

import contextlib
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_cnn import config as config_module
from keras_cnn.config import Config
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS
from keras_cnn.messages import aligned, log_sentence, logger, wrapped
from keras_cnn.run_folder import RunFolder
from keras_cnn.sweeps import space, sweep_file, wandb
from keras_cnn.sweeps.cost import MEMORY_SHARE_LIMIT, MULTIPLY_ADDS_LIMIT, CellCost, TrialConfig, largest_cell
from keras_cnn.sweeps.hyperband import rungs
from keras_cnn.sweeps.sampler import RANDOM_FIRST, Sampler
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import FAILURES_IN_A_ROW, Study
from keras_cnn.sweeps.worker import check_metric, check_metric_of, settings, trial_config
from keras_cnn.tasks.classification.setup import SharedResources
from keras_cnn.tasks.preparing import prepare
from keras_cnn.training import experiment
from keras_cnn.training.experiment import TrainingCost

SHOWN = 3  # trials of a dry run
LAST_RUNG = 100  # epochs; rungs have no end
WIDEST = 60  # characters of a parameter's values

Change = Callable[[Sweep], Sweep]  # of a sweep that was read, before it is planned


@dataclass(frozen=True)
class SweepPlan:
    """A sweep, the config that all trials start from, the first trial that the base allows, and the largest cell."""

    sweep: Sweep
    base: Config
    first: Config
    largest: CellCost

    @property
    def sampler(self) -> Sampler:
        return Sampler(self.sweep, self.base.seed)


def read(path: Path, overrides: list[str], run_cap: int | None, change: Change = lambda sweep: sweep) -> SweepPlan:
    """Reads a sweep file; `overrides` change the config that all trials start from, `run_cap` the number of trials.

    Raises InputError, in one line, for anything that W&B would refuse, for an override of a field that the sweep sets,
    if the base allows none of the first ten trials, and if its images cannot be read.
    """
    sweep = change(sweep_file.read_sweep(path, run_cap))
    check_metric(sweep)
    _check_overrides(sweep, overrides)
    base = config_module.load(sweep.base, overrides, BUILDERS)
    shared = SharedResources()
    with _trial_configs(sweep, base) as config_of:
        assignment, first = _first_possible(sweep, base, config_of)
        check_metric_of(sweep, shared.dataset(first)[0])
        largest = largest_cell(sweep, assignment, config_of, lambda config: shared.dataset(config)[0])
    plan = SweepPlan(sweep, base, first, largest)
    for note in [*sweep.notes, *_notes(plan)]:
        log_sentence("note", note)
    return plan


def create(
    path: Path,
    overrides: list[str],
    parent: Path = Path("runs"),
    *,
    run_cap: int | None = None,
    run_dir: Path | None = None,
    accepted: bool = False,
    change: Change = lambda sweep: sweep,
) -> Study:
    """Creates a folder for the sweep below `parent`, or `run_dir`, and logs the cost of its largest cell.

    Raises InputError as `read` does, and if the cost is above the limits and not `accepted`; then nothing is written.
    """
    plan = read(path, overrides, run_cap, change)
    for line in cost_lines(plan):
        logger.info(line)
    if plan.largest.above_limit and not accepted:
        raise InputError(
            f"{path}: the largest cell is above {MULTIPLY_ADDS_LIMIT:.0e} multiply-adds or"
            f" {MEMORY_SHARE_LIMIT:.0%} of the free memory; expected --yes to start it all the same"
        )
    sweep, base = plan.sweep, plan.base
    name = dict(config_module.pairs(overrides)).get("name") or sweep.name or path.stem
    with RunFolder.create(_folder_name(name), parent, run_dir) as folder:
        on_server = wandb.create(sweep, base.tracking)
        return Study.create(folder.path, sweep, config_module.dump(base), base.seed, on_server)


def dry_run(path: Path, overrides: list[str], run_cap: int | None) -> tuple[int | None, TrainingCost]:
    """Logs what `create` would begin: the sweep, its parameters, its first trials, and a dry run of the first one.

    Returns the number of trials, None for a sweep without end, and the cost of the first one.

    Raises InputError as `read` does, and if the images or the network of the first trial cannot be loaded.
    """
    plan = read(path, overrides, run_cap)
    for line in describe(plan, overrides):
        logger.info(line)
    logger.info("")
    logger.info("what the first trial would do")
    return plan.sampler.cap, experiment.dry_run(plan.first, prepare)


def cost_lines(plan: SweepPlan) -> Iterator[str]:
    """The cost of the largest cell, line by line."""
    largest = plan.largest
    yield (
        f"largest   cell: {largest.multiply_adds:.1e} multiply-adds, {largest.memory / 2**30:.2g} GiB,"
        f" {largest.parameters:,} weights"
    )
    if varied := settings(plan.sweep, largest.assignment):
        yield from wrapped(varied, " " * 10, 10)


def describe(plan: SweepPlan, overrides: list[str]) -> Iterator[str]:
    """The plan, line by line."""
    sweep, cap = plan.sweep, plan.sampler.cap
    trials = "trials without end" if cap is None else f"{cap:,} trials" if cap != 1 else "1 trial"
    yield f"sweep     {sweep.path}: {sweep.method}, {trials}, {sweep.metric_name} {sweep.goal}d"
    if sweep.repeats > 1:
        seeds = f"{plan.base.seed} to {plan.base.seed + sweep.repeats - 1}"
        yield f"          each trained with {sweep.repeats} seeds, {seeds}; its value is their mean"
    changed = f", with {' '.join(overrides)}" if overrides else ""
    yield f"base      {sweep.base or 'the default of every field'}{changed}"
    yield from _titled("parameter", aligned([_row(sweep, name) for name in sweep.parameters]))
    counts = [len(values) for distribution in sweep.parameters.values() if (values := distribution.values())]
    if len(counts) == len(sweep.parameters):
        yield f"          {math.prod(counts):,} different trials in all"
    if sweep.early_terminate:
        epochs = ", ".join(str(rung) for rung in rungs(sweep.early_terminate) if rung <= LAST_RUNG)
        share = f"about the best 1/{sweep.early_terminate.eta:g} of the runs there go on"
        yield f"early     hyperband compares after epochs {epochs}; {share}"
    yield f"engine    {_engine(plan)}"
    shown = range(1, min(SHOWN, cap or SHOWN) + 1)
    for n in shown:
        words = f"{n:04d}  {settings(sweep, plan.sampler.draw(n, []).assignment)}"
        yield from wrapped(words, f"{'trials' if n == 1 else '':<10}", 16)
    if cap is None or cap > SHOWN:
        learns = sweep.method == "bayes" and (cap is None or cap > RANDOM_FIRST)
        yield f"          ...{f' from {RANDOM_FIRST + 1:04d} on by what was found before' if learns else ''}"
    yield from cost_lines(plan)


def _titled(title: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{'' if number else title:<10}{line}"


def _row(sweep: Sweep, name: str) -> tuple[str, str, str, str]:
    """Name, distribution, values or limits, and the fields that it sets where their names differ."""
    distribution = sweep.parameters[name]
    fields = [field for field in space.fields_of(sweep, name) if field != name]
    return name, distribution.kind, _values(distribution.settings), f"sets {', '.join(fields)}" if fields else ""


def _values(given: Mapping[str, Any]) -> str:
    if "probabilities" in given:
        shares = zip(given["values"], given["probabilities"], strict=True)
        shown = ", ".join(f"{space.typed(value)} ({probability:.3g})" for value, probability in shares)
    elif "values" in given or "value" in given:
        shown = ", ".join(map(space.typed, given.get("values", [given.get("value")])))
    else:
        shown = ", ".join(f"{key} {value:g}" for key, value in given.items())
    return shown if len(shown) <= WIDEST else f"{shown[: WIDEST - 3]}..."


def _engine(plan: SweepPlan) -> str:
    if wandb.is_supported_by_server(plan.sweep) and wandb.is_online(plan.base.tracking):
        return "W&B's server says what to try, if it can be reached; its agents run here"
    return "this machine; other hosts may join"


def _notes(plan: SweepPlan) -> Iterator[str]:
    sweep, epochs = plan.sweep, plan.first.train.epochs
    if (name := sweep.metric_name) in ("loss", "accuracy", "exact_match") and not sweep.folds:
        yield f"metric.name: {name} is of the training images; what generalises is chosen by val_{name}"
    are_swept = any("train.epochs" in space.fields_of(sweep, name) for name in sweep.parameters)
    if sweep.early_terminate and not are_swept and (first := rungs(sweep.early_terminate)[0]) >= epochs:
        yield f"early_terminate: compares after epoch {first} at first; of {epochs} epochs it stops none"
    if sweep.method == "bayes" and sweep.run_cap is not None and sweep.run_cap <= RANDOM_FIRST:
        yield f"run_cap: {sweep.run_cap}; bayes draws its first {RANDOM_FIRST} at random, so none learns from another"


def _check_overrides(sweep: Sweep, overrides: list[str]) -> None:
    masters = {field: name for name in sweep.parameters for field in space.fields_of(sweep, name)}
    for field, _ in config_module.pairs(overrides):
        if field in masters:
            raise InputError(
                f"command line: --{field}: the parameter {masters[field]} of {sweep.path} sets it in every trial; "
                "expected a field that is not swept"
            )


@contextlib.contextmanager
def _trial_configs(sweep: Sweep, base: Config) -> Iterator[TrialConfig]:
    """Yields a function that makes the config of a trial from its assignment."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "base.yaml"
        file.write_text(config_module.dump(base), encoding="utf-8")
        yield lambda assignment: trial_config(sweep, file, assignment)


def _first_possible(sweep: Sweep, base: Config, config_of: TrialConfig) -> tuple[dict[str, Any], Config]:
    """The assignment and the config of the first of ten trials that the base allows."""
    sampler, refusals = Sampler(sweep, base.seed), []
    for number in range(1, min(FAILURES_IN_A_ROW, sampler.cap or FAILURES_IN_A_ROW) + 1):
        assignment = dict(sampler.draw(number, []).assignment)
        try:
            return assignment, config_of(assignment)
        except InputError as error:
            refusals.append(error)
    raise refusals[0]


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).lstrip(".-") or "sweep"  # W&B allows any text
