"""`occlusion`: the confidence left in a class while a patch hides one part of the image after the other."""

from pathlib import Path

import numpy as np

from keras_cnn.errors import require
from keras_cnn.figures.occlusion import Map, occlusion_maps, occlusion_sizes
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization.occlusion import Fill, Occluder, Occlusion

_PLACES = 32  # along a side, that the stride leaves unless it is given
_SHOWN = 4  # sizes in one figure, and images


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    patch: tuple[int, ...] = (),
    stride: int | None = None,
    fill: Fill = "grey",
    target: str | None = None,
) -> list[Drawn]:
    """Maps of the confidence for patches of several sizes, and its sum and mean against the size.

    Options:
        patch: sides of the square patch in pixels; by default an eighth to a half of the image
        stride: pixels from one place of the patch to the next; by default 1, and more for images above 64 pixels
        fill: what hides: grey, mean (the image's own colour) or blur
        target: class whose confidence is measured; by default the true one or, where it is not known, the predicted
    """
    images = subject.images
    side = min(images.pixels.shape[1:3])
    sizes = patch or tuple(dict.fromkeys(max(1, side * eighths // 8) for eighths in (1, 2, 3, 4)))
    require(1 <= len(sizes) <= 8, "command line: --patch", f"{len(sizes)} sizes", "1 to 8")
    stride = stride or max(1, side // _PLACES)
    targets = _targets(subject, target)
    occluder = Occluder(subject.probe)
    found = [
        occluder.by_size(image, int(index), sizes, stride=stride, fill=fill)
        for image, index in zip(images.pixels, targets, strict=True)
    ]
    captions = [
        f"{subject.caption(i)}: confidence in {subject.class_name(int(index))} {found[i][0].whole:.2f}"
        for i, index in enumerate(targets)
    ]
    arrays = _arrays(found, targets, images.pixels)
    how = f"a {fill} patch, stride {stride}"
    drawn = []
    for first in range(0, len(found), _SHOWN):
        part = slice(first, first + _SHOWN)
        rows = [[Map(o.size, o.rows, o.columns, o.confidence) for o in row[:_SHOWN]] for row in found[part]]
        title = f"{subject.name}: confidence behind {how}"
        figure = occlusion_maps(images.pixels[part], rows, captions[part], title)
        name = "occlusion" if len(found) <= _SHOWN else f"occlusion-{first // _SHOWN + 1}"
        lines = [_line(images.names[i], found[i]) for i in range(len(found))[part]]
        drawn.append(keep(out, name, figure, arrays, "; ".join(lines)))
    if len(sizes) > 1:
        totals = np.array([[o.total for o in row] for row in found])
        means = np.array([[o.mean for o in row] for row in found])
        title = f"{subject.name}: confidence against the size of {how}"
        figure = occlusion_sizes(sizes, totals[:10], means[:10], captions[:10], title)
        first, last = means[:, 0].mean(), means[:, -1].mean()
        line = f"mean confidence {first:.2f} behind {sizes[0]} pixels, {last:.2f} behind {sizes[-1]}"
        drawn.append(keep(out, "occlusion-sizes", figure, {"sizes": sizes, "sum": totals, "mean": means}, line))
    return drawn


def _targets(subject: OpenedModel, target: str | None) -> np.ndarray:
    if target is not None:
        return np.full(len(subject.images.labels), subject.class_index(target))
    labels = subject.images.labels
    return np.where(labels >= 0, labels, subject.probabilities.argmax(axis=1))


def _arrays(found: list[list[Occlusion]], targets: np.ndarray, pixels: np.ndarray) -> dict[str, np.ndarray]:
    arrays = {"images": pixels, "targets": targets, "whole": np.array([row[0].whole for row in found])}
    for column in zip(*found, strict=True):
        one = column[0]
        arrays[f"confidence_{one.size}"] = np.stack([o.confidence for o in column])
        arrays[f"rows_{one.size}"], arrays[f"columns_{one.size}"] = one.rows, one.columns
        arrays[f"drop_{one.size}"] = np.stack([o.drop(*pixels.shape[1:3]) for o in column])
    return arrays


def _line(name: str, row: list[Occlusion]) -> str:
    last = row[-1]
    return f"{name}: {last.whole:.2f}, behind {last.size}×{last.size} at least {last.confidence.min():.2f}"
