"""What a view leaves: a figure as PNG, and beside it the arrays that it shows as .npz."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures import style
from keras_cnn.run_folder import replacing


@dataclass(frozen=True)
class Drawn:
    """One figure that was written."""

    figure: Path
    arrays: Path
    line: str  # what it shows and what was found, for the terminal


def input_channels(depth: int) -> str:
    """Which weights of a kernel of so many input channels one picture shows."""
    return f"mean over {depth} input channels" if depth > 1 else "its one input channel"


def keep(out: Path, name: str, figure: Figure, arrays: Mapping[str, np.ndarray], line: str) -> Drawn:
    """Writes `out/NAME.png` and `out/NAME.npz`; `name` is made safe as a file name. No array is of type object."""
    stem = re.sub(r"[^\w.+-]+", "-", name)
    drawn = Drawn(out / f"{stem}.png", out / f"{stem}.npz", line)
    style.save(figure, drawn.figure)
    with replacing(drawn.arrays) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    return drawn
