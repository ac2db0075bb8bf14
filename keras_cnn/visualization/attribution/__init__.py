"""Attribution: the places of an image that a score depends on. Each method has its own file; all share one signature:

    attribute(model, images, target, *, options) -> Attribution

`model` is a Keras model or a `Probe` of it, which keeps the compiled functions. `images` are (N, H, W, C) of the
network's size, with values 0-255. `target` is an object of the module `targets`. Class scores are logits: the input of
the softmax or sigmoid that the network ends with. Everything is computed in float32. No layer of the model is changed,
even after an error.
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
