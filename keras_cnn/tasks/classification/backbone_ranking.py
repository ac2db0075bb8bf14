"""Pretrained backbones ranked for some images by simple classifiers on their frozen features."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_cnn.config import Choice, Config
from keras_cnn.data import pipeline
from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.feature_probes import probe_features
from keras_cnn.evaluation.intervals import holm, mcnemar_exact, paired_bootstrap, wilson
from keras_cnn.loading import load_dataset
from keras_cnn.messages import counted, logger
from keras_cnn.models import backbones
from keras_cnn.models.weights import weights_at_hand
from keras_cnn.tasks.classification.features import FrozenPart, image_key
from keras_cnn.training import precision
from keras_cnn.training.task import CheckInterrupt, no_interrupt


@dataclass(frozen=True)
class Candidate:
    """A backbone and the source of its weights, as for `models.weights.load_weights`."""

    backbone: str
    weights: str

    def __str__(self) -> str:
        return self.backbone if self.weights == "imagenet" else f"{self.backbone}={self.weights}"


@dataclass(frozen=True)
class ProbedBackbone:
    """A backbone's accuracies in [0, 1] on the validation split, with 95 % intervals (Wilson).

    `correct_*` (N,) say which validation images each classifier gets right.
    """

    candidate: Candidate
    image_size: tuple[int, int]  # height, width
    parameters: int
    features: int
    inverse_penalty: float
    seconds: float  # without reading the images for the first time
    correct_nearest: np.ndarray
    correct_linear: np.ndarray


@dataclass(frozen=True)
class ProbeResult:
    """The rows of `table`, and the source, numbers of images, seed and number format that they are for."""

    table: pd.DataFrame
    images: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON, with None for what the first row does not have."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return {**self.images, "backbones": rows}


def candidates(given: str | Sequence[str] | None, image_size: int | None) -> list[Candidate]:
    """The backbones to rank: those `given` as NAME or NAME=WEIGHTS, or all whose weights are at hand.

    Raises InputError for an unknown name and a backbone that is given twice, and if no weights are at hand.
    """
    if not given:
        chosen = []
        for name in backbones.names():
            side = image_size or backbones.default_side(name)
            chosen += [Candidate(name, weights) for weights in weights_at_hand(name, (side, side, 3))]
        if not chosen:
            raise InputError("probe: no weights of a backbone are at hand; expected NAME=FILE, such as resnet50=FILE")
        return chosen
    words = given.split(",") if isinstance(given, str) else given
    chosen = [Candidate(*_name_and_weights(word)) for word in words]
    if twice := next((each for each in chosen if chosen.count(each) > 1), None):
        raise InputError(f"probe: {twice} is given twice; expected each backbone with the same weights once")
    return chosen


def _name_and_weights(word: str) -> tuple[str, str]:
    name, _, weights = word.strip().partition("=")
    backbones.default_side(name)  # raises InputError for an unknown name
    return name, weights or "imagenet"


def rank(
    config: Config,
    chosen: Sequence[Candidate],
    load: Callable[[Config], Dataset] = load_dataset,
    check_interrupt: CheckInterrupt = no_interrupt,
) -> ProbeResult:
    """Ranks the candidates on the images of `config`, which `load` reads.

    They have the config's image size, or else each network's own. The classifiers are fitted to the training split and
    measured on the validation split; the test split is not read. Features are kept in `data.cache_dir`, so that an
    interrupted ranking does not compute them again.

    Raises InputError as `load` and `load_weights` do.
    """
    number_format = precision.choose_precision(config.precision, precision.hardware())
    precision.apply(config.seed, number_format, config.deterministic)
    logger.info(f"probe     {counted(len(chosen), 'backbone')}, {number_format}; the test split is not read")
    probed, images = [], {}
    for candidate in chosen:
        own = replace(config, model=Choice(candidate.backbone, {"weights": candidate.weights}))
        dataset = load(own)
        found = f"images of {dataset.source} that may have several labels"
        require(not dataset.several_labels, "probe", f"found {found}", "one class an image")
        images = images or {"source": dataset.source} | {
            f"{name}_images": len(dataset.splits[name]) for name in ("train", "validation")
        }
        row = _probed(candidate, own, dataset, check_interrupt)
        logger.info(
            f"          {candidate!s:28} linear probe {row.correct_linear.mean():.4f}"
            f"   k-NN {row.correct_nearest.mean():.4f}   {row.seconds:.1f} s"
        )
        probed.append(row)
    return ProbeResult(table(probed), {**images, "seed": config.seed, "precision": number_format})


def _probed(candidate: Candidate, config: Config, dataset: Dataset, check_interrupt: CheckInterrupt) -> ProbedBackbone:
    began = time.monotonic()
    shape, fit = dataset.image_shape, config.data.fit
    base = backbones.backbone(candidate.backbone, shape, weights=candidate.weights)
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(base.outputs[0])
    model = keras.Model(base.inputs[0], pooled, name=base.name)

    def image_batches(split: Split, batch_size: int):
        return pipeline.batches(split, shape, batch_size, fit=fit)

    part, folder = FrozenPart(model, "auto", image_batches), config.data.cache_dir or default_cache_dir()

    def features(split: Split) -> np.ndarray:
        key = image_key(split, shape, fit)
        return np.asarray(part.on_disk(split, None, check_interrupt, folder=folder, image_key=key).values[0])

    train, validation = dataset.train, dataset.validation
    try:
        found = probe_features(features(train), train.labels, features(validation), config.seed)
    except ValueError as error:
        raise InputError(f"probe: {candidate} gives {error}") from None
    return ProbedBackbone(
        candidate,
        shape[:2],
        base.count_params(),
        int(model.output_shape[-1]),
        found.inverse_penalty,
        time.monotonic() - began,
        found.nearest == validation.labels,
        found.linear == validation.labels,
    )


def table(probed: Sequence[ProbedBackbone]) -> pd.DataFrame:
    """The ranking with a row for each backbone, the best linear probe first.

    Accuracies are shares in [0, 1] of the validation images, with 95 % Wilson intervals `_low` and `_high`.
    `difference` is the linear probe's accuracy minus that of the first row on the same images, with its 95 % interval
    by paired bootstrap; `p` is McNemar's exact p for it, adjusted by Holm for the number of rows below the first.
    """
    order = sorted(
        probed, key=lambda row: (-row.correct_linear.mean(), -row.correct_nearest.mean(), str(row.candidate))
    )
    rows = [_row(row, row.correct_linear.astype(float) - order[0].correct_linear) for row in order]
    frame = pd.DataFrame(rows)
    frame.loc[1:, "p"] = holm(frame["p"][1:])
    frame.loc[0, ["difference_low", "difference_high", "p"]] = np.nan  # the first row is not compared with itself
    return frame


def _row(row: ProbedBackbone, change: np.ndarray) -> dict[str, Any]:
    low, high = paired_bootstrap(change)
    return {
        "backbone": row.candidate.backbone,
        "weights": row.candidate.weights,
        "image_height": row.image_size[0],
        "image_width": row.image_size[1],
        "parameters": row.parameters,
        "features": row.features,
        **_accuracy("linear", row.correct_linear),
        **_accuracy("nearest", row.correct_nearest),
        "difference": change.mean(),
        "difference_low": low,
        "difference_high": high,
        "p": mcnemar_exact(int((change < 0).sum()), int((change > 0).sum())),
        "inverse_penalty": row.inverse_penalty,
        "seconds": row.seconds,
    }


def _accuracy(name: str, correct: np.ndarray) -> dict[str, float]:
    low, high = wilson(int(correct.sum()), len(correct))
    return {f"{name}_accuracy": float(correct.mean()), f"{name}_low": low, f"{name}_high": high}
