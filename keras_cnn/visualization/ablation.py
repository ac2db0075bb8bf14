"""Ablation: what a classifier loses when some of its filters are set to zero, with random filters as a control."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_cnn.errors import require
from keras_cnn.evaluation.comparison import Comparison, compare
from keras_cnn.evaluation.metrics import softmax
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.evaluation.predictions import Predictions
from keras_cnn.visualization.class_heads import ClassHead
from keras_cnn.visualization.probe import ConvolutionBlock, ModelOrProbe, Probe
from keras_cnn.visualization.streaming import labelled

Filters = Mapping[str, Sequence[int]]  # name of a convolution -> indices of its filters

CONTROLS = 5


@dataclass(frozen=True)
class Control:
    """A control: the same number of filters of the same layers, drawn at random, set to zero instead."""

    filters: dict[str, tuple[int, ...]]
    comparison: Comparison


@dataclass(frozen=True)
class Ablation:
    """A classifier before and after filters were set to zero, on the same images."""

    filters: dict[str, tuple[int, ...]]
    silent: bool
    left_behind: dict[str, tuple[float, ...]]  # the value that each filter gives the next layers: `left_behind`
    comparison: Comparison
    predicted: np.ndarray  # (N,) classes predicted with the filters at zero
    controls: tuple[Control, ...]

    @property
    def rank_p(self) -> float | None:
        """One-sided p-value that random filters cost as much: (1 + controls at least as bad) / (1 + controls).

        If the chosen filters were drawn like the controls, all ranks would be equally likely, so the p-value is exact.
        With n controls it is at least 1 / (1 + n). None without controls.

        Source: B. Phipson and G. K. Smyth, Permutation P-values Should Never Be Zero, 2010.
        """
        if not self.controls:
            return None
        drop = self.comparison.overall.difference
        drops = [control.comparison.overall.difference for control in self.controls]
        as_bad = sum(d is not None and drop is not None and d <= drop for d in drops)
        return (1 + as_bad) / (1 + len(drops))

    def as_json(self) -> dict:
        """The ablation as plain values, with the filters and overall numbers of each control."""
        controls = []
        for control in self.controls:
            overall = control.comparison.overall.as_json()
            del overall["mcnemar"]["p_holm"]  # one test needs no adjustment
            controls.append({"filters": _lists(control.filters), **overall})
        return {
            "filters": _lists(self.filters),
            "silent": self.silent,
            "left_behind": _lists(self.left_behind),
            **self.comparison.as_json(),
            "controls": controls,
            "rank_p": self.rank_p,
        }


def first_filters(model: ModelOrProbe, *, convs: int = 5, filters: int = 2) -> dict[str, tuple[int, ...]]:
    """The first `filters` filters of the first `convs` convolutions, as CS7015 chose them; fewer if there are fewer."""
    probe = Probe.of(model)
    require(bool(probe.convolutions), probe.name, "no convolutions", "at least one")
    return {block.name: tuple(range(min(filters, block.filters))) for block in probe.convolutions[:convs]}


def ablate(
    model: ModelOrProbe,
    batches: Iterable,
    classes: Sequence[str],
    filters: Filters | None = None,
    *,
    ids: Sequence[str] | None = None,
    silent: bool = False,
    controls: int = CONTROLS,
    seed: int = 0,
    scores: np.ndarray | None = None,
) -> Ablation:
    """Predicts all images with the unchanged model, with `filters` at zero, and with `controls` random choices at zero.

    `batches` is read 2 + `controls` times; its elements start with images (B, H, W, C) uint8 and labels (B,). `filters`
    default to `first_filters`; `silent` is explained in `zeroed`. A control has the same number of filters in each of
    the same layers; every choice is equally likely, and may include some of `filters`. `ids` name the images; by
    default they are numbered. `scores` (N, units) are the model's scores at `Probe.head().point`, if another pass has
    read them. They replace the prediction before the ablation if they equal it exactly in the first batch, since
    rounding must not count as an effect. The model is unchanged afterwards, even after an error.

    Raises InputError for an unknown layer or filter, no images, a model that is not a classifier of `classes`, and
    outputs that are not finite.
    """
    probe = Probe.of(model)
    filters = _checked(probe, first_filters(probe) if filters is None else filters)
    head = probe.head()
    predictor = Predictor(probe.model, output=probe.output().name if len(probe.outputs) > 1 else None)
    require(head.classes == len(classes), probe.name, f"{head.classes} classes", f"{len(classes)}, as the images have")
    generator = np.random.default_rng(seed)

    def predictions() -> Predictions:
        return _predictions(predictor, head, batches, tuple(classes), ids)

    def after(chosen: Filters) -> Predictions:
        with zeroed(probe, chosen, silent=silent):
            return predictions()

    if scores is not None and _are_predicted(predictor, head, batches, scores):
        before = _predictions(_GivenScores(scores), head, batches, tuple(classes), ids)
    else:
        before = predictions()
    ablated = after(filters)
    drawn = [_random(probe, filters, generator) for _ in range(controls)]
    left = {name: (0.0,) * len(chosen) for name, chosen in filters.items()} if silent else left_behind(probe, filters)
    random = tuple(Control(chosen, compare(before, after(chosen))) for chosen in drawn)
    return Ablation(filters, silent, left, compare(before, ablated), ablated.predicted, random)


@contextmanager
def zeroed(model: ModelOrProbe, filters: Filters, *, silent: bool = False) -> Iterator[None]:
    """A context in which the filters' kernels and biases are zero, so that their maps are 0 everywhere.

    Afterwards, even after an error, the model is restored bit for bit. CS7015 set kernels to zero in the same way. A
    batch norm behind the convolution turns the 0 into a constant, see `left_behind`. With `silent`, gamma and beta of
    that batch norm are zero for these filters too, and the next layers get 0, or the activation of 0. In a separable
    convolution, the pointwise kernel is set to zero.

    Raises InputError for an unknown layer or filter.
    """
    probe, saved = Probe.of(model), []
    filters = _checked(probe, filters)
    try:
        for name, chosen in filters.items():
            block = probe.convolution(name)
            parts = _places(block.node.operation, list(chosen))
            if silent and block.normalised:
                norm = probe.node(block.normalised).operation
                parts += [(v, (list(chosen),)) for v in (norm.gamma, norm.beta) if v is not None]
            for variable, where in parts:
                values = np.array(variable)
                saved.append((variable, values.copy()))
                values[where] = 0
                variable.assign(values)
        yield
    finally:
        for variable, values in reversed(saved):
            variable.assign(values)


def left_behind(model: ModelOrProbe, filters: Filters) -> dict[str, tuple[float, ...]]:
    """For each filter at zero, the output of the batch norm behind its convolution; 0 if there is no batch norm.

    The output is beta - gamma * mean / sqrt(variance + epsilon), the same at every pixel of every image.
    """
    probe = Probe.of(model)
    return {
        name: tuple(_of_zero(probe, probe.convolution(name))[list(chosen)].tolist())
        for name, chosen in _checked(probe, filters).items()
    }


def _of_zero(probe: Probe, block: ConvolutionBlock) -> np.ndarray:
    """(filters,) float64: the output of the block's batch norm for an input of 0."""
    if block.normalised is None:
        return np.zeros(block.filters)
    norm = probe.node(block.normalised).operation
    mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else 1.0
    beta = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    return beta - gamma * mean / np.sqrt(variance + norm.epsilon)


def _checked(probe: Probe, filters: Filters) -> dict[str, tuple[int, ...]]:
    """The filters sorted, without duplicates. InputError, with layer and filter, for one that does not exist."""
    checked = {}
    for name, chosen in filters.items():
        count = probe.convolution(name).filters
        bad = [index for index in chosen if not 0 <= index < count]
        require(not bad, f"{probe.name}: {name}", f"filter {bad and bad[0]}", f"0 to {count - 1}")
        if len(chosen):
            checked[name] = tuple(sorted({int(index) for index in chosen}))
    require(bool(checked), probe.name, "no filters chosen", "at least one")
    return checked


def _places(layer: Any, chosen: list[int]) -> list[tuple[keras.Variable, tuple]]:
    """The variables that hold a convolution's filters, and the indices of the chosen filters in them."""
    parts: list[tuple[keras.Variable, tuple]]
    match layer:
        case layers.DepthwiseConv2D():
            channel, multiple = np.divmod(chosen, layer.kernel.shape[3])
            parts = [(layer.kernel, (slice(None), slice(None), channel, multiple))]
        case layers.SeparableConv2D():
            parts = [(layer.pointwise_kernel, (..., chosen))]
        case _:
            parts = [(layer.kernel, (..., chosen))]
    return [*parts, (layer.bias, (chosen,))] if layer.use_bias else parts


def _random(probe: Probe, filters: Filters, generator: np.random.Generator) -> dict[str, tuple[int, ...]]:
    drawn = {
        name: generator.choice(probe.convolution(name).filters, len(chosen), replace=False)
        for name, chosen in filters.items()
    }
    return {name: tuple(sorted(chosen.tolist())) for name, chosen in drawn.items()}


class _GivenScores:
    """Takes the place of a `Predictor` if the scores of all images are already known."""

    def __init__(self, scores: np.ndarray):
        self._scores = scores

    def logits(self, batches: Iterable) -> np.ndarray:
        count = sum(len(images) for images, *_ in batches)
        require(count == len(self._scores), "ablation: scores", f"of {len(self._scores)} images", f"of {count}")
        return self._scores


def _are_predicted(predictor: Predictor, head: ClassHead, batches: Iterable, scores: np.ndarray) -> bool:
    """Whether the scores of the first batch equal the output of `predictor` to the bit."""
    images = next((images for images, *_ in batches), None)
    if head.squashing or images is None:
        return False
    return np.array_equal(predictor.logits([(images,)]), scores[: len(images)])


def _predictions(
    predictor: Predictor | _GivenScores, head: ClassHead, batches: Iterable, classes: tuple[str, ...], ids
) -> Predictions:
    labels = []

    def images() -> Iterator[tuple]:
        for pixels, truth in labelled("ablation", batches):
            labels.append(truth)
            yield (pixels,)

    outputs = predictor.logits(images())
    require(bool(np.isfinite(outputs).all()), "ablation", "outputs that are not finite", "numbers")
    truth = np.concatenate(labels)
    names = tuple(map(str, range(len(truth)))) if ids is None else tuple(ids)
    if head.units == 1:
        probabilities = np.concatenate([1 - outputs, outputs], axis=1).astype(np.float64)
    else:
        probabilities = outputs.astype(np.float64) if head.squashing else softmax(outputs)
    return Predictions(names, ("",) * len(names), classes, truth, probabilities)


def _lists(values: Mapping[str, Sequence]) -> dict[str, list]:
    return {name: list(chosen) for name, chosen in values.items()}
