"""`filters`: what each filter responds to, over a whole split in one pass."""

from pathlib import Path

import numpy as np

from keras_cnn.errors import require
from keras_cnn.figures.panels import number as number_in_words
from keras_cnn.figures.responses import class_table, filter_summary, top_images
from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.views.image_stream import Reads, SplitName, Stream, measured
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.views.top_patches import responses_to, top_patches
from keras_cnn.visualization import receptive_field
from keras_cnn.visualization.filters import DEAD, TOP, Responses

_LAYERS, _COLUMNS, _ROWS = 5, 10, 6


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    filters: tuple[int, ...] = (0, 1),
    top: int = TOP,
    split: SplitName = "validation",
) -> list[Drawn]:
    """Top images and patches of some filters, the classes of their top images, and dead filters of all layers.

    Options:
        layer: convolutions whose filters are drawn; by default the first five
        filters: numbers of the filters that are drawn of each
        top: how many images of each filter are kept
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    probe, wanted = subject.probe, responses_to(subject, "filters", split, top)
    names = [probe.convolution(name).name for name in layer] or [b.name for b in probe.convolutions[:_LAYERS]]
    for name in names:
        count = probe.convolution(name).node.shape[-1]
        bad = [number for number in filters if not 0 <= number < count]
        require(not bad, f"{subject.name}: {name}", f"filter {bad and bad[0]}", f"0 to {count - 1}")
    (every,) = measured(subject, wanted)
    images, found = wanted[0][0], {responses.layer: responses for responses in every}
    drawn = [_summary(subject, out, images, list(found.values()))]
    if subject.classes is not None and (images.labels >= 0).all():
        drawn.append(_classes(subject, out, images, [(found[name], number) for name in names for number in filters]))
    fields, shown = receptive_field.fields(subject.model), list(filters)[:_ROWS]
    return drawn + [_layer(subject, out, images, found[name], shown, fields.get(name)) for name in names]


def reads(subject: OpenedModel) -> Reads:
    return Reads(measured=responses_to(subject, "filters"))


def _summary(subject: OpenedModel, out: Path, images: Stream, found: list[Responses]) -> Drawn:
    names = [responses.layer for responses in found]
    title = f"{subject.name}: every filter of every convolution on {images.words}"
    figure = filter_summary(names, [r.largest for r in found], [r.mean for r in found], title)
    arrays = {}
    for r in found:
        for name in ("top", "responses", "labels", "units", "peaks", "mean", "largest"):
            arrays[f"{r.layer}_{name}".replace("/", "-")] = getattr(r, name)
    counts = ", ".join(f"{r.layer} {int(r.dead.sum())} of {len(r.dead)}" for r in found if r.dead.any())
    return keep(out, "filters-summary", figure, arrays, f"dead ({DEAD}): {counts or 'none'}")


def _classes(subject: OpenedModel, out: Path, images: Stream, chosen: list[tuple[Responses, int]]) -> Drawn:
    classes = subject.classes
    counts = np.stack([r.class_counts(len(classes))[number] for r, number in chosen])
    names = [f"{r.layer} filter {number}" for r, number in chosen]
    top = chosen[0][0].top.shape[1]
    title = f"{subject.name}: classes of each filter's top {top} of {images.words}"
    figure = class_table(counts, names, classes, title)
    best = ", ".join(f"{name} {classes[row.argmax()]}" for name, row in zip(names, counts, strict=True))
    return keep(out, "filters-classes", figure, {"filters": names, "classes": classes, "counts": counts}, best)


def _layer(
    subject: OpenedModel,
    out: Path,
    images: Stream,
    found: Responses,
    shown: list[int],
    field: ReceptiveField | None,
) -> Drawn:
    best = top_patches(images, found, field, shown, _COLUMNS)
    labels = images.labels[best.numbers]
    known = bool(subject.classes) and bool((labels >= 0).all())
    headings = [_heading(subject, found, f) for f in shown]
    title = f"{subject.name}, {found.layer}: images with the largest responses, {best.words}{', true classes' * known}"
    captions = [[subject.classes[label] for label in row] for row in labels] if known else None
    figure = top_images(best.pixels, best.boxes, best.patches, headings, title, captions)
    ids = np.array([[images.ids[number] for number in row] for row in best.numbers])
    arrays = {"filters": shown, "numbers": best.numbers, "ids": ids, "boxes": best.boxes}
    arrays |= {"responses": found.responses[shown]}
    line = f"{found.layer}: largest responses " + ", ".join(f"{found.maximum[f]:.4g}" for f in shown)
    return keep(out, f"filters-{found.layer}", figure, arrays, line)


def _heading(subject: OpenedModel, found: Responses, number: int) -> str:
    most, mean = (number_in_words(value, 4) for value in (found.maximum[number], found.mean[number]))
    value = number_in_words(found.largest[number])
    text = f"filter {number}: largest response {most}, mean {mean}, largest value {value}"
    if found.dead[number]:
        text += ", dead"
    if subject.classes and (found.labels >= 0).all():
        classes = len(subject.classes)
        text += f"; top {found.top.shape[1]} mostly {subject.classes[found.class_most_seen(classes)[number]]}"
    return text
