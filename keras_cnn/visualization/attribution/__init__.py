"""Attribution: which places of an image a score depends on. One file a method, one signature for all:

    attribute(model, images, target, *, options) -> Attribution

`model` is a Keras model or a `Probe` of it, which keeps what was compiled; `images` are (N, H, W, C) with values 0-255
of the network's size; `target` is one of `targets`. Scores are logits: what goes into a softmax or sigmoid that the
network ends with. Everything is computed in float32; no layer of the model is changed, also after an error.
"""

from collections.abc import Callable

from keras_cnn.visualization.attribution import (
    deconvnet,
    grad_cam,
    grad_cam_plus_plus,
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    layer_cam,
    score_cam,
    smoothgrad,
)
from keras_cnn.visualization.attribution.result import Attribution

__all__ = ["METHODS", "Attribution"]

METHODS: dict[str, Callable[..., Attribution]] = {
    "gradient": gradient.attribute,
    "gradient-times-input": gradient_times_input.attribute,
    "guided-backpropagation": guided_backpropagation.attribute,
    "deconvnet": deconvnet.attribute,
    "smoothgrad": smoothgrad.attribute,
    "integrated-gradients": integrated_gradients.attribute,
    "grad-cam": grad_cam.attribute,
    "grad-cam++": grad_cam_plus_plus.attribute,
    "score-cam": score_cam.attribute,
    "layer-cam": layer_cam.attribute,
}
