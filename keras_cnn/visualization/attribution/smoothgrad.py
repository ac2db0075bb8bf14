"""SmoothGrad: Smilkov et al., SmoothGrad: Removing Noise by Adding Noise, 2017."""

import numpy as np

from keras_cnn.errors import require
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import gradients
from keras_cnn.visualization.probe import ModelOrProbe
from keras_cnn.visualization.targets import Target


def attribute(
    model: ModelOrProbe,
    images: np.ndarray,
    target: Target,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Attribution:
    """Values (N, H, W, C): the mean gradient over `samples` copies of the image with Gaussian noise.

    `noise` is its standard deviation as a share of the image's own range, 0.1 to 0.2 in the paper; noisy images are not
    clipped to 0-255. The same `seed` gives the same noise. Raises InputError for no samples and for negative noise.
    """
    require(samples >= 1, "SmoothGrad: samples", f"found {samples}", "at least 1")
    require(noise >= 0, "SmoothGrad: noise", f"found {noise}", "at least 0")
    probe, images, score = prepared(model, images, target)
    generator = np.random.default_rng(seed)
    axes = (1, 2, 3)
    deviation = noise * (images.max(axes, keepdims=True) - images.min(axes, keepdims=True))
    values = np.zeros_like(images)
    for _ in range(samples):
        noisy = images + deviation * generator.standard_normal(images.shape, dtype=np.float32)
        values += gradients(probe, noisy, score)[2] / samples
    scores = gradients(probe, images, score)[0]
    return Attribution("SmoothGrad", values, scores, score.words, {"samples": samples, "noise": noise, "seed": seed})
