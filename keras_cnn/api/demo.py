"""The page that answers pictures, from the library."""

from pathlib import Path
from typing import Any

from keras_cnn.api.calls import messages, public
from keras_cnn.errors import InputError
from keras_cnn.extras import require_extra
from keras_cnn.prediction.classifier import open_classifier
from keras_cnn.prediction.sources import EXPORT, kind_of


@public
def demo(run: Any, *, port: int | None = None, top: int = 5) -> None:
    """Serves a page on this machine alone, as `keras-cnn demo` does, until the cell or program is stopped.

    >>> keras_cnn.demo("runs/photos", port=70000)
    Traceback (most recent call last):
    keras_cnn.errors.InputError: port: found 70000, expected a whole number from 1 to 65535

    Args:
        run: a run, its folder, or a Keras model file.
        port: by default the first free one from 7860.
        top: number of classes that are shown.

    Raises InputError for what cannot be opened, and without the extra `demo`.
    """
    if port is not None and port not in range(1, 65536):
        raise InputError(f"port: found {port!r}, expected a whole number from 1 to 65535")
    if top not in range(1, 2**31):
        raise InputError(f"top: found {top!r}, expected a whole number from 1")
    require_extra("demo", "the demo")
    from keras_cnn.prediction.demo_page import serve

    source = Path(getattr(run, "path", run))
    if kind_of(source) == EXPORT:
        raise InputError(f"{source}: an export, whose layers cannot be read; expected the run or its .keras file")
    with messages(True):
        serve(open_classifier(source), top=top, port=port)
