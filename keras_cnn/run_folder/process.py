"""This process: its versions, machine, commit and command, and commands for a user to copy."""

import datetime
import functools
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("keras_cnn", "tensorflow", "keras", "numpy", "matplotlib", "pillow", "wandb")


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
    return shlex.join([python(), *sys.argv])


def resume_command(path: Path, program: str = "train.py") -> str:
    """The command that resumes a run, to copy into a shell."""
    return shlex.join([python(), program, "--resume", str(path)])


def python() -> str:
    """How a shell calls this interpreter from the working directory, for commands to copy."""
    executable = Path(os.path.abspath(sys.executable))
    inside = executable.is_relative_to(Path.cwd())
    return str(executable.relative_to(Path.cwd())) if inside else "python"


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
