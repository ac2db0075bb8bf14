"""The objects that a detector has found in images: a table, and the images with their boxes."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from keras_cnn.api.embedded import embedded
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.drawing import annotated
from keras_cnn.run_folder import replacing

COLUMNS = ("image", "class", "confidence", "x0", "y0", "x1", "y1")
_SHOWN = 4  # images of the notebook's form
_LISTED = 10  # images of the short form


def as_table(image: str, found: Detections | None, classes: Sequence[str]) -> pd.DataFrame:
    """A row for each detection of an image, the surest first; none for an image that could not be read."""
    if found is None:
        return pd.DataFrame(columns=list(COLUMNS))
    order = np.argsort(-found.confidences, kind="stable")
    names = [classes[int(number)] for number in found.classes[order]]
    rows = {"image": [image] * len(order), "class": names, "confidence": found.confidences[order]}
    rows |= dict(zip(COLUMNS[3:], found.boxes[order].T, strict=True))
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True, repr=False)
class ImageDetections:
    """The objects that one detector has found in N images, in the order in which the images were named."""

    detector: str  #: its name
    classes: tuple[str, ...]
    images: tuple[str, ...]
    tables: tuple[pd.DataFrame, ...]  #: (N,): the rows of `table` for each image
    errors: dict[int, str]  #: the reason for each image that could not be read, by its index
    sources: tuple[np.ndarray | Path, ...] = field(repr=False)  #: (N,): where `picture` reads the pixels

    @property
    def table(self) -> pd.DataFrame:
        """A row for each object: image, class, confidence (0 to 1), and its box x0, y0, x1, y1 in pixels."""
        found = [table for table in self.tables if len(table)]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))

    @property
    def counts(self) -> dict[str, int]:
        """The number of objects of each class, the largest first."""
        return {str(name): int(number) for name, number in self.table["class"].value_counts().items()}

    def picture(self, index: int = 0) -> np.ndarray:
        """(H, W, 3) uint8: an image with its boxes. InputError for one that cannot be read."""
        source = self.sources[index]
        pixels = source if isinstance(source, np.ndarray) else read_image(source)
        boxes = [
            {
                "track": None,
                "class": row["class"],
                "confidence": row["confidence"],
                "box": [row[n] for n in COLUMNS[3:]],
            }
            for row in self.tables[index].to_dict("records")
        ]
        return annotated(pixels, boxes, self.classes)

    def to_csv(self, path: str | Path) -> None:
        """Writes the table; the file is replaced atomically."""
        with replacing(Path(path)) as temporary:
            self.table.to_csv(temporary, index=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> pd.DataFrame:
        return self.tables[index]

    @property
    def _title(self) -> str:
        return f"{len(self):,} image{'s' if len(self) != 1 else ''} searched by {self.detector}"

    def _line(self, index: int) -> str:
        if index in self.errors:
            return f"{self.images[index]}: not read: {self.errors[index]}"
        rows = self.tables[index].to_dict("records")
        found = ", ".join(f"{row['class']} {row['confidence']:.4f}" for row in rows) or "nothing found"
        return f"{self.images[index]}: {found}"

    def _rest(self, shown: int) -> list[str]:
        return [f"and {len(self) - shown:,} more"] if len(self) > shown else []

    def __repr__(self) -> str:
        lines = [self._line(index) for index in range(min(_LISTED, len(self)))]
        return "\n".join([self._title, *lines, *self._rest(_LISTED)])

    def _repr_html_(self) -> str:
        parts = [f"<p>{html.escape(self._title)}</p>"]
        for index in range(min(_SHOWN, len(self))):
            line = self._line(index)
            parts.append(f"<p>{html.escape(line)}</p>" if index in self.errors else embedded(line, self.picture(index)))
        return "".join([*parts, *(f"<p>{line}</p>" for line in self._rest(_SHOWN))])
