"""The gradient of the score with respect to the image: Simonyan et al., Deep Inside Convolutional Networks, 2014."""

import numpy as np

from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target


def attribute(model: ModelOrProbe, images: np.ndarray, target: Target) -> Attribution:
    """Values (N, H, W, C): the change of the score per grey level of 0-255."""
    probe, images, score = prepared(model, images, target)
    scores, _, values = gradients(probe, images, score)
    return Attribution("gradient", values, scores, score.words)
