"""The diagram of a network as SVG: a row for each rank, arrows past the boxes, a frame around what repeats."""

import math
import unicodedata
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from keras_cnn.charts.text import count
from keras_cnn.models.architecture import Architecture, LayerBox, Segment

# Head of a box; white text on each has a contrast of at least 4.5:1.
_COLOURS = {
    "input": "#5c6066",
    "convolution": "#00609a",
    "pool": "#00664b",
    "dense": "#a34700",
    "merge": "#6a42c2",
    "block": "#1f4e79",
    "other": "#5c6066",
}
WIDTH, _LINE, _PAD = 250, 17, 7  # pixels of a box, of a line of text, and above and below the text
_ACROSS, _DOWN = 26, 34  # pixels between boxes of a row, and between rows
_LANE, _LABEL, _BETWEEN = 13, 40, 34  # pixels between arrows past the boxes, for a label beside them, between columns
_COLUMN, _SLACK = 1500, 160  # pixels of a column, and by how much it may be longer than the others
_MARGIN, _TOP = 16, 58
_CHARACTERS = 33  # that fit into a box


@dataclass(frozen=True)
class PlacedBox:
    """The rectangle of a box in pixels."""

    box: LayerBox
    left: float
    top: float
    height: float

    @property
    def right(self) -> float:
        return self.left + WIDTH

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> float:
        return self.left + WIDTH / 2


@dataclass(frozen=True)
class _Lane:
    """Where an arrow that passes rows goes down: rows from, to, and its place in pixels."""

    first: int
    last: int
    x: float


@dataclass(frozen=True)
class Layout:
    """The places of boxes and arrows, in columns that are read from left to right."""

    boxes: list[PlacedBox]
    ranks: list[int]
    lanes: dict[tuple[int, int], _Lane]  # of the arrows that pass a row
    columns: list[int]  # the first rank of each
    ends: list[float]  # the right end of each in pixels

    def column(self, box: int) -> int:
        return sum(self.ranks[box] >= first for first in self.columns) - 1


def layout(network: Architecture) -> Layout:
    """Boxes of one rank side by side, ranks below each other, and a new column where one gets too long.

    A column begins only where all arrows go to its first row.
    """
    ranks = network.ranks
    placed = _in_one_column(network, ranks)
    lanes = _lanes(network, placed, ranks)
    columns = _columns(network, placed, ranks)
    moved, ends, left = list(placed), [], float(_MARGIN)
    for number, first in enumerate(columns):
        after = columns[number + 1] if number + 1 < len(columns) else max(ranks) + 1
        members = [i for i, rank in enumerate(ranks) if first <= rank < after]
        own = {arrow: lane for arrow, lane in lanes.items() if first <= lane.first < after}
        dx = left - min(placed[i].left for i in members)
        dy = _TOP - min(placed[i].top for i in members)
        for i in members:
            moved[i] = replace(placed[i], left=placed[i].left + dx, top=placed[i].top + dy)
        lanes |= {arrow: replace(lane, x=lane.x + dx) for arrow, lane in own.items()}
        ends.append(max([*(moved[i].right for i in members), *(lanes[arrow].x for arrow in own)]) + _LABEL)
        left = ends[-1] + _BETWEEN
    return Layout(moved, ranks, lanes, columns, ends)


def _in_one_column(network: Architecture, ranks: list[int]) -> list[PlacedBox]:
    placed: dict[int, PlacedBox] = {}
    top = float(_TOP)
    for row in range(max(ranks) + 1):
        members = [i for i, rank in enumerate(ranks) if rank == row]
        left = -(len(members) * (WIDTH + _ACROSS) - _ACROSS) / 2
        heights = [_height(network.boxes[i]) for i in members]
        for i, height in zip(members, heights, strict=True):
            placed[i] = PlacedBox(network.boxes[i], left, top, height)
            left += WIDTH + _ACROSS
        top += max(heights) + _DOWN
    return [placed[i] for i in range(len(network.boxes))]


def _columns(network: Architecture, placed: list[PlacedBox], ranks: list[int]) -> list[int]:
    """The first rank of each column."""
    starts = []
    for part in network.segments[1:]:
        entering = [arrow for arrow in network.arrows if arrow[1] in part.boxes and arrow[0] not in part.boxes]
        if all(ranks[end] - ranks[start] == 1 for start, end in entering):
            starts.append(ranks[part.boxes[0]])
    tops = {rank: min(b.top for b, r in zip(placed, ranks, strict=True) if r == rank) for rank in set(ranks)}
    bottom = max(box.bottom for box in placed)
    count = math.ceil((bottom - _TOP) / _COLUMN)
    columns = [0]
    for here, following in zip(starts, [*starts[1:], None], strict=True):
        end = bottom if following is None else tops[following]
        if len(columns) < count and end - tops[columns[-1]] > (bottom - _TOP) / count + _SLACK:
            columns.append(here)
    return columns


def svg(network: Architecture) -> str:
    """The diagram as an SVG document that makes no requests and runs no code. All texts are escaped."""
    found = layout(network)
    width = found.ends[-1] + _MARGIN
    height = max(box.bottom for box in found.boxes) + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(_printable(network.name))}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#5c6066"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
        f'<text x="{_MARGIN}" y="26" font-size="16" font-weight="600" fill="#1a1a1a">'
        f"{escape(_fit(network.name, 40))}</text>",
        f'<text x="{_MARGIN}" y="44" fill="#5c6066">{count(network.parameters)} weights</text>',
        *(_frame(part, found) for part in network.segments if part.repeats > 1),
        *(_arrow(network, found, start, end) for start, end in network.arrows),
        *map(_drawn, found.boxes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _height(box: LayerBox) -> float:
    return _LINE * (2 + len(box.lines)) + 2 * _PAD + 4


def _drawn(placed: PlacedBox) -> str:
    box, x = placed.box, placed.left + 9
    head = _LINE + _PAD
    colour = _COLOURS[box.kind]
    top = placed.top
    below = [
        f'<text x="{x:.1f}" y="{top + head + _LINE * (i + 1):.1f}" fill="#1a1a1a">{escape(_fit(line))}</text>'
        for i, line in enumerate(box.lines)
    ]
    y = placed.bottom - _PAD
    weights = f"{count(box.parameters)} weights" if box.parameters else ""
    return (
        f"<g><title>{escape(_printable(', '.join(box.nodes)))}</title>"
        f'<rect x="{placed.left:.1f}" y="{top:.1f}" width="{WIDTH}" height="{placed.height:.1f}" rx="5"'
        f' fill="#fff" stroke="{colour}"/>'
        f'<path d="M{placed.left:.1f} {top + head:.1f}V{top + 5:.1f}q0 -5 5 -5H{placed.right - 5:.1f}q5 0 5 5'
        f'V{top + head:.1f}z" fill="{colour}"/>'
        f'<text x="{x:.1f}" y="{top + _LINE:.1f}" fill="#fff" font-weight="600">{escape(_fit(box.title, 29))}</text>'
        + "".join(below)
        + f'<text x="{x:.1f}" y="{y:.1f}" fill="#5c6066">{escape(box.size)}</text>'
        f'<text x="{placed.right - 9:.1f}" y="{y:.1f}" fill="#5c6066" text-anchor="end">{weights}</text></g>'
    )


def _lanes(network: Architecture, placed: list[PlacedBox], ranks: list[int]) -> dict[tuple[int, int], _Lane]:
    """A lane, right of every box that it passes, for each arrow that passes a row; short ones are the nearest."""
    lanes: dict[tuple[int, int], _Lane] = {}
    far = [arrow for arrow in network.arrows if ranks[arrow[1]] - ranks[arrow[0]] > 1]
    for start, end in sorted(far, key=lambda arrow: ranks[arrow[1]] - ranks[arrow[0]]):
        first, last = ranks[start], ranks[end]
        x = max(box.right for box, rank in zip(placed, ranks, strict=True) if first <= rank <= last) + _LANE
        taken = {lane.x for lane in lanes.values() if lane.first < last and first < lane.last}
        while any(abs(x - other) < _LANE for other in taken):
            x += _LANE
        lanes[start, end] = _Lane(first, last, x)
    return lanes


def _arrow(network: Architecture, found: Layout, start: int, end: int) -> str:
    """From the lower side of a box to the upper side of another: straight, or through gaps and a lane."""
    source, target = found.boxes[start], found.boxes[end]
    below = max(b.bottom for i, b in enumerate(found.boxes) if found.ranks[i] == found.ranks[start])
    entering = sorted((a for a, b in network.arrows if b == end), key=lambda a: ((a, end) in found.lanes, a))
    x0, y0, y1 = source.middle, source.bottom, target.top
    x1 = target.middle + 26 * (entering.index(start) - (len(entering) - 1) / 2)
    column = found.column(start)
    if found.column(end) != column:
        x = found.ends[column] + _BETWEEN / 2
        path = f"M{x0:.1f} {y0:.1f}V{below + 14:.1f}H{x:.1f}V{y1 - 16:.1f}H{x1:.1f}V{y1:.1f}"
    elif (start, end) in found.lanes:
        x = found.lanes[start, end].x
        path = f"M{x0:.1f} {y0:.1f}V{below + 9:.1f}H{x:.1f}V{y1 - 13:.1f}H{x1:.1f}V{y1:.1f}"
    elif abs(x0 - x1) < 1:
        path = f"M{x0:.1f} {y0:.1f}V{y1:.1f}"
    else:
        path = f"M{x0:.1f} {y0:.1f}V{below:.1f}C{x0:.1f} {y1 - 8:.1f} {x1:.1f} {y1 - 28:.1f} {x1:.1f} {y1:.1f}"
    look = 'fill="none" stroke="#5c6066" stroke-width="1.3" stroke-linejoin="round" marker-end="url(#tip)"'
    return f'<path d="{path}" {look}/>'


def _frame(part: Segment, found: Layout) -> str:
    boxes = [found.boxes[i] for i in part.boxes]
    inside = [lane.x for (_, end), lane in found.lanes.items() if end in part.boxes]
    left, top = min(b.left for b in boxes) - 9, min(b.top for b in boxes) - 24
    right, bottom = max([*(b.right for b in boxes), *inside]) + 9, max(b.bottom for b in boxes) + 7
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="8"'
        ' fill="#eef3f8" stroke="#8aa4bd" stroke-dasharray="4 3"/>'
        f'<text x="{right + 5:.1f}" y="{(top + bottom) / 2:.1f}" font-size="15" font-weight="600" fill="#1f4e79">'
        f"× {part.repeats}</text>"
    )


def _fit(text: str, characters: int = _CHARACTERS) -> str:
    """The text on one line, shortened in the middle; a wide character counts twice."""
    text = _printable(text)
    room = characters - sum(unicodedata.east_asian_width(letter) in "WF" for letter in text[:characters])
    return text if len(text) <= room else f"{text[: room * 2 // 3]}…{text[len(text) - room // 3 + 1 :]}"


def _printable(text: str) -> str:
    """The text without what XML forbids: control characters and half surrogate pairs."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)
