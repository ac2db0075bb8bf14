from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_cnn.figures import style


@pytest.fixture
def rendered(tmp_path) -> Callable[[Figure], np.ndarray]:
    """Saves a figure and gives the pixels of the file: (H, W, 3) uint8."""

    def render(figure: Figure) -> np.ndarray:
        style.save(figure, tmp_path / "figure.png")
        with Image.open(tmp_path / "figure.png") as image:
            return np.asarray(image.convert("RGB"))

    return render


@pytest.fixture
def check_nothing_cut(rendered) -> Callable[[Figure], None]:
    """Fails where a part of the figure lies outside its canvas, or ink touches the edge of the picture."""

    def check(figure: Figure) -> None:
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        pixels = rendered(figure)
        assert pixels.shape[:2] == (int(height * style.DPI), int(width * style.DPI))
        assert min(edge.min() for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])) == 255

    return check
