"""The learning rate as a pure function of the training's progress."""

import math
from collections.abc import Callable

from keras_cnn.config import OptimConfig
from keras_cnn.errors import InputError

Schedule = Callable[[float], float]  # completed epochs, with a fraction -> learning rate


def build_schedule(optim: OptimConfig, *, epochs: int, steps: int) -> Schedule:
    """The learning rate of the step that begins after `progress` epochs of `steps` steps, 0 <= progress <= epochs.

    constant; step: times `gamma` every `step_epochs` (PyTorch's StepLR); exponential: times `gamma` per epoch,
    smoothly; cosine: half a cosine from the end of the warm-up to 0; one_cycle: from 1/25 of the peak up to it over the
    first 30 %, then down to 1/250,000 of it, both half cosines (Smith 2018, PyTorch's defaults); plateau: constant
    here, lowered by `callbacks.Plateau`. The linear warm-up multiplies by 1/n, 2/n, ... 1 over its n steps; one_cycle
    has its own warm-up and ignores it. Raises InputError for an unknown name.
    """
    peak, warmup_epochs = optim.learning_rate, optim.warmup_epochs
    if optim.schedule == "one_cycle":
        return lambda progress: _one_cycle(peak, progress / epochs)
    decay = _decay(optim, epochs)

    def rate(progress: float) -> float:
        warmup = min(1.0, (progress + 1 / steps) / warmup_epochs) if warmup_epochs > 0 else 1.0
        return peak * warmup * decay(progress)

    return rate


def _decay(optim: OptimConfig, epochs: int) -> Callable[[float], float]:
    """Progress -> factor of the peak rate."""
    match optim.schedule:
        case "constant" | "plateau":
            return lambda progress: 1.0
        case "step":
            return lambda progress: optim.gamma ** math.floor(progress / optim.step_epochs)
        case "exponential":
            return lambda progress: optim.gamma**progress
        case "cosine":
            begin, length = optim.warmup_epochs, max(epochs - optim.warmup_epochs, 1e-9)
            return lambda progress: 0.5 * (1 + math.cos(math.pi * max((progress - begin) / length, 0.0)))
    known = "constant, step, exponential, cosine, one_cycle or plateau"
    raise InputError(f"optim.schedule: found {optim.schedule!r}, expected {known}")


def _one_cycle(peak: float, share: float) -> float:
    """The learning rate after this share of training."""
    rise, first, last = 0.3, peak / 25, peak / 250_000

    def between(start: float, stop: float, part: float) -> float:
        return stop + (start - stop) / 2 * (1 + math.cos(math.pi * part))

    return between(first, peak, share / rise) if share < rise else between(peak, last, (share - rise) / (1 - rise))
