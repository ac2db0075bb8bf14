"""Counts of the tracked objects that cross a line or the border of a zone, by class and direction."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from keras_cnn.errors import InputError, require

# An object counts as on a side once its centre is this fraction of its box's height away from the line, so that a box
# that jitters on the line crosses it once.
MARGIN = 0.05
FORGOTTEN = 10.0  # seconds without a detection after which a track is dropped from memory


@dataclass(frozen=True)
class Gate:
    """A line of two points or a zone of three or more, in pixels of the image."""

    name: str
    points: np.ndarray  # (P, 2)

    @property
    def is_line(self) -> bool:
        return len(self.points) == 2

    @property
    def directions(self) -> tuple[str, str]:
        """The two directions: to the positive side (right of a line, seen from its start, or into a zone), and back."""
        if not self.is_line:
            return "in", "out"
        dx, dy = self.points[1] - self.points[0]
        across, towards = (("left", "right"), -dy) if abs(dy) > abs(dx) else (("up", "down"), dx)
        return across[int(towards > 0)], across[int(towards <= 0)]

    def distance(self, point: np.ndarray) -> float:
        """The distance in pixels from the infinite line or the zone's border; positive on the positive side."""
        if self.is_line:
            start, end = self.points
            return _side(start, end, point) / float(np.hypot(*(end - start)))
        starts, ends = self.points, np.roll(self.points, -1, axis=0)
        along = ends - starts
        length = np.maximum((along**2).sum(axis=1), 1e-12)
        at = np.clip(((point - starts) * along).sum(axis=1) / length, 0, 1)
        nearest = float(np.hypot(*(starts + at[:, None] * along - point).T).min())
        return nearest if self._inside(point) else -nearest

    def passed(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether the path from `before` to `after`, which are on different sides, leads through the gate."""
        if not self.is_line:
            return True
        first, last = self.points
        return _side(before, after, first) * _side(before, after, last) <= 0

    def _inside(self, point: np.ndarray) -> bool:
        """Even-odd rule: a ray to the right from an inner point meets the border an odd number of times."""
        starts, ends = self.points, np.roll(self.points, -1, axis=0)
        spans = (starts[:, 1] > point[1]) != (ends[:, 1] > point[1])
        rise = np.where(spans, ends[:, 1] - starts[:, 1], 1)
        meets = starts[:, 0] + (point[1] - starts[:, 1]) / rise * (ends[:, 0] - starts[:, 0])
        return bool((spans & (meets > point[0])).sum() % 2)


def read_gate(text: str, name: str, least: int) -> Gate:
    """The gate of "x1,y1,x2,y2,...": `least` points or more, exactly two for a line. Raises InputError otherwise."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"{name}: found {text!r}, expected pixels separated by commas, as 0,300,640,300") from None
    points = len(numbers) // 2
    fits = len(numbers) % 2 == 0 and (points == 2 if least == 2 else points >= least)
    require(fits, name, f"{len(numbers)} numbers", "4: x1,y1,x2,y2" if least == 2 else "x1,y1,x2,y2,x3,y3 or more")
    array = np.array(numbers).reshape(-1, 2)
    require(len(np.unique(array, axis=0)) >= least, name, f"found {text!r}", f"{least} different points")
    return Gate(name, array)


@dataclass(frozen=True)
class Crossing:
    """The passage of a track through a gate."""

    frame: int
    time: float
    gate: str
    direction: str
    track: int
    name: str  # class of the track: the one with the largest sum of confidences


@dataclass
class _TrackState:
    seen: float = 0.0  # time of the last detection
    votes: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # class -> sum of confidences
    last: dict[str, tuple[np.ndarray, bool]] = field(default_factory=dict)  # gate -> last centre outside MARGIN, side


class CrossingCounter:
    """Follows the centres of tracked boxes through the gates; `totals` maps gate -> (direction, class) -> count."""

    def __init__(self, gates: Iterable[Gate]):
        self.gates = list(gates)
        self.totals: dict[str, Counter] = {gate.name: Counter() for gate in self.gates}
        self._tracks: dict[int, _TrackState] = defaultdict(_TrackState)

    def update(self, frame: int, time: float, tracks: Iterable[tuple[int, str, float, np.ndarray]]) -> list[Crossing]:
        """The crossings of a frame, given its tracks: number, class, confidence and box x0, y0, x1, y1 of each."""
        crossings = []
        for number, name, confidence, box in tracks:
            track = self._tracks[number]
            track.seen = time
            track.votes[name] += confidence
            centre, margin = (box[:2] + box[2:]) / 2, MARGIN * float(box[3] - box[1])
            for gate in self.gates:
                if direction := _step(track, gate, centre, margin):
                    voted = max(track.votes, key=track.votes.__getitem__)
                    crossings.append(Crossing(frame, time, gate.name, direction, number, voted))
        for crossing in crossings:
            self.totals[crossing.gate][crossing.direction, crossing.name] += 1
        for number in [n for n, track in self._tracks.items() if time - track.seen > FORGOTTEN]:
            del self._tracks[number]
        return crossings


def _step(track: _TrackState, gate: Gate, centre: np.ndarray, margin: float) -> str | None:
    """The direction in which the track has just passed the gate, else None; the track keeps the new position."""
    distance = gate.distance(centre)
    if abs(distance) <= margin:
        return None
    side, before = distance > 0, track.last.get(gate.name)
    track.last[gate.name] = (centre, side)
    if before is None or before[1] == side or not gate.passed(before[0], centre):
        return None
    return gate.directions[0 if side else 1]


def _side(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> float:
    """Twice the signed area of the triangle: positive where `point` is clockwise of start -> end on the screen."""
    (dx, dy), (px, py) = end - start, point - start
    return float(dx * py - dy * px)
