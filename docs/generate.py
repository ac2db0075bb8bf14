"""Writes the pages that are made from the package: options, help of the commands, published figures, notebooks."""

import contextlib
import importlib
import inspect
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from keras_cnn import config
from keras_cnn.checking import describe, options_of
from keras_cnn.cli.commands import COMMANDS
from keras_cnn.config.fields import options, shown
from keras_cnn.config.schema import Config
from keras_cnn.loading import BUILDERS
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.views import VIEWS

Option = tuple[str, str, str, str]  # name on the command line, meaning, values, default

COLUMNS = "90"  # of the help texts


def write_pages(folder: Path, root: Path) -> None:
    """Replaces `folder` by the generated pages; `root` is the checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, lines in {"options": _options(), "help": _help(), "views": _views(), "published": _published()}.items():
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ignored = shutil.ignore_patterns(".*", "*.py", "runs", "photos")
    shutil.copytree(root / "notebooks", folder / "notebooks", ignore=ignored)


def _options() -> Iterator[str]:
    yield "## Classifiers"
    yield from _sections(Config)
    for path, builders in BUILDERS.items():
        yield from ["", f"## Options of `{path}`", ""]
        yield from _builders(path, builders)
    yield from ["", "## Detectors"]
    yield from _sections(BoxConfig)


def _sections(kind: type) -> Iterator[str]:
    """The options of a config, section by section; the fields outside sections come first."""
    rows: dict[str, list[Option]] = {}
    for name, hint, default, note in options(kind):
        value = default.name if name in BUILDERS and kind is Config else shown(default)
        rows.setdefault(name.rpartition(".")[0], []).append((f"--{name}", note, describe(hint), f"default `{value}`"))
    for section, entries in rows.items():
        yield from ["", f"### `{section}`" if section else "### The run", ""]
        yield from _entries(entries)


def _builders(path: str, builders: Mapping[str, Callable]) -> Iterator[str]:
    """The options of each group of builders that have the same options and defaults."""
    alike: dict[tuple[Option, ...], list[str]] = {}
    for name, builder in builders.items():
        entries = tuple(
            (f"--{path}.{option}", note, describe(hint), _default(default))
            for option, (hint, default, note) in options_of(builder).items()
        )
        alike.setdefault(entries, []).append(name)
    for entries, names in alike.items():
        yield from [
            "",
            "**" + ", ".join(f"`{name}`" for name in names) + "**" + ("" if entries else ": no options"),
            "",
        ]
        yield from _entries(entries)


def _default(value: Any) -> str:
    return "required" if value is inspect.Parameter.empty else f"default `{shown(value)}`"


def _entries(entries: Iterable[Option]) -> Iterator[str]:
    """A definition list, which unlike a table can be read on a phone."""
    for option, note, values, default in entries:
        yield from [f"`{option}`", f": {note} ({values}; {default})", ""]


def _help() -> Iterator[str]:
    for name, summary in COMMANDS.items():
        main, text = importlib.import_module(f"keras_cnn.cli.{name}").main, io.StringIO()
        before = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = COLUMNS
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            main(["--help"])
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
        yield from [f"## keras-cnn {name}", "", f"{summary[0].upper()}{summary[1:]}.", ""]
        yield from ["```text", text.getvalue().rstrip(), "```", ""]


def _views() -> Iterator[str]:
    rows = [(view.name, view.summary, ", ".join(view.aliases)) for view in VIEWS.values()]
    yield from _table(("view", "shows", "short name"), rows, code=(0,))


def _published() -> Iterator[str]:
    """The figures of each published report, with their place in it."""
    for path in sorted(config.PUBLISHED.glob("*.yaml")):
        report = yaml.safe_load(path.read_text(encoding="utf-8"))
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        yield from [f"## {path.stem.upper()}", "", title, ""]
        yield from [f"- {caveat}" for caveat in report.get("caveats", [])]
        yield ""
        for name, experiment in report["experiments"].items():
            figures = [f for f in experiment.get("figures", []) if "class_name" not in f]
            rows = [(f["figure"].replace("_", " "), f["value"], f["source"]) for f in figures]
            yield from [f"### {path.stem}/{name}", ""]
            yield from _table(("figure", "value", "place in the report"), rows)
            yield ""


def _table(head: Iterable[str], rows: Iterable[tuple[Any, ...]], code: tuple[int, ...] = ()) -> Iterator[str]:
    cells = [*head]
    yield "| " + " | ".join(cells) + " |"
    yield "|" + "---|" * len(cells)
    for row in rows:
        texts = [str(cell).replace("|", "\\|").replace("<", "&lt;") for cell in row]
        yield "| " + " | ".join(f"`{t}`" if n in code and t else t for n, t in enumerate(texts)) + " |"
