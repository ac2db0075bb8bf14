"""The kernels of convolutions: on images as colours and colour by colour, deeper as means or chosen input channels."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from keras_cnn.checking import Limit
from keras_cnn.errors import require
from keras_cnn.figures import kernels as figures
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, input_channels, keep
from keras_cnn.visualization.activations import first_and_last
from keras_cnn.visualization.kernels import Kernels, kernels

Count = Annotated[int, Limit("at least 1", lambda value: value >= 1)]


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    scale: Literal["common", "own"] = "common",
    inputs: tuple[int, ...] = (),
    count: Count = 64,
) -> list[Drawn]:
    """Figures of each layer.

    Options:
        layer: convolutions; default the first and the last
        scale: colours of all kernels on one scale, or each on its own
        inputs: input channels of deeper layers to show; default their mean
        count: output channels, from the first
    """
    drawn = []
    for name in layer or first_and_last(subject.probe):
        found = kernels(subject.probe, name)
        chosen = np.arange(min(count, found.values.shape[-1]))
        drawn += _of_layer(subject, out, found, chosen, scale == "own", inputs)
    return drawn


def _of_layer(
    subject: OpenedModel, out: Path, found: Kernels, chosen: np.ndarray, own: bool, inputs: tuple[int, ...]
) -> list[Drawn]:
    height, width, depth, outputs = found.values.shape
    for channel in inputs:
        require(0 <= channel < depth, f"{subject.name}: {found.layer}", f"input channel {channel}", f"0 to {depth - 1}")
    size = f"{height}×{width}×{depth}"
    title = f"{subject.name}: {found.layer}, {len(chosen)} of {outputs} kernels {size}"
    values, norms = found.values[..., chosen], found.norms[chosen]
    bias = None if found.bias is None else found.bias[chosen]
    captions = figures.bias_and_norm(bias, norms)
    arrays = {"kernels": values, "channels": chosen, "norms": norms, **({} if bias is None else {"bias": bias})}
    line = f"{found.layer}: {len(chosen)} of {outputs} kernels {size}, weights {values.min():.3g} to {values.max():.3g}"
    if depth == 3 and not inputs and _sees_the_image(subject, found.layer):
        colours = figures.kernel_colours(values, chosen, captions, own, title)
        components = figures.kernel_components(values, chosen, own, f"{title}, colour by colour")
        return [
            keep(out, f"{found.layer}_rgb", colours, arrays, f"{line}, as RGB"),
            keep(out, f"{found.layer}_components", components, arrays, f"{line}, red, green and blue alone"),
        ]
    if not inputs:
        means = values.mean(axis=2)
        what = input_channels(depth)
        figure = figures.kernel_maps(means, chosen, captions, own, title, what)
        return [keep(out, f"{found.layer}_mean", figure, arrays | {"shown": means}, f"{line}, {what}")]
    drawn = []
    for channel in inputs:
        part = values[:, :, channel]
        figure = figures.kernel_maps(part, chosen, captions, own, title, f"input channel {channel}")
        name = f"{found.layer}_input_{channel}"
        drawn.append(keep(out, name, figure, arrays | {"shown": part}, f"{line}, input channel {channel}"))
    return drawn


def _sees_the_image(subject: OpenedModel, layer: str) -> bool:
    """Whether a convolution's three inputs are the image's colours: nothing but 3-channel maps comes before it."""
    before = subject.probe.ancestors(layer) - {subject.probe.node(layer).name}
    return all(subject.probe.nodes[name].shape[-1] in (1, 3) for name in before)
