"""Sanity checks: whether the maps of an attribution method depend on what the network has learnt.

- Cascading randomisation: the weights are replaced by random ones from the last layer to the first, and the maps of
  each stage are compared with those of the trained network (Adebayo et al., Sanity Checks for Saliency Maps, 2018). A
  map that stays the same when all weights are random does not show what was learnt.
- Baseline: the maps of an edge detector, which does not use the network.
- Another target: the most probable class other than the explained one.

The magnitudes of maps are compared by Spearman's rank correlation and, scaled to 0-1, by SSIM. Both are means over
the images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from keras import layers
from scipy import ndimage
from scipy.stats import rankdata

from keras_cnn.errors import require
from keras_cnn.visualization.attribution.result import Attribution
from keras_cnn.visualization.probe import ModelOrProbe, Probe
from keras_cnn.visualization.targets import ClassDifference, ClassScore, Neuron, Target, class_scores

THRESHOLD = 0.5  # rank correlation or SSIM at which maps count as the same on a random network, or as edges
OTHER_CLASS = 0.8  # the same threshold for another class, which shares much of the evidence
PASSES = "passes"
FAILS = "looks the same on a random network"
BLANK = "says nothing: the maps are blank"


@dataclass(frozen=True)
class Likeness:
    """The similarity of two maps by two measures, or its mean over images; 1 means equal, 0 unrelated."""

    rank: float  # Spearman's correlation of the magnitudes, -1 to 1
    ssim: float  # -1 to 1

    def reaches(self, threshold: float) -> bool:
        return max(self.rank, self.ssim) >= threshold

    def __str__(self) -> str:
        return f"rank {self.rank:.2f}, SSIM {self.ssim:.2f}".replace("-", "−")


@dataclass(frozen=True, repr=False)
class Verdict:
    """The results of the checks for one method, network, target and set of images."""

    # For each stage, the layer randomised last and the likeness to the trained network's maps.
    cascade: tuple[tuple[str, Likeness], ...]
    half: Likeness  # at the first stage with at least half of the layers random
    edges: Likeness  # to the Sobel gradients of the images
    other_class: Likeness | None  # to the maps of another class; None for a difference and most neurons
    images: int  # number of images in the means
    blank: int  # number of images with a constant map, whose likeness is 0

    @property
    def random(self) -> Likeness:
        """The likeness to the maps of the network whose weights are all random."""
        return self.cascade[-1][1]

    @property
    def passes(self) -> bool:
        """Whether the maps are not all blank, and change both with the last half of the layers random and with all.

        The half is needed because the maps of a method that only finds edges change only with the first layers.
        """
        return self.blank < self.images and not (self.half.reaches(THRESHOLD) or self.random.reaches(THRESHOLD))

    @property
    def words(self) -> str:
        """The verdict in one line for a figure."""
        if self.blank == self.images:
            return BLANK
        more = [f"blank for {self.blank} of {self.images} images"] if self.blank else []
        more += ["like an edge detector"] if self.edges.reaches(THRESHOLD) else []
        more += (
            ["much the same for another class"] if self.other_class and self.other_class.reaches(OTHER_CLASS) else []
        )
        return ", ".join([PASSES if self.passes else FAILS, *more])

    def __repr__(self) -> str:
        return f"<Verdict: {self.words}>"


class RandomNetworks:
    """The networks of a cascade: the stages of one clone of the model, used for every method.

    `point` is where the explained scores are read, by default the output; layers behind it are not changed. There are
    at most `stages` stages. In the first, only the last layers with weights are random; in the last, all are.
    Kernels are drawn from a normal distribution with variance 2 / fan-in (He et al., 2015); biases, shifts and means
    are 0, scales and variances are 1. The same `seed` gives the same networks.
    """

    def __init__(self, model: ModelOrProbe, point: str | None = None, *, stages: int = 4, seed: int = 0):
        self.trained = Probe.of(model)
        needed = self.trained.ancestors(point or self.trained.output().name)
        self._seed = seed
        nodes = [node for name, node in self.trained.nodes.items() if name in needed]
        self._weighted = [node.name for node in nodes if _has_learnt(node.operation)][::-1]
        count = min(stages, len(self._weighted))
        require(count > 0, self.trained.name, "no layer with weights", "a network that has learnt something")
        self._ends = sorted({-(-i * len(self._weighted) // count) for i in range(1, count + 1)})
        self._probe: Probe | None = None

    @property
    def shares(self) -> list[float]:
        """For each stage, the share of the layers with weights that are random."""
        return [end / len(self._weighted) for end in self._ends]

    def stages(self) -> Iterator[tuple[str, Probe]]:
        """Yields (layer randomised last, probe) for each stage. A probe is valid until the next stage is taken."""
        probe = self._probe = self._probe or self.trained.cloned()
        for name in self._weighted:
            probe.nodes[name].operation.set_weights(self.trained.nodes[name].operation.get_weights())
        for start, end in zip([0, *self._ends], self._ends, strict=False):
            for index in range(start, end):
                probe.nodes[self._weighted[index]].operation.set_weights(self._drawn(index))
            yield self._weighted[end - 1], probe

    def _drawn(self, index: int) -> list[np.ndarray]:
        """Random weights of a layer, drawn again from its own seed each time, since keeping them needs much memory."""
        generator = np.random.default_rng([self._seed, index])
        layer = self.trained.nodes[self._weighted[index]].operation
        return [_random(layer, weight, generator) for weight in layer.weights]


def _has_learnt(operation) -> bool:
    """Whether `operation` is a layer with learnt weights; a Normalization has only the statistics of its data set."""
    return bool(getattr(operation, "weights", None)) and not isinstance(operation, layers.Normalization)


def _random(layer: layers.Layer, weight, generator: np.random.Generator) -> np.ndarray:
    shape = tuple(weight.shape)
    if len(shape) >= 2:
        one_channel = isinstance(layer, layers.DepthwiseConv2D) or weight.name == "depthwise_kernel"
        fan_in = np.prod(shape[:2] if one_channel else shape[:-1])
        return (generator.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
    ones = any(word in weight.name for word in ("gamma", "variance", "scale"))
    return np.full(shape, 1.0 if ones else 0.0, np.float32)


def verdict(
    method: Callable[..., Attribution],
    images: np.ndarray,
    target: Target,
    networks: RandomNetworks,
    *,
    other: Target | None = None,
    checks: Mapping[str, object] | None = None,
    **options,
) -> tuple[Attribution, Verdict]:
    """The attribution on the trained network, and the results of its checks, as means over the images.

    The arguments are those of `verdicts`.
    """
    attribution, each = verdicts(method, images, target, networks, other=other, checks=checks, **options)
    return attribution, mean_verdict(each)


def verdicts(
    method: Callable[..., Attribution],
    images: np.ndarray,
    target: Target,
    networks: RandomNetworks,
    *,
    other: Target | None = None,
    checks: Mapping[str, object] | None = None,
    **options,
) -> tuple[Attribution, list[Verdict]]:
    """The attribution on the trained network, and for each image the results of its checks.

    `options` go to the method; on random networks and for another class, `checks` replaces some of them. The target is
    the same class or neuron on every network: the trained network chooses the predicted class and the position of a
    neuron. Raises the InputError of the method.
    """
    probe = networks.trained
    target = _fixed(target, probe, images)
    attribution, options = method(probe, images, target, **options), options | dict(checks or {})
    cascade = [
        (name, likenesses(attribution.maps, method(random, images, target, **options).maps))
        for name, random in networks.stages()
    ]
    half = next(like for (_, like), share in zip(cascade, networks.shares, strict=True) if share >= 0.5)
    other = other or _other_class(target, probe, images)
    others = None if other is None else likenesses(attribution.maps, method(probe, images, other, **options).maps)
    edge = likenesses(attribution.maps, _only_where(attribution.maps, edges(images)))
    blank = np.ptp(attribution.maps, axis=(1, 2)) == 0
    return attribution, [
        Verdict(
            tuple((name, like[i]) for name, like in cascade),
            half[i],
            edge[i],
            None if others is None else others[i],
            1,
            int(blank[i]),
        )
        for i in range(len(images))
    ]


def mean_verdict(each: Sequence[Verdict]) -> Verdict:
    """The verdict on all images together: the means of their likenesses."""
    stages = zip(*(one.cascade for one in each), strict=True)
    cascade = tuple((stage[0][0], _mean([like for _, like in stage])) for stage in stages)
    others = [one.other_class for one in each if one.other_class is not None]
    return Verdict(
        cascade,
        _mean([one.half for one in each]),
        _mean([one.edges for one in each]),
        _mean(others) if others else None,
        sum(one.images for one in each),
        sum(one.blank for one in each),
    )


def _mean(each: Sequence[Likeness]) -> Likeness:
    rank, ssim = np.mean([(like.rank, like.ssim) for like in each], axis=0)
    return Likeness(float(rank), float(ssim))


def likeness(a: np.ndarray, b: np.ndarray) -> Likeness:
    """The mean of the `likenesses` of two sets of maps (N, H, W)."""
    return _mean(likenesses(a, b))


def likenesses(a: np.ndarray, b: np.ndarray) -> list[Likeness]:
    """For each image, the likeness of the magnitudes of two maps, in the smallest rectangle of all nonzero values.

    `a` and `b` are (N, H, W). Outside the rectangle both maps are zero: a neuron's map is zero beyond its receptive
    field for any weights. A constant map has the likeness 0 to any other.
    """
    each = []
    for x, y in zip(np.abs(a).astype(np.float64), np.abs(b).astype(np.float64), strict=True):
        rectangle = _rectangle((x != 0) | (y != 0))
        x, y = x[rectangle], y[rectangle]
        rank = rank_correlation(x.ravel(), y.ravel())
        each.append(Likeness(rank, float(structural_similarity(x[None], y[None])[0])))
    return each


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation, with mean ranks for ties; 0 if one of the two is constant."""
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (a, b))
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size else 0.0


def structural_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) SSIM of maps (N, H, W), each scaled to 0-1 (Wang et al., 2004); 0 if one of the two is constant."""
    constant = (np.ptp(a, axis=(1, 2)) == 0) | (np.ptp(b, axis=(1, 2)) == 0)
    size = min(11, *a.shape[1:])
    values = tf.image.ssim(_scaled(a)[..., None], _scaled(b)[..., None], max_val=1.0, filter_size=size).numpy()
    return np.where(constant, 0.0, values)


def edges(images: np.ndarray) -> np.ndarray:
    """(N, H, W): the magnitude of the Sobel gradient of the channel mean, with repeated borders."""
    grey = images.astype(np.float64).mean(axis=-1)
    return np.stack([np.hypot(*(ndimage.sobel(image, axis, mode="nearest") for axis in (0, 1))) for image in grey])


def _rectangle(where: np.ndarray) -> tuple[slice, slice]:
    """The smallest rectangle that holds every True of `where` (H, W); all of it if there is none."""
    sides = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(side[0], side[-1] + 1) if side.size else slice(None) for side in sides)
    return rows, columns


def _only_where(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`others`, set to zero outside the rectangle around the nonzero values of each of `maps`."""
    kept = np.zeros_like(others)
    for index, own in enumerate(maps):
        rectangle = _rectangle(own != 0)
        kept[index][rectangle] = others[index][rectangle]
    return kept


def _fixed(target: Target, probe: Probe, images: np.ndarray) -> Target:
    """The target with its class or position, if not given, chosen by the trained network."""
    if isinstance(target, ClassScore) and target.index is None:
        return ClassScore(tuple(class_scores(probe, images).argmax(axis=1)))
    if isinstance(target, ClassDifference) and target.index is None:
        return ClassDifference(tuple(class_scores(probe, images).argmax(axis=1)), target.against)
    if isinstance(target, Neuron) and target.position is None and len(probe.shape(probe.point(target.layer))) == 3:
        return replace(target, position=tuple(map(tuple, target.places(probe, images))))
    return target


def _other_class(target: Target, probe: Probe, images: np.ndarray) -> Target | None:
    """For each image, the most probable class other than the target; None for other kinds of targets.

    None also for a head of one unit, since the maps of its other class are the negatives of the target's.
    """
    if not isinstance(target, ClassScore) or probe.head().units == 1:
        return None
    scores = class_scores(probe, images).copy()
    scores[np.arange(len(images)), np.broadcast_to(np.asarray(target.index), (len(images),))] = -np.inf
    return ClassScore(tuple(scores.argmax(axis=1)))


def _scaled(maps: np.ndarray) -> np.ndarray:
    low = maps.min(axis=(1, 2), keepdims=True)
    span = np.ptp(maps, axis=(1, 2), keepdims=True)
    return np.divide(maps - low, span, out=np.zeros_like(maps), where=span != 0).astype(np.float32)
