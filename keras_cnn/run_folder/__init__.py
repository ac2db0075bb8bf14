"""The run folder: where it is, what is in it, who holds it. Every file is written beside its place and renamed."""

import csv
import datetime
import errno
import fcntl
import functools
import io
import json
import os
import platform
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keras_cnn import config as config_module
from keras_cnn.config import Builders, Config
from keras_cnn.errors import InputError, Stopped

HISTORY_COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "epoch_seconds",
    "run_seconds",
)
LOCK = "run.lock"
PACKAGES = ("keras_cnn", "tensorflow", "keras", "numpy", "matplotlib", "pillow", "wandb")


@contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """Raises Stopped where the disk is full; for what writes `path` atomically."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Stopped(f"{path}: the disk is full; what was there before is unchanged") from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it takes the place of `path`, on an error it goes.

    A full disk raises Stopped, naming the file; the old file at `path` is untouched then.
    """
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")  # the suffix stays: Keras goes by it
    try:
        with naming_a_full_disk(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces the file's content atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


class RunFolder:
    """A run's folder, held by this process alone while it trains: `with folder:` lets go of it at the end."""

    def __init__(self, path: Path, made: bool = False):
        self.path = path
        self._made = made  # by us, so that it is ours to remove
        self._lock: int | None = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove_if_unused()
        self.release()

    @classmethod
    def create(cls, name: str, parent: Path = Path("runs"), path: Path | None = None) -> "RunFolder":
        """A new folder `parent/name`, or `name-2`, `name-3`, ... after it; or exactly `path`, which must be empty."""
        try:
            if path is None:
                return cls(_claim(name, parent), made=True).lock()
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                go_on = f"--resume {shlex.quote(str(path))}"
                raise InputError(f"{path}: --run-dir is not an empty folder; expected a new one, or {go_on}")
            made = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            return cls(path, made).lock()
        except OSError as error:
            raise InputError(f"{path or parent / name}: cannot make the run folder: {error.strerror}") from None

    @classmethod
    def begun(cls, path: Path) -> "RunFolder":
        """The folder `path`, made if it is not there, whatever an earlier process has left in it."""
        path.mkdir(exist_ok=True)
        return cls(path).lock()

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run, checked to be one."""
        if not path.is_dir():
            raise InputError(f"{path}: no such folder; expected a run folder, such as runs/fashion")
        if not (path / "config.yaml").is_file():
            raise InputError(f"{path}: not a run folder: it has no config.yaml")
        return cls(path)

    def lock(self) -> "RunFolder":
        """Holds the folder until `release` or this process's end, however it ends. InputError if another holds it."""
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode() or "another process"
            os.close(descriptor)
            raise InputError(f"{self.path}: in use by {holder}; wait for it or choose another folder") from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        self._lock = descriptor
        return self

    def release(self) -> None:
        """Lets another process hold the folder. The lock file stays: removed, it could be held twice by its name."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove_if_unused(self) -> None:
        """Removes what `create` made if nothing else was written: the lock file, and the folder if it was not there."""
        if self.path.is_dir() and [p.name for p in self.path.iterdir()] == [LOCK]:
            (self.path / LOCK).unlink()
            if self._made:
                self.path.rmdir()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def figures(self) -> Path:
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def finished(self) -> bool:
        return (self.path / "metrics.json").is_file()

    def describe(self, config: Any, defaults: Any, hardware: dict) -> None:
        """Writes what runs: config.yaml, changes.txt (against the defaults) and environment.json."""
        write_text(self / "config.yaml", config_module.dump(config))
        changes = config_module.differences(defaults, config)
        write_text(self / "changes.txt", "\n".join(changes or ["every field at its default"]) + "\n")
        identity = {"run_id": uuid.uuid4().hex[:12]}  # W&B's name for the run, whatever its folder is called
        write_json(self / "environment.json", identity | environment() | {"hardware": hardware})

    def record_resume(self, hardware: dict) -> list[str]:
        """Adds this process to environment.json, with what is other than when the run began; returns that, a line each.

        Other versions or another processor compute other last bits: the run then ends close to the one that was never
        stopped, not equal to it.
        """
        begun = self.environment
        now = environment() | {"hardware": hardware}
        changes = _changes(begun, now)
        resume = {"date": now["started"], "command": now["command"], "git": now["git"], "changes": changes}
        write_json(self / "environment.json", begun | {"resumes": [*begun.get("resumes", []), resume]})
        return changes

    @property
    def environment(self) -> dict:
        """What environment.json holds. InputError if it is missing or damaged."""
        path = self / "environment.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); expected what a run writes") from None

    def config(self, builders: Builders = MappingProxyType({}), kind: type = Config) -> Any:
        return config_module.load(self / "config.yaml", [], builders, kind)

    def write_history(self, rows: list[dict], columns: Sequence[str] = HISTORY_COLUMNS) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self / "history.csv", table.getvalue())

    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv as numbers."""
        with (self / "history.csv").open(encoding="utf-8") as file:
            return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _claim(name: str, parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def detects(path: Path) -> bool:
    """Whether a run folder is of a training on boxes, by its config."""
    config = path / "config.yaml"
    try:
        return config.is_file() and "model.cfg" in config_module.read_flat(config)
    except InputError:  # whoever reads the config next says what is wrong with it
        return False


def latest_unfinished(parent: Path = Path("runs"), detecting: bool = False) -> Path:
    """The run below `parent` that was written to last and has not ended; InputError if there is none.

    Of trainings on boxes if `detecting`, else of the others. A folder without a checkpoint, such as a learning-rate
    test's, has nothing to go on with.
    """
    begun = [p.parent for p in parent.glob("*/checkpoint") if not (p.parent / "metrics.json").is_file()]
    runs = [run for run in begun if detects(run) is detecting]
    if not runs:
        raise InputError(f"{parent}: no unfinished run to resume; name one: --resume RUN")
    return max(runs, key=_last_written)


def _last_written(run: Path) -> float:
    return max(p.stat().st_mtime for p in (run, run / "checkpoint", run / "config.yaml") if p.exists())


def environment() -> dict:
    """Versions, machine, git commit and command of this process."""
    return {
        "started": _now(),
        "command": _command(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "git": _git_commit(),
    }


def _changes(before: dict, now: dict) -> list[str]:
    """Where Python, a package, the platform or the hardware is another, as "numpy 2.1.0 -> 2.2.0"."""

    def facts(of: dict) -> dict:
        return {"python": of["python"], "platform": of["platform"], **of["packages"], **of["hardware"]}

    old, new = facts(before), facts(now)
    return [f"{name} {old.get(name)} -> {new.get(name)}" for name in old | new if old.get(name) != new.get(name)]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _command() -> str:
    return shlex.join([python(), *sys.argv])


def resume_command(path: Path, program: str = "train.py") -> str:
    """The command that goes on with a run, to copy into a shell."""
    return shlex.join([python(), program, "--resume", str(path)])


def python() -> str:
    """How this interpreter is called from the working directory, for commands to copy."""
    executable = Path(os.path.abspath(sys.executable))
    inside = executable.is_relative_to(Path.cwd())
    return str(executable.relative_to(Path.cwd())) if inside else "python"


@functools.cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@functools.cache  # of the code that this process has read, whatever is committed meanwhile
def _git_commit() -> str | None:
    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" with uncommitted changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None  # installed as a package, or no git: the versions above are what there is


READING_COLUMNS = ("date", "images", "command")
TEST_SPLIT = "test split"


def record_test_reading(folder: RunFolder, images: str = TEST_SPLIT) -> None:
    """Adds a line to test_readings.csv: the test split is to be read once, and a reader of the run may count.

    `images` names those that were read, "test split (what for)" where it was not for an evaluation; lines of older
    versions, which did not say it, are of the test split.
    """
    path = folder / "test_readings.csv"
    before = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
    table = io.StringIO()
    writer = csv.DictWriter(table, READING_COLUMNS, restval=TEST_SPLIT, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*before, {"date": _now(), "images": images, "command": _command()}])
    write_text(path, table.getvalue())
