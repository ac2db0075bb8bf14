"""The coverage that is asked of prediction sets; the command line checks it before anything heavy is imported."""

from keras_cnn.errors import InputError

LEVEL = 0.9  # share of images whose set is to hold the true class


def check_level(level: float, where: str) -> None:
    """Raises InputError unless `level` is above 0 and below 1; `where` begins the message."""
    if not 0 < level < 1:
        raise InputError(f"{where} {level:g}: expected a share of images above 0 and below 1, such as {LEVEL:g}")
