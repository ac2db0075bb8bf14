"""The page about a ranking of backbones (`finetune.py --probe`), and its CSV and picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from keras_cnn.analysis.sections import ChartFile, PageSection, write_section
from keras_cnn.charts import Chart, IntervalRow, IntervalRows, TextTable
from keras_cnn.charts.text import count, digits, duration, percent_with_interval
from keras_cnn.checking import check, placed
from keras_cnn.errors import InputError
from keras_cnn.messages import aligned
from keras_cnn.run_folder import write_json
from keras_cnn.run_folder.json_files import read_json

FILE = "backbones.json"
VERSION = 1  # of its content
_FIELDS = {"version": int, "source": str, "train_images": int, "validation_images": int, "backbones": list[dict]}
_NUMBERS = (
    *("image_height", "image_width", "parameters", "features", "seconds"),
    *(f"{name}_{end}" for name in ("linear", "nearest") for end in ("accuracy", "low", "high")),
)
_NOTES = (
    "Each network is frozen, and its last map is averaged over the image. Two classifiers are fitted to these features"
    " of the training images and measured on the validation images; the test images are not read.",
    "Linear probe: logistic regression on standardised features, its penalty chosen in three folds of the training"
    " images. k-NN: the vote of the five nearest training images by cosine distance, weighted by 1 / distance.",
    "Brackets are 95 % intervals: Wilson's of an accuracy, paired bootstrap of a difference. p: exact McNemar, adjusted"
    " by Holm for the number of networks below the first. The seconds include the features, unless they were kept.",
)


def find(paths: list[Path]) -> Path | None:
    """The folder of a ranking if it is in `paths`, otherwise None. Raises InputError if it is not alone."""
    chosen = [path for path in paths if (path / FILE).is_file()]
    if chosen and len(paths) > 1:
        raise InputError(f"{chosen[0]}: a ranking of backbones has its own page; expected no other folder")
    return chosen[0] if chosen else None


def read(folder: Path) -> dict[str, Any]:
    """The content of backbones.json. Raises InputError, with the field, for a damaged file or another version."""
    path = folder / FILE
    about = read_json(path, _FIELDS)
    if about["version"] != VERSION:
        raise InputError(f"{path}: found version {about['version']}, expected {VERSION}; probe again")
    if not about["backbones"]:
        raise InputError(f"{path}: found no backbones, expected at least one")
    for number, row in enumerate(about["backbones"]):
        place = f"backbones.{number}."
        for name in ("backbone", "weights"):
            check(placed(row.get(name), str(path)), str, place + name)
        for name in _NUMBERS:
            check(placed(row.get(name), str(path)), float, place + name)
    return about


def write(folder: Path, ranking: Mapping[str, Any]) -> None:
    """Writes backbones.json, of which the page is made."""
    write_json(folder / FILE, {"version": VERSION, **ranking})


def lead(about: Mapping[str, Any]) -> str:
    """The sentence at the top of the page."""
    best = about["backbones"][0]
    return (
        f"{best['backbone']} with weights {best['weights']} suits {about['source']} best by a linear probe:"
        f" {_accuracy(best, 'linear')} of {count(about['validation_images'])} validation images, after"
        f" {count(about['train_images'])} training images."
    )


def section(about: Mapping[str, Any]) -> PageSection:
    """The ranking as a chart and a table."""
    rows = about["backbones"]
    names = [
        row["backbone"] if row["weights"] == "imagenet" else f"{row['backbone']}, {row['weights']}" for row in rows
    ]
    drawn = IntervalRows(
        tuple(
            IntervalRow(
                name,
                100 * row["linear_accuracy"],
                100 * row["linear_low"],
                100 * row["linear_high"],
                100 * row["nearest_accuracy"],
                hover=name,
            )
            for name, row in zip(names, rows, strict=True)
        ),
        "validation accuracy, %",
        value_name="linear probe",
        other_name="k-NN",
    )
    head = ("network", "linear probe", "k-NN", "against the first", "p", "image", "features", "parameters", "time")
    cells = tuple(
        (
            name,
            _accuracy(row, "linear"),
            _accuracy(row, "nearest"),
            _difference(row),
            _p_value(row.get("p")),
            f"{row['image_height']:.0f}×{row['image_width']:.0f}",
            count(row["features"]),
            count(row["parameters"]),
            duration(row["seconds"]),
        )
        for name, row in zip(names, rows, strict=True)
    )
    ranking = TextTable(head, cells)
    note = "Filled: linear probe, with its interval. Hollow: k-NN."
    chart = Chart("backbones", "Backbones by linear probe", drawn, ranking, note)
    return PageSection(
        "backbones",
        "Backbones",
        "Backbones",
        findings=tuple(_findings(names, rows)),
        notes=_NOTES,
        charts=(chart,),
        tables=(("", ranking),),
        frames={"backbones": pd.DataFrame(rows)},
        pictures=(ChartFile("backbones", (chart,)),),
    )


def as_text(about: Mapping[str, Any]) -> list[str]:
    """The ranking in lines for a terminal, with what it shows."""
    ranking = section(about)
    (_, table), *_ = ranking.tables
    return [*aligned([row[:5] for row in (table.head, *table.rows)]), *ranking.findings]


def write_files(folder: Path) -> list[Path]:
    """Writes backbones.csv and backbones.png beside backbones.json."""
    return write_section(folder, section(read(folder)))


def _findings(names: list[str], rows: list[dict]) -> list[str]:
    alike = [name for name, row in zip(names, rows, strict=True) if (row.get("p") or 0) >= 0.05]
    if len(rows) == 1:
        return []
    if not alike:
        return [f"{names[0]} is better than every other network."]
    return [f"No difference is shown between {names[0]} and {', '.join(alike)}; fine-tune these to decide."]


def _accuracy(row: Mapping[str, Any], name: str) -> str:
    return percent_with_interval(row[f"{name}_accuracy"], (row[f"{name}_low"], row[f"{name}_high"]))


def _p_value(p: float | None) -> str:
    return "< 0.001" if p is not None and p < 0.001 else digits(p, 3)


def _difference(row: Mapping[str, Any]) -> str:
    if row.get("difference_low") is None:
        return "–"
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    return f"{100 * row['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"
