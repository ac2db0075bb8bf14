"""HTML pages in one file: templates, JSON inside a page, and images as data URLs."""

import base64
import io
import json
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image


def render(template: str, **content: Any) -> str:
    """Renders a template of `views/templates` with `content`; texts are escaped."""
    loader = jinja2.PackageLoader("keras_cnn.views")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template(template).render(**content)


def as_json(content: Any) -> Markup:
    """JSON for a script element: no text in it can end the element or start a tag."""
    return Markup(json.dumps(content, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026"))


def as_image(pixels: np.ndarray) -> Image.Image:
    """Pixels (H, W, 1 or 3) uint8 as a Pillow image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def data_url(image: Image.Image) -> str:
    """The image as a PNG inside a URL."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
