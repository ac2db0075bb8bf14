"""Deconvnet: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014."""

import numpy as np

from keras_cnn.visualization.attribution.relus import other_activations, rewired
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import deconvnet_relu, gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target

NAME = "deconvnet"


def attribute(model: ModelOrProbe, images: np.ndarray, target: Target) -> Attribution:
    """Values (N, H, W, C): the gradient; each ReLU passes on only its positive part, whatever the input of the ReLU.

    Max pooling passes the gradient to the place of its maximum, as the paper's switches do. Facts and errors are those
    of `guided_backpropagation`.
    """
    probe, images, score = prepared(model, images, target)
    rewiring, replaced = rewired(probe, score.point, deconvnet_relu, NAME)
    scores, _, values = gradients(probe, images, score, rewiring=rewiring)
    facts = {"relus": tuple(replaced), "other_activations": tuple(other_activations(probe, score.point))}
    return Attribution(NAME, values, scores, score.words, facts)
