"""This process: its versions, machine, commit and command, and commands for a user to copy."""

import datetime
import functools
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from keras_cnn.operating_system import is_windows

PACKAGES = ("keras_cnn", "tensorflow", "keras", "numpy", "matplotlib", "pillow", "wandb")
PROGRAMS = (
    "train",
    "finetune",
    "evaluate",
    "predict",
    "report",
    "visualize",
    "detect",
)  # each NAME.py at the top level


def environment() -> dict:
    """Versions, machine, git commit and command of this process."""
    return {
        "started": now(),
        "command": command(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "git": _git_commit(),
    }


def changes(begun: dict, current: dict) -> list[str]:
    """The differences in Python, packages, platform and hardware, such as "numpy 2.1.0 -> 2.2.0"."""

    def facts(of: dict) -> dict:
        return {"python": of["python"], "platform": of["platform"], **of["packages"], **of["hardware"]}

    old, new = facts(begun), facts(current)
    return [f"{name} {old.get(name)} -> {new.get(name)}" for name in old | new if old.get(name) != new.get(name)]


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def command() -> str:
    """The command of this process, quoted for a shell."""
    return quoted([*_started_as(sys.argv[0]), *sys.argv[1:]])


def shell_command(program: str, *arguments: str | Path) -> str:
    """A command line of another program of this package, such as `train`, to copy into a shell.

    The program is called in the way that this process was: `python train.py`, `python -m keras_cnn train` or, also for
    a caller of the library, `keras-cnn train`.
    """
    return quoted([*program_words(program), *map(str, arguments)])


def program_words(program: str, anywhere: bool = False) -> list[str]:
    """The words that call a program of this package, in the way that this process was called.

    `anywhere` calls this interpreter by its absolute path, so that the words work in every folder.
    """
    called = Path(sys.argv[0])
    if called.suffix == ".py" and called.stem in PROGRAMS:
        script = called.with_name(f"{program}.py")
        return [os.path.abspath(sys.executable), str(script.absolute())] if anywhere else [python(), str(script)]
    if anywhere:
        return [os.path.abspath(sys.executable), "-m", "keras_cnn", program]
    return [*_started_as(str(called) if called.parent.name == "keras_cnn" else "keras-cnn"), program]


def quoted(words: Sequence[str]) -> str:
    """The words as one line for the shell of this system."""
    return subprocess.list2cmdline(words) if is_windows() else shlex.join(words)


def python() -> str:
    """How a shell calls this interpreter from the working directory, for commands to copy."""
    executable = Path(os.path.abspath(sys.executable))
    inside = executable.is_relative_to(Path.cwd())
    return str(executable.relative_to(Path.cwd())) if inside else "python"


def _started_as(script: str) -> list[str]:
    """The words before the arguments of a process whose `sys.argv[0]` is `script`."""
    path = Path(script)
    if path.stem == "keras-cnn":
        return ["keras-cnn"]
    if path.name == "__main__.py" and path.parent.name == "keras_cnn":
        return [python(), "-m", "keras_cnn"]
    return [python(), script]


@functools.cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@functools.cache  # the commit of the code that this process runs, even if another follows meanwhile
def _git_commit() -> str | None:
    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" with uncommitted changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None  # installed as a package, or no git: only the versions are known
