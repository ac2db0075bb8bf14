"""The form that every data source takes: a Dataset of three Splits with their ids, labels and images."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from keras_cnn.data.columns import Texts, text_keys
from keras_cnn.data.image_files import ImageFiles
from keras_cnn.data.label_sets import class_counts, has_sets
from keras_cnn.messages import MOST_CLASSES


@dataclass(frozen=True, repr=False)
class Split:
    """The images of one split in a fixed order. Exactly one of `pixels` and `files` is set."""

    ids: Sequence[str]  # unique and stable: a POSIX path below the source's root, or "train/00017"
    # (N,) int32, index into Dataset.classes; or (N, C) uint8, 1 for each class of an image that may have several
    labels: np.ndarray
    pixels: np.ndarray | None = None  # (N, H, W, C) uint8, in memory or memory-mapped
    files: ImageFiles | None = None

    def __post_init__(self):
        object.__setattr__(self, "ids", Texts.of(self.ids))
        if self.files is not None:
            object.__setattr__(self, "files", ImageFiles.of(self.files))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        kept = "files" if self.pixels is None else f"an array {self.pixels.shape}"
        seen = self.labels.any(axis=0).sum() if has_sets(self.labels) else len(np.unique(self.labels))
        return f"<Split: {len(self):,} images of {seen} classes, {kept}>"

    @cached_property
    def keys(self) -> np.ndarray:
        """(N, 2) int32: 64 bits of each id's SHA-256, the key of the image's random augmentation."""
        return self.files.column("key") if self.files and "key" in self.files.columns else text_keys(self.ids)

    @property
    def paths(self) -> list[str]:
        """(N,) the files' paths; "" for an image from an array."""
        return self.files.paths() if self.files else [""] * len(self)

    def short_name(self, index: int) -> str:
        """The last two parts of the id; for a file its class and its name, because every class may have a 0001.jpg."""
        return "/".join(self.ids[index].split("/")[-2:])

    def take(self, indices) -> "Split":
        """The images at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return Split(
            ids=Texts.of(self.ids).take(indices),
            labels=self.labels[indices],
            pixels=None if self.pixels is None else self.pixels[indices],
            files=None if self.files is None else self.files.take(indices),
        )


@dataclass(frozen=True, repr=False)
class Dataset:
    """Three disjoint splits of one source, and the findings of the audit and the split."""

    source: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  #: (H, W, C) that the network gets
    train: Split
    validation: Split
    test: Split
    # JSON-able: skipped files, duplicates, near-duplicates, notes, and the splits that the source itself has
    findings: dict = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  #: the arguments of `sources.load` that made it

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def several_labels(self) -> bool:
        """Whether an image may have several classes, or none."""
        return has_sets(self.train.labels)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results must know about the images."""
        return tuple(self.findings.get("notes", ()))

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(split):,} {name}" for name, split in self.splits.items())
        size = "×".join(map(str, self.image_shape))
        labels = ", several an image" if self.several_labels else ""
        return f"<Dataset {self.source}: {counts}; {len(self.classes)} classes{labels}; {size}>"

    def _repr_html_(self) -> str:
        """The number of images of each class in each split, for notebooks."""
        counts = [class_counts(split.labels, len(self.classes)) for split in self.splits.values()]
        shown = range(len(self.classes))
        if len(shown) > MOST_CLASSES:
            shown = np.argsort(counts[0], kind="stable")[:MOST_CLASSES]  # those with the fewest training images
        rows = [(self.classes[label], *(f"{count[label]:,}" for count in counts)) for label in shown]
        if left := len(self.classes) - len(shown):
            rows.append((f"{left:,} more, with more training images", *("" for _ in counts)))
        rows = [("class", *self.splits), *rows, ("in all", *(f"{len(split):,}" for split in self.splits.values()))]
        cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
        table = "".join(f"<tr>{row}</tr>" for row in cells)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<p>{html.escape(repr(self))}</p><table>{table}</table>{notes}"


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """At most `most` of the numbers 0 to `count` - 1, at even distances, ascending."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
