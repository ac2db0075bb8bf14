"""What a class, a difference of classes, neurons or a box depend on, by every method, each with its verdict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from keras_cnn.checking import Limit
from keras_cnn.errors import InputError, UsageError
from keras_cnn.figures.attribution import attribution_sheet
from keras_cnn.figures.panels import number
from keras_cnn.views.kernels import Count
from keras_cnn.views.opened_detector import Found, OpenedDetector, map_behind
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization.attribution import METHODS, Attribution
from keras_cnn.visualization.sanity import OTHER_CLASS, THRESHOLD, RandomNetworks, Verdict, verdict
from keras_cnn.visualization.targets import ClassDifference, ClassScore, Neuron, Target, strongest

Method = Literal[tuple(METHODS)]
AtLeastOne = Annotated[int | None, Limit("at least 1", lambda value: value >= 1)]
_CAMS = ("grad-cam", "grad-cam++", "score-cam", "layer-cam")
_RULES = ("guided-backpropagation", "deconvnet")  # for ReLUs; they refuse a network with others
_NEURONS = 10
# Of the method in its sanity checks alone. On net4 the likenesses with 16 steps are within 0.01 of those with 64, which
# took a third of the view's time.
_IN_CHECKS = {"integrated-gradients": {"steps": 16}}


@dataclass(frozen=True)
class _Question:
    """One target with the images to explain it on."""

    target: Target
    images: np.ndarray  # indices into the subject's images, one for each row of the figure
    title: str  # "the predicted class"
    stem: str  # of the files
    boxes: tuple[Found, ...] = ()  # of a detector, one for each image
    other: Target | None = None  # of another class, for the verdict; None: as it finds it


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    method: tuple[Method, ...] = (),
    target: str | None = None,
    against: str | None = None,
    neuron: tuple[str, ...] = (),
    box: AtLeastOne = None,
    layer: str | None = None,
    score_cam_channels: Count = 64,
    seed: int = 0,
) -> list[Drawn]:
    """A figure of each method and target, with what its sanity checks found on these images.

    Options:
        method: default all ten, but for those that a network's activations rule out
        target: the class to explain, by name or number; default the predicted class of each image
        against: a class to subtract: what speaks for the target rather than for this one
        neuron: LAYER:CHANNEL or LAYER:CHANNEL,ROW,COLUMN instead of a class; LAYER for its ten strongest channels
        box: of a detector, which detection of each image by confidence; default 1, the strongest
        layer: whose maps the class activation maps weigh; default the last before pooling, or seen by a 3×3
        score_cam_channels: channels that Score-CAM tries, those of the largest spread; one forward pass each
        seed: of the random networks and of SmoothGrad's noise
    """
    questions = _questions(subject, target, against, neuron, box)
    points = {question.stem: question.target.point(subject.probe) for question in questions}
    networks = {stem: RandomNetworks(subject.probe, point, seed=seed) for stem, point in points.items()}
    drawn = []
    for name in method or METHODS:
        options = {"seed": seed} if name == "smoothgrad" else {}
        options |= {"channels": score_cam_channels} if name == "score-cam" else {}
        for question in questions:
            if name in _CAMS:
                of_boxes = question.boxes and map_behind(subject.probe, points[question.stem])
                options["layer"] = layer or of_boxes or None
            options |= {"other": question.other, "checks": _IN_CHECKS.get(name)}
            try:
                found, checked = verdict(
                    METHODS[name], _pixels(subject, question), question.target, networks[question.stem], **options
                )
            except InputError as error:
                if method or name not in _RULES:
                    raise
                print(f"{name}: left out: {error}")
                continue
            drawn.append(_sheet(subject, out, name, question, found, checked))
    return drawn


def _pixels(subject: OpenedModel, question: _Question) -> np.ndarray:
    """The images of a question; of boxes not rounded, so that their scores are those of the detections."""
    every = subject.letterboxed if isinstance(subject, OpenedDetector) else subject.images.pixels
    return every[question.images]


def _questions(
    subject: OpenedModel, target: str | None, against: str | None, neurons: tuple[str, ...], box: int | None
) -> list[_Question]:
    every = np.arange(len(subject.images.names))
    if box and (neurons or not isinstance(subject, OpenedDetector)):
        raise UsageError("command line: --box explains a detection of a detector, and nothing else with it")
    if neurons:
        if target or against:
            raise UsageError("command line: --neuron explains neurons; --target and --against explain classes")
        return [_neurons(subject, text) for text in neurons]
    if isinstance(subject, OpenedDetector):
        if target or against:
            raise UsageError(f"command line: {subject.name} is a detector: --box N instead of --target and --against")
        return _boxes(subject, box or 1)
    if not subject.is_classifier:
        point = subject.probe.last_map()
        raise UsageError(f"command line: {subject.name} has no classes; explain neurons, such as --neuron {point}")
    index = None if target is None else subject.class_index(target)
    words = "the predicted class" if index is None else subject.class_name(index)
    if against is None:
        return [_Question(ClassScore(index), every, words, target or "predicted")]
    other = subject.class_index(against)
    title = f"{words} against {subject.class_name(other)}"
    return [_Question(ClassDifference(index, other), every, title, f"{target or 'predicted'}-against-{against}")]


def _boxes(subject: OpenedDetector, number: int) -> list[_Question]:
    """A question for each head, with the images whose box comes from it."""
    boxes, questions = subject.boxes(number), []
    for head, point in enumerate(subject.probe.outputs):
        images = [index for index, one in enumerate(boxes) if one.head == head]
        if images:
            chosen = [boxes[index] for index in images]
            target = subject.logit(chosen, [one.class_index for one in chosen])
            other = subject.logit(chosen, [one.next_class for one in chosen])
            title = f"the class logit of box {number} at {point}"
            stem = f"box-{number}_{point}"
            questions.append(_Question(target, np.array(images), title, stem, tuple(chosen), other))
    return questions


def _neurons(subject: OpenedModel, text: str) -> _Question:
    layer, _, place = text.rpartition(":") if _is_place(text.rpartition(":")[2]) else (text, "", "")
    point = subject.probe.point(layer)
    pixels = subject.images.pixels
    if not place:
        channels, images = zip(*strongest(subject.probe, pixels, point, _NEURONS), strict=True)
        words = f"the {len(channels)} strongest channels of {point}"
        return _Question(Neuron(point, channels), np.array(images), words, f"{point}_strongest")
    channel, *position = (int(part) for part in place.split(","))
    target = Neuron(point, channel, tuple(position) or None)
    return _Question(target, np.arange(len(pixels)), f"{point} channel {channel}", f"{point}_{place.replace(',', '-')}")


def _is_place(text: str) -> bool:
    parts = text.split(",")
    return all(part.isdecimal() for part in parts) and len(parts) in (1, 3)


def _sheet(
    subject: OpenedModel, out: Path, name: str, question: _Question, found: Attribution, checked: Verdict
) -> Drawn:
    pixels = subject.images.pixels[question.images]
    if question.boxes:
        pixels = np.stack([subject.drawn(i, one) for i, one in zip(question.images, question.boxes, strict=True)])
        captions = [
            f"{subject.images.names[image]}\n{_box_in_words(subject, one)}: {number(score)}"
            for image, one, score in zip(question.images, question.boxes, found.scores, strict=True)
        ]
    else:
        captions = [
            "\n".join([subject.caption(image, after_name="\n"), f"{_named(subject, words)}: {number(score)}"])
            for image, words, score in zip(question.images, found.words, found.scores, strict=True)
        ]
    title = f"{subject.name}: {found.method} of {question.title}"
    note = "\n".join([*_facts(subject, question, found), *_checks(checked)])
    figure = attribution_sheet(pixels, found.values, captions, title, note)
    arrays = {"images": _pixels(subject, question), "values": found.values, "scores": found.scores}
    if question.boxes:
        arrays |= {"boxes": np.stack([one.box for one in question.boxes])}
        arrays |= {"confidences": np.array([one.confidence for one in question.boxes])}
        arrays |= {"classes": [subject.class_name(one.class_index) for one in question.boxes]}
    arrays |= {key: value for key, value in found.facts.items() if isinstance(value, np.ndarray)}
    arrays |= {"cascade": np.array([[like.rank, like.ssim] for _, like in checked.cascade])}
    error = _completeness(found)
    line = f"{found.method} of {question.title}: {checked.words}" + (f"; {error}" if error else "")
    return keep(out, f"{name}_{question.stem}", figure, arrays, line)


def _box_in_words(subject: OpenedModel, one: Found) -> str:
    name = f"{subject.class_name(one.class_index)} {one.confidence:.2f}"
    return f"{name}, anchor {one.anchor} of cell ({one.row}, {one.column})"


def _named(subject: OpenedModel, words: str) -> str:
    """The words of a score with names for the numbers of classes."""
    if not words.startswith("class ") or not subject.classes:
        return words
    parts = [part.removeprefix("class ") for part in words.split(" minus ")]
    return " minus ".join(subject.class_name(int(part)) for part in parts)


def _facts(subject: OpenedModel, question: _Question, found: Attribution) -> list[str]:
    scored = subject.head.words if found.words[0].startswith("class ") else "the neuron's value"
    if question.boxes:
        scored = "the logit of the box's class at its anchor and cell, without its objectness"
    at = f", by the maps of {found.facts['layer']}" if "layer" in found.facts else ""
    lines = [f"Explained: {scored}{at}."]
    if error := _completeness(found):
        few = _IN_CHECKS["integrated-gradients"]["steps"]
        lines.append(
            f"{error[0].upper()}{error[1:]}; baseline black, {found.facts['steps']} steps, {few} in the checks."
        )
    if "relus" in found.facts:
        written = [relu.written for relu in found.facts["relus"]]
        kinds = ", ".join(f"{written.count(kind)} as {kind}" for kind in dict.fromkeys(written))
        others = found.facts["other_activations"]
        kept = f"; {', '.join(others)} keep their gradient" if others else ""
        lines.append(f"All {len(written)} ReLUs rewired: {kinds}{kept}.")
    if "samples" in found.facts:
        lines.append(f"{found.facts['samples']} samples, noise {found.facts['noise']:.0%} of each image's range.")
    if "channels" in found.facts:
        every = subject.probe.shape(found.facts["layer"])[-1]
        lines.append(f"{found.facts['channels']} of {every} channels tried, those of the largest spread in each image.")
    return lines


def _completeness(found: Attribution) -> str:
    if "completeness_error" not in found.facts:
        return ""
    error, difference = (np.abs(found.facts[name]) for name in ("completeness_error", "difference"))
    worst = int(error.argmax())
    return f"completeness error at most {number(error[worst], 2)} in a difference of {number(difference[worst])}"


def _checks(checked: Verdict) -> list[str]:
    cascade = "; ".join(f"to {name} {like}" for name, like in checked.cascade)
    other = (
        f" Likeness to another class: {checked.other_class} (same from {OTHER_CLASS})." if checked.other_class else ""
    )
    images = f"mean of {checked.images} images" if checked.images > 1 else "one image only"
    return [
        f"Verdict: {checked.words}. Likeness to the maps with random weights from the last layer down ({images}, same"
        f" from {THRESHOLD}): {cascade}. Likeness to an edge detector: {checked.edges}.{other}"
    ]
