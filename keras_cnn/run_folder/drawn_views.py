"""What `visualize.py` drew into a folder: its figures with what each shows, and its pages, view by view."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_cnn.errors import InputError
from keras_cnn.messages import counted
from keras_cnn.run_folder.files import write_json
from keras_cnn.run_folder.json_files import read_json

RECORD = "views.json"
_SUFFIXES = (".png", ".svg")


@dataclass(frozen=True)
class DrawnView:
    """A view with the files that are in its folder. `lines` has what a figure shows, where it is recorded."""

    name: str
    summary: str = ""
    figures: tuple[Path, ...] = ()
    pages: tuple[Path, ...] = ()  # HTML
    lines: Mapping[str, tuple[str, ...]] | None = None  # name of a figure's file -> what it shows
    left_out: str = ""  # why the last `all` could not draw the view

    @property
    def amount(self) -> str:
        """What was drawn, such as "3 figures" or "1 page"."""
        kinds = ((len(self.figures), "figure"), (len(self.pages), "page"))
        return ", ".join(counted(number, noun) for number, noun in kinds if number)

    def words(self, figure: Path) -> tuple[str, ...]:
        """The lines on what a figure shows."""
        return (self.lines or {}).get(figure.name, ())


def record_view(folder: Path, name: str, summary: str, lines: Mapping[str, Sequence[str]], left_out: str = "") -> None:
    """Adds a view, or further figures of it, to the record of `folder`. A damaged record is written anew."""
    try:
        known = read_json(folder / RECORD)
    except (FileNotFoundError, InputError):
        known = {}
    earlier = known.get(name)
    before = earlier["lines"] if isinstance(earlier, dict) and isinstance(earlier.get("lines"), dict) else {}
    entry = {"summary": summary, "left_out": left_out, "lines": before | {key: list(of) for key, of in lines.items()}}
    write_json(folder / RECORD, known | {name: entry})


def read_views(folder: Path) -> tuple[list[DrawnView], list[str]]:
    """The views with a file in `folder` or a reason why they have none, and a line for a damaged record.

    The views are in the order in which they were first drawn. Those that are not in the record, as in folders of older
    versions, follow by name.
    """
    problems: list[str] = []
    try:
        known = read_json(folder / RECORD)
    except FileNotFoundError:
        known = {}
    except InputError as error:
        known, problems = {}, [f"{error}; the figures are shown without their findings"]
    folders = sorted(path.name for path in folder.glob("*/")) if folder.is_dir() else []
    views = [_view(folder, name, known.get(name)) for name in dict.fromkeys((*known, *folders))]
    return [view for view in views if view.figures or view.pages or view.left_out], problems


def _view(folder: Path, name: str, entry: object) -> DrawnView:
    entry = entry if isinstance(entry, dict) else {}
    lines = entry.get("lines")
    files = sorted(path for path in (folder / name).glob("*.*") if not path.name.startswith("."))
    return DrawnView(
        name,
        str(entry.get("summary", "")),
        tuple(path for path in files if path.suffix in _SUFFIXES),
        tuple(path for path in files if path.suffix == ".html"),
        {str(key): tuple(map(str, of)) for key, of in lines.items() if isinstance(of, list)}
        if isinstance(lines, dict)
        else {},
        str(entry.get("left_out", "")),
    )
