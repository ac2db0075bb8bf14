"""The folder of an evaluation's results, replaced as a whole even if the program is killed meanwhile."""

import contextlib
import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_cnn.errors import InputError
from keras_cnn.evaluation.predictions import find_predictions
from keras_cnn.run_folder import naming_a_full_disk

_REPLACED = ".{}.replaced"  # name of an old folder while the new one takes its place


def check_writable(path: Path) -> None:
    """Raises InputError where this process may not write into the folder `path`."""
    if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{path}: is read-only; expected a folder that can be written, such as a copy of it")


@contextlib.contextmanager
def replacing_folder(folder: Path, beside: Path) -> Iterator[Path]:
    """Yields an empty folder inside `beside`, which replaces `folder` on success and is removed on an error.

    A folder can only be renamed to a free name, so the old one is renamed first. If the program is killed between the
    two renames, `restore_folder` restores the old folder.
    """
    restore_folder(folder)
    staged = Path(tempfile.mkdtemp(prefix=".evaluation-", dir=beside))
    try:
        staged.chmod(0o755)  # mkdtemp gives access to the owner only
        with naming_a_full_disk(folder):
            yield staged
            folder.parent.mkdir(parents=True, exist_ok=True)
            replaced = folder.with_name(_REPLACED.format(folder.name))
            if folder.exists():
                os.rename(folder, replaced)
            os.rename(staged, folder)
            shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Restores a folder if its replacement was interrupted after the first rename; finishes it after the second."""
    replaced = folder.with_name(_REPLACED.format(folder.name))
    if replaced.is_dir():
        with contextlib.suppress(OSError):  # a read-only folder is left unchanged
            if folder.exists():
                shutil.rmtree(replaced)
            else:
                os.rename(replaced, folder)


def restore_evaluations(run: Path) -> None:
    """Restores the evaluations of a run, and their comparisons, whose replacement was interrupted."""
    start, end = _REPLACED.split("{}")
    for pattern in (f"evaluations/{start}*{end}", f"evaluations/*/{start}*{end}"):
        for replaced in run.glob(pattern):
            restore_folder(replaced.with_name(replaced.name.removeprefix(start).removesuffix(end)))


def keep_comparisons(old: Path, new: Path) -> None:
    """Copies the comparisons in the old folder of an evaluation to the new one if their predictions are equal."""
    table = find_predictions(new)
    if old.is_dir() and table and filecmp.cmpfiles(old, new, [table.name], shallow=False)[0]:
        for comparison in (*old.glob("against_*"), *old.glob("outliers_*")):
            shutil.copytree(comparison, new / comparison.name)
