"""The folder of a run: where it is, what is in it, and who holds it."""

import csv
import io
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keras_cnn.config import Builders, Config, differences, dump, load, read_flat
from keras_cnn.errors import InputError, Stopped
from keras_cnn.messages import log_sentence
from keras_cnn.run_folder.files import naming_a_full_disk, write_json, write_text
from keras_cnn.run_folder.json_files import read_json
from keras_cnn.run_folder.lock import LOCK, FolderLock
from keras_cnn.run_folder.process import changes, environment, quoted, shell_command

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
MULTILABEL_COLUMNS = (  # of a run whose images may have several labels
    *("epoch", "loss", "exact_match"),
    *("val_loss", "val_map", "val_exact_match"),
    *("learning_rate", "epoch_seconds", "run_seconds"),
)
RANK_LOG = re.compile(r"rank-\d+\.log")  # the messages of another process of a run on several hosts
_DESCRIPTION = ("environment.json", "changes.txt", "config.yaml")
ENVIRONMENT = {  # fields of environment.json that a resumed run and W&B need
    "run_id": str,
    "python": str,
    "platform": str,
    "packages": dict,
    "hardware": dict,
    "resumes": list[dict] | None,
}


class RunFolder:
    """A run's folder, locked by this process while it trains: `with folder:` releases it at the end.

    An error that ends the block, other than InputError and Stopped, gets a note with the command that resumes the run.
    """

    def __init__(self, path: Path, made: bool = False):
        self.path = path
        self._made = made  # whether this process made the folder, and may remove it
        self._lock: FolderLock | None = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, InputError | Stopped) and self._resumable:
            program = "detect" if is_detection_run(self.path) else "train"
            error.add_note(f"go on with: {shell_command(program, '--resume', self.path)}")
        self.remove_if_unused()
        self.release()

    @classmethod
    def create(cls, name: str, parent: Path = Path("runs"), path: Path | None = None) -> "RunFolder":
        """A new folder `parent/name`, or `name-2`, `name-3`, ... if that exists; or exactly `path`, new or empty.

        Raises InputError if it cannot be made, and Stopped if the disk is full; no part of it is left then.
        """
        wanted = path or parent / name
        try:
            with naming_a_full_disk(wanted):
                folder = cls(_new_folder(name, parent), made=True) if path is None else cls(path, made=_make(path))
        except OSError as error:
            raise InputError(f"{wanted}: cannot make the run folder: {error.strerror}") from None
        try:
            return folder.lock()
        except BaseException:
            folder.remove_if_unused()
            raise

    @classmethod
    def open_or_create(cls, path: Path) -> "RunFolder":
        """The folder `path`, made if it does not exist, with the files that an earlier process left in it."""
        path.mkdir(exist_ok=True)
        return cls(path).lock()

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run's folder. InputError if `path` is not one."""
        if not path.is_dir():
            raise InputError(f"{path}: no such folder; expected a run folder, such as runs/fashion")
        if not (path / "config.yaml").is_file():
            raise InputError(f"{path}: not a run folder: it has no config.yaml")
        return cls(path)

    def lock(self) -> "RunFolder":
        """Locks the folder until `release` or the end of this process. InputError if another process holds it."""
        self._lock = FolderLock(self.path)
        if self._lock.killed and (self.path / "config.yaml").is_file():
            log_sentence(
                "note",
                f"{self._lock.killed} was killed while it worked in {self.path}; this run goes on from what it saved."
                " If nobody killed it, memory ran out: lower train.batch_size or the size of the images",
            )
        return self

    def release(self) -> None:
        """Releases the lock."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def remove_if_unused(self) -> None:
        """If nothing else was written, removes what `create` made: the lock file, and the folder if it was new.

        Messages of other ranks count as nothing.
        """
        if not self.path.is_dir():
            return
        files = list(self.path.iterdir())
        if all(file.name == LOCK or RANK_LOG.fullmatch(file.name) for file in files):
            for file in files:
                file.unlink(missing_ok=True)
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

    @property
    def _resumable(self) -> bool:
        return (self.path / "config.yaml").is_file() and not self.finished

    def describe(self, config: Any, defaults: Any, hardware: dict) -> None:
        """Writes config.yaml, changes.txt (differences from the defaults) and environment.json, or none of them."""
        changed = differences(defaults, config)
        identity = {"run_id": uuid.uuid4().hex[:12]}  # W&B's name for the run, even if its folder is renamed
        new = [path for path in map(self.path.joinpath, _DESCRIPTION) if not path.exists()]
        try:
            write_json(self / "environment.json", identity | environment() | {"hardware": hardware})
            write_text(self / "changes.txt", "\n".join(changed or ["every field at its default"]) + "\n")
            write_text(self / "config.yaml", dump(config))  # last: a folder with a config.yaml counts as a run
        except BaseException:
            for path in new:
                path.unlink(missing_ok=True)
            raise

    def record_resume(self, hardware: dict) -> list[str]:
        """Adds this process to environment.json, with the differences from the start of the run; returns these.

        Other versions or another processor change the last bits of the results: the run then ends close to an
        uninterrupted run, but not equal to it.
        """
        begun = self.environment
        current = environment() | {"hardware": hardware}
        changed = changes(begun, current)
        resume = {"date": current["started"], "command": current["command"], "git": current["git"], "changes": changed}
        write_json(self / "environment.json", begun | {"resumes": [*(begun.get("resumes") or []), resume]})
        return changed

    @property
    def environment(self) -> dict:
        """The content of environment.json. InputError if it is missing or damaged."""
        path = self / "environment.json"
        try:
            return read_json(path, ENVIRONMENT)
        except FileNotFoundError:
            raise InputError(f"{path}: missing; expected what a run writes") from None

    def config(self, builders: Builders = MappingProxyType({}), kind: type = Config) -> Any:
        return load(self / "config.yaml", [], builders, kind)

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


def _new_folder(name: str, parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def _make(path: Path) -> bool:
    """Makes a folder if there is none, and returns whether it did. InputError if `path` is not an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        go_on = f"--resume {quoted([str(path)])}"
        raise InputError(f"{path}: --run-dir is not an empty folder; expected a new one, or {go_on}")
    made = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    return made


def is_detection_run(path: Path) -> bool:
    """Whether a run folder belongs to a training on boxes, by its config."""
    return is_config_of_boxes(path / "config.yaml")


def is_config_of_boxes(config: Path) -> bool:
    """Whether a file is the config of a training on boxes."""
    try:
        return config.is_file() and "model.cfg" in read_flat(config)
    except InputError:  # the next reader of the config reports what is wrong
        return False


def newest_runs(parent: Path = Path("runs")) -> list[Path]:
    """The finished runs in a folder of runs, the newest first; not those of a sweep."""
    finished = [path.parent for path in parent.glob("*/metrics.json") if (path.parent / "config.yaml").is_file()]
    return sorted(finished, key=lambda run: (run / "metrics.json").stat().st_mtime, reverse=True)


def latest_unfinished(parent: Path = Path("runs"), detecting: bool = False) -> Path:
    """The most recently written unfinished run in `parent`; InputError if there is none.

    With `detecting` only trainings on boxes count, otherwise only other runs. A folder without a checkpoint, for
    example after a learning-rate test, has nothing to resume.
    """
    begun = [p.parent for p in parent.glob("*/checkpoint") if not (p.parent / "metrics.json").is_file()]
    runs = [run for run in begun if is_detection_run(run) is detecting]
    if not runs:
        raise InputError(f"{parent}: no unfinished run to resume; name one: --resume RUN")
    return max(runs, key=_last_written)


def _last_written(run: Path) -> float:
    return max(p.stat().st_mtime for p in (run, run / "checkpoint", run / "config.yaml") if p.exists())
