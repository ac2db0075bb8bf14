"""The page that answers pictures, from the library."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_cnn.api.calls import messages, public
from keras_cnn.errors import InputError
from keras_cnn.extras import require_extra
from keras_cnn.messages import logger
from keras_cnn.prediction.classifier import open_classifier
from keras_cnn.prediction.sources import EXPORT, kind_of


@public
def demo(
    run: Any,
    *,
    port: int | None = None,
    top: int = 5,
    temperature: bool = True,
    classes: Sequence[str] = (),
    image_size: int | None = None,
    input_range: tuple[float, float] | None = None,
) -> None:
    """Serves a page on this machine alone, as `keras-cnn demo` does, until the cell or program is stopped.

    >>> keras_cnn.demo("runs/photos", port=70000)
    Traceback (most recent call last):
    keras_cnn.errors.InputError: port: found 70000, expected a whole number from 1 to 65535

    Args:
        run: a run, its folder, or a Keras model file.
        port: by default the first free one from 7860.
        top: number of classes that are shown.
        temperature, classes, image_size, input_range: as for `predict`.

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
    classifier = open_classifier(
        source, classes=tuple(classes), image_size=image_size, input_range=input_range, calibrated=temperature
    )
    with messages(True):
        for note in classifier.notes:
            logger.info(f"note        {note}")
        serve(classifier, top=top, port=port)
