"""One page from which the reader picks an image, a layer and a channel, and sees all that belongs to them together.

It is one HTML file without a request to anywhere, which opens from disk.
"""

import base64
import json
from io import BytesIO
from pathlib import Path, PurePosixPath

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from keras_cnn.errors import InputError
from keras_cnn.figures.panels import coloured, limits, number, value_range
from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.run_folder import replacing, write_text
from keras_cnn.views.image_stream import Reads, Stream, measured
from keras_cnn.views.kernel_map_pairs import found_pairs
from keras_cnn.views.kernels import Count
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, input_channels
from keras_cnn.views.top_patches import TopPatches, responses_to, top_patches
from keras_cnn.visualization.activations import spread
from keras_cnn.visualization.attribution import METHODS
from keras_cnn.visualization.filters import Responses
from keras_cnn.visualization.kernel_map_pairs import Pairs, points_of
from keras_cnn.visualization.receptive_field import fields, patch
from keras_cnn.visualization.targets import ClassScore, Neuron

_PATCHES = 6  # of a channel
_PATCH_PIXELS = 128  # of the longer side, at most
_ENLARGED = 8  # times, a kernel's pixels: browsers smooth what they enlarge by hundreds


def draw(subject: OpenedModel, out: Path, *, layer: tuple[str, ...] = (), count: Count = 8) -> list[Drawn]:
    """page.html: kernel, conv map, map after the activation, what the strongest unit sees, its gradient, top patches.

    The patches are those of the validation split, or of all images given, with the channel's largest responses.

    Options:
        layer: convolutions; default an early, a middle and a deep one
        count: channels of each layer, those whose maps after the activation differ most over these images
    """
    pixels = subject.images.pixels
    captions = [subject.caption(index) for index in range(len(pixels))]
    images = [
        _picture(image, "image", f"{image.shape[0]}×{image.shape[1]} pixels", caption=caption)
        for image, caption in zip(pixels, captions, strict=True)
    ]
    views, note = _fields(subject)
    wanted = responses_to(subject, "page")
    every, responses = wanted[0][0], {one.layer: one for one in measured(subject, wanted)[0]}
    layers, arrays = [], {"images": pixels}
    for name in layer or spread(subject.probe, 3):
        found = found_pairs(subject, name, count)
        gradients, places = _gradients(subject, found)
        field = views.get(found.layer)
        units = [_unit(found, u, pixels, gradients[u], places[u], field) for u in range(len(gradients))]
        best = top_patches(every, responses[found.layer], field, found.channels, _PATCHES)
        patches = _most_responsive(subject, every, responses[found.layer], found.channels, best)
        units = [unit | patch for unit, patch in zip(units, patches, strict=True)]
        layers.append({"name": found.layer, "units": units, "images": _class_maps(subject, found)})
        arrays |= {f"{found.layer}/channels": found.channels, f"{found.layer}/kernels": found.kernels}
        arrays |= {f"{found.layer}/convolved": found.convolved, f"{found.layer}/gradients": gradients}
        arrays[f"{found.layer}/top"] = np.array([[every.ids[place] for place in row] for row in best.numbers])
    page, beside = out / "page.html", out / "page.npz"
    write_text(page, _page(f"{subject.name}: what its kernels see", note, {"images": images, "layers": layers}))
    with replacing(beside) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    size = page.stat().st_size / 1e6
    return [
        Drawn(
            page,
            beside,
            f"{len(images)} images, {len(layers)} layers to choose from; {size:.1f} MB, opens in any browser",
        )
    ]


def reads(subject: OpenedModel) -> Reads:
    points = [point for name in spread(subject.probe, 3) for point in points_of(subject.probe, name)]
    return Reads(points, responses_to(subject, "page"))


def _fields(subject: OpenedModel) -> tuple[dict[str, ReceptiveField], str]:
    """Layer -> what its units see, and a sentence on what the page shows."""
    note = (
        "Red is above zero, blue below; maps without a sign run from dark to bright. Each picture has its own scale."
        " Whether gradient and Grad-CAM depend on what was learnt is checked by the view attribution."
    )
    try:
        return fields(subject.model), note
    except InputError as error:
        return {}, f"{note} Without the pixels that units see: {error}."


def _gradients(subject: OpenedModel, found: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Gradients (U, N, H, W) of each channel's strongest unit in each image, and its places (U, N, 2)."""
    pixels, linear = subject.images.pixels, found.points[0]
    gradients, places = [], []
    for channel in found.channels:
        neuron = Neuron(linear, int(channel))
        places.append(neuron.places(subject.probe, pixels))
        target = Neuron(linear, int(channel), tuple(map(tuple, places[-1])))
        gradients.append(METHODS["gradient"](subject.probe, pixels, target).maps)
    return np.stack(gradients), np.stack(places)


def _class_maps(subject: OpenedModel, found: Pairs) -> list[list[dict]]:
    """For each image the layer's Grad-CAM of the predicted class; nothing where there are no classes."""
    if not subject.is_classifier:
        return [[] for _ in subject.images.names]
    cam = METHODS["grad-cam"](
        subject.probe, subject.images.pixels, ClassScore(), layer=found.points[2] or found.points[0]
    )
    predicted = subject.probabilities.argmax(axis=1)
    names = [f" for {subject.class_name(int(index))}, by all channels of the layer" for index in predicted]
    return [[_map(values, "Grad-CAM", name)] for values, name in zip(cam.maps, names, strict=True)]


def _unit(
    found: Pairs, u: int, pixels: np.ndarray, gradients: np.ndarray, places: np.ndarray, field: ReceptiveField | None
) -> dict:
    kernel = found.kernels[..., u]
    shown = kernel if kernel.shape[2] == 3 else kernel.mean(axis=2)
    words = "as RGB, grey is zero" if kernel.shape[2] == 3 else input_channels(kernel.shape[2])
    bound = np.abs(shown).max() or 1.0
    picture = np.round(127.5 + 127.5 * shown / bound).astype(np.uint8) if shown.ndim == 3 else coloured(shown)
    large = picture.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    each = [_of_image(found, u, i, pixels[i], gradients[i], tuple(places[i]), field) for i in range(len(pixels))]
    name = f"channel {found.channels[u]}"
    return {
        "name": name,
        "kernel": _picture(large, f"kernel {found.channels[u]}", f"{words}: {value_range(shown)}"),
        "images": each,
    }


def _of_image(
    found: Pairs,
    u: int,
    i: int,
    image: np.ndarray,
    gradient: np.ndarray,
    place: tuple[int, int],
    field: ReceptiveField | None,
) -> list[dict]:
    parts = [
        ("conv map", found.convolved),
        ("after batch norm", found.normalised),
        ("after activation", found.activated),
    ]
    shown = [_map(values[i, ..., u], title) for title, values in parts if values is not None]
    unit = f"of the strongest unit, ({place[0]}, {place[1]})"
    if field is not None:
        seen = patch(image, field, place)
        shown.append(_picture(seen, "what it sees", f"{seen.shape[0]}×{seen.shape[1]} pixels {unit}"))
    return [*shown, _map(gradient, "gradient", f" {unit}")]


def _most_responsive(
    subject: OpenedModel, images: Stream, responses: Responses, channels: np.ndarray, best: TopPatches
) -> list[dict]:
    """For each channel its top patches, and a line of what they are."""
    return [
        {
            "best": f"Largest responses of channel {channel} among {images.words}: {best.words}",
            "patches": [
                _patch(subject, images, place, patch, value)
                for place, patch, value in zip(places, patches, responses.responses[channel][:_PATCHES], strict=True)
            ],
        }
        for channel, places, patches in zip(channels, best.numbers, best.patches, strict=True)
    ]


def _patch(subject: OpenedModel, images: Stream, place: int, pixels: np.ndarray, response: float) -> dict:
    name = PurePosixPath(images.ids[place]).name
    title = subject.class_name(images.labels[place]) if images.labels[place] >= 0 else name
    small = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    small.thumbnail((_PATCH_PIXELS, _PATCH_PIXELS))
    shown = np.asarray(small).reshape(small.height, small.width, -1)
    return _picture(shown, title, f"{number(response, 4)}" + (f", {name}" if title != name else ""))


def _map(values: np.ndarray, title: str, more: str = "") -> dict:
    return _picture(coloured(values, limits(values)), title, f"{value_range(values)}{more}")


def _picture(pixels: np.ndarray, title: str, note: str, **more: str) -> dict:
    """An image (H, W, 1 or 3) uint8 as the page takes it."""
    buffer = BytesIO()
    _image(pixels).save(buffer, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return {"src": source, "title": title, "note": note, **more}


def _image(pixels: np.ndarray) -> Image.Image:
    """With a palette where 256 colours are enough, as for a map: a file of a third of the size with the same pixels."""
    if pixels.shape[-1] == 1:
        return Image.fromarray(pixels[..., 0])
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, places = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return Image.fromarray(pixels)
    image = Image.fromarray(places.reshape(packed.shape).astype(np.uint8), "P")
    image.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8).tobytes())
    return image


def _page(title: str, note: str, content: dict) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_cnn.views"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    text = json.dumps(content, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
    return environment.get_template("page.html").render(title=title, note=note, content=Markup(text))
