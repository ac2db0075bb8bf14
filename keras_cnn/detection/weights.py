"""Darknet's weights files: a header of version numbers, then the float32 numbers of each layer in turn."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from keras_cnn.detection.cfg import Section
from keras_cnn.errors import InputError
from keras_cnn.run_folder import replacing


class Convolution(NamedTuple):
    """The numbers of a convolution of F filters, as flat arrays; `norm` is None if it has no batch norm."""

    biases: np.ndarray  # (F,)
    norm: list[np.ndarray] | None  # scales, means and variances, (F,) each
    kernel: np.ndarray  # (F * channels * rows * columns,), columns vary fastest


class Weights(Protocol):
    """A source of a network's numbers, which are read layer by layer."""

    transposed: bool  # whether connected layers are stored as (inputs, outputs)

    def convolution(self, section: Section, filters: int, normalised: bool, fan_in: int) -> Convolution: ...

    def floats(self, count: int, where: str) -> np.ndarray: ...


def write_weights(file: Path, convolutions: Iterable[Convolution]) -> None:
    """Writes a weights file of version 0.2 with the convolutions of a network, in the order of its layers."""
    with replacing(file) as temporary, temporary.open("wb") as out:
        out.write(np.array([0, 2, 0], "<i4").tobytes() + np.array([0], "<u8").tobytes())
        for biases, norm, kernel in convolutions:
            for numbers in (biases, *(norm or []), kernel):
                out.write(np.asarray(numbers, "<f4").tobytes())


class WeightsFile:
    """Reads the numbers of a weights file in the order of the layers.

    The header has three 32-bit numbers (major, minor, revision) and the number of images seen in training, which has 64
    bits if 10 * major + minor is at least 2, else 32. `transposed` means that connected layers are stored as (inputs,
    outputs), which early versions marked with a version number above 1000.
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)
        try:
            self._bytes = np.memmap(self.file, np.uint8, "r")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "the file is empty"
            raise InputError(f"{self.file}: cannot read the Darknet weights: {reason}") from None
        self._position = 0
        major, minor, self._revision = (int(n) for n in self._take(12, "header", "<i4"))
        self.version = (major, minor)
        wide = major * 10 + minor >= 2 and major < 1000 and minor < 1000
        self.seen = int(self._take(8 if wide else 4, "header", "<u8" if wide else "<u4")[0])
        self.transposed = major > 1000 or minor > 1000

    def floats(self, count: int, where: str) -> np.ndarray:
        """The next `count` numbers. Raises InputError, with `where`, if the file ends early or one is not finite."""
        numbers = self._take(4 * count, where, "<f4").astype(np.float32)
        if broken := count - int(np.isfinite(numbers).sum()):
            found = f"{broken:,} of {count:,} numbers are nan or infinite"
            raise InputError(f"{self.file}: {where}: {found}; expected the weights of a trained network")
        return numbers

    def convolution(self, section: Section, filters: int, normalised: bool, fan_in: int) -> Convolution:
        """The next convolution; each of its filters has `fan_in` numbers."""
        biases = self.floats(filters, section.where)
        norm = [self.floats(filters, section.where) for _ in range(3)] if normalised else None
        return Convolution(biases, norm, self.floats(filters * fan_in, section.where))

    @property
    def left(self) -> int:
        """The count of numbers that have not been read yet."""
        return (len(self._bytes) - self._position) // 4

    def expect_end(self, where: str) -> None:
        """Raises InputError if bytes are left after `where`, the last layer."""
        if left := len(self._bytes) - self._position:
            raise InputError(
                f"{self.file}: {left:,} bytes are left after {where}, the last layer with weights: the cfg takes"
                f" {self._position:,} bytes, the file has {len(self._bytes):,}; expected the weights of this cfg"
            )

    def _take(self, size: int, where: str, kind: str) -> np.ndarray:
        end = self._position + size
        if end > len(self._bytes):
            raise InputError(
                f"{self.file}: the file ends in {where}: expected at least {end:,} bytes up to there, found"
                f" {len(self._bytes):,}; is it cut off, or of another cfg?"
            )
        taken = np.frombuffer(self._bytes[self._position : end], kind)
        self._position = end
        return taken
