"""Images as points: the features before the class scores, reduced to two dimensions."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from keras_cnn.errors import require
from keras_cnn.visualization.probe import ModelOrProbe, Probe

PERPLEXITY = 30.0  # for 91 images or more
_BEFORE_TSNE = 50  # dimensions, as van der Maaten and Hinton recommend


@dataclass(frozen=True)
class Embedding:
    """N images as points of the plane."""

    method: str  # "PCA" or "t-SNE"
    points: np.ndarray  # (N, 2) float64
    note: str  # what the axes mean, and how much they keep


def penultimate(model: ModelOrProbe) -> str:
    """The input point of the layer with the class scores. Raises InputError for a network without class scores."""
    probe = Probe.of(model)
    scores = probe.node(probe.head().point.partition(":")[0])
    require(len(scores.inputs) == 1, f"{probe.name}: {scores.name}", f"{len(scores.inputs)} inputs", "one")
    return scores.inputs[0]


def pca(features: np.ndarray) -> Embedding:
    """The projection of `features` (N, D) onto its first two principal components; N and D at least 2.

    Signs are fixed: in each component, the weight with the largest magnitude is positive.
    """
    _check(features, 2)
    fitted = PCA(2, svd_solver="full").fit(np.asarray(features, np.float64))
    directions = np.asarray(fitted.components_)
    signs = np.sign(directions[np.arange(2), np.abs(directions).argmax(axis=1)])
    first, second = 100 * fitted.explained_variance_ratio_
    points = fitted.transform(np.asarray(features, np.float64)) * signs
    return Embedding("PCA", points, f"the axes hold {first:.1f} % and {second:.1f} % of the variance")


def usual_perplexity(count: int) -> float:
    """The perplexity for `count` images: 30, or a third of the number of other images if that is less."""
    return min(PERPLEXITY, (count - 1) / 3)


def tsne(features: np.ndarray, *, perplexity: float | None = None, seed: int = 0) -> Embedding:
    """t-SNE of `features` (N, D), N at least 5, initialised with PCA.

    If N and D exceed 50, it gets 50 principal components. `perplexity` is by default the usual one for N images. The
    same seed gives the same points on one machine. Raises InputError for a perplexity that is not between 1 and N.

    Source: L. van der Maaten and G. Hinton, Visualizing Data using t-SNE, JMLR 9 (2008).
    """
    _check(features, 5)
    perplexity = usual_perplexity(len(features)) if perplexity is None else perplexity
    require(1 < perplexity < len(features), "embedding: perplexity", f"found {perplexity:g}", f"1 to {len(features)}")
    features = np.asarray(features, np.float64)
    if min(features.shape) > _BEFORE_TSNE:
        features = PCA(_BEFORE_TSNE, svd_solver="full").fit_transform(features)
    fitted = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit(features)
    note = f"perplexity {perplexity:g}; distances between groups and sizes of groups mean nothing"
    return Embedding("t-SNE", fitted.embedding_.astype(np.float64), note)


def _check(features: np.ndarray, least: int) -> None:
    shape = np.shape(features)
    fits = len(shape) == 2 and shape[0] >= least and shape[1] >= 2
    require(fits, "embedding", f"features of shape {shape}", f"at least {least} images and 2 features")
