"""The predictions for images without labels, and their file."""

import html
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_cnn.csv_tables import CsvWriter
from keras_cnn.evaluation.predictions import open_csv
from keras_cnn.messages import counted
from keras_cnn.run_folder import replacing

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image", "predicted", "probability", "error")
_SHOWN = 10  # rows of the short forms


@dataclass(frozen=True)
class PredictedImage:
    """One image with its most probable classes, or the reason why it has none."""

    image: str
    classes: tuple[str, ...]  # the most probable first
    probabilities: tuple[float, ...]  # of these classes
    error: str | None = None


@dataclass(frozen=True, repr=False)
class ImagePredictions:
    """The predictions of one classifier with C classes for N images, in the order in which the images were named."""

    predictor: str  #: name of the run or file
    classes: tuple[str, ...]
    images: tuple[str, ...]
    probabilities: np.ndarray  #: (N, C) float64; NaN for an image that could not be read
    errors: dict[int, str]  #: the reason for each image that could not be read, by its index
    top: int = 5  #: classes in each row

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[PredictedImage]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PredictedImage:
        if index in self.errors:
            return PredictedImage(self.images[index], (), (), self.errors[index])
        row = self.probabilities[index]
        best = np.argsort(-row, kind="stable")[: self.top]
        classes = tuple(self.classes[number] for number in best)
        return PredictedImage(self.images[index], classes, tuple(row[best].tolist()))

    @property
    def predicted(self) -> tuple[str | None, ...]:
        """The most probable class of each image; None for one that could not be read."""
        best = np.nan_to_num(self.probabilities).argmax(axis=1) if len(self) else ()
        return tuple(None if i in self.errors else self.classes[number] for i, number in enumerate(best))

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each image: image, predicted, probability, error, then `p_<class>` for every class."""
        import pandas as pd

        best = [None if i in self.errors else float(row.max()) for i, row in enumerate(self.probabilities)]
        errors = [self.errors.get(index) for index in range(len(self))]
        columns = zip(COLUMNS, (self.images, self.predicted, best, errors), strict=True)
        probabilities = {f"p_{name}": self.probabilities[:, number] for number, name in enumerate(self.classes)}
        return pd.DataFrame(dict(columns) | probabilities)

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of each predicted class, the largest first."""
        return dict(Counter(name for name in self.predicted if name is not None).most_common())

    def to_csv(self, path: str | Path) -> None:
        """Writes a row for each image: image, predicted, probability, error, then `p_<class>` for every class.

        The file is UTF-8. Texts that a spreadsheet would run as a formula have an apostrophe in front. Probabilities
        have nine significant digits. The file is replaced atomically.
        """
        with replacing(Path(path)) as temporary, open_csv(temporary) as file:
            rows = CsvWriter(file)
            rows.writerow([*COLUMNS, *(f"p_{name}" for name in self.classes)])
            for index, image in enumerate(self.images):
                rows.writerow([image, *self._cells(index)])

    def _cells(self, index: int) -> list[str]:
        if index in self.errors:
            return ["", "", self.errors[index], *("" for _ in self.classes)]
        row = self.probabilities[index]
        best = int(row.argmax())
        return [self.classes[best], f"{row[best]:.9g}", "", *(f"{value:.9g}" for value in row)]

    @property
    def _title(self) -> str:
        return f"{counted(len(self), 'image')} predicted by {self.predictor}"

    def __repr__(self) -> str:
        lines = [self._title]
        lines += [f"{row.image}: {_in_words(row)}" for row in list(self)[:_SHOWN]]
        return "\n".join([*lines, *self._rest()])

    def _repr_html_(self) -> str:
        cells = [(row.image, _in_words(row)) for row in (self[i] for i in range(min(_SHOWN, len(self))))]
        rows = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in cells)
        title = html.escape(self._title)
        rest = "".join(f"<p>{html.escape(line)}</p>" for line in self._rest())
        return f"<table><caption>{title}</caption><tr><th>image</th><th>classes</th></tr>{rows}</table>{rest}"

    def _rest(self) -> list[str]:
        return [f"and {len(self) - _SHOWN:,} more"] if len(self) > _SHOWN else []


def _in_words(row: PredictedImage) -> str:
    if row.error is not None:
        return f"not read: {row.error}"
    return ", ".join(f"{name} {value:.4f}" for name, value in zip(row.classes, row.probabilities, strict=True))
