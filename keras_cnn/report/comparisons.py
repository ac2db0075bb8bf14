"""What `evaluate.py RUN --against OTHER` left in a run's folder, read with tolerance."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_cnn.report.runs import Run
from keras_cnn.report.scores import number

_PREFIX = "against_"


@dataclass(frozen=True)
class Change:
    """Accuracy before and after on the same images, in [0, 1]; of a class without images all but `images` is None."""

    images: int
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None  # of the difference, paired bootstrap over the images
    only_before: int  # images right before and wrong after
    only_after: int
    p: float | None  # exact McNemar; of a class adjusted by Holm


@dataclass(frozen=True)
class Comparison:
    """A run and an older one on the same images of C classes."""

    run: Run  # after
    other: str  # name of the run before
    images: str  # name of the evaluation: test, validation, ...
    folder: Path
    overall: Change
    classes: dict[str, Change]
    tested: int  # classes with images, which Holm's adjustment is for
    confusion: np.ndarray  # (C, C) counts after minus before, rows the true class

    @property
    def sheet(self) -> Path:
        """The picture of images right before and wrong after."""
        return self.folder / "figures" / "newly_wrong.png"


def read_comparisons(run: Run) -> tuple[list[Comparison], list[str]]:
    """The comparisons below `RUN/evaluations`, and a line for each file that cannot be read; it is left out."""
    found, problems = [], []
    for path in sorted(run.record.path.glob(f"evaluations/*/{_PREFIX}*/comparison.json")):
        try:
            found.append(_comparison(run, path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
            problems.append(f"{path}: cannot be read ({reason}); expected what evaluate.py --against writes; left out")
    return found, problems


def _comparison(run: Run, path: Path) -> Comparison:
    whole = json.loads(path.read_text(encoding="utf-8"))
    classes = {str(name): _change(row, "p_holm") for name, row in whole["per_class"].items()}
    confusion = np.array(whole["confusion_difference"], np.int64)
    if confusion.shape != (len(classes), len(classes)):
        raise ValueError(f"confusion_difference of shape {confusion.shape} for {len(classes)} classes")
    return Comparison(
        run=run,
        other=path.parent.name.removeprefix(_PREFIX),
        images=path.parents[1].name,
        folder=path.parent,
        overall=_change(whole, "p"),
        classes=classes,
        tested=int(whole["classes_tested"]),
        confusion=confusion,
    )


def _change(row: dict, p: str) -> Change:
    ends = row["difference_interval"]
    before, after, difference = (_known(row[name]) for name in ("before", "after", "difference"))
    return Change(
        images=int(row["images"]),
        before=before,
        after=after,
        difference=difference,
        interval=None if ends is None else (_known(ends[0]), _known(ends[1])),
        only_before=int(row["mcnemar"]["b"]),
        only_after=int(row["mcnemar"]["c"]),
        p=_known(row["mcnemar"][p]),
    )


def _known(value: float | None) -> float | None:
    """None for a class without images; ValueError for what is neither that nor a finite number."""
    if value is not None and number(value) is None:
        raise ValueError(f"{value!r}; expected a finite number")
    return value
