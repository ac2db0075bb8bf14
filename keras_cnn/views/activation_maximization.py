"""`maximise`: pictures that raise a class or a channel as far as an optimiser can, beside the best real images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np

from keras_cnn.checking import Limit
from keras_cnn.errors import UsageError, require
from keras_cnn.figures.activation_maximization import maximised
from keras_cnn.figures.panels import number
from keras_cnn.views.image_stream import SplitName, Stream, stream
from keras_cnn.views.kernels import Count
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization.activation_maximization import STEPS, Maximised, Real, before_activation, best_of, maximise
from keras_cnn.visualization.activations import most_active, spread
from keras_cnn.visualization.targets import ChannelMean, Neuron, Target

AtLeastOne = Annotated[int | None, Limit("at least 1", lambda value: value >= 1)]
_ROUNDING = 1e-5  # of a sum of many float32 numbers
_CLASSES = 10  # drawn unless they are named
_SMALL = 64  # pixels of a side, up to which eight channels take seconds


@dataclass(frozen=True)
class _Question:
    """Units of one point, raised together in one sheet."""

    target: Target
    names: tuple[str, ...]  # a unit each
    heading: str  # "channels of conv4"
    words: str  # what is raised
    activation: str | None  # what reads the point
    stem: str  # of the file

    @property
    def units(self) -> int:
        return len(self.names)


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    channels: tuple[int, ...] = (),
    target: tuple[str, ...] = (),
    unit: Literal["channel", "middle"] = "channel",
    count: AtLeastOne = None,
    steps: Count = STEPS,
    parametrisation: Literal["fourier", "pixel"] = "fourier",
    most: Count = 500,
    split: SplitName = "validation",
    seed: int = 0,
) -> list[Drawn]:
    """A sheet of the classes, and one of each layer; every picture with the value it reaches, that of the noise it
    began with, and the largest of real images.

    Options:
        layer: layers whose channels are raised; default the classes, and an early, a middle and a deep convolution
        channels: which channels; default those whose maps differ most over the images on display
        target: classes to raise, by name or number; alone, no layer is drawn
        unit: a channel's mean over its map, or its unit in the middle of the map
        count: how many channels of a layer, if none are named; default 8, of images above 64 pixels 4
        steps: of the ascent
        parametrisation: what the picture is made of: its Fourier spectrum, or pixels
        most: real images that are tried, at even distances in the split
        split: which images of the run they are: validation, train or test; of test it is recorded
        seed: of the noise and of the random transforms
    """
    if channels and not layer:
        raise UsageError("command line: --channels needs --layer, whose channels they are")
    questions = [_classes(subject, target)] if target or (subject.is_classifier and not layer) else []
    small = max(side or 0 for side in subject.probe.input_shape[:2]) <= _SMALL
    if layer or not target:
        count = count or (8 if small else 4)
        names = layer or spread(subject.probe, 3)
        questions += [_channels(subject, name, channels, count, unit) for name in names]
    real = stream(subject, "maximise", split, most)
    options = {"steps": steps, "parametrisation": parametrisation, "seed": seed}
    found = [maximise(subject.probe, question.target, question.units, **options) for question in questions]
    reached = best_of(subject.probe, [one.score for one in found], real)
    return [
        _sheet(subject, out, question, one, best, real, options)
        for question, one, best in zip(questions, found, reached, strict=True)
    ]


def _classes(subject: OpenedModel, names: Sequence[str]) -> _Question:
    classes = [subject.class_index(name) for name in names] or list(range(min(_CLASSES, subject.head.classes)))
    point, activation = before_activation(subject.probe, subject.head.point.partition(":")[0])
    if subject.head.squashing:
        point, activation = subject.head.point, None
    words = subject.head.words if activation is None else f"what {activation} makes the class scores of"
    named = tuple(subject.class_name(index) for index in classes)
    every = subject.head.classes
    heading = f"{len(classes)} of {every} classes"
    return _Question(ChannelMean(point, tuple(classes)), named, heading, words, activation, "classes")


def _channels(subject: OpenedModel, name: str, channels: Sequence[int], count: int, unit: str) -> _Question:
    probe = subject.probe
    point, activation = before_activation(probe, name)
    shape = probe.shape(point)
    if not channels:
        shown = activation or point  # a channel that its activation always shuts does not differ
        maps = subject.maps([shown])[shown]
        channels = tuple(int(channel) for channel in most_active(maps, count))
    named = tuple(f"channel {channel}" for channel in channels)
    target: Target = ChannelMean(point, channels)
    words = f"the mean of the map at {point}" if len(shape) == 3 else f"the unit at {point}"
    if unit == "middle":
        require(len(shape) == 3, f"{subject.name}: {point}", f"an output of shape {shape}", "a map with a middle")
        middle = (shape[0] // 2, shape[1] // 2)
        target, words = Neuron(point, channels, middle), f"the unit ({middle[0]}, {middle[1]}) of the map at {point}"
    words += f", which {activation} reads" if activation else ""
    heading = f"{len(channels)} of {shape[-1]} channels of {name}"
    return _Question(target, named, heading, words, activation, f"{name}_{unit}")


def _sheet(
    subject: OpenedModel, out: Path, question: _Question, found: Maximised, best: Real, real: Stream, options: dict
) -> Drawn:
    images = real.pixels(best.numbers)
    beaten = ~found.dead & (found.values > best.values + _ROUNDING * np.abs(best.values))
    below = [_below(question, found, beaten, index) for index in range(question.units)]
    files = [PurePosixPath(real.ids[image]).name for image in best.numbers]
    below_images = [f"real: {number(value)}\n{name}" for value, name in zip(best.values, files, strict=True)]
    title = f"{subject.name}: pictures that raise {question.heading}"
    line = f"{int(beaten.sum())} of {question.units} pictures above every real image"
    notes = [
        f"Raised: {question.words}. {options['steps']} steps of Adam at {found.rate:g}, {options['parametrisation']}"
        f" parameters, seed {options['seed']}. All values are those of the 8-bit pictures shown; beside each the"
        f" best of {real.words}.",
        f"{line}{_not_beaten(question, found, beaten)}.",
    ]
    figure = maximised(found.pictures, images, question.names, below, below_images, title, "\n".join(notes))
    arrays = {"pictures": found.pictures, "values": found.values, "names": list(question.names)}
    arrays |= {"start": found.start, "start_values": found.start_values, "dead": found.dead}
    arrays |= {"real_images": images, "real_values": best.values, "real_names": files}
    line = f"{question.heading}: {line}{_not_beaten(question, found, beaten)}"
    return keep(out, f"maximise-{question.stem}", figure, arrays, line)


def _below(question: _Question, found: Maximised, beaten: np.ndarray, index: int) -> str:
    value, start = number(found.values[index]), number(found.start_values[index], 2)
    lines = [f"made: {value}", f"noise: {start}"]
    if found.dead[index]:
        lines.append("dead")
    elif question.activation and found.highest[index] <= 0:
        lines.append("never above 0")
    elif not beaten[index]:
        lines.append("below the real")
    return "\n".join(lines)


def _not_beaten(question: _Question, found: Maximised, beaten: np.ndarray) -> str:
    """What the reader must not overlook: units that could not be raised, and pictures that real images surpass."""
    dead = [name for name, one in zip(question.names, found.dead, strict=True) if one]
    shut = found.highest <= 0 if question.activation else np.zeros(question.units, bool)
    shut = [name for name, one, gone in zip(question.names, shut, found.dead, strict=True) if one and not gone]
    rest = [n for n, one, gone in zip(question.names, beaten, found.dead, strict=True) if not one and not gone]
    parts = [
        (rest, "not above"),
        (dead, "dead, no step had a gradient"),
        (shut, f"not above 0 anywhere, so that {question.activation} may give nothing"),
    ]
    return "".join(f"; {words}: {', '.join(names)}" for names, words in parts if names)
