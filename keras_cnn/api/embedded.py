"""Pictures inside the HTML with which a notebook shows an object."""

import base64
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

_LONGEST = 800  # pixels of an array's longer side, so that a notebook stays small


def embedded(line: str, picture: Path | np.ndarray) -> str:
    """A line of text above a picture: a PNG file as it is, or pixels (H, W, 3) uint8, made smaller if they are many."""
    if isinstance(picture, Path):
        kind, content = "png", picture.read_bytes()
    else:
        image, buffer = Image.fromarray(picture), io.BytesIO()
        image.thumbnail((_LONGEST, _LONGEST))
        image.save(buffer, "JPEG", quality=88)
        kind, content = "jpeg", buffer.getvalue()
    data = base64.b64encode(content).decode()
    return f'<p>{html.escape(line)}</p><img style="max-width:100%" src="data:image/{kind};base64,{data}">'
