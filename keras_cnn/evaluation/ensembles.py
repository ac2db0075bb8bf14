"""Several runs as one classifier: the mean of their probabilities, or of their weights, beside the best of them.

The best single run is that of the highest validation accuracy. An ensemble averages the probabilities of all runs. A
soup averages their weights (Wortsman et al. 2022) and is one network: in the order of their validation accuracies, a
run is added if the average is then at least as accurate on the validation images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_cnn.errors import require
from keras_cnn.evaluation.calibration import fit_temperature, image_scores
from keras_cnn.evaluation.comparison import Comparison, compare
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.test_time_augmentation import mean_of_views

Kind = Literal["ensemble", "soup"]


@dataclass(frozen=True)
class EnsembleMember:
    """A run with its own evaluation, of the images that all members are measured on."""

    name: str
    path: Path
    evaluation: Evaluation
    validation_accuracy: float  # on its own validation images, 0 to 1
    validation_loss: float  # nats


@dataclass(frozen=True)
class Ensemble:
    """An ensemble or a soup of runs, measured."""

    kind: Kind
    members: tuple[EnsembleMember, ...]
    averaged: tuple[int, ...]  # the members that the average has
    evaluation: Evaluation

    @property
    def best(self) -> EnsembleMember:
        """The single run that validation chooses."""
        return self.members[by_validation(self.members)[0]]

    @cached_property
    def comparison(self) -> Comparison:
        """What changes from the best single run to the average, on the same images."""
        return compare(self.best.evaluation.predictions, self.evaluation.predictions)

    def as_json(self) -> dict[str, Any]:
        """Plain values: kind, best single run, and a row for each run."""
        rows = [
            {
                "run": str(member.path),
                "name": member.name,
                "averaged": place in self.averaged,
                "validation_accuracy": member.validation_accuracy,
                "accuracy": member.evaluation.accuracy,
                "accuracy_interval": list(member.evaluation.accuracy_interval),
            }
            for place, member in enumerate(self.members)
        ]
        return {"kind": self.kind, "best": str(self.best.path), "runs": rows}


def member_of(name: str, path: Path, evaluation: Evaluation) -> EnsembleMember:
    """A run as a member. Raises InputError without validation images, by which the best run is chosen."""
    logits, labels = evaluation.validation_logits, evaluation.dataset.validation.labels
    require(logits is not None, str(path), "found no validation images", "those that choose the best of the runs")
    scores = image_scores(labels, logits)
    return EnsembleMember(name, path, evaluation, float(np.mean(scores.right)), float(np.mean(scores.losses)))


def by_validation(members: Sequence[EnsembleMember]) -> list[int]:
    """The places of the members in the order of falling validation accuracy, of equal ones by rising loss."""
    return sorted(range(len(members)), key=lambda i: (-members[i].validation_accuracy, members[i].validation_loss))


def ensemble_of(members: Sequence[EnsembleMember]) -> Ensemble:
    """The mean of the probabilities of all members.

    Its temperature is fitted on the validation images if all members have the same ones.
    """
    first = members[0].evaluation
    logits = mean_of_views(np.stack([member.evaluation.logits for member in members]))
    validation = [member.evaluation.validation_logits for member in members]
    known = [each for each in validation if each is not None]
    mean, temperature = None, None
    if len(known) == len(members):
        mean = mean_of_views(np.stack(known))
        temperature = fit_temperature(first.dataset.validation.labels, mean)
    found = "found runs with different validation images"
    require(temperature is not None or not first.scaled, "--temperature", found, "the same, to fit one for all")
    evaluation = replace(first, logits=logits, validation_logits=mean, temperature=temperature)
    return Ensemble("ensemble", tuple(members), tuple(range(len(members))), evaluation)


def greedy(order: Sequence[int], best: float, score: Callable[[Sequence[int]], float]) -> list[int]:
    """The members of a soup: each of `order` is added if `score` of the average is then not below the one before.

    `best` is the score of the first alone; `score` takes the places of the members of an average.
    """
    chosen = [order[0]]
    for place in order[1:]:
        if (found := score([*chosen, place])) >= best:
            chosen, best = [*chosen, place], found
    return chosen
