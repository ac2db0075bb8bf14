"""Pictures of a run folder, small enough that all of them fit into one page."""

import base64
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from keras_cnn.report.runs import Run

# Largest side in pixels and WebP's quality, tried in this order. Text of 8 points at 150 pixels an inch is still
# readable at half its size; what would be smaller than the last is left out and named.
LEVELS = ((2200, 82), (1600, 78), (1200, 72), (900, 66), (700, 60), (520, 52))
DRAWN = ("curves",)  # pictures that the page draws itself


@dataclass(frozen=True)
class Source:
    """A picture file of a run."""

    run: Run
    path: Path
    group: str  # "" for the run's own, else the name of the evaluation

    @property
    def title(self) -> str:
        return self.path.stem.replace("_", " ")


@dataclass(frozen=True)
class Picture:
    """A picture as the page shows it."""

    source: Source
    url: str  # data:
    size: tuple[int, int]  # width and height in pixels, as embedded
    original: tuple[int, int]


def find(runs: list[Run]) -> list[Source]:
    """The figures of each run and of its evaluations, in order."""
    return [
        Source(run, path, group)
        for run in runs
        for group, folder in _folders(run.record.path)
        for path in sorted(folder.glob("*.png"))
        if not path.name.startswith(".") and path.stem not in DRAWN
    ]


def embed(sources: list[Source], budget: int) -> tuple[list[Picture], list[str]]:
    """The pictures, together at most `budget` bytes of page, and one line for each that is left out.

    Every picture has an equal share; what small files do not use goes to the larger ones. A picture is scaled down and
    compressed only as far as its share asks for.
    """
    pictures: dict[Path, Picture] = {}
    problems: list[str] = []
    waiting = sorted(sources, key=lambda source: (_bytes(source.path), source.path))
    while waiting:
        source, share = waiting[0], budget // len(waiting)
        waiting = waiting[1:]
        try:
            picture = _fitted(source, share)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split())[:120]
            problems.append(f"{source.path}: cannot be read as a picture ({reason}); left out")
            continue
        if picture is None:
            problems.append(f"{source.path}: left out, so that the page stays small")
            continue
        pictures[source.path] = picture
        budget -= len(picture.url)
    return [pictures[source.path] for source in sources if source.path in pictures], problems


def _folders(path: Path) -> list[tuple[str, Path]]:
    return [("", path / "figures"), *((p.parent.name, p) for p in sorted(path.glob("evaluations/*/figures")))]


def _bytes(path: Path) -> int:
    return os.stat(path).st_size if path.is_file() else 0


def _fitted(source: Source, share: int) -> Picture | None:
    with Image.open(source.path) as image:
        image.load()
        flat = image.convert("RGB")
    level = 0
    while level < len(LEVELS):
        side, quality = LEVELS[level]
        scaled = flat.copy()
        scaled.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        scaled.save(file, "WEBP", quality=quality, method=2)  # 4 takes twice the time to save 4 % of a sheet of photos
        url = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        if len(url) <= share:
            return Picture(source, url, scaled.size, flat.size)
        level = max(level + 1, _level_for(max(scaled.size) * math.sqrt(share / len(url))))
    return None


def _level_for(side: float) -> int:
    """The first level for which this side is still enough; bytes go with pixels, and a lower quality takes off more."""
    return next((i for i, (limit, _) in enumerate(LEVELS) if limit <= side * 1.25), len(LEVELS) - 1)
