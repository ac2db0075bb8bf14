"""The argument parser of the programs: their own options, and overrides of config fields."""

import argparse
import difflib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from keras_cnn.errors import InputError
from keras_cnn.messages import wrapped
from keras_cnn.run_folder import program_words

SHORT_NAMES = {  # option -> the config field that it sets, and the placeholder of its value in --help
    "--epochs": ("train.epochs", "N"),
    "--lr": ("optim.learning_rate", "RATE"),
    "--batch-size": ("train.batch_size", "N"),
    "--model": ("model.name", "NAME"),
    "--data": ("data.source", "SOURCE"),
    "--image-size": ("data.image_size", "PIXELS"),
    "--devices": ("devices", "D"),
}
_COLUMN = 28  # characters of a list's left column, beside which its texts stand
CLOSE = 0.6  # similarity from which a name is suggested


class Parser(argparse.ArgumentParser):
    """An argument parser that separates a program's own options from overrides; its errors are InputError."""

    def __init__(self, *, prog: str, epilog: str = "", **settings):
        formatter = argparse.RawDescriptionHelpFormatter
        prog, epilog = _as_called(prog), "\n".join(laid_out(_as_called(epilog)))
        super().__init__(allow_abbrev=False, formatter_class=formatter, prog=prog, epilog=epilog, **settings)
        self._own: set[str] = {"--help", "-h"}
        self._fields: Collection[str] = ()
        self._short: dict[str, str] = {}

    def option(self, name: str, **settings) -> None:
        """Adds one of the program's own options; the settings are those of `add_argument`."""
        self._own.add(name)
        self.add_argument(name, **settings)

    def fields(self, names: Collection[str], short: Mapping[str, tuple[str, str]] = SHORT_NAMES) -> None:
        """Declares the config fields that `split` accepts, by dotted name, and the short options for some of them."""
        self._fields = names
        group = self.add_argument_group("fields of the config for short; any other as --a.b VALUE (--options)")
        for option, (field, placeholder) in short.items():
            self._short[option] = field
            group.add_argument(option, metavar=placeholder, help=f"--{field}")

    def error(self, message: str):
        raise InputError(f"command line: {message}")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The arguments. InputError with the nearest name for an unknown option."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._nearest(unknown[0])}")
        return known

    def check_options(self, words: Sequence[str]) -> None:
        """Raises InputError, with the nearest name, for a word that is an unknown option; values are not looked at."""
        for word in words:
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                self.error(f"unrecognized arguments: {word}{self._nearest(word)}")

    def split(self, arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
        """The program's own arguments, parsed, and the overrides `--a.b VALUE` or `--a.b=VALUE`.

        Short names are replaced by those of their fields. InputError with the nearest name for an option that is
        neither the program's nor a field.
        """
        own, overrides, rest = [], [], list(arguments)
        while rest:
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            if not word.startswith("--") or name in self._own:
                own.append(word)
                continue
            if name in self._short:
                if not equals and (not rest or rest[0].startswith("--")):
                    self.error(f"{name}: no value; expected {name} VALUE")
                word = f"--{self._short[name]}{equals}{value}"
            elif self._fields and "." not in name and name.removeprefix("--") not in self._sections:
                self.error(f"unknown option {name}{self._nearest(name)}")
            overrides.append(word)
            if "=" not in word and rest and not rest[0].startswith("--"):
                overrides.append(rest.pop(0))
        return self.parse_args(own), overrides

    @property
    def _sections(self) -> set[str]:
        return {field.partition(".")[0] for field in self._fields}

    def _nearest(self, name: str) -> str:
        """The end of a message about an unknown option: the most similar one, also in the config's sections."""
        candidates = {option.lstrip("-"): option for option in self._option_string_actions}
        for field in self._fields:
            candidates.setdefault(field.rpartition(".")[2].replace("_", "-"), f"--{field}")
        wanted = name.partition("=")[0].lstrip("-").replace("_", "-")
        near = difflib.get_close_matches(wanted, candidates, 1, CLOSE) if name.startswith("-") else []
        return f"; did you mean {candidates[near[0]]}?" if near else "; --help lists the options"


def _as_called(text: str) -> str:
    """The text with the programs named in the way that this process was called, such as `keras-cnn train`."""
    return re.sub(r"python (\w+)\.py", lambda found: " ".join(program_words(found[1])), text)


def laid_out(text: str) -> Iterator[str]:
    """The lines of a help text in the width of the terminal: paragraphs, and indented lists of an entry and its text.

    The texts stand beside short entries such as names, and below long ones such as commands.
    """
    for is_list, group in itertools.groupby(text.split("\n"), lambda line: line.startswith("  ")):
        lines = list(group)
        if not is_list:
            for is_blank, paragraph in itertools.groupby(lines, lambda line: not line):
                words = list(paragraph)
                yield from words if is_blank else wrapped(" ".join(words), "", 0)
            continue
        entries = [((*re.split(" {2,}", line.strip(), maxsplit=1), "")[:2]) for line in lines]
        widest = max(len(entry) for entry, _ in entries)
        for entry, text in entries:
            if widest <= _COLUMN:
                yield from wrapped(text, f"  {entry:<{widest}}  ", widest + 4) or [f"  {entry}"]
            else:
                yield f"  {entry}"
                yield from wrapped(text, "      ", 6)
