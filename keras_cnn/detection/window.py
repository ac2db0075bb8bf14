"""A window that shows the annotated images, by OpenCV."""

import os
import sys

import numpy as np

from keras_cnn.errors import InputError

TITLE = "keras_cnn: q closes"


class Window:
    """A window that shows images until `q` is pressed. Raises InputError without a display."""

    def __init__(self) -> None:
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError("--show: there is no display here (DISPLAY is not set); leave --show out")
        import cv2

        self._cv2 = cv2

    def show(self, image: np.ndarray, wait: bool = False) -> bool:
        """Shows an (H, W, 3) RGB image; `wait` waits for a key. Returns False if `q` was pressed."""
        self._cv2.imshow(TITLE, image[..., ::-1])
        return self._cv2.waitKey(0 if wait else 1) & 0xFF != ord("q")

    def close(self) -> None:
        """Closes the window."""
        self._cv2.destroyAllWindows()
