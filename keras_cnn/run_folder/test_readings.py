"""Records every reading of a run's test split: it should be read once, and the record shows how often it was."""

import csv
import io
import os
from collections.abc import Iterable

from keras_cnn.operating_system import lock_file
from keras_cnn.run_folder.files import naming_a_full_disk
from keras_cnn.run_folder.folder import RunFolder
from keras_cnn.run_folder.process import command, now

READING_COLUMNS = ("date", "images", "command")
TEST_SPLIT = "test split"


def record_test_reading(folder: RunFolder, images: str = TEST_SPLIT) -> None:
    """Adds a line to test_readings.csv; several processes may do so at once.

    `images` names the images that were read, as "test split (purpose)" if not for an evaluation. Lines of older
    versions lack this column and are of the test split.
    """
    path = folder / "test_readings.csv"
    row = {"date": now(), "images": images, "command": command()}
    with naming_a_full_disk(path), path.open("a+b") as file:  # not replaced: the lock would be on the old file
        lock_file(file)
        file.seek(0)
        content = file.read()
        header, _, _ = content.partition(b"\n")
        if header.decode("utf-8", "replace") == ",".join(READING_COLUMNS) and content.endswith(b"\n"):
            added = _table([row], header=False)
        else:  # nothing yet, an older version's columns, or a line that a full disk cut off
            before = csv.DictReader(content.decode("utf-8", "replace").splitlines())
            added, content = _table([*before, row]), b""
        try:
            file.truncate(len(content))
            file.write(added)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(file.fileno(), len(content))
            raise


def _table(rows: Iterable[dict[str, str]], header: bool = True) -> bytes:
    table = io.StringIO()
    writer = csv.DictWriter(table, READING_COLUMNS, restval=TEST_SPLIT, extrasaction="ignore", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode("utf-8", "backslashreplace")
