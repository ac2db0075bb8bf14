"""The commands and the Python code of README.md and docs/ fit the programs and the library as they are."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

import keras_cnn as kc
from keras_cnn.checking import options_of
from keras_cnn.cli import visualize
from keras_cnn.cli.commands import COMMANDS
from keras_cnn.cli.parser import Parser
from keras_cnn.config.fields import options
from keras_cnn.config.schema import Config
from keras_cnn.loading import BUILDERS
from keras_cnn.tasks.detection.settings import BoxConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("[!_]*/*.md"))]
TEXT = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in PAGES}
COMMAND = re.compile(r"(?:^(?:\$ )?|`)((?:keras-cnn|python) [^`\n]*)", re.MULTILINE)
FIELDS = {name for kind in (Config, BoxConfig) for name, *_ in options(kind)} | {
    f"{path}.{option}"
    for path, named in BUILDERS.items()
    for builder in named.values()
    for option in options_of(builder)
}
FIELDS |= {"model.name", "data.augment.name"}


class Parsed(Exception):
    """A command line was understood; carries the overrides of config fields."""


def commands(text: str) -> list[list[str]]:
    """The words of each command of the package after its name, such as ["train", "--epochs", "4"]."""
    found = []
    for line in COMMAND.findall(text):
        words = shlex.split(line.replace("[RUN ...]", "RUN"), comments=True)
        words[:2] = words[1:2] if words[0] == "keras-cnn" else [words[1].removesuffix(".py")]
        if words[0] in COMMANDS and words[1:]:  # a name alone is a mention
            found.append(words)
    return found


def test_every_command_of_the_book_is_understood(monkeypatch):
    parse, split = Parser.parse_args, Parser.split

    def split_only(parser, arguments):
        monkeypatch.setattr(Parser, "parse_args", parse)
        raise Parsed(split(parser, arguments)[1])

    def parse_only(parser, arguments=None, namespace=None):
        parse(parser, arguments, namespace)
        raise Parsed([])

    monkeypatch.setattr(visualize, "_check_source", lambda source: None)  # there are no runs
    monkeypatch.setattr(visualize, "newest_runs", lambda *parent: [Path("runs/fashion")])
    wrong, count = [], 0
    for page, text in TEXT.items():
        for name, *arguments in commands(text):
            monkeypatch.setattr(Parser, "split", split_only)
            monkeypatch.setattr(Parser, "parse_args", parse_only)
            count += 1
            try:
                importlib.import_module(f"keras_cnn.cli.{name}").main(arguments)
            except Parsed as parsed:
                names = [word.partition("=")[0][2:] for word in parsed.args[0] if word.startswith("--")]
                wrong += [f"{page}: {name} --{field}: no such option" for field in names if field not in FIELDS]
            except SystemExit:  # --help
                pass
            except kc.InputError as error:
                wrong.append(f"{page}: {name} {' '.join(arguments)}: {error}")
    assert not wrong, "\n".join(wrong)
    assert count > 80


def python_blocks():
    for page, text in TEXT.items():
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
            yield pytest.param(block, id=f"{page}-{number}")


@pytest.mark.parametrize("block", list(python_blocks()))
def test_python_of_the_book_compiles_and_uses_public_names(block):
    names = {
        node.attr
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kc"
    }
    assert names <= set(kc.__all__)


def test_the_readme_is_one_screen():
    assert len(TEXT["README.md"].split()) <= 900


def test_links_of_the_book_lead_to_files():
    wrong = []
    for page, text in TEXT.items():
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not target.startswith("http") and not (ROOT / page).parent.joinpath(target).exists():
                wrong.append(f"{page}: {target}")
    assert wrong == []
