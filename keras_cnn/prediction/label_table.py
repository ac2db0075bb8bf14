"""The predictions for images that may have several labels, and their file."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_cnn.csv_tables import CsvWriter
from keras_cnn.evaluation.predictions import open_csv
from keras_cnn.prediction.table import ImagePredictions, PredictedImage
from keras_cnn.run_folder import replacing

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image", "labels", "error")


@dataclass(frozen=True, repr=False)
class LabelPredictions(ImagePredictions):
    """The predictions of one classifier with C classes, of which each image may have several, or none."""

    thresholds: tuple[float, ...] = ()  #: (C,) the probability from which a class counts
    separator: str = ","  #: between the classes of an image in one cell, as in the table of the training

    @property
    def is_label(self) -> np.ndarray:
        """(N, C) bool: whether a class reaches its threshold; False for an image that could not be read."""
        return np.nan_to_num(self.probabilities, nan=-1.0) >= np.array(self.thresholds)

    def __getitem__(self, index: int) -> PredictedImage:
        if index in self.errors:
            return PredictedImage(self.images[index], (), (), self.errors[index])
        row = self.probabilities[index]
        order = np.argsort(-row, kind="stable")
        chosen = order[self.is_label[index][order]]
        return PredictedImage(
            self.images[index], tuple(self.classes[number] for number in chosen), tuple(row[chosen].tolist())
        )

    @property
    def labels(self) -> tuple[tuple[str, ...] | None, ...]:
        """The classes of each image, the most probable first; None for one that could not be read."""
        return tuple(None if i in self.errors else self[i].classes for i in range(len(self)))

    @property
    def predicted(self) -> tuple[str | None, ...]:
        """The classes of each image, joined by the separator; "" for none, None for one that could not be read."""
        return tuple(None if names is None else self.separator.join(names) for names in self.labels)

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each image: image, labels, error, then `predicted_<class>` and `p_<class>` for each class."""
        import pandas as pd

        errors = [self.errors.get(index) for index in range(len(self))]
        columns: dict = dict(zip(COLUMNS, (self.images, self.predicted, errors), strict=True))
        for number, name in enumerate(self.classes):
            columns |= {f"predicted_{name}": self.is_label[:, number], f"p_{name}": self.probabilities[:, number]}
        return pd.DataFrame(columns)

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of each class, the largest first, and of those without any."""
        every = Counter(name for names in self.labels if names is not None for name in names or ("none",))
        return dict(every.most_common())

    def to_csv(self, path: str | Path) -> None:
        """Writes a row for each image: image, labels joined by the separator, error, then two columns for every class.

        `predicted_<class>` is 1 where the probability `p_<class>` reaches the threshold of the class, else 0. The table
        is UTF-8. Texts that a spreadsheet would run as a formula have an apostrophe in front. Probabilities have nine
        significant digits. The file is replaced atomically.
        """
        is_label = self.is_label
        with replacing(Path(path)) as temporary, open_csv(temporary) as file:
            rows = CsvWriter(file)
            rows.writerow([*COLUMNS, *(f"{kind}_{name}" for name in self.classes for kind in ("predicted", "p"))])
            for index, image in enumerate(self.images):
                if index in self.errors:
                    rows.writerow([image, "", self.errors[index], *("" for _ in 2 * self.classes)])
                    continue
                pairs = zip(is_label[index].tolist(), self.probabilities[index].tolist(), strict=True)
                cells = [cell for label, p in pairs for cell in (int(label), f"{p:.9g}")]
                rows.writerow([image, self.separator.join(self[index].classes), "", *cells])
