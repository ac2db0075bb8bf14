"""The comparisons that `evaluate.py RUN --against OTHER` stored in a run's folder, read and checked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import number
from keras_cnn.run_folder import read_json

_PREFIX = "against_"


@dataclass(frozen=True)
class StoredChange:
    """Accuracies in [0, 1] before and after, on the same images; None for a class without images."""

    images: int
    before: float | None
    after: float | None
    difference: float | None
    difference_interval: tuple[float, float] | None  # of the difference, paired bootstrap over the images
    only_before: int  # images right before and wrong after
    only_after: int
    p: float | None  # of the exact McNemar test, for a class adjusted by Holm


@dataclass(frozen=True)
class StoredComparison:
    """A run and an older run on the same images of C classes."""

    run: ReportedRun  # after
    other: str  # name of the run before
    images: str  # name of the evaluation: test, validation, ...
    folder: Path
    overall: StoredChange
    classes: dict[str, StoredChange]
    tested: int  # number of classes with images, for which p is adjusted
    confusion: np.ndarray  # (C, C) counts, after minus before; a row is a true class

    @property
    def sheet(self) -> Path:
        """The picture of the images that were right before and are wrong after."""
        return self.folder / "figures" / "newly_wrong.png"


def read_comparisons(run: ReportedRun) -> tuple[list[StoredComparison], list[str]]:
    """The comparisons below `RUN/evaluations`, and a line for each unreadable file, which is left out."""
    comparisons, problems = [], []
    for path in sorted(run.record.path.glob(f"evaluations/*/{_PREFIX}*/comparison.json")):
        try:
            comparisons.append(_comparison(run, path))
        except InputError as error:
            problems.append(f"{error}; left out")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
            problems.append(f"{path}: cannot be read ({reason}); expected what evaluate.py --against writes; left out")
    return comparisons, problems


def _comparison(run: ReportedRun, path: Path) -> StoredComparison:
    stored = read_json(path)
    classes = {str(name): _change(row, "p_holm") for name, row in stored["per_class"].items()}
    confusion = confusions.from_json(stored["confusion_difference"])
    if confusion.shape != (len(classes), len(classes)):
        raise ValueError(f"confusion_difference of shape {confusion.shape} for {len(classes)} classes")
    return StoredComparison(
        run=run,
        other=path.parent.name.removeprefix(_PREFIX),
        images=path.parents[1].name,
        folder=path.parent,
        overall=_change(stored, "p"),
        classes=classes,
        tested=int(stored["classes_tested"]),
        confusion=confusion,
    )


def _change(row: dict, p: str) -> StoredChange:
    low, high = row["difference_interval"] or (None, None)
    before, after, difference = (_known(row[name]) for name in ("before", "after", "difference"))
    return StoredChange(
        images=int(row["images"]),
        before=before,
        after=after,
        difference=difference,
        difference_interval=None if low is None or high is None else (_finite(low), _finite(high)),
        only_before=int(row["mcnemar"]["b"]),
        only_after=int(row["mcnemar"]["c"]),
        p=_known(row["mcnemar"][p]),
    )


def _known(value: float | None) -> float | None:
    """`value`, which is None for a class without images. Raises ValueError if it is not a finite number."""
    return None if value is None else _finite(value)


def _finite(value: float) -> float:
    known = number(value)
    if known is None:
        raise ValueError(f"{value!r}; expected a finite number")
    return known
