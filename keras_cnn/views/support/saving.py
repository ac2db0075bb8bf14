"""The files of a view: a figure as PNG, and beside it the arrays that it shows as .npz."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from keras_cnn.figures import style
from keras_cnn.run_folder.files import naming_a_full_disk, replacing


@dataclass(frozen=True)
class SavedFigure:
    """A figure with its arrays, as files."""

    figure: Path
    arrays: Path
    line: str  # what the figure shows and what was found, for the terminal
    table: tuple[str, ...] = ()  # further lines for the terminal


def save_figure(out: Path, name: str, figure: Figure, arrays: Mapping[str, ArrayLike], line: str) -> SavedFigure:
    """Writes `out/NAME.png` and `out/NAME.npz`; `name` is made safe as a file name. No array may be of type object."""
    stem = re.sub(r"[^\w.+-]+", "-", name)
    saved = SavedFigure(out / f"{stem}.png", out / f"{stem}.npz", line)
    with naming_a_full_disk(saved.figure):
        style.save(figure, saved.figure)
    save_arrays(saved.arrays, arrays)
    return saved


def save_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Writes a compressed .npz file, which appears complete or not at all."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
