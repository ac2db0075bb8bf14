"""`attribution`: what a class, a difference of classes, a neuron or a box depends on, by ten methods with verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.errors import InputError
from keras_cnn.figures.panels import Panel, PanelRow, limits, number, sheet, value_range
from keras_cnn.figures.style import BROWN, GREEN, ORANGE
from keras_cnn.messages import capitalised, logger
from keras_cnn.views.support.explained_targets import ExplainedTarget, explained_targets
from keras_cnn.views.support.opened_detector import LocatedDetection, OpenedDetector, map_behind
from keras_cnn.views.support.opened_model import Count, OpenedModel, OptionalCount
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.attribution import METHODS, Attribution
from keras_cnn.visualization.sanity import OTHER_CLASS, PASSES, THRESHOLD, RandomNetworks, Verdict, verdict, verdicts
from keras_cnn.visualization.targets import ClassScore

Method = Literal[tuple(METHODS)]
_CAMS = ("grad-cam", "grad-cam++", "score-cam", "layer-cam")
_RELU_METHODS = ("guided-backpropagation", "deconvnet")  # they refuse a network without plain ReLUs
# Options of a method in its sanity checks only. On net4, the likenesses with 16 steps are within 0.01 of those with 64
# steps, which took a third of the view's time.
_IN_CHECKS = {"integrated-gradients": {"steps": 16}}
RANDOM_NETWORKS = "random networks"  # of the results that an opened model keeps: those of the checks, by their point
_SMALL = 96  # pixels of a side up to which two images with their maps stand side by side


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    method: tuple[Method, ...] = (),  # pyright: ignore[reportInvalidTypeForm]
    target: str | None = None,
    against: str | None = None,
    neuron: tuple[str, ...] = (),
    box: OptionalCount = None,
    layer: str | None = None,
    score_cam_channels: Count = 64,
    seed: int = 0,
) -> list[SavedFigure]:
    """A figure for each method and target, with the verdict of its sanity checks on these images.

    Options:
        method: default all ten, without those that the activations of the network rule out
        target: the class to explain, by name or number; default the predicted class, or classes, of each image
        against: a class to subtract: what speaks for the target rather than for this class
        neuron: LAYER:CHANNEL or LAYER:CHANNEL,ROW,COLUMN instead of a class; LAYER for its ten strongest channels
        box: of a detector, which detection of each image by confidence; default 1, the strongest
        layer: layer of the class activation maps; default the last before pooling, or seen by a 3×3
        score_cam_channels: channels that Score-CAM tries, those of the largest spread; one forward pass each
        seed: seed of the random networks and of the noise of SmoothGrad
    """
    explained = explained_targets(opened, target, against, neuron, box)
    options = {"layer": layer, "channels": score_cam_channels, "seed": seed}
    return [_draw_sheet(opened, out, each) for each in _attributions(opened, explained, method, options)]


def explain(
    opened: OpenedModel,
    method: str,
    *,
    target: str | None = None,
    against: str | None = None,
    layer: str | None = None,
    seed: int = 0,
) -> tuple[Attribution, Verdict, Figure]:
    """One method for a class of the images on display: its maps, the verdict of its checks, and a figure of both.

    The options are those of `draw`. Raises InputError for a network without classes and for a method that does not fit
    its activations.
    """
    explained = explained_targets(opened, target, against, (), None)
    options = {"layer": layer, "channels": 64, "seed": seed}
    (checked,) = _attributions(opened, explained, (method,), options)
    return checked.attribution, checked.verdict, _sheet(opened, checked)


@dataclass(frozen=True)
class _CheckedAttribution:
    """The maps of one method for one target, and the verdict on them."""

    name: str  # of the files
    explained: ExplainedTarget
    attribution: Attribution
    verdict: Verdict


def _attributions(
    opened: OpenedModel, explained: Sequence[ExplainedTarget], methods: Sequence[str], given: Mapping[str, Any]
) -> Iterator[_CheckedAttribution]:
    """Every method, by default all that fit the network, for every target; `given` are options of the methods."""
    points = {each.stem: each.target.point(opened.probe) for each in explained}
    networks = {stem: RandomNetworks(opened.probe, point, seed=given["seed"]) for stem, point in points.items()}
    for name in methods or METHODS:
        options: dict[str, Any] = {"seed": given["seed"]} if name == "smoothgrad" else {}
        options |= {"channels": given["channels"]} if name == "score-cam" else {}
        for each in explained:
            if name in _CAMS:
                behind = map_behind(opened.probe, points[each.stem]) if each.boxes else None
                options["layer"] = given["layer"] or behind
            options |= {"other": each.other, "checks": _IN_CHECKS.get(name)}
            try:
                maps, checked = verdict(
                    METHODS[name], _pixels(opened, each), each.target, networks[each.stem], **options
                )
            except InputError as error:
                if methods or name not in _RELU_METHODS:
                    raise
                logger.info("%s: left out: %s", name, error)
                continue
            yield _CheckedAttribution(f"{name}_{each.stem}", each, maps, checked)


def draw_each(
    opened: OpenedModel, out: Path, method: str, names: Sequence[str], classes: Sequence[int]
) -> list[tuple[SavedFigure, Verdict]]:
    """A figure of each image on display for its class in `classes`, with the verdict on that image alone.

    The figures are called `names`. Raises the InputError of the method.
    """
    explained, attribution, checked = _of_classes(opened, method, classes)
    drawn = []
    for index, name in enumerate(names):
        one = replace(explained, images=np.array([index]))
        part = _of_image(attribution, index)
        figure = _draw_sheet(opened, out, _CheckedAttribution(name, one, part, checked[index]))
        drawn.append((figure, checked[index]))
    return drawn


def explain_each(opened: OpenedModel, method: str, classes: Sequence[int]) -> list[tuple[np.ndarray, str]]:
    """For each image on display its map for its class in `classes`, and the verdict on that image with its numbers.

    A map is (H, W) or, for a gradient, (H, W, C). Raises the InputError of the method.
    """
    _, attribution, checked = _of_classes(opened, method, classes)
    return [(values, _checks_in_words(one)) for values, one in zip(attribution.values, checked, strict=True)]


def _of_classes(
    opened: OpenedModel, method: str, classes: Sequence[int]
) -> tuple[ExplainedTarget, Attribution, list[Verdict]]:
    images = np.arange(len(classes))
    explained = ExplainedTarget(ClassScore(tuple(classes)), images, "the predicted class", "predicted")
    kept, point = opened.once(RANDOM_NETWORKS, dict), explained.target.point(opened.probe)
    if point not in kept:
        kept[point] = RandomNetworks(opened.probe, point)
    options: dict[str, Any] = {"seed": 0} if method == "smoothgrad" else {}
    pixels, checks = _pixels(opened, explained), _IN_CHECKS.get(method)
    attribution, checked = verdicts(METHODS[method], pixels, explained.target, kept[point], checks=checks, **options)
    return explained, attribution, checked


def _of_image(attribution: Attribution, index: int) -> Attribution:
    """The attribution of one of its images."""
    part, count = slice(index, index + 1), len(attribution.words)
    facts = {
        key: value[part] if isinstance(value, np.ndarray) and len(value) == count else value
        for key, value in attribution.facts.items()
    }
    return Attribution(
        attribution.method, attribution.values[part], attribution.scores[part], attribution.words[part], facts
    )


def _pixels(opened: OpenedModel, explained: ExplainedTarget) -> np.ndarray:
    """The images of a target; for boxes they are not rounded, so that the scores equal the detections'."""
    pixels = opened.letterboxed if isinstance(opened, OpenedDetector) else opened.images.pixels
    return pixels[explained.images]


def _sheet(opened: OpenedModel, checked: _CheckedAttribution) -> Figure:
    explained, attribution = checked.explained, checked.attribution
    pixels = opened.images.pixels[explained.images]
    if isinstance(opened, OpenedDetector) and explained.boxes:
        pixels = np.stack([opened.with_box(i, box) for i, box in zip(explained.images, explained.boxes, strict=True)])
        captions = [
            f"{opened.images.names[image]}\n{_box_in_words(opened, box)}: logit {number(score)}"
            for image, box, score in zip(explained.images, explained.boxes, attribution.scores, strict=True)
        ]
    else:
        captions = [
            "\n".join([opened.caption(image, after_name="\n"), _score_in_words(opened, words, score)])
            for image, words, score in zip(explained.images, attribution.words, attribution.scores, strict=True)
        ]
    title = f"{opened.name}: {attribution.method} of {explained.title}"
    note = "\n".join(_facts(opened, explained, attribution))
    return attribution_sheet(pixels, attribution.values, captions, title, note, badge=_badge(checked.verdict))


def _draw_sheet(opened: OpenedModel, out: Path, checked: _CheckedAttribution) -> SavedFigure:
    explained, attribution = checked.explained, checked.attribution
    arrays = {"images": _pixels(opened, explained), "values": attribution.values, "scores": attribution.scores}
    if explained.boxes:
        arrays |= {"boxes": np.stack([box.box for box in explained.boxes])}
        arrays |= {"confidences": np.array([box.confidence for box in explained.boxes])}
        arrays |= {"classes": [opened.class_name(box.class_index) for box in explained.boxes]}
    arrays |= {key: value for key, value in attribution.facts.items() if isinstance(value, np.ndarray)}
    found = checked.verdict
    arrays |= {"cascade": np.array([[likeness.rank, likeness.ssim] for _, likeness in found.cascade])}
    arrays |= {"cascade_layers": [name for name, _ in found.cascade], "verdict": found.words}
    arrays |= {"edges": np.array([found.edges.rank, found.edges.ssim])}
    if found.other_class:
        arrays |= {"other_class": np.array([found.other_class.rank, found.other_class.ssim])}
    error = _completeness(attribution)
    line = f"{attribution.method} of {explained.title}: {found.words}" + (f"; {error}" if error else "")
    saved = save_figure(out, checked.name, _sheet(opened, checked), arrays, line)
    return replace(saved, table=(f"  {_checks_in_words(found)}",))


def _badge(checked: Verdict) -> tuple[str, str]:
    """The verdict and its colour: green if it passes without remarks, brown with some, orange if it fails."""
    most = max(value for likeness in (checked.half, checked.random) for value in (likeness.rank, likeness.ssim))
    text = f"{checked.words} (likeness {most:.2f}, same from {THRESHOLD})".replace("-", "−")
    if not checked.passes:
        return f"✗ {text}", ORANGE
    return f"✓ {text}", GREEN if checked.words == PASSES else BROWN


def _score_in_words(opened: OpenedModel, words: str, score: float) -> str:
    """logit of cat 3.2; a neuron has a value."""
    kind = "logit of " if words.startswith("class ") and opened.head.words == "logits" else ""
    return f"{kind}{_with_class_names(opened, words)}: {number(score)}"


def _box_in_words(opened: OpenedModel, box: LocatedDetection) -> str:
    name = f"{opened.class_name(box.class_index)} {box.confidence:.2f}"
    return f"{name}, anchor {box.anchor} of cell ({box.row}, {box.column})"


def _with_class_names(opened: OpenedModel, words: str) -> str:
    """The words of a score with the names of the classes instead of their numbers."""
    if not words.startswith("class ") or not opened.classes:
        return words
    parts = [part.removeprefix("class ") for part in words.split(" minus ")]
    return " minus ".join(opened.class_name(int(part)) for part in parts)


def _facts(opened: OpenedModel, explained: ExplainedTarget, attribution: Attribution) -> Iterator[str]:
    facts = cast(Mapping[str, Any], attribution.facts)
    scored = opened.head.words if attribution.words[0].startswith("class ") else "the neuron's value"
    if explained.boxes:
        scored = "the logit of the box's class at its anchor and cell, without its objectness"
    at = f", by the maps of {facts['layer']}" if "layer" in facts else ""
    yield f"Explained: {scored}{at}."
    if error := _completeness(attribution):
        few = _IN_CHECKS["integrated-gradients"]["steps"]
        yield f"{capitalised(error)}; baseline black, {facts['steps']} steps, {few} in the checks."
    if "relus" in facts:
        written = [relu.written for relu in facts["relus"]]
        kinds = ", ".join(f"{written.count(kind)} as {kind}" for kind in dict.fromkeys(written))
        others = facts["other_activations"]
        kept = f"; {', '.join(others)} keep their gradient" if others else ""
        yield f"All {len(written)} ReLUs rewired: {kinds}{kept}."
    if "samples" in facts:
        yield f"{facts['samples']} samples, noise {facts['noise']:.0%} of each image's range."
    if "channels" in facts:
        total = opened.probe.shape(facts["layer"])[-1]
        yield f"{facts['channels']} of {total} channels tried, those of the largest spread in each image."


def _completeness(attribution: Attribution) -> str:
    if "completeness_error" not in attribution.facts:
        return ""
    facts = cast(Mapping[str, np.ndarray], attribution.facts)
    error, difference = np.abs(facts["completeness_error"]), np.abs(facts["difference"])
    worst = int(error.argmax())
    return f"completeness error at most {number(error[worst], 2)} in a difference of {number(difference[worst])}"


def _checks_in_words(checked: Verdict) -> str:
    cascade = "; ".join(f"to {name} {likeness}" for name, likeness in checked.cascade)
    other = (
        f" Likeness to another class: {checked.other_class} (same from {OTHER_CLASS})." if checked.other_class else ""
    )
    images = f"mean of {checked.images} images" if checked.images > 1 else "one image only"
    return (
        f"Verdict: {checked.words}. Likeness to the maps with random weights from the last layer down ({images}, same"
        f" from {THRESHOLD}): {cascade}. Likeness to an edge detector: {checked.edges}.{other}"
    )


def attribution_sheet(
    images: np.ndarray,
    values: np.ndarray,
    captions: Sequence[str],
    title: str,
    note: str,
    *,
    badge: tuple[str, str] | None = None,
) -> Figure:
    """A group for each image: the image, its map, and the map over the image or, for a gradient, its magnitude.

    `images` (N, H, W, C) uint8; `values` (N, H, W) or, for each channel of the image, (N, H, W, C); `captions` of one
    or more lines stand above the groups; the `badge` is a text and its colour. Each map has its own
    scale, and its range stands below it.
    """
    groups = [_group(image, value) for image, value in zip(images, values, strict=True)]
    across = 2 if images.shape[2] <= _SMALL and len(images) > 1 else 1
    rows = []
    for start in range(0, len(groups), across):
        part = range(start, min(start + across, len(groups)))
        panels = [panel for index in part for panel in groups[index]]
        rows.append(PanelRow(panels, titles=[captions[index] for index in part], span=3))
    return sheet(rows, title, note, 3 * across, badge=badge)


def _group(image: np.ndarray, values: np.ndarray) -> list[Panel]:
    if values.ndim == 2:
        bounds = limits(values)
        return [
            Panel(image),
            Panel(values, f"map\n{value_range(values, 2)}", bounds),
            Panel(values, "over the image", bounds, image),
        ]
    signed, magnitude = values.sum(axis=-1), np.abs(values).max(axis=-1)
    return [
        Panel(image),
        Panel(signed, f"channel sum\n{value_range(signed, 2)}", limits(signed)),
        Panel(magnitude, f"largest magnitude\n{value_range(magnitude, 2)}", limits(magnitude)),
    ]
