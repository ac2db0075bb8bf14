"""Kernel, conv map and ReLU map side by side by output channel, the pairing checked by numbers."""

from pathlib import Path

import numpy as np

from keras_cnn.figures import kernel_map_pairs as figures
from keras_cnn.views.image_stream import Reads
from keras_cnn.views.kernels import Count
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, input_channels, keep
from keras_cnn.visualization.activations import most_active, spread
from keras_cnn.visualization.kernel_map_pairs import Pairs, pairs_of_maps, points_of

_IMAGES = 3  # in one figure


def draw(
    subject: OpenedModel, out: Path, *, layer: tuple[str, ...] = (), channels: tuple[int, ...] = (), count: Count = 8
) -> list[Drawn]:
    """A figure of each layer for every three images.

    Options:
        layer: convolutions; default an early, a middle and a deep one
        channels: which output channels; default those whose maps after the activation differ most over these images
        count: how many channels, if none are named
    """
    drawn = []
    images = subject.images
    for name in layer or spread(subject.probe, 3):
        found = found_pairs(subject, name, count, channels)
        for start in range(0, len(images.names), _IMAGES):
            drawn.append(_sheet(subject, out, found, slice(start, start + _IMAGES)))
    return drawn


def reads(subject: OpenedModel) -> Reads:
    return Reads(shown=[point for name in spread(subject.probe, 3) for point in points_of(subject.probe, name)])


def found_pairs(subject: OpenedModel, layer: str, count: int, channels: tuple[int, ...] = ()) -> Pairs:
    """The pairs of the channels of a layer, or of the `count` that differ most, see `most_active`."""
    block = subject.probe.convolution(layer)
    points = points_of(subject.probe, layer)
    maps = subject.maps(points)
    chosen = channels or tuple(most_active(maps[points[-1]], count).tolist())
    return subject.once(("pairs", block.name, chosen), lambda: pairs_of_maps(subject.probe, maps, layer, chosen))


def _sheet(subject: OpenedModel, out: Path, found: Pairs, part: slice) -> Drawn:
    linear, normalised, activated = found.points
    maps = [("conv map", found.convolved[part])]
    if found.activated is not None:
        maps.append(("after activation", found.activated[part]))
    height, width, depth, _ = found.kernels.shape
    kernels = found.kernels if depth == 3 else found.kernels.mean(axis=2)
    shown = "weights on three channels as RGB" if depth == 3 else input_channels(depth)
    between = f"; then {' and '.join(filter(None, (normalised, activated)))}" if activated else ""
    note = (
        f"Kernels {height}×{width}×{depth}: {shown}, one scale{between}.\n"
        f"Each conv map was computed again from the kernel beside it alone: at most {found.difference:.0e} of the"
        " largest value apart."
    )
    title = f"{subject.name}: {linear}, kernel and maps by output channel"
    indices = range(*part.indices(len(subject.images.names)))
    names = [subject.caption(index, "\n") for index in indices]
    figure = figures.kernel_and_maps(subject.images.pixels[part], names, kernels, maps, found.channels, title, note)
    arrays = {
        "images": subject.images.pixels[part],
        "channels": np.asarray(found.channels),
        "kernels": found.kernels,
        "convolved": found.convolved[part],
        **({} if found.normalised is None else {"normalised": found.normalised[part]}),
        **({} if found.activated is None else {"activated": found.activated[part]}),
    }
    line = f"{found.layer}: {len(found.channels)} pairs, recomputed to {found.difference:.0e}"
    return keep(out, f"{found.layer}_{indices[0] + 1}-{indices[-1] + 1}", figure, arrays, line)
