"""Draws boxes, gates and running totals into an image."""

import colorsys
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_cnn.detection.counting import Gate

GATE_COLOUR, PANEL, INK, PAPER = "#ff3b81", (0, 0, 0, 160), "#000000", "#ffffff"


@dataclass(frozen=True)
class _BoxLabel:
    """The label of a box."""

    place: tuple[float, float, float, float]  # x0, y0, x1, y1 of its background
    at: tuple[float, float]  # x, y of its text
    text: str
    colour: str


def annotated(
    image: np.ndarray,
    detections: Sequence[dict],
    names: Sequence[str],
    gates: Sequence[Gate] = (),
    totals: Mapping[str, Counter] | None = None,
) -> np.ndarray:
    """A copy of an (H, W, 3) uint8 image with detections (see `DetectionRecords.add`), gates and totals drawn in.

    A true box has a confidence of None. The colour of a class follows from its place in `names`. The size of lines and
    text grows with the image.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    unit = max(1, round(min(canvas.size) / 300))
    font = _font(max(11, round(min(canvas.size) / 38)))
    labels: list[_BoxLabel] = []
    for same_box in _by_box(detections):
        colour = _colour(names.index(same_box[0]["class"]))
        taken = [label.place for label in labels]
        labels.append(_box(draw, same_box, colour, unit=unit, font=font, size=canvas.size, taken=taken))
    for label in reversed(labels):  # the most confident lies on top
        draw.rectangle(label.place, fill=label.colour)
        draw.text(label.at, label.text, fill=_readable(label.colour), font=font)
    for gate in gates:
        _gate(draw, gate, unit)
    if gates and totals is not None:
        _panel(draw, [_summary(gate, totals[gate.name]) for gate in gates], unit, font)
    return np.asarray(canvas)


def _by_box(detections: Sequence[dict]) -> list[list[dict]]:
    """The detections by decreasing confidence, grouped by box: Darknet may give one box to several classes."""
    boxes: dict[tuple, list[dict]] = {}
    for detection in sorted(detections, key=lambda d: -(d["confidence"] or 0.0)):
        boxes.setdefault(tuple(detection["box"]), []).append(detection)
    return list(boxes.values())


def _box(
    draw: ImageDraw.ImageDraw,
    same_box: list[dict],
    colour: str,
    *,
    unit: int,
    font,
    size: tuple[int, int],
    taken: list[tuple],
) -> _BoxLabel:
    """Draws one box. Returns its label, with classes and confidences, at an edge that is free of `taken` labels."""
    width, height = size
    x0, y0, x1, y1 = (
        min(max(edge, 0), limit - 1)
        for edge, limit in zip(same_box[0]["box"], (width, height, width, height), strict=True)
    )
    draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=colour, width=unit)
    number = "" if same_box[0]["track"] is None else f"#{same_box[0]['track']} "
    text = number + ", ".join(map(_named, same_box))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    wide, high = right - left + 4 * unit, bottom - top + 3 * unit
    x = min(x0, max(0, width - wide))
    rows = [y for y in (y0 - high, y1, y0, y1 - high) if 0 <= y <= height - high] or [max(0, min(y0, height - high))]
    y = next((y for y in rows if not any(_meet((x, y, x + wide, y + high), place) for place in taken)), rows[0])
    return _BoxLabel((x, y, x + wide, y + high), (x + 2 * unit - left, y + 1.5 * unit - top), text, colour)


def _named(detection: dict) -> str:
    name, confidence = detection["class"], detection["confidence"]
    return name if confidence is None else f"{name} {confidence:.2f}"


def _meet(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _gate(draw: ImageDraw.ImageDraw, gate: Gate, unit: int) -> None:
    points = [tuple(point) for point in gate.points]
    if not gate.is_line:
        points.append(points[0])
    draw.line(points, fill=GATE_COLOUR, width=2 * unit, joint="curve")
    for x, y in points:
        draw.ellipse((x - 3 * unit, y - 3 * unit, x + 3 * unit, y + 3 * unit), fill=GATE_COLOUR)


def _summary(gate: Gate, totals: Counter) -> str:
    """The totals as text: "line 1:  down 3 (bus 1, car 2)  |  up 0"."""
    parts = []
    for direction in gate.directions:
        classes = {name: count for (way, name), count in totals.items() if way == direction}
        listed = ", ".join(f"{name} {count}" for name, count in sorted(classes.items()))
        parts.append(f"{direction} {sum(classes.values())}" + (f" ({listed})" if listed else ""))
    return f"{gate.name}:  " + "  |  ".join(parts)


def _panel(draw: ImageDraw.ImageDraw, lines: Sequence[str], unit: int, font) -> None:
    """Draws lines of text on a dark ground in the upper left corner."""
    text = "\n".join(lines)
    left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font, spacing=2 * unit)
    draw.rectangle((0, 0, right - left + 8 * unit, bottom - top + 8 * unit), fill=PANEL)
    draw.multiline_text((4 * unit - left, 4 * unit - top), text, fill=PAPER, font=font, spacing=2 * unit)


def _readable(colour: str) -> str:
    """Black or white, whichever contrasts more with the colour (ITU-R 601 luma)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else PAPER


def _colour(number: int) -> str:
    """The colour of a class. Consecutive hues are the golden angle apart, so that no two are alike."""
    red, green, blue = colorsys.hsv_to_rgb(0.55 + number * 0.381966 % 1, 0.8, 0.95)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


@functools.cache
def _font(size: int):
    return ImageFont.load_default(size)
