"""Runs the experiments that wait, in order, within a budget of hours."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_cnn.errors import InputError, Interrupted
from keras_cnn.messages import logger
from keras_cnn.tasks.classification.setup import SharedResources
from reproduction import looking, results
from reproduction.experiments import RATES, SECONDS_AROUND, Experiment, Look, Planned
from reproduction.images import Material
from reproduction.training import read_curve, train

LEAST_SECONDS = 60  # with less of the budget left, an unfinished run is not taken up


def run_all(
    experiments: Sequence[Planned], material: Material, runs: Path, kept: Path, done: Mapping[str, Any], hours: float
) -> bool:
    """Runs those of the experiments that are not done and for which all is at hand; True if all are done in the end.

    A run that the budget interrupts stays in its folder below `runs`, and goes on the next time.

    Raises InputError for a budget that the first experiment does not fit into.
    """
    waiting = [each for each in experiments if each.key not in done]
    without = [each for each in waiting if not material.has(each.needs)]
    if without:
        missing = sorted({f"--{name}" for each in without for name in each.needs if not material.has((name,))})
        logger.info(f"left out  {len(without)} experiments without {' and '.join(missing)}")
        waiting = [each for each in waiting if each not in without]
    if not waiting:
        return not without
    end, first = time.monotonic() + 3600 * hours, seconds_left(waiting[0], runs, done)
    if first > 3600 * hours:
        raise InputError(
            f"--hours: found {hours:g}, expected at least {first / 3600:.2f}: the first experiment,"
            f" {waiting[0].key}, takes about {first / 60:.0f} minutes"
        )
    shared = SharedResources()
    for each in waiting:
        left = end - time.monotonic()
        if left < LEAST_SECONDS:
            return False
        if isinstance(each, Look):
            if each.of and not (runs / each.of / "metrics.json").is_file():
                logger.info(f"left out  {each.key}: its network, {runs / each.of}, is not on this machine")
                continue
            logger.info(f"start     {each.key}: about {each.seconds / 60:.0f} minutes")
            done = {**done, each.key: looking.look(each, material, runs, kept)}
            continue
        folder = runs / each.key
        if not (folder / "metrics.json").is_file():
            logger.info(f"start     {each.key}: about {seconds_left(each, runs, done) / 60:.0f} minutes")
            try:
                train(each, material, folder, shared, left)
            except (Interrupted, KeyboardInterrupt):  # the latter outside the training loop
                if time.monotonic() < end:
                    raise  # a signal of the user's
                logger.info(f"budget    used up; {each.key} goes on from its checkpoint the next time")
                return False
        done = {**done, each.key: results.write(kept, each, folder)}
        logger.info(f"kept      {results.path_of(kept, each)}")
    return all(each.key in done for each in experiments)


def seconds_left(experiment: Planned, runs: Path, done: Mapping[str, Any]) -> float:
    """About how long the rest of an experiment takes: as the finished runs of its network with the same weights did."""
    if isinstance(experiment, Look):
        return experiment.seconds
    epochs = experiment.epochs - len(read_curve(runs / experiment.key))
    return SECONDS_AROUND + epochs * epoch_seconds(experiment, done)


def epoch_seconds(experiment: Experiment, done: Mapping[str, Any]) -> float:
    """The median of all epochs of the experiment's finished runs or, without any, as fast as the network usually is."""
    own = [result for result in done.values() if result["experiment"] == experiment.name]
    seconds = [second for result in own for second in result["epochs"]["epoch_seconds"]]
    return statistics.median(seconds) if seconds else experiment.images / RATES[experiment.network]
