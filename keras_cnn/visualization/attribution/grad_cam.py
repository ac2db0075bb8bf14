"""Grad-CAM: Selvaraju et al., Visual Explanations from Deep Networks via Gradient-Based Localization, 2017."""

import numpy as np

from keras_cnn.visualization.attribution.cam import enlarged, map_point, positive
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target


def attribute(model: ModelOrProbe, images: np.ndarray, target: Target, *, layer: str | None = None) -> Attribution:
    """Values (N, H, W): the positive part of the sum of the layer's channels, each times its mean gradient, enlarged.

    `layer` is by default the last map before pooling. Facts: `layer`, and `map` (N, h, w) before enlarging. Raises
    InputError for a layer without a map and for a layer that the score does not depend on.
    """
    probe, images, score = prepared(model, images, target)
    point = map_point(probe, layer, "Grad-CAM")
    scores, values, gradient = gradients(probe, images, score, at=point)
    weights = gradient.mean(axis=(1, 2), keepdims=True)
    maps = positive((weights * values).sum(axis=-1))
    facts = {"layer": point, "map": maps}
    return Attribution("Grad-CAM", enlarged(maps, images.shape[1:3]), scores, score.words, facts)
