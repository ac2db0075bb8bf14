"""The soup of runs that start from the same weights: one network with the mean of their weights."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_cnn.data import pipeline
from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.ensembles import Ensemble, EnsembleMember, by_validation, greedy
from keras_cnn.evaluation.evaluations import evaluate
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.evaluation.target import EvaluationTarget
from keras_cnn.models import averaging, custom
from keras_cnn.run_folder.record import Record


def require_one_start(records: Sequence[Record]) -> None:
    """Raises InputError unless all runs began with the same weights of the same network, and validate on one split.

    Networks that began elsewhere lie in valleys of their own, and a mean of their weights is no network.
    """
    first = records[0]
    for record in records[1:]:
        for what, own, expected in zip(("network", "start"), _start(record), _start(first), strict=True):
            found = f"found {own} as {what}, {expected} in {first.path}"
            require(own == expected, str(record.path), found, "the same for a soup; --ensemble averages probabilities")
        same = record.ids_of("validation") == first.ids_of("validation")
        found = f"found other validation images than in {first.path}"
        require(same, str(record.path), found, "the same, which choose the soup; --ensemble averages probabilities")


def _start(record: Record) -> tuple[str, str]:
    """The network with its options, and where its weights come from, in words."""
    options = {name: value for name, value in record.config.items() if name.split(".")[0] == "model"}
    weights, name = options.pop("model.weights", None), options.get("model.name")
    if name == custom.NAME:
        return str(name), f"SHA-256 {_digest(record.path / custom.INITIAL)}"
    text = ", ".join(f"{option.removeprefix('model.')} {value}" for option, value in sorted(options.items()))
    if weights not in (None, "none"):
        return text, f"weights {weights}"
    return text, f"random weights of seed {record.config.get('seed')}"


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        expected = "expected the weights that the run began with"
        raise InputError(f"{path}: cannot be read ({error.strerror}); {expected}") from None


def soup_of(targets: Sequence[EvaluationTarget], members: Sequence[EnsembleMember]) -> tuple[Ensemble, keras.Model]:
    """The greedy soup of the opened runs, measured, and its network, which is the first target's with other weights.

    The batch norms of an average are measured again on the training images of the first run, in an order of its seed
    and batches of its size, without augmentation; those that are equal in all runs stay.
    """
    models, first = [target.model for target in targets], targets[0]
    averaging.require_same_layout(models, [str(target.folder.path) for target in targets])
    weights = [[np.asarray(variable) for variable in model.weights] for model in models]
    model, dataset, settings = first.model, first.dataset, first.config
    norms = averaging.differing_norms(models)
    estimator = averaging.StatisticsEstimator(model, norms) if norms else None
    predictor, shape = Predictor(model), dataset.image_shape
    size = settings.train.batch_size

    def batches(split: Any, **options: Any) -> Any:
        return pipeline.batches(split, shape, size, fit=settings.data.fit, **options)

    def average(chosen: Sequence[int]) -> None:
        model.set_weights(averaging.mean_weights([weights[place] for place in chosen]))
        if estimator and len(chosen) > 1:
            estimator(batch.images for batch in batches(dataset.train, seed=settings.seed) if len(batch.images) > 1)

    def score(chosen: Sequence[int]) -> float:
        average(chosen)
        logits = predictor.logits(batches(dataset.validation))
        return float(np.mean(logits.argmax(axis=1) == dataset.validation.labels))

    order = by_validation(members)
    chosen = greedy(order, members[order[0]].validation_accuracy, score)
    average(chosen)
    own = members[0].evaluation
    options = {
        "batch_size": size,
        "fit": settings.data.fit,
        "views": first.views,
        "scale": own.scaled,
        "coverage": own.coverage,
    }
    evaluation = evaluate(model, dataset, first.split, **options)
    return Ensemble("soup", tuple(members), tuple(chosen), evaluation), model
