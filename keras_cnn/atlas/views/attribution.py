"""What a class, a difference of classes or neurons depend on, by every method, each with its verdict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from keras_cnn.atlas.drawing import Drawn, keep
from keras_cnn.atlas.subject import Subject
from keras_cnn.atlas.views.kernels import Count
from keras_cnn.errors import UsageError
from keras_cnn.figures.attribution import attribution_sheet
from keras_cnn.figures.panels import number
from keras_cnn.visualization.attribution import METHODS, Attribution
from keras_cnn.visualization.sanity import OTHER_CLASS, THRESHOLD, RandomNetworks, Verdict, verdict
from keras_cnn.visualization.targets import ClassDifference, ClassScore, Neuron, Target, strongest

Method = Literal[tuple(METHODS)]
_CAMS = ("grad-cam", "grad-cam++", "score-cam", "layer-cam")
_NEURONS = 10


@dataclass(frozen=True)
class _Question:
    """One target with the images to explain it on."""

    target: Target
    images: np.ndarray  # indices into the subject's images, one for each row of the figure
    title: str  # "the predicted class"
    stem: str  # of the files


def draw(
    subject: Subject,
    out: Path,
    *,
    method: tuple[Method, ...] = (),
    target: str | None = None,
    against: str | None = None,
    neuron: tuple[str, ...] = (),
    layer: str | None = None,
    score_cam_channels: Count = 64,
    seed: int = 0,
) -> list[Drawn]:
    """A figure of each method and target, with what its sanity checks found on these images.

    Options:
        method: default all ten
        target: the class to explain, by name or number; default the predicted class of each image
        against: a class to subtract: what speaks for the target rather than for this one
        neuron: LAYER:CHANNEL or LAYER:CHANNEL,ROW,COLUMN instead of a class; LAYER for its ten strongest channels
        layer: whose maps the class activation maps weigh; default the last map before pooling
        score_cam_channels: channels that Score-CAM tries, those of the largest spread; one forward pass each
        seed: of the random networks and of SmoothGrad's noise
    """
    questions = _questions(subject, target, against, neuron)
    points = {question.stem: question.target.point(subject.probe) for question in questions}
    networks = {stem: RandomNetworks(subject.probe, point, seed=seed) for stem, point in points.items()}
    drawn = []
    for name in method or METHODS:
        options = {"layer": layer} if name in _CAMS else {"seed": seed} if name == "smoothgrad" else {}
        options |= {"channels": score_cam_channels} if name == "score-cam" else {}
        for question in questions:
            pixels = subject.images.pixels[question.images]
            found, checked = verdict(METHODS[name], pixels, question.target, networks[question.stem], **options)
            drawn.append(_sheet(subject, out, name, question, found, checked))
    return drawn


def _questions(subject: Subject, target: str | None, against: str | None, neurons: tuple[str, ...]) -> list[_Question]:
    every = np.arange(len(subject.images.names))
    if neurons:
        if target or against:
            raise UsageError("command line: --neuron explains neurons; --target and --against explain classes")
        return [_neurons(subject, text) for text in neurons]
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


def _neurons(subject: Subject, text: str) -> _Question:
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


def _sheet(subject: Subject, out: Path, name: str, question: _Question, found: Attribution, checked: Verdict) -> Drawn:
    captions = [
        "\n".join([subject.caption(image, after_name="\n"), f"{_named(subject, words)}: {number(score)}"])
        for image, words, score in zip(question.images, found.words, found.scores, strict=True)
    ]
    at = f", maps of {found.facts['layer']}" if "layer" in found.facts else ""
    title = f"{subject.name}: {found.method} of {question.title}{at}"
    note = "\n".join([*_facts(subject, found), *_checks(checked)])
    figure = attribution_sheet(subject.images.pixels[question.images], found.values, captions, title, note)
    arrays = {"images": subject.images.pixels[question.images], "values": found.values, "scores": found.scores}
    arrays |= {key: value for key, value in found.facts.items() if isinstance(value, np.ndarray)}
    arrays |= {"cascade": np.array([[like.rank, like.ssim] for _, like in checked.cascade])}
    error = _completeness(found)
    line = f"{found.method} of {question.title}: {checked.words}" + (f"; {error}" if error else "")
    return keep(out, f"{name}_{question.stem}", figure, arrays, line)


def _named(subject: Subject, words: str) -> str:
    """The words of a score with names for the numbers of classes."""
    if not words.startswith("class ") or not subject.classes:
        return words
    parts = [part.removeprefix("class ") for part in words.split(" minus ")]
    return " minus ".join(subject.class_name(int(part)) for part in parts)


def _facts(subject: Subject, found: Attribution) -> list[str]:
    scored = subject.head.words if found.words[0].startswith("class ") else "the neuron's value"
    lines = [f"Explained: {scored}."]
    if error := _completeness(found):
        lines.append(f"{error[0].upper()}{error[1:]}; baseline black, {found.facts['steps']} steps.")
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
