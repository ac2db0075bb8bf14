"""`embedding`: the images as points, near each other where the network finds them alike."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from keras_cnn.figures.features import scatter
from keras_cnn.run_folder import write_text
from keras_cnn.views.embedding_page import hover_page
from keras_cnn.views.image_stream import Reads, SplitName, Wanted, measured, stream
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization.embedding import PERPLEXITY, pca, penultimate, tsne
from keras_cnn.visualization.statistics import Features

MOST = 1000


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    method: tuple[Literal["pca", "tsne"], ...] = ("pca", "tsne"),
    layer: str | None = None,
    most: int = MOST,
    perplexity: float = PERPLEXITY,
    split: SplitName = "validation",
) -> list[Drawn]:
    """Features of the images in two dimensions, coloured by class, wrong predictions ringed; embedding.html is a page
    that shows the image under the mouse.

    Options:
        method: pca and tsne, or one of them
        layer: where features are read, pooled over a map; by default before the class scores, or a backbone's last map
        most: images, at even distances in the split
        perplexity: of t-SNE: about how many neighbours of an image count
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    wanted = _wanted(subject, layer, most, split)
    images, point = wanted[0][0], wanted[0][1].points[0]
    values, *scores = measured(subject, wanted)
    known = images.labels >= 0
    predicted = scores[0].argmax(axis=1) if scores else np.full(len(images), -1)
    judged = known & (predicted >= 0)
    wrong = judged & (predicted != images.labels)
    count = f"{int(wrong.sum()):,} of {int(judged.sum()):,} predicted wrong" if judged.any() else images.words
    classes = subject.classes or tuple(subject.class_name(i) for i in range(int(images.labels.max()) + 1))
    found = [pca(values) if name == "pca" else tsne(values, perplexity=perplexity) for name in method]
    page, heading = out / "embedding.html", f"{subject.name}, {values.shape[1]} features at {point}, {images.words}"
    captions = [_caption(images.ids[i], classes, images.labels[i], predicted[i]) for i in range(len(images))]
    pixels = images.pixels(range(len(images)))
    write_text(page, hover_page(found, pixels, images.labels, wrong, classes, captions, heading))
    drawn = []
    for name, one in zip(method, found, strict=True):
        figure = scatter(one.points, images.labels, wrong, classes, f"{heading}: {one.method}", one.note)
        arrays = {"points": one.points, "labels": images.labels, "predicted": predicted, "ids": images.ids}
        line = f"{count}; with the image under the mouse: {page}"
        drawn.append(keep(out, f"embedding-{name}", figure, arrays, line))
    return drawn


def reads(subject: OpenedModel) -> Reads:
    return Reads(measured=_wanted(subject, None, MOST, "validation"))


def _wanted(subject: OpenedModel, layer: str | None, most: int, split: SplitName) -> Wanted:
    """The features and, of a classifier, the scores."""
    point = layer or (penultimate(subject.probe) if subject.is_classifier else subject.probe.output().name)
    points = [point, *([subject.head.point] if subject.is_classifier else [])]
    images = stream(subject, "embedding", split, most)
    return [(images, Features(one)) for one in points]


def _caption(name: str, classes: Sequence[str], label: int, predicted: int) -> str:
    lines = [name]
    if label >= 0:
        lines.append(f"true: {classes[label]}")
    if predicted >= 0 and predicted < len(classes):
        lines.append(f"predicted: {classes[predicted]}")
    return "\n".join(lines)
