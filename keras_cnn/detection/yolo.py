"""The detector: letterbox and network as one compiled function, then decoding and suppression."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_cnn.detection.boxes import Detections, Letterbox, decode, suppress
from keras_cnn.detection.heads import YoloHead

THRESHOLD, OVERLAP = 0.25, 0.45  # Darknet's defaults
GREY = 127.5  # around the image in its letterbox


class Detector:
    """A YOLO network compiled for one image at a time. Reuse it: compilation takes seconds.

    `model` takes (N, H, W, 3) images with values from 0 to 255 and gives the maps of `heads`; see `load_darknet`.
    It detects as Darknet does: letterbox, confidence above `threshold`, suppression by class above an IoU of `overlap`.
    With `precision` bfloat16, the results are nearly the same and come faster on hardware that supports it.
    """

    def __init__(
        self,
        model: keras.Model,
        heads: Sequence[YoloHead],
        *,
        threshold: float = THRESHOLD,
        overlap: float = OVERLAP,
        precision: str = "float32",
    ):
        self._heads, self._threshold, self._overlap = heads, threshold, overlap
        self.size = tuple(model.inputs[0].shape[1:3])
        self._forward = _compiled(model if precision == "float32" else _in(precision, model), self.size)

    def __call__(self, image: np.ndarray) -> Detections:
        """The detections in an (H, W, 3) uint8 RGB image."""
        return self.read(self.maps(image), image.shape[:2])

    def maps(self, image: np.ndarray) -> list[np.ndarray]:
        """The network's raw maps of an (H, W, 3) uint8 RGB image, (h, w, anchors * (5 + classes)) float32 each."""
        box = Letterbox(image.shape[:2], self.size)
        outputs = self._forward(
            tf.constant(image),
            tf.constant(box.inner, tf.int32),
            tf.constant(box.corner, tf.int32),
            tf.constant(box.last_row, tf.float32),
        )
        return [output.numpy()[0] for output in outputs]

    def read(self, maps: Sequence[np.ndarray], shape: tuple[int, int]) -> Detections:
        """The detections in an image of `shape` (height, width), from its `maps`."""
        centres, probabilities = decode(maps, self._heads, self.size, self._threshold)
        return suppress(Letterbox(shape, self.size).to_image(centres), probabilities, self._overlap)


def letterbox(image: tf.Tensor, inner: tf.Tensor, corner: tf.Tensor, last_row: tf.Tensor, size: tuple[int, int]):
    """(1, H, W, 3) float32: an (h, w, 3) uint8 image inside its letterbox, placed by the numbers of a `Letterbox`.

    Darknet's resize is bilinear with aligned corners, without antialiasing where it shrinks.
    """
    inside = tf.raw_ops.ResizeBilinear(images=image[None], size=inner, align_corners=True, half_pixel_centers=False)
    inside = tf.concat([inside[:, :-1], inside[:, -1:] * last_row], axis=1)
    after = tf.constant(size) - inner - corner
    padding = tf.stack([[0, 0], [corner[0], after[0]], [corner[1], after[1]], [0, 0]])
    return tf.ensure_shape(tf.pad(inside, padding, constant_values=GREY), (1, *size, 3))


def _compiled(model: keras.Model, size: tuple[int, int]) -> Callable:
    """Letterbox and network as one function with constant weights, which oneDNN keeps in its own layout."""

    def forward(image, inner, corner, last_row):
        outputs = model(letterbox(image, inner, corner, last_row, size), training=False)
        return [tf.cast(output, tf.float32) for output in (outputs if isinstance(outputs, list) else [outputs])]

    signature = [
        tf.TensorSpec((None, None, 3), tf.uint8),
        tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec((), tf.float32),
    ]
    function = tf.function(forward, input_signature=signature, autograph=False)
    return convert_variables_to_constants_v2(function.get_concrete_function())


def _in(precision: str, model: keras.Model) -> keras.Model:
    """A copy of the model that computes in another number format after its float32 rescaling."""

    def other(layer):
        config = layer.get_config()
        if not isinstance(layer, keras.layers.InputLayer | keras.layers.Rescaling) and "dtype" in config:
            config["dtype"] = precision
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=other)
    copy.set_weights(model.get_weights())
    return copy
