"""Feature maps of any layers, around a convolution before and after batch norm and activation."""

from pathlib import Path

import numpy as np

from keras_cnn.errors import require
from keras_cnn.figures import activations as figures
from keras_cnn.views.image_stream import Reads
from keras_cnn.views.kernels import Count
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization import activations as measures


def draw(
    subject: OpenedModel, out: Path, *, layer: tuple[str, ...] = (), channels: tuple[int, ...] = (), count: Count = 16
) -> list[Drawn]:
    """A figure of each layer and image; of a dense layer one for all images.

    Options:
        layer: layers of any kind; default the first and the last convolution
        channels: which channels; default those that differ most over these images, after the activation
        count: how many channels, if none are named
    """
    drawn = []
    for name in layer or measures.first_and_last(subject.probe):
        drawn += _of_layer(subject, out, name, channels, count)
    return drawn


def reads(subject: OpenedModel) -> Reads:
    layers = measures.first_and_last(subject.probe)
    return Reads(shown=[point for name in layers for point in _parts(subject, name).values()])


def _of_layer(subject: OpenedModel, out: Path, name: str, channels: tuple[int, ...], count: int) -> list[Drawn]:
    parts = _parts(subject, name)
    found = subject.maps(parts.values())
    maps = {part: found[point] for part, point in parts.items()}
    last = list(maps.values())[-1]  # a channel that its activation always shuts has nothing to show
    if last.ndim != 4:
        return [_vectors(subject, out, name, last)]
    for channel in channels:
        inside = 0 <= channel < last.shape[-1]
        require(inside, f"{subject.name}: {name}", f"channel {channel}", f"0 to {last.shape[-1] - 1}")
    chosen = np.array(channels, int) if channels else measures.most_active(last, count)
    size = "×".join(map(str, last.shape[1:3]))
    drawn = []
    for index, pixels in enumerate(subject.images.pixels):
        title = f"{subject.name}: {name}, {len(chosen)} of {last.shape[-1]} maps of {size}"
        one = {part: values[index][..., chosen] for part, values in maps.items()}
        figure = figures.feature_maps(pixels, one, chosen, title, subject.caption(index))
        arrays = {"image": pixels, "channels": chosen} | {_key(part): values for part, values in one.items()}
        stem = Path(subject.images.names[index]).stem
        line = f"{name}: {', '.join(parts)} of {stem}"
        drawn.append(keep(out, f"{name}_{index + 1}_{stem}", figure, arrays, line))
    return drawn


def _parts(subject: OpenedModel, name: str) -> dict[str, str]:
    """Heading -> point: the parts around a convolution, or the layer alone."""
    point = subject.probe.point(name)
    if point in [block.name for block in subject.probe.convolutions]:
        around = measures.parts_of(subject.probe, point)
        return {f"{part} ({where})": where for part, where in around.items()}
    return {point: point}


def _vectors(subject: OpenedModel, out: Path, name: str, values: np.ndarray) -> Drawn:
    flat = values.reshape(len(values), -1)
    captions = [subject.caption(index) for index in range(len(values))]
    figure = figures.feature_vectors(flat, captions, f"{subject.name}: {name}, {flat.shape[1]} units")
    arrays = {"values": values, "images": subject.images.pixels}
    return keep(out, name, figure, arrays, f"{name}: {flat.shape[1]} units of {len(values)} images")


def _key(part: str) -> str:
    """The name of a part's array in the .npz file."""
    return part.partition(" (")[0].replace(" ", "_")
