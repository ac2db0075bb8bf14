"""The suspected label errors of a run or of a cross-validation on the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_cnn.analysis.sections import PageSection
from keras_cnn.charts import TextTable
from keras_cnn.charts.text import count, digits
from keras_cnn.csv_tables import csv_rows
from keras_cnn.errors import InputError
from keras_cnn.evaluation.label_error_files import COLUMNS, FOLDER
from keras_cnn.report.scores import number
from keras_cnn.run_folder import read_json

NAME, TITLE, SHORT = "label-errors", "Suspected label errors", "Labels"
SHOWN = 30
NOTE = (
    "Confident learning (Northcutt et al. 2021): as many images of a label as are estimated to be of another class, and"
    " of these the ones whose probabilities speak most against the label. A person decides; nothing was changed."
)


def label_error_sections(folders: Sequence[Path]) -> tuple[list[PageSection], list[str]]:
    """A section with the lists in these folders, or none; and a line for each list that cannot be read."""
    tables, findings, problems = [], [], []
    for folder in folders:
        for file in sorted((folder / FOLDER).glob("*.json")):
            try:
                finding, table = _list(file)
            except (InputError, OSError, ValueError, KeyError, TypeError) as error:
                problems.append(f"{file}: cannot be read ({' '.join(str(error).split())[:120]}); left out")
                continue
            findings.append(f"{finding}: {file.with_suffix('.csv')}, with a sheet of the images.")
            tables.append((f"{file.parents[1].name}, {file.stem.replace('_', ' ')} images", table))
    if not tables:
        return [], problems
    return [PageSection(NAME, TITLE, SHORT, findings=tuple(findings), notes=(NOTE,), tables=tuple(tables))], problems


def _list(file: Path) -> tuple[str, TextTable]:
    record: dict[str, Any] = read_json(file)
    images, suspected = int(record["images"]), int(record["suspected"])
    with file.with_suffix(".csv").open(encoding="utf-8", newline="") as lines:
        head, *rows = csv_rows(lines)
    if tuple(head) != COLUMNS or len(rows) != suspected:
        raise ValueError(f"{file.with_suffix('.csv').name} has {len(rows)} rows; expected {suspected}")
    cells = tuple(
        (row[0], row[1], row[3], digits(number(float(row[5])), 3), row[4], digits(number(float(row[6])), 3))
        for row in rows[:SHOWN]
    )
    head = ("rank", "image", "label", "its probability", "suggested", "its probability ")
    share = f"{count(suspected)} of {count(images)} labels are suspected"
    return share, TextTable(head, cells, searched=len(cells) > 12)
