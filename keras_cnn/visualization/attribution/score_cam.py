"""Score-CAM: Wang et al., Score-Weighted Visual Explanations for Convolutional Neural Networks, 2020."""

import numpy as np

from keras_cnn.errors import require
from keras_cnn.visualization.attribution.cam import enlarged, map_point, positive
from keras_cnn.visualization.attribution.result import Attribution, prepared
from keras_cnn.visualization.gradients import Score, scores
from keras_cnn.visualization.probe import ModelOrProbe, Probe, taps
from keras_cnn.visualization.targets import Target


def attribute(
    model: ModelOrProbe,
    images: np.ndarray,
    target: Target,
    *,
    layer: str | None = None,
    channels: int | None = None,
) -> Attribution:
    """Values (N, H, W): the layer's channels, each weighted by the score of the image masked with it; no gradients.

    Each channel is enlarged, scaled to 0-1 and multiplied with the image. The weights are the softmax, over the
    channels, of the score of the masked image minus the score of a black image. A constant channel is left out.
    `channels` is the number of channels used, the ones with the largest spread in each image; None uses all. Each takes
    one forward pass. Facts: `layer`, `map` and `channels`. Raises InputError for a layer without a map.
    """
    require(channels is None or channels >= 1, "Score-CAM: channels", f"found {channels}", "at least 1")
    probe, images, score = prepared(model, images, target)
    point = map_point(probe, layer, "Score-CAM")
    maps = taps(probe, [point])(images)[point]
    weighted = np.stack([_of_image(probe, images[i], maps[i], _row(score, i), channels) for i in range(len(images))])
    facts = {"layer": point, "map": weighted, "channels": min(channels or maps.shape[-1], maps.shape[-1])}
    values = enlarged(weighted, images.shape[1:3])
    return Attribution("Score-CAM", values, scores(probe, images, score), score.words, facts)


def _of_image(probe: Probe, image: np.ndarray, maps: np.ndarray, score: Score, channels: int | None) -> np.ndarray:
    """(h, w) for one image with the maps (h, w, C)."""
    low, high = maps.min(axis=(0, 1)), maps.max(axis=(0, 1))
    spread = high - low
    chosen = np.argsort(-spread, kind="stable")[:channels]
    chosen = chosen[spread[chosen] > 0]
    if not len(chosen):
        return np.zeros(maps.shape[:2], np.float32)
    scaled = ((maps - low)[..., chosen] / spread[chosen]).transpose(2, 0, 1)
    gains = []
    for start in range(0, len(chosen), probe.batch_size()):
        masks = enlarged(scaled[start : start + probe.batch_size()], image.shape[:2])
        masked = masks[..., None] * image
        gains.append(scores(probe, masked, _repeated(score, len(masked))))
    gain = np.concatenate(gains).astype(np.float64) - scores(probe, np.zeros_like(image)[None], score)
    weights = np.exp(gain - gain.max())
    return positive((maps[..., chosen] * (weights / weights.sum())).sum(axis=-1)).astype(np.float32)


def _row(score: Score, index: int) -> Score:
    return Score(score.point, score.weights[index : index + 1], score.words[index : index + 1])


def _repeated(score: Score, count: int) -> Score:
    return Score(score.point, np.repeat(score.weights, count, axis=0), score.words * count)
