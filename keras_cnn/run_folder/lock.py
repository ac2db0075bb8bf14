"""The lock of a folder: one process at a time writes into a run."""

import contextlib
import os
import platform
from pathlib import Path

from keras_cnn.errors import InputError
from keras_cnn.operating_system import try_lock_file
from keras_cnn.run_folder.files import naming_a_full_disk

LOCK = "run.lock"


class FolderLock:
    """Holds a folder until `release` or the end of this process, even if it is killed: the lock is the kernel's.

    The lock file names the holder. Only a killed process leaves its name there: `killed` is that name, or "".
    """

    def __init__(self, folder: Path):
        """Takes the lock. InputError if another process holds it or the folder cannot be written.

        Windows lets nobody but the holder read a locked file, so that the message cannot name the holder there.
        """
        path = folder / LOCK
        try:
            with naming_a_full_disk(path):
                self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written: {error.strerror}; expected a folder that this user may write to"
            ) from None
        if not try_lock_file(self._descriptor):
            holder = "another process"
            with contextlib.suppress(PermissionError):
                holder = self._text() or holder
            os.close(self._descriptor)
            raise InputError(f"{folder}: in use by {holder}; wait for it or choose another folder")
        self.killed = self._text()
        with naming_a_full_disk(path):
            os.truncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, f"process {os.getpid()} on {platform.node()}".encode())

    def _text(self) -> str:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.read(self._descriptor, 200).decode("utf-8", "replace")

    def release(self) -> None:
        """Releases the lock. The file stays: if it were removed, two processes could hold locks on its name."""
        with contextlib.suppress(OSError):
            os.truncate(self._descriptor, 0)
        os.close(self._descriptor)
