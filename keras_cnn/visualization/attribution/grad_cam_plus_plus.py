"""Grad-CAM++: Chattopadhyay et al., Generalized Gradient-Based Visual Explanations, 2018."""

import numpy as np

from keras_cnn.visualization.attribution.cam import enlarged, map_point, positive
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target


def attribute(model: ModelOrProbe, images: np.ndarray, target: Target, *, layer: str | None = None) -> Attribution:
    """Values (N, H, W): as in Grad-CAM, but channels are weighted by positive gradients, more where these are rare.

    The weights are the paper's for the exponential of the score, whose derivatives are powers of the first. A positive
    gradient g is multiplied by g²/(2g² + g³s), where s is the sum of its channel. Facts and errors as in `grad_cam`.
    """
    probe, images, score = prepared(model, images, target)
    point = map_point(probe, layer, "Grad-CAM++")
    scores, values, gradient = gradients(probe, images, score, at=point)
    square, cube = gradient.astype(np.float64) ** 2, gradient.astype(np.float64) ** 3
    below = 2 * square + cube * values.sum(axis=(1, 2), keepdims=True)
    shares = np.divide(square, below, out=np.zeros_like(square), where=below != 0)
    weights = (shares * positive(gradient)).sum(axis=(1, 2), keepdims=True)
    maps = positive((weights * values).sum(axis=-1)).astype(np.float32)
    facts = {"layer": point, "map": maps}
    return Attribution("Grad-CAM++", enlarged(maps, images.shape[1:3]), scores, score.words, facts)
