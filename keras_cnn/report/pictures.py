"""Pictures of run folders, compressed so that they fit into one page."""

import base64
import io
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from keras_cnn.report.runs import ReportedRun
from keras_cnn.run_folder.drawn_views import DrawnView, read_views

# Largest side in pixels and quality of WebP, tried in this order; a picture much longer than wide counts as
# several pages. Text of 8 points at 150 pixels per inch is readable at half its size. Pictures that do not fit at the
# last level are left out and counted.
LEVELS = ((2200, 82), (1600, 78), (1200, 72), (900, 66), (700, 60), (520, 52))
SMALLEST_OF_VIEW = 20_000  # bytes that a figure of visualize.py should have: a sheet of maps at 520 pixels
PER_RUN = 8  # largest number of pictures of a run
LARGEST = 240_000  # bytes of the page per picture; a sheet of photos with captions is readable when enlarged
_PAGE = 2  # ratio of length to width up to which the captions of a sheet are readable when scaled to one page
SMALLEST = 60_000  # bytes that a picture should have; with many runs, each has fewer than PER_RUN pictures
# (group, stem) of the most informative pictures first; group "test" is an evaluation, "" the run itself.
_FIRST = (
    *(("test", stem) for stem in ("mistakes", "scores", "sample")),
    *(("", stem) for stem in ("mistakes", "augmentation")),
    *(("test", stem) for stem in ("top_losses", "precision_recall", "roc")),
)
_MATRICES = ("confusion_validation", "confusion_train")  # the table of evaluations has their numbers


@dataclass(frozen=True)
class PictureFile:
    """A picture file of a run."""

    run: ReportedRun
    path: Path
    group: str  # the name of the evaluation, "" for the run's own
    against: str = ""  # name of the other run of a comparison
    view: str = ""  # name of the view of visualize.py that drew it

    @property
    def title(self) -> str:
        return self.path.stem.replace("_", " ")


@dataclass(frozen=True)
class OmittedPictures:
    """Pictures of a run that are not on the page."""

    run: ReportedRun
    paths: tuple[Path, ...]

    @property
    def sentence(self) -> str:
        """A sentence such as "12 more pictures in RUN/figures", with all their folders."""
        folders = list(dict.fromkeys(str(path.parent) for path in self.paths))
        where = " and ".join([", ".join(folders[:-1]), folders[-1]] if len(folders) > 1 else folders)
        n = len(self.paths)
        return f"{n:,} more picture{'' if n == 1 else 's'} in {where}"


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as the page shows it."""

    source: PictureFile
    url: str  # a data: URL
    size: tuple[int, int]  # width and height in pixels, as embedded
    original: tuple[int, int]


@dataclass(frozen=True)
class RunView:
    """What a view of visualize.py drew for a run."""

    run: ReportedRun
    view: DrawnView

    @property
    def files(self) -> list[PictureFile]:
        return [PictureFile(self.run, path, "", view=self.view.name) for path in self.view.figures]


def find_views(runs: Sequence[ReportedRun]) -> tuple[list[RunView], list[str]]:
    """The views that were drawn for the runs, and a line for each damaged record of them."""
    views: list[RunView] = []
    problems: list[str] = []
    for run in runs:
        drawn, wrong = read_views(run.record.path / "visualizations")
        views += [RunView(run, view) for view in drawn if view.figures or view.pages]
        problems += wrong
    return views, problems


def in_turn(views: Sequence[RunView]) -> list[PictureFile]:
    """The first figure of every view, then the second ones, and so on, so that what has room shows every view."""
    files = [view.files for view in views]
    longest = max(map(len, files), default=0)
    return [of[place] for place in range(longest) for of in files if place < len(of)]


def find(runs: list[ReportedRun]) -> list[PictureFile]:
    """The figures of each run and its evaluations that the page does not draw itself, the most informative first."""
    return [
        source
        for run in runs
        for source in sorted(
            (
                PictureFile(run, path, group, against)
                for group, against, folder in _folders(run.record.path)
                for path in sorted(folder.glob("*.png"))
                if not path.name.startswith(".")
            ),
            key=_rank,
        )
        if not _is_drawn(source)
    ]


def _rank(source: PictureFile) -> int:
    """Rank of a picture: comparisons, then those in _FIRST, then unknown ones, and confusion matrices last."""
    if source.against:
        return -1
    named = (source.group, source.path.stem)
    return len(_FIRST) + (source.path.stem in _MATRICES) if named not in _FIRST else _FIRST.index(named)


def _is_drawn(source: PictureFile) -> bool:
    """Whether the page draws the picture as a chart, or it shows nothing: `augmentation` without augmentation."""
    stem = source.path.stem
    if source.against:
        return stem in ("class_differences", "confusion_difference")
    if stem == "augmentation" and not source.group:
        config = source.run.record.config
        return config.get("data.augment.name", config.get("data.augment")) == "none"
    return stem in ("curves", "confusion") or (stem == "reliability" and source.group in ("", "test"))


def embed(
    sources: Sequence[PictureFile], budget: int, *, per_run: int = PER_RUN, smallest: int = SMALLEST
) -> tuple[list[EmbeddedPicture], list[OmittedPictures], list[str]]:
    """The pictures, in at most `budget` bytes together; the omitted ones of each run; and a line for each damaged one.

    A run has up to `per_run` pictures, fewer where they would have less than `smallest` bytes each. Every picture has
    an equal share of the budget, at most LARGEST; what small files do not use goes to larger ones. A picture is scaled
    and compressed only as far as its share requires. A long picture, such as a sheet of ranked images, may use LARGEST
    for each page of its length.
    """
    pictures: dict[Path, EmbeddedPicture] = {}
    problems: list[str] = []
    damaged: set[Path] = set()
    runs = {source.run.number: source.run for source in sources}
    each = min(per_run, budget // (smallest * max(1, len(runs))))
    chosen = [
        source
        for run in runs
        for source in [s for s in sources if s.run.number == run and s.path.stem not in _MATRICES][:each]
    ]
    waiting = sorted(chosen, key=lambda source: (_bytes(source.path), source.path))
    while waiting:
        source, share = waiting[0], budget // len(waiting)
        waiting = waiting[1:]
        try:
            picture = _fitted(source, share)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split())[:120]
            problems.append(f"{source.path}: cannot be read as a picture ({reason}); left out")
            damaged.add(source.path)
            continue
        if picture is not None:
            pictures[source.path] = picture
            budget -= len(picture.url)
    shown = [pictures[source.path] for source in sources if source.path in pictures]
    rest = [source for source in sources if source.path not in pictures and source.path not in damaged]
    more = [(run, tuple(source.path for source in rest if source.run.number == i)) for i, run in runs.items()]
    return shown, [OmittedPictures(run, paths) for run, paths in more if paths], problems


def _folders(path: Path) -> list[tuple[str, str, Path]]:
    """(name of the evaluation, name of the compared run, folder of the figures) of a run."""
    evaluated = [(p.parent.name, "", p) for p in sorted(path.glob("evaluations/*/figures"))]
    compared = sorted(path.glob("evaluations/*/against_*/figures"))
    return [
        ("", "", path / "figures"),
        ("label errors", "", path / "label_errors"),
        *evaluated,
        *((p.parents[1].name, p.parent.name.removeprefix("against_"), p) for p in compared),
    ]


def _bytes(path: Path) -> int:
    return os.stat(path).st_size if path.is_file() else 0


def diagram_url(path: Path) -> tuple[str, tuple[int, int]]:
    """An SVG file as a data: URL, with its width and height in pixels. An image runs no code and loads nothing.

    Raises ValueError for a file that is no SVG with a size.
    """
    text = path.read_text(encoding="utf-8")
    size = re.match(r'<svg [^>]*?width="(\d{1,5})" height="(\d{1,5})"', text)
    if size is None:
        raise ValueError("no SVG with a width and a height in pixels")
    url = "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode("ascii")
    return url, (int(size[1]), int(size[2]))


def _fitted(source: PictureFile, share: int) -> EmbeddedPicture | None:
    if source.path.suffix == ".svg":
        url, size = diagram_url(source.path)
        return EmbeddedPicture(source, url, size, size) if len(url) <= share else None
    with Image.open(source.path) as image:
        image.load()
        flat = image.convert("RGB")
    pages = max(1.0, max(flat.size) / min(flat.size) / _PAGE)
    share, level = min(share, round(pages * LARGEST)), 0
    while level < len(LEVELS):
        side, quality = round(pages * LEVELS[level][0]), LEVELS[level][1]
        scaled = flat.copy()
        scaled.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        scaled.save(
            file, "WEBP", quality=quality, method=2
        )  # method 4 takes twice the time and saves 4 % of a sheet of photos
        url = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        if len(url) <= share:
            return EmbeddedPicture(source, url, scaled.size, flat.size)
        level = max(level + 1, _level_for(max(scaled.size) / pages * math.sqrt(share / len(url))))
    return None


def _level_for(side: float) -> int:
    """The first level with about this side; bytes are proportional to pixels, and a lower quality saves more."""
    return next((i for i, (limit, _) in enumerate(LEVELS) if limit <= side * 1.25), len(LEVELS) - 1)
