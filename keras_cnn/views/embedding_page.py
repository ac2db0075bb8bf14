"""A page with embeddings that shows the image of the point under the mouse; one file that opens from disk."""

import base64
import html
import io
import json
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import to_hex
from PIL import Image

from keras_cnn.figures.features import class_colours
from keras_cnn.visualization.embedding import Embedding

_SPRITE_COLUMNS, _LARGEST = 40, 64  # images in a row of the sprite; pixels of an image's longer side in it

# Texts get into the page as JSON and are set as text, so that no name of a file or a class is ever read as HTML.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px system-ui, sans-serif; margin: 1.5em; color: #1a1a1a }}
main {{ display: flex; gap: 1.5em; flex-wrap: wrap }}
aside {{ position: sticky; top: 1em; align-self: flex-start; width: 15em }}
canvas {{ width: 14em; image-rendering: pixelated; background: #dddfe2 }}
pre {{ font: inherit; white-space: pre-wrap; overflow-wrap: anywhere }}
</style></head><body><h1 style="font-size: 1.2em">{title}</h1>
<main><div>{figures}</div><aside><canvas id="image" width="{width}" height="{height}"></canvas>
<pre id="caption">Point at an image; drag to zoom, double-click to go back, click a class to hide it.</pre>
</aside></main>
<script type="application/json" id="captions">{captions}</script><script>
const captions = JSON.parse(document.getElementById("captions").textContent);
const canvas = document.getElementById("image"), sprite = new Image();
sprite.src = "data:image/png;base64,{sprite}";
function show(number) {{
  const x = number % {columns} * {width}, y = Math.floor(number / {columns}) * {height};
  canvas.getContext("2d").drawImage(sprite, x, y, {width}, {height}, 0, 0, {width}, {height});
  document.getElementById("caption").textContent = captions[number];
}}
for (const plot of document.querySelectorAll(".plotly-graph-div"))
  plot.on("plotly_hover", event => show(event.points[0].customdata));
</script></body></html>
"""


def hover_page(
    embeddings: Sequence[Embedding],
    pixels: np.ndarray,
    labels: np.ndarray,
    wrong: np.ndarray,
    classes: Sequence[str],
    captions: Sequence[str],
    title: str,
) -> str:
    """The page as text: `pixels` (N, H, W, 1 or 3) uint8, `labels` (N,) or -1, `wrong` (N,) bool, N captions."""
    figures = []
    for number, one in enumerate(embeddings):
        figure = go.Figure(_traces(one.points, labels, wrong, classes))
        heading = html.escape(f"{one.method}: {one.note}")
        axis = {"showticklabels": False, "zeroline": False}
        figure.update_layout(title=heading, template="plotly_white", width=860, height=640, xaxis=axis, yaxis=axis)
        figure.update_layout(title_font_size=13, margin={"l": 10, "r": 10, "t": 40, "b": 10})
        options = {"full_html": False, "include_plotlyjs": number == 0, "config": {"displayModeBar": False}}
        figures.append(figure.to_html(div_id=f"embedding-{number}", **options))
    small = _small(pixels)
    return _PAGE.format(
        title=html.escape(title),
        figures="\n".join(figures),
        width=small.shape[2],
        height=small.shape[1],
        columns=_SPRITE_COLUMNS,
        captions=json.dumps(list(captions)).replace("<", "\\u003c"),
        sprite=_sprite(small),
    )


def _traces(points: np.ndarray, labels: np.ndarray, wrong: np.ndarray, classes: Sequence[str]) -> list[go.Scatter]:
    known = np.unique(labels)
    colours = [to_hex(colour) for colour in class_colours(max(10, len(known)))]
    traces = []
    for number, label in enumerate(known):
        chosen = np.flatnonzero(labels == label)
        edges = np.where(wrong[chosen], 1.5, 0.0)
        colour = "#5c6066" if label < 0 else colours[number % len(colours)]
        traces.append(
            go.Scatter(
                x=points[chosen, 0],
                y=points[chosen, 1],
                mode="markers",
                name="class not known" if label < 0 else html.escape(classes[label]),
                customdata=chosen,
                hoverinfo="none",
                marker={"size": 7, "color": colour, "line": {"color": "black", "width": edges}},
            )
        )
    return traces


def _small(pixels: np.ndarray) -> np.ndarray:
    """The images with their longer side at most 64 pixels."""
    height, width = pixels.shape[1:3]
    shrink = max(height, width) / _LARGEST
    if shrink <= 1:
        return pixels
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = [np.asarray(_picture(image).resize(size, Image.Resampling.BOX)) for image in pixels]
    return np.stack(small).reshape(len(pixels), size[1], size[0], -1)


def _sprite(pixels: np.ndarray) -> str:
    """All images in rows of 40, as a PNG in base64."""
    count, height, width, channels = pixels.shape
    rows = -(-count // _SPRITE_COLUMNS)
    sheet = np.zeros((rows * _SPRITE_COLUMNS, height, width, channels), np.uint8)
    sheet[:count] = pixels
    sheet = sheet.reshape(rows, _SPRITE_COLUMNS, height, width, channels).transpose(0, 2, 1, 3, 4)
    file = io.BytesIO()
    _picture(sheet.reshape(rows * height, _SPRITE_COLUMNS * width, channels)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
