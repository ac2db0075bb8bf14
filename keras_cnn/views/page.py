"""`page`: an HTML page on which the reader chooses an image, a layer and a channel and sees all that belongs to them.

The page is one file that opens from disk and makes no requests.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from keras_cnn.errors import InputError
from keras_cnn.figures.panels import coloured, number, value_range
from keras_cnn.messages import counted
from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.run_folder import write_text
from keras_cnn.views.kernel_map_pairs import channel_pairs
from keras_cnn.views.kernels import input_channels
from keras_cnn.views.support.html_page import as_image, as_json, data_url, render
from keras_cnn.views.support.image_stream import ImageStream, PlannedReads, measured
from keras_cnn.views.support.opened_model import Count, OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_arrays
from keras_cnn.views.support.top_patches import TopPatches, responses_to, top_patches
from keras_cnn.visualization.activations import spread
from keras_cnn.visualization.attribution import METHODS
from keras_cnn.visualization.filters import Responses
from keras_cnn.visualization.kernel_map_pairs import KernelMapPairs, points_of
from keras_cnn.visualization.receptive_field import patch, receptive_fields
from keras_cnn.visualization.targets import ClassScore, Neuron

_PATCHES = 6  # for each channel
_PATCH_PIXELS = 128  # largest length of a patch's longer side
_ENLARGED = 8  # enlargement of a kernel: browsers smooth images that they enlarge hundreds of times


def draw(opened: OpenedModel, out: Path, *, layer: tuple[str, ...] = (), count: Count = 8) -> list[SavedFigure]:
    """page.html: kernel, conv map, map after the activation, patch and gradient of the strongest unit, top patches.

    The top patches are those with the largest responses of the channel in the validation split, or in all images given.

    Options:
        layer: convolutions; default an early, a middle and a deep one
        count: channels of each layer, those whose maps after the activation differ most over these images
    """
    pixels = opened.images.pixels
    captions = [opened.caption(index) for index in range(len(pixels))]
    images = [
        _picture(image, "image", f"{image.shape[0]}×{image.shape[1]} pixels", caption=caption)
        for image, caption in zip(pixels, captions, strict=True)
    ]
    known_fields, note = _fields(opened)
    wanted = responses_to(opened, "page")
    searched, responses = wanted[0][0], {layer.layer: layer for layer in measured(opened, wanted)[0]}
    layers, arrays = [], {"images": pixels}
    for name in layer or spread(opened.probe, 3):
        pairs = channel_pairs(opened, name, count)
        gradients, places = _gradients(opened, pairs)
        field = known_fields.get(pairs.layer)
        units = [
            _unit(pairs, u, pixels, gradients=gradients[u], places=places[u], field=field)
            for u in range(len(gradients))
        ]
        best = top_patches(searched, responses[pairs.layer], field, pairs.channels, _PATCHES)
        patches = _top_patches(opened, searched, responses[pairs.layer], pairs.channels, best)
        units = [unit | patch for unit, patch in zip(units, patches, strict=True)]
        layers.append({"name": pairs.layer, "units": units, "images": _class_maps(opened, pairs)})
        arrays |= {f"{pairs.layer}/channels": pairs.channels, f"{pairs.layer}/kernels": pairs.kernels}
        arrays |= {f"{pairs.layer}/convolved": pairs.convolved, f"{pairs.layer}/gradients": gradients}
        arrays[f"{pairs.layer}/top"] = np.array([[searched.ids[place] for place in row] for row in best.numbers])
    page, npz = out / "page.html", out / "page.npz"
    content = as_json({"images": images, "layers": layers})
    write_text(page, render("page.html", title=f"{opened.name}: what its kernels see", note=note, content=content))
    save_arrays(npz, arrays)
    size = page.stat().st_size / 1e6
    counts = f"{counted(len(images), 'image')}, {counted(len(layers), 'layer')} to choose from"
    return [SavedFigure(page, npz, f"{counts}; {size:.1f} MB, opens in any browser")]


def reads(opened: OpenedModel) -> PlannedReads:
    points = [point for name in spread(opened.probe, 3) for point in points_of(opened.probe, name)]
    return PlannedReads(points, responses_to(opened, "page"))


def _fields(opened: OpenedModel) -> tuple[dict[str, ReceptiveField], str]:
    """Layer -> receptive field, and the note at the top of the page."""
    note = (
        "Red is above zero, blue below; maps without a sign run from dark to bright. Each picture has its own scale."
        " Whether gradient and Grad-CAM depend on what was learnt is checked by the view attribution."
    )
    try:
        return receptive_fields(opened.model), note
    except InputError as error:
        return {}, f"{note} Without the pixels that units see: {error}."


def _gradients(opened: OpenedModel, pairs: KernelMapPairs) -> tuple[np.ndarray, np.ndarray]:
    """Gradients (U, N, H, W) of the strongest unit of each channel in each image, and places (U, N, 2) of the units."""
    pixels, linear = opened.images.pixels, pairs.points[0]
    gradients, places = [], []
    for channel in pairs.channels:
        neuron = Neuron(linear, int(channel))
        places.append(neuron.places(opened.probe, pixels))
        target = Neuron(linear, int(channel), tuple(map(tuple, places[-1])))
        gradients.append(METHODS["gradient"](opened.probe, pixels, target).maps)
    return np.stack(gradients), np.stack(places)


def _class_maps(opened: OpenedModel, pairs: KernelMapPairs) -> list[list[dict]]:
    """For each image, the Grad-CAM of its predicted class at the layer; nothing if there are no classes."""
    if not opened.is_classifier:
        return [[] for _ in opened.images.names]
    layer = pairs.points[2] or pairs.points[0]
    cam = METHODS["grad-cam"](opened.probe, opened.images.pixels, ClassScore(), layer=layer)
    predicted = opened.probabilities.argmax(axis=1)
    names = [f" for {opened.class_name(int(index))}, by all channels of the layer" for index in predicted]
    return [[_map(values, "Grad-CAM", name)] for values, name in zip(cam.maps, names, strict=True)]


def _unit(
    pairs: KernelMapPairs,
    u: int,
    pixels: np.ndarray,
    *,
    gradients: np.ndarray,
    places: np.ndarray,
    field: ReceptiveField | None,
) -> dict[str, Any]:
    kernel = pairs.kernels[..., u]
    shown = kernel if kernel.shape[2] == 3 else kernel.mean(axis=2)
    words = "as RGB, grey is zero" if kernel.shape[2] == 3 else input_channels(kernel.shape[2])
    bound = np.abs(shown).max() or 1.0
    picture = np.round(127.5 + 127.5 * shown / bound).astype(np.uint8) if shown.ndim == 3 else coloured(shown)
    large = picture.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    images = [
        _unit_in_image(
            pairs, u, i, pixels[i], gradient=gradients[i], place=(int(places[i][0]), int(places[i][1])), field=field
        )
        for i in range(len(pixels))
    ]
    return {
        "name": f"channel {pairs.channels[u]}",
        "kernel": _picture(large, f"kernel {pairs.channels[u]}", f"{words}: {value_range(shown)}"),
        "images": images,
    }


def _unit_in_image(
    pairs: KernelMapPairs,
    u: int,
    i: int,
    image: np.ndarray,
    *,
    gradient: np.ndarray,
    place: tuple[int, int],
    field: ReceptiveField | None,
) -> list[dict]:
    maps = [
        ("conv map", pairs.convolved),
        ("after batch norm", pairs.normalised),
        ("after activation", pairs.activated),
    ]
    shown = [_map(values[i, ..., u], title) for title, values in maps if values is not None]
    unit = f"of the strongest unit, ({place[0]}, {place[1]})"
    if field is not None:
        seen = patch(image, field, place)
        if seen.size:  # a unit at the border may see padding alone
            shown.append(_picture(seen, "what it sees", f"{seen.shape[0]}×{seen.shape[1]} pixels {unit}"))
    return [*shown, _map(gradient, "gradient", f" {unit}")]


def _top_patches(
    opened: OpenedModel, images: ImageStream, responses: Responses, channels: np.ndarray, best: TopPatches
) -> list[dict]:
    """For each channel, its top patches and a line that describes them."""
    return [
        {
            "best": f"Largest responses of channel {channel} among {images.words}: {best.words}",
            "patches": [
                _patch(opened, images, place, patch, value)
                for place, patch, value in zip(places, patches, responses.responses[channel][:_PATCHES], strict=True)
            ],
        }
        for channel, places, patches in zip(channels, best.numbers, best.patches, strict=True)
    ]


def _patch(opened: OpenedModel, images: ImageStream, place: int, pixels: np.ndarray, response: float) -> dict:
    name = PurePosixPath(images.ids[place]).name
    title = opened.class_name(images.labels[place]) if images.labels[place] >= 0 else name
    small = as_image(pixels if pixels.size else np.full((1, 1, 1), 255, np.uint8))  # it sees padding alone
    small.thumbnail((_PATCH_PIXELS, _PATCH_PIXELS))
    shown = np.asarray(small).reshape(small.height, small.width, -1)
    return _picture(shown, title, f"{number(response, 4)}" + (f", {name}" if title != name else ""))


def _map(values: np.ndarray, title: str, more: str = "") -> dict[str, str]:
    return _picture(coloured(values), title, f"{value_range(values)}{more}")


def _picture(pixels: np.ndarray, title: str, note: str, **more: str) -> dict[str, str]:
    """An image (H, W, 1 or 3) uint8 as an entry of the page."""
    return {"src": data_url(_compact(pixels)), "title": title, "note": note, **more}


def _compact(pixels: np.ndarray) -> Image.Image:
    """The image, with a palette if 256 colours suffice, as for most maps: the file is then a third of the size."""
    if pixels.shape[-1] == 1:
        return as_image(pixels)
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, places = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return as_image(pixels)
    image = Image.fromarray(places.reshape(packed.shape).astype(np.uint8), "P")
    image.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8).tobytes())
    return image
