"""The best model so far, on disk, consistent with the checkpoint."""

import os
from collections.abc import Callable
from pathlib import Path

from keras_cnn.errors import InputError
from keras_cnn.run_folder.files import replacing, sha256_of
from keras_cnn.training.interrupt import signals_held_back


class BestModel:
    """A file with the best model so far, which the checkpoint names by its SHA-256.

    A new best model waits beside the old one until the checkpoint that names it is written. Whenever the process dies,
    one of the two files is the model that the checkpoint names.
    """

    def __init__(self, path: Path, write: Callable[[Path], object]):
        self.path, self._write = path, write
        self._waiting = path.with_name(f"{path.stem}.next{path.suffix}")
        self.sha256: str | None = None  # of the best model; None before the first epoch ends

    def keep(self) -> None:
        """Writes the current model, which the next checkpoint makes the best one."""
        with signals_held_back(), replacing(self._waiting) as temporary:
            self._write(temporary)
        self.sha256 = sha256_of(self._waiting)

    def publish(self) -> None:
        """Replaces the old model with the waiting one. Call it after the checkpoint that names it is written."""
        if self._waiting.exists():
            os.replace(self._waiting, self.path)

    def restore(self, sha256: str | None) -> None:
        """Restores the file that a checkpoint names. Raises InputError if it is not there."""
        self.sha256 = sha256
        if sha256 is not None and self._waiting.exists() and sha256_of(self._waiting) == sha256:
            self.publish()
        self._waiting.unlink(missing_ok=True)  # of an epoch that will be repeated
        if sha256 is not None:
            self.require_unchanged()

    def require_unchanged(self) -> None:
        """Raises InputError unless the file is the one that the checkpoint names."""
        try:
            found = sha256_of(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}; expected the best model of the run so far") from None
        if found != self.sha256:
            raise InputError(
                f"{self.path}: not the best model that the checkpoint names: found sha256 {found[:12]}, expected"
                f" {str(self.sha256)[:12]}; put back the run's own file, or start the run anew"
            )
