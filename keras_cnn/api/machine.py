"""What this machine has, for the library: the lines of `keras-cnn doctor`, and the measurements of its GPU check."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from keras_cnn.api.calls import messages, public
from keras_cnn.errors import InputError
from keras_cnn.machine import Line, as_text, machine_lines


@dataclass(frozen=True, repr=False)
class MachineReport:
    """What this machine has and lacks, in lines; it prints as `keras-cnn doctor` does."""

    lines: tuple[Line, ...]  #: title and text; the title of a line that belongs to the one before is empty
    measurements: Mapping[str, Any] = field(default_factory=dict)  #: of a GPU check by name, as in gpu-check.json

    def __getitem__(self, title: str) -> str:
        """The text of the line with this title."""
        return dict(reversed(self.lines))[title]

    def __repr__(self) -> str:
        return "\n".join(map(as_text, self.lines))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


@public
def doctor(
    *,
    gpu: bool = False,
    on: Literal["gpu", "cpu"] = "gpu",
    path: str | Path = "gpu-check.json",
    verbose: bool = False,
) -> MachineReport:
    """What this machine has and lacks, as `keras-cnn doctor` says, with the line that mends what is missing.

    >>> machine = keras_cnn.doctor()
    >>> machine["cores"], machine["training step"]
    ('... for this process', '... ms for 64 images with the default network (median of ...)')

    The time of a training step takes half a minute.

    Args:
        gpu: whether to measure the GPUs instead: equal to the processor? how fast? It takes up to five minutes.
        on: with `gpu`, where to measure; "cpu" takes the same measurements on the processor, with small sizes.
        path: with `gpu`, the file of all numbers, written after each measurement.
        verbose: with `gpu`, whether the lines are printed as they come.

    Raises InputError if there is no GPU to be measured.
    """
    if on not in ("gpu", "cpu"):
        raise InputError(f"on: found {on!r}, expected gpu or cpu")
    if not gpu:
        return MachineReport(tuple(machine_lines()))
    from keras_cnn.tensorflow_import import import_tensorflow

    import_tensorflow()
    from keras_cnn.gpu_check import check

    with messages(verbose):
        measured = check.run(on, Path(path))["measurements"]
    lines = tuple(line for name, numbers in measured.items() for line in check.lines(name, numbers))
    return MachineReport(lines, measured)
