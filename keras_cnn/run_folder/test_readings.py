"""Records every reading of a run's test split: it should be read once, and the record shows how often it was."""

import io
import os
from collections.abc import Iterable

from keras_cnn.csv_tables import CsvWriter, csv_rows
from keras_cnn.errors import InputError
from keras_cnn.operating_system import lock_file
from keras_cnn.run_folder.files import naming_a_full_disk
from keras_cnn.run_folder.folder import RunFolder
from keras_cnn.run_folder.process import command, now

READING_COLUMNS = ("date", "images", "command")
TEST_SPLIT = "test split"


def record_test_reading(folder: RunFolder, images: str = TEST_SPLIT) -> None:
    """Adds a line to test_readings.csv; several processes may do so at once.

    `images` names the images that were read, as "test split (purpose)" if not for an evaluation. Lines of older
    versions lack this column and are of the test split. Raises InputError if the file is no table of readings.
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
            try:
                added, content = _table([*read_test_readings(content.decode("utf-8", "replace")), row]), b""
            except ValueError as error:
                raise InputError(f"{path}: {error}; no reading can be counted: restore the file") from None
        try:
            file.truncate(len(content))
            file.write(added)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(file.fileno(), len(content))
            raise


def read_test_readings(text: str) -> list[dict[str, str]]:
    """The rows of test_readings.csv by their columns; a row that was cut off lacks the last ones.

    Raises ValueError for text that is no such table.
    """
    head, *lines = [row for row in csv_rows(io.StringIO(text, newline=""), strict=False) if row] or [[]]
    if head and not {"date", "command"} <= set(head):
        raise ValueError(f"columns {', '.join(head)}, expected date, images and command")
    return [dict(zip(head, line, strict=False)) for line in lines]


def _table(rows: Iterable[dict[str, str]], header: bool = True) -> bytes:
    table = io.StringIO()
    writer = CsvWriter(table)
    if header:
        writer.writerow(READING_COLUMNS)
    for row in rows:
        writer.writerow(row.get(column, TEST_SPLIT if column == "images" else "") for column in READING_COLUMNS)
    return table.getvalue().encode("utf-8", "backslashreplace")
