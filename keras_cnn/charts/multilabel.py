"""Charts of images that may have several labels: which classes occur together, and the scores of each class."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_cnn.charts import BarColumn, BarRows, HeatMap, IntervalRow, IntervalRows
from keras_cnn.messages import MOST_CLASSES

PAIRS = 30  # of classes in the chart that takes the place of a matrix of more than MOST_CLASSES classes


def together(counts: ArrayLike, names: Sequence[str], heading: str = "") -> HeatMap | BarRows:
    """Which classes occur together, from the images with each two of them (C, C).

    A cell is the share, in %, of the images with the row's class that have the column's class too; the diagonal is
    empty. Of more than MOST_CLASSES classes, the most frequent pairs.
    """
    counts = np.asarray(counts)
    if len(names) > MOST_CLASSES:
        return _pairs(counts, names)
    images, itself = np.diag(counts)[:, None], np.eye(len(names), dtype=bool)
    shares = np.divide(100 * counts, images, out=np.full(counts.shape, np.nan), where=(images > 0) & ~itself)
    texts = [[_percent(share) for share in line] for line in shares.tolist()]
    return HeatMap(
        shares,
        tuple(names),
        tuple(names),
        "of the images with",
        "have too",
        texts=tuple(map(tuple, texts)),
        scale="root",
        limits=(0, 100),
        square=True,
        heading=heading,
        hover="of the images with {row}<br>{value} % have {column}",
    )


def _percent(share: float) -> str:
    if not math.isfinite(share) or share == 0:
        return ""
    return "<1" if share < 1 else f"{share:.0f}"


def frequent_pairs(counts: ArrayLike, number: int | None = None) -> list[tuple[int, int, int]]:
    """The pairs of different classes that occur together most often, as (class, other class, images)."""
    first, second = np.nonzero(np.triu(np.asarray(counts), 1))
    images = np.asarray(counts)[first, second]
    order = np.argsort(-images, kind="stable")[:number]
    return list(zip(first[order].tolist(), second[order].tolist(), images[order].tolist(), strict=True))


def _pairs(counts: np.ndarray, names: Sequence[str]) -> BarRows:
    cells = frequent_pairs(counts, PAIRS)
    rows = tuple(f"{names[first]} + {names[second]}: {images:,}" for first, second, images in cells)
    values, unknown = [float(images) for *_, images in cells], [math.nan] * len(cells)
    return BarRows(rows, (BarColumn("images with both", values, unknown, unknown),), long_names=True)


def class_scores(per_class: Mapping[str, Mapping[str, Any]]) -> IntervalRows:
    """The average precision of each class with its interval, and its F1; of many classes, the lowest."""
    known = {name: row for name, row in per_class.items() if row.get("average_precision") is not None}
    shown = list(known)
    if len(shown) > MOST_CLASSES:
        shown = sorted(shown, key=lambda name: known[name]["average_precision"])[:MOST_CLASSES]
    rows = []
    for name in shown:
        row = known[name]
        low, high = row.get("average_precision_interval") or (math.nan, math.nan)
        hover = (
            f"{name}: average precision {row['average_precision']:.3f}, F1 {row['f1']:.3f}, {row['support']:,} images"
        )
        rows.append(IntervalRow(name, row["average_precision"], low, high, row["f1"], hover=hover))
    return IntervalRows(
        tuple(rows), "from 0 to 1", value_name="average precision", other_name="F1 at the class's threshold"
    )
