"""Guided backpropagation: Springenberg et al., Striving for Simplicity: The All Convolutional Net, 2015."""

import numpy as np

from keras_cnn.visualization.attribution.relus import other_activations, rewired
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients, guided_relu
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target

NAME = "guided backpropagation"


def attribute(model: ModelOrProbe, images: np.ndarray, target: Target) -> Attribution:
    """Values (N, H, W, C): the gradient; a ReLU passes it on only where its input and the gradient are positive.

    Facts: `relus`, the replaced ReLUs, and `other_activations`, which keep their own gradient. Raises InputError if
    the score depends on no ReLU, or on one that cannot be replaced; the error then names the layer.
    """
    probe, images, score = prepared(model, images, target)
    rewiring, replaced = rewired(probe, score.point, guided_relu, NAME)
    scores, _, values = gradients(probe, images, score, rewiring=rewiring)
    facts = {"relus": tuple(replaced), "other_activations": tuple(other_activations(probe, score.point))}
    return Attribution(NAME, values, scores, score.words, facts)
