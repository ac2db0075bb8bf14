"""Does a picture say something about the network? Three checks of an attribution method on given images.

- Weight randomisation by cascade: the weights are replaced by random ones from the last layer to the first, and the
  maps of each stage are compared with those of the trained network (Adebayo et al., Sanity Checks for Saliency Maps,
  2018). A map that stays the same when nothing is left of what was learnt does not show what was learnt.
- An edge detector, which knows no network, as baseline.
- Another class as target: the likeliest that is not the explained one.

Maps are compared as magnitudes, by Spearman's rank correlation and by SSIM of the maps scaled to 0-1, each the mean
over the images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_cnn.errors import require
from keras_cnn.visualization.attribution.result import Attribution
from keras_cnn.visualization.probe import Probe, copy_of, taps
from keras_cnn.visualization.targets import ClassDifference, ClassScore, Neuron, Target

THRESHOLD = 0.5  # of rank correlation or SSIM: from there on maps count as the same on a random network, or as edges
OTHER_CLASS = 0.8  # from there on as the same for another class, which shares much of the evidence
PASSES = "passes"
FAILS = "looks the same on a random network"
BLANK = "says nothing: the maps are blank"


@dataclass(frozen=True)
class Likeness:
    """How alike two sets of maps are, each the mean over the images; 1 is equal, 0 unrelated."""

    rank: float  # Spearman's correlation of the magnitudes, -1 to 1
    ssim: float  # -1 to 1

    def reaches(self, threshold: float) -> bool:
        return max(self.rank, self.ssim) >= threshold

    def __str__(self) -> str:
        return f"rank {self.rank:.2f}, SSIM {self.ssim:.2f}".replace("-", "−")


@dataclass(frozen=True)
class Verdict:
    """What the checks found about one method on one network, target and set of images."""

    # Of each stage the last layer randomised so far, and the likeness to the trained network's maps.
    cascade: tuple[tuple[str, Likeness], ...]
    half: Likeness  # of the first stage with at least half of the layers random
    edges: Likeness  # to a Sobel filter of the images
    other_class: Likeness | None  # to the maps of another class; None for a difference, and mostly for a neuron
    images: int  # that the means are over
    blank: int  # of them with a map that is the same everywhere, which is like no other

    @property
    def random(self) -> Likeness:
        """To the maps of the network of which every weight is random."""
        return self.cascade[-1][1]

    @property
    def passes(self) -> bool:
        """Whether there are maps, and they change when half of the layers, the last ones, are random, and when all are.

        Half, because a method that only finds edges changes first when the first layers do.
        """
        return self.blank < self.images and not (self.half.reaches(THRESHOLD) or self.random.reaches(THRESHOLD))

    @property
    def words(self) -> str:
        """One line for a figure."""
        if self.blank == self.images:
            return BLANK
        more = [f"blank for {self.blank} of {self.images} images"] if self.blank else []
        more += ["like an edge detector"] if self.edges.reaches(THRESHOLD) else []
        more += (
            ["much the same for another class"] if self.other_class and self.other_class.reaches(OTHER_CLASS) else []
        )
        first = PASSES if self.passes else FAILS
        return ", ".join([first, *more])


class RandomNetworks:
    """The stages of a cascade, each a probe of one clone; made once, they serve every method.

    `point` is where the explained scores are read, by default the output: layers behind it are left as they are.
    `stages` is about how many there are; the first has the last layer with weights randomised, the last one all of
    them. Kernels are drawn from a normal distribution with variance 2 / fan-in (He et al., 2015), biases, shifts and
    means are 0, scales and variances 1. The same `seed` gives the same networks.
    """

    def __init__(self, model: keras.Model | Probe, point: str | None = None, *, stages: int = 4, seed: int = 0):
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
        """Of each stage, the share of the layers with weights that are random."""
        return [end / len(self._weighted) for end in self._ends]

    def stages(self):
        """(last layer randomised, probe) from the last layer down. A probe is valid until the next one is asked for."""
        self._probe = self._probe or Probe(copy_of(self.trained.model))
        for name in self._weighted:
            self._set(name, self.trained.nodes[name].operation.get_weights())
        for start, end in zip([0, *self._ends], self._ends, strict=False):
            for index in range(start, end):
                self._set(self._weighted[index], self._drawn(index))
            yield self._weighted[end - 1], self._probe

    def _set(self, name: str, weights: list[np.ndarray]) -> None:
        self._probe.nodes[name].operation.set_weights(weights)

    def _drawn(self, index: int) -> list[np.ndarray]:
        """Random weights of a layer, drawn again from its own seed each time: kept, they would fill the memory."""
        generator = np.random.default_rng([self._seed, index])
        layer = self.trained.nodes[self._weighted[index]].operation
        return [_random(layer, weight, generator) for weight in layer.weights]


def _has_learnt(operation) -> bool:
    """Whether it is a layer with weights; a Normalization has the statistics of its data set, which are no weights."""
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
    """The attribution on the trained network, and what the checks say about it.

    `options` are the method's, `checks` those that it has otherwise on random networks and for another class. The
    target is the same class or neuron on every network: the predicted class is that of the trained one, and a neuron
    stays where it is. Raises InputError as the method does.
    """
    probe = networks.trained
    target = _fixed(target, probe, images)
    found, options = method(probe, images, target, **options), options | dict(checks or {})
    cascade = tuple(
        (name, likeness(found.maps, method(random, images, target, **options).maps))
        for name, random in networks.stages()
    )
    half = next(like for (_, like), share in zip(cascade, networks.shares, strict=True) if share >= 0.5)
    other = other or _other_class(target, probe, images)
    other_class = None if other is None else likeness(found.maps, method(probe, images, other, **options).maps)
    edge = likeness(found.maps, _only_where(found.maps, edges(images)))
    blank = int((np.ptp(found.maps, axis=(1, 2)) == 0).sum())
    return found, Verdict(cascade, half, edge, other_class, len(images), blank)


def likeness(a: np.ndarray, b: np.ndarray) -> Likeness:
    """Of two sets of maps (N, H, W), as magnitudes, in the smallest rectangle that has all that is not zero in either.

    Outside of it neither says anything: a neuron's map is zero beyond its receptive field, whatever the weights are.
    A map that is the same everywhere is like none.
    """
    found = []
    for x, y in zip(np.abs(a).astype(np.float64), np.abs(b).astype(np.float64), strict=True):
        rectangle = _rectangle((x != 0) | (y != 0))
        x, y = x[rectangle], y[rectangle]
        found.append((rank_correlation(x.ravel(), y.ravel()), structural_similarity(x[None], y[None])[0]))
    rank, ssim = np.mean(found, axis=0)
    return Likeness(float(rank), float(ssim))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, ties at their mean rank; 0 where one of the two is constant."""
    a, b = (_ranks(values) - (len(values) - 1) / 2 for values in (a, b))
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size else 0.0


def structural_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) SSIM of maps (N, H, W), each scaled to 0-1 (Wang et al., 2004); 0 where one of the two is constant."""
    constant = (np.ptp(a, axis=(1, 2)) == 0) | (np.ptp(b, axis=(1, 2)) == 0)
    size = min(11, *a.shape[1:])
    values = tf.image.ssim(_scaled(a)[..., None], _scaled(b)[..., None], max_val=1.0, filter_size=size).numpy()
    return np.where(constant, 0.0, values)


def edges(images: np.ndarray) -> np.ndarray:
    """(N, H, W): the magnitude of Sobel's gradient of the mean of the channels, borders repeated."""
    grey = np.pad(images.astype(np.float64).mean(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = grey[:, :, 2:] - grey[:, :, :-2]
    down = grey[:, 2:] - grey[:, :-2]
    horizontal = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    vertical = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return np.hypot(horizontal, vertical)


def _rectangle(where: np.ndarray) -> tuple[slice, slice]:
    """The smallest that holds every True of (H, W); all of it where there is none."""
    sides = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    return tuple(slice(side[0], side[-1] + 1) if side.size else slice(None) for side in sides)


def _only_where(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`others`, zero outside of the rectangle in which each of `maps` is not."""
    kept = np.zeros_like(others)
    for index, one in enumerate(maps):
        rectangle = _rectangle(one != 0)
        kept[index][rectangle] = others[index][rectangle]
    return kept


def _fixed(target: Target, probe: Probe, images: np.ndarray) -> Target:
    """The target with what it leaves to the network decided by the trained one."""
    if isinstance(target, ClassScore) and target.index is None:
        return ClassScore(tuple(_scores(probe, images).argmax(axis=1)))
    if isinstance(target, ClassDifference) and target.index is None:
        return ClassDifference(tuple(_scores(probe, images).argmax(axis=1)), target.against)
    if isinstance(target, Neuron) and target.position is None and len(probe.shape(probe.point(target.layer))) == 3:
        return replace(target, position=tuple(map(tuple, target.places(probe, images))))
    return target


def _other_class(target: Target, probe: Probe, images: np.ndarray) -> Target | None:
    """For each image the likeliest class that is not the target; a difference has none."""
    if not isinstance(target, ClassScore):
        return None
    scores = _scores(probe, images).copy()
    scores[np.arange(len(images)), np.broadcast_to(np.asarray(target.index), (len(images),))] = -np.inf
    return ClassScore(tuple(scores.argmax(axis=1)))


def _scores(probe: Probe, images: np.ndarray) -> np.ndarray:
    point = probe.head().point
    return taps(probe, [point])(images)[point]


def _scaled(maps: np.ndarray) -> np.ndarray:
    low = maps.min(axis=(1, 2), keepdims=True)
    span = np.ptp(maps, axis=(1, 2), keepdims=True)
    return np.divide(maps - low, span, out=np.zeros_like(maps), where=span != 0).astype(np.float32)


def _ranks(values: np.ndarray) -> np.ndarray:
    """0 for the smallest; equal values share the mean of their places."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[places]
