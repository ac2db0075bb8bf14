"""Integrated gradients: Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017."""

import numpy as np

from keras_cnn.errors import require
from keras_cnn.visualization import gradients as gradients_module
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target


def attribute(
    model: ModelOrProbe, images: np.ndarray, target: Target, *, steps: int = 64, baseline: float = 0.0
) -> Attribution:
    """Values (N, H, W, C): the image minus the baseline, times the mean gradient on the straight line between them.

    Every pixel of the baseline has the grey level `baseline`, 0-255; `steps` is the number of points of a
    Gauss-Legendre rule. Facts: `difference` (N,), the score of the image minus the score of the baseline;
    `completeness_error` (N,), the sum of the values minus `difference`, which is the error of the rule. Raises
    InputError for fewer than one step and for a baseline outside 0-255.
    """
    require(steps >= 1, "integrated gradients: steps", f"found {steps}", "at least 1")
    require(0 <= baseline <= 255, "integrated gradients: baseline", f"found {baseline}", "0 to 255")
    probe, images, score = prepared(model, images, target)
    start = np.full_like(images, baseline)
    places, weights = np.polynomial.legendre.leggauss(steps)
    mean = np.zeros(images.shape, np.float64)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        point = (start + place * (images - start)).astype(np.float32)
        mean += weight * gradients(probe, point, score)[2]
    values = (images - start) * mean
    scores = gradients_module.scores(probe, images, score)
    difference = scores - gradients_module.scores(probe, start, score)
    error = values.sum(axis=(1, 2, 3)) - difference
    facts = {"steps": steps, "baseline": baseline, "difference": difference, "completeness_error": error}
    return Attribution("integrated gradients", values.astype(np.float32), scores, score.words, facts)
