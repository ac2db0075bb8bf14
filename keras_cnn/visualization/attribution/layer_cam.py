"""Layer-CAM: Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, 2021."""

import numpy as np

from keras_cnn.visualization.attribution.cam import enlarged, map_point, positive
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target


def attribute(model: ModelOrProbe, images: np.ndarray, target: Target, *, layer: str | None = None) -> Attribution:
    """Values (N, H, W): each unit of the layer times its own positive gradient, summed over channels, enlarged.

    Unlike Grad-CAM, it weights places separately, so early layers give sharp maps. Facts and errors as in `grad_cam`.
    """
    probe, images, score = prepared(model, images, target)
    point = map_point(probe, layer, "Layer-CAM")
    scores, values, gradient = gradients(probe, images, score, at=point)
    maps = positive((positive(gradient) * values).sum(axis=-1))
    facts = {"layer": point, "map": maps}
    return Attribution("Layer-CAM", enlarged(maps, images.shape[1:3]), scores, score.words, facts)
