"""Gradient times input: Shrikumar et al., Not Just a Black Box, 2016."""

import numpy as np

from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target


def attribute(model: ModelOrProbe, images: np.ndarray, target: Target) -> Attribution:
    """Values (N, H, W, C): the gradient times the image, 0-255; dark pixels get small values whatever they show."""
    probe, images, score = prepared(model, images, target)
    scores, _, values = gradients(probe, images, score)
    return Attribution("gradient × input", values * images, scores, score.words)
