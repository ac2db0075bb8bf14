"""Photos for the tests of shards."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(generator: np.random.Generator, height: int, width: int) -> Image.Image:
    """Smooth noise, RGB."""
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def fill(folder: Path, counts: dict[str, int], seed: int = 0) -> None:
    """Writes the given number of JPEG files of 48 × 60 pixels, and more, into each folder below `folder`."""
    generator = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture(generator, 60, 48 + i).save(folder / name / f"{i:03}.jpg", quality=95)
