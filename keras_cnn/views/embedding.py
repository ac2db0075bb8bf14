"""`embedding`: the images as points of a plane, close to each other if the network finds them alike."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from keras_cnn.figures.style import GREY, HEADER, INK, SMALL_SIZE, WIDTH, fit, new_figure, styled
from keras_cnn.messages import MOST_CLASSES
from keras_cnn.run_folder import write_text
from keras_cnn.views.support.html_page import as_image, as_json, data_url, render
from keras_cnn.views.support.image_stream import Measurements, PlannedReads, SplitName, measured, stream
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.embedding import Embedding, pca, penultimate, tsne
from keras_cnn.visualization.statistics import Features

MOST = 1000
_CLASS_MARKS = "os^Dv"
_CLASSES_SHOWN, _COLUMNS = 20, 5
_SPRITE_COLUMNS, _LARGEST = 40, 64  # images in a row of the sprite; pixels of the longer side of an image in it


@dataclass(frozen=True)
class ClassifiedPoints:
    """The classes of N images that are drawn as points."""

    labels: np.ndarray  # (N,) int, the true class; -1 where it is not known
    wrong: np.ndarray  # (N,) bool, wrongly predicted
    classes: Sequence[str]


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    method: tuple[Literal["pca", "tsne"], ...] = ("pca", "tsne"),
    layer: str | None = None,
    most: int = MOST,
    perplexity: float | None = None,
    split: SplitName = "validation",
) -> list[SavedFigure]:
    """Features of the images in two dimensions, coloured by class, wrong predictions ringed; embedding.html is a page
    that shows the image under the mouse.

    Options:
        method: pca and tsne, or one of them
        layer: layer of the features, pooled over a map; default before the class scores, or a backbone's last map
        most: number of images, at even distances in the split
        perplexity: of t-SNE: roughly the number of neighbours of an image that count; default 30, less for few images
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    measurements = _measurements(opened, layer, most, split)
    images, point = measurements[0][0], measurements[0][1].points[0]
    features, *scores = measured(opened, measurements)
    predicted = opened.head.class_scores(scores[0]).argmax(axis=1) if scores else np.full(len(images), -1)
    judged = (images.labels >= 0) & (predicted >= 0)
    wrong = judged & (predicted != images.labels)
    count = f"{int(wrong.sum()):,} of {int(judged.sum()):,} predicted wrong" if judged.any() else images.words
    classes = opened.classes or tuple(opened.class_name(i) for i in range(int(images.labels.max()) + 1))
    embeddings = [pca(features) if name == "pca" else tsne(features, perplexity=perplexity) for name in method]
    page, heading = out / "embedding.html", f"{opened.name}, {features.shape[1]} features at {point}, {images.words}"
    captions = [_caption(images.ids[i], classes, images.labels[i], predicted[i]) for i in range(len(images))]
    points = ClassifiedPoints(images.labels, wrong, classes)
    write_text(page, hover_page(embeddings, images.pixels(range(len(images))), points, captions, heading))
    figures = []
    for name, embedding in zip(method, embeddings, strict=True):
        figure = scatter(embedding.points, points, f"{heading}: {embedding.method}", embedding.note)
        arrays = {"points": embedding.points, "labels": images.labels, "predicted": predicted, "ids": images.ids}
        line = f"{count}; with the image under the mouse: {page}"
        figures.append(save_figure(out, f"embedding-{name}", figure, arrays, line))
    return figures


def reads(opened: OpenedModel) -> PlannedReads:
    return PlannedReads(measured=_measurements(opened, None, MOST, "validation"))


def _measurements(opened: OpenedModel, layer: str | None, most: int, split: SplitName) -> Measurements:
    """The features and, for a classifier, the scores."""
    point = layer or (penultimate(opened.probe) if opened.is_classifier else opened.probe.output().name)
    points = [point, *([opened.head.point] if opened.is_classifier else [])]
    images = stream(opened, "embedding", split, most)
    return [(images, Features(name)) for name in points]


def _caption(name: str, classes: Sequence[str], label: int, predicted: int) -> str:
    lines = [name]
    if label >= 0:
        lines.append(f"true: {classes[label]}")
    if 0 <= predicted < len(classes):
        lines.append(f"predicted: {classes[predicted]}")
    return "\n".join(lines)


@styled
def scatter(points: np.ndarray, images: ClassifiedPoints, title: str, note: str = "") -> Figure:
    """The images as points (N, 2), coloured by their classes; those predicted wrong have a black ring.

    Each class has its own colour and mark. With more than 20 classes, only the 20 most frequent do; the others are
    grey. Raises ValueError for other lengths.
    """
    labels, wrong, classes = np.asarray(images.labels), np.asarray(images.wrong, bool), images.classes
    if points.shape != (len(labels), 2) or wrong.shape != labels.shape:
        raise ValueError(f"{points.shape} points, {labels.shape} labels and {wrong.shape} wrong; expected one an image")
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    named = np.sort(np.argsort(-counts, kind="stable")[:_CLASSES_SHOWN])
    named = [int(index) for index in named if counts[index]]
    rows = -(-(len(named) + 2) // _COLUMNS)
    figure = new_figure(WIDTH, HEADER + 5.2 + 0.2 * rows + (0.2 if note else 0), title)
    axes = figure.subplots()
    rest = ~np.isin(labels, named)
    size = float(np.clip(6000 / max(1, len(points)), 5, 30))
    if rest.any():
        label = "other classes" if named else "class not known"
        axes.scatter(*points[rest].T, s=size, color=GREY, alpha=0.4, linewidths=0, label=label)
    for number, (index, colour) in enumerate(zip(named, class_colours(len(named)), strict=True)):
        look = {"marker": _CLASS_MARKS[number % len(_CLASS_MARKS)], "color": colour, "alpha": 0.75, "linewidths": 0}
        label = fit(classes[index], SMALL_SIZE, 1.05)
        axes.scatter(*points[labels == index].T, s=size, label=label, **look)
    if wrong.any():
        look = {"facecolors": "none", "edgecolors": INK, "linewidths": 0.7}
        axes.scatter(*points[wrong].T, s=2.2 * size, label="predicted wrong", **look)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GREY)
    axes.set_aspect("equal", adjustable="datalim")
    if note:
        axes.set_xlabel(fit(note, SMALL_SIZE, WIDTH - 0.4), fontsize=SMALL_SIZE, color=GREY)
    legend = figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=_COLUMNS, handlelength=1)
    for handle in filter(None, legend.legend_handles):
        handle.set(alpha=1, sizes=[24])
    return figure


def class_colours(count: int) -> np.ndarray:
    """(count, 4) RGBA from 0 to 1: a colour for each class, all different up to 20 classes."""
    return colormaps["tab10" if count <= 10 else "tab20"](np.arange(count))


def hover_page(
    embeddings: Sequence[Embedding], pixels: np.ndarray, images: ClassifiedPoints, captions: Sequence[str], title: str
) -> str:
    """An HTML page that shows the image of the point under the mouse or the finger; one file that opens from disk.

    `pixels` (N, H, W, 1 or 3) uint8; `captions` (N,). Texts are set as JSON or escaped, so that file and class names
    are never read as HTML.
    """
    figures = []
    for number, embedding in enumerate(embeddings):
        figure = go.Figure(_traces(embedding.points, images))
        heading = html.escape(f"{embedding.method}: {embedding.note}")
        axis = {"showticklabels": False, "zeroline": False}
        figure.update_layout(title=heading, template="plotly_white", autosize=True, xaxis=axis, yaxis=axis)
        legend = {"orientation": "h", "yanchor": "top", "y": -0.02}
        figure.update_layout(title_font_size=13, margin={"l": 10, "r": 10, "t": 40, "b": 10}, legend=legend)
        config = {"displayModeBar": False, "responsive": True}
        options: dict[str, Any] = {"full_html": False, "include_plotlyjs": number == 0, "config": config}
        options |= {"default_width": "100%", "default_height": "100%"}
        figures.append(Markup(figure.to_html(div_id=f"embedding-{number}", **options)))
    small = _small(pixels)
    return render(
        "embedding.html",
        title=title,
        figures=figures,
        width=small.shape[2],
        height=small.shape[1],
        columns=_SPRITE_COLUMNS,
        captions=as_json(list(captions)),
        sprite=data_url(_sprite(small)),
    )


def _traces(points: np.ndarray, images: ClassifiedPoints) -> list[go.Scatter]:
    """A trace for each class; of more than MOST_CLASSES, for each of the 20 most frequent, and one for the others."""
    found, own, counts = np.unique(images.labels, return_inverse=True, return_counts=True)
    names = ["class not known" if label < 0 else html.escape(images.classes[int(label)]) for label in found]
    grey = found < 0
    if len(found) > MOST_CLASSES:
        shown = np.sort(np.argsort(-counts, kind="stable")[:_CLASSES_SHOWN])
        place = np.full(len(found), len(shown))  # of the trace of the others
        place[shown] = np.arange(len(shown))
        own, names, grey = place[own], [*(names[i] for i in shown), "other classes"], np.append(grey[shown], True)
    colours = [to_hex(colour) for colour in class_colours(max(10, len(names)))]
    traces = []
    for number, name in enumerate(names):
        chosen = np.flatnonzero(own == number)
        edges = np.where(images.wrong[chosen], 1.5, 0.0)
        colour = "#5c6066" if grey[number] else colours[number % len(colours)]
        traces.append(
            go.Scatter(
                x=points[chosen, 0],
                y=points[chosen, 1],
                mode="markers",
                name=name,
                customdata=chosen,
                hoverinfo="none",
                marker={"size": 7, "color": colour, "line": {"color": "black", "width": edges}},
            )
        )
    return traces


def _small(pixels: np.ndarray) -> np.ndarray:
    """The images with their longer side at most 64 pixels."""
    height, width = pixels.shape[1:3]
    shrink = max(height, width) / _LARGEST
    if shrink <= 1:
        return pixels
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = [np.asarray(as_image(image).resize(size, Image.Resampling.BOX)) for image in pixels]
    return np.stack(small).reshape(len(pixels), size[1], size[0], -1)


def _sprite(pixels: np.ndarray) -> Image.Image:
    """All images in one, in rows of 40."""
    count, height, width, channels = pixels.shape
    rows = -(-count // _SPRITE_COLUMNS)
    sheet = np.zeros((rows * _SPRITE_COLUMNS, height, width, channels), np.uint8)
    sheet[:count] = pixels
    sheet = sheet.reshape(rows, _SPRITE_COLUMNS, height, width, channels).transpose(0, 2, 1, 3, 4)
    return as_image(sheet.reshape(rows * height, _SPRITE_COLUMNS * width, channels))
