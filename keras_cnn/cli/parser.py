"""The argument parser of the programs: their own options, and overrides of config fields."""

import argparse
import re

from keras_cnn.errors import InputError
from keras_cnn.run_folder import program_words


class Parser(argparse.ArgumentParser):
    """An argument parser that separates a program's own options from overrides; its errors are InputError."""

    def __init__(self, *, prog: str, epilog: str = "", **settings):
        formatter = argparse.RawDescriptionHelpFormatter
        prog, epilog = _as_called(prog), _as_called(epilog)
        super().__init__(allow_abbrev=False, formatter_class=formatter, prog=prog, epilog=epilog, **settings)
        self._own: set[str] = {"--help", "-h"}

    def option(self, name: str, **settings) -> None:
        """Adds one of the program's own options; the settings are those of `add_argument`."""
        self._own.add(name)
        self.add_argument(name, **settings)

    def error(self, message: str):
        raise InputError(f"command line: {message}")

    def split(self, arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
        """The program's own arguments, parsed, and the overrides `--a.b VALUE` or `--a.b=VALUE`, unchanged."""
        own, overrides, rest = [], [], list(arguments)
        while rest:
            word = rest.pop(0)
            if not word.startswith("--") or word.partition("=")[0] in self._own:
                own.append(word)
                continue
            overrides.append(word)
            if "=" not in word and rest and not rest[0].startswith("--"):
                overrides.append(rest.pop(0))
        return self.parse_args(own), overrides


def _as_called(text: str) -> str:
    """The text with the programs named in the way that this process was called, such as `keras-cnn train`."""
    return re.sub(r"python (\w+)\.py", lambda found: " ".join(program_words(found[1])), text)
