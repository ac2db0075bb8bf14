"""The predictions for images without labels, and their file."""

import html
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_cnn.csv_tables import CsvWriter
from keras_cnn.evaluation import probability_files
from keras_cnn.evaluation.predictions import listed_cells, open_csv
from keras_cnn.messages import counted
from keras_cnn.run_folder import replacing

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image", "predicted", "probability", "error")
NO_LABEL = "none of the classes"  # of an image that may have several, or none
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
        """A row for each image: image, predicted, probability, error, then the columns that `to_csv` describes."""
        import pandas as pd

        best = [None if i in self.errors else float(row.max()) for i, row in enumerate(self.probabilities)]
        errors = [self.errors.get(index) for index in range(len(self))]
        columns = dict(zip(COLUMNS, (self.images, self.predicted, best, errors), strict=True))
        if probability_files.lists_few(self.classes):
            return pd.DataFrame(columns | self._most_probable())
        probabilities = {f"p_{name}": self.probabilities[:, number] for number, name in enumerate(self.classes)}
        return pd.DataFrame(columns | probabilities)

    def _most_probable(self) -> dict[str, list[str | None] | np.ndarray]:
        """The columns class_1, p_1 to class_5, p_5; None and NaN for an image that could not be read."""
        order, columns = probability_files.most_probable(self.probabilities), {}
        for place, best in enumerate(order.T, 1):
            columns[f"class_{place}"] = [None if i in self.errors else self.classes[c] for i, c in enumerate(best)]
            columns[f"p_{place}"] = self.probabilities[np.arange(len(best)), best]
        return columns

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of each predicted class, the largest first."""
        return dict(Counter(name for name in self.predicted if name is not None).most_common())

    def to_csv(self, path: str | Path) -> None:
        """Writes a row for each image: image, predicted, probability, error, then `p_<class>` for every class.

        Of more than 40 classes, `class_1`, `p_1` to `class_5`, `p_5` are the most probable ones; a `.npy` file beside
        the table has all probabilities, float32 (N, C), NaN for an image that could not be read, and a `.json` file the
        names of the classes. The table is UTF-8. Texts that a spreadsheet would run as a formula have an apostrophe in
        front. Probabilities have nine significant digits. Each file is replaced atomically.
        """
        path, order = Path(path), None
        if probability_files.lists_few(self.classes):
            probability_files.write_array(path, self.probabilities, self.classes)
            order = probability_files.most_probable(self.probabilities)
        columns = [f"p_{name}" for name in self.classes] if order is None else probability_files.LISTED_COLUMNS
        with replacing(path) as temporary, open_csv(temporary) as file:
            rows = CsvWriter(file)
            rows.writerow([*COLUMNS, *columns])
            for index, image in enumerate(self.images):
                row = self.probabilities[index]
                if index in self.errors:
                    rows.writerow([image, "", "", self.errors[index], *("" for _ in columns)])
                    continue
                cells = [f"{p:.9g}" for p in row] if order is None else listed_cells(row, order[index], self.classes)
                best = int(row.argmax())
                rows.writerow([image, self.classes[best], f"{row[best]:.9g}", "", *cells])

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
    listed = ", ".join(f"{name} {value:.4f}" for name, value in zip(row.classes, row.probabilities, strict=True))
    return listed or NO_LABEL
