from collections.abc import Callable
from pathlib import Path

import pytest

from keras_cnn.sweeps import sweep_file
from keras_cnn.sweeps.study import Study


@pytest.fixture
def sweep_of(tmp_path) -> Callable[[str], Study]:
    """The study of a sweep file given as text, in `tmp_path/sweep`, over the defaults; keywords of Study.create."""

    def make(text: str, seed: int = 1, folder: Path | None = None, base: str = "", **settings) -> Study:
        folder = folder or tmp_path / "sweep"
        folder.mkdir(parents=True)
        file = tmp_path / "given.yaml"
        file.write_text(text)
        return Study.create(folder, sweep_file.read_sweep(file), base, seed, **settings)

    return make
