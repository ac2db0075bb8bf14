"""The readings of a run's test split, each recorded: it is to be read once, and a reader of the run may count."""

import csv
import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_cnn.run_folder.files import write_text
from keras_cnn.run_folder.folder import RunFolder
from keras_cnn.run_folder.process import command, now

READING_COLUMNS = ("date", "images", "command")
TEST_SPLIT = "test split"


def record_test_reading(folder: RunFolder, images: str = TEST_SPLIT) -> None:
    """Adds a line to test_readings.csv; any number of processes may do so at once.

    `images` names those that were read, "test split (what for)" where it was not for an evaluation; lines of older
    versions, which did not say it, are of the test split.
    """
    path = folder / "test_readings.csv"
    with _held(path):
        before = list(csv.DictReader(path.read_text(encoding="utf-8", errors="replace").splitlines()))
        table = io.StringIO()
        writer = csv.DictWriter(table, READING_COLUMNS, restval=TEST_SPLIT, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*before, {"date": now(), "images": images, "command": command()}])
        write_text(path, table.getvalue())


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Holds a file, made where there is none, against other processes.

    Whoever held it before may have replaced it: then the lock is that of the old file, and the new one is opened.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                yield
                return
        finally:
            os.close(descriptor)
