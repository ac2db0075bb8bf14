"""The temperature that a run has on record: fitted on its validation images, for one view of an image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_cnn.evaluation.calibration import TEMPERATURES
from keras_cnn.run_folder.record import Record


@dataclass(frozen=True)
class Temperature:
    """The number by which logits are divided before the softmax, see `calibration`."""

    value: float
    images: int  # validation images on which it was fitted
    file: Path  # where it was found


def recorded_temperature(record: Record) -> Temperature | None:
    """The temperature of the run's model, from its own metrics or from an evaluation of single views."""
    metrics = {"metrics.json": record.metrics}
    metrics |= {f"evaluations/{name}/metrics.json": found for name, found in record.evaluations.items()}
    for file, found in metrics.items():
        views = found.get("views")
        name = views.get("name") if isinstance(views, dict) else "none"
        if name == "none" and (known := temperature_in(found, record.path / file)):
            return known
    return None


def temperature_in(content: Mapping[str, Any], file: Path) -> Temperature | None:
    """The temperature in the content of a file, if it calibrates: one at the end of the searched range does not."""
    found = content.get("temperature")
    value, images = (found.get("value"), found.get("validation_images")) if isinstance(found, dict) else (None, None)
    if not isinstance(value, float) or not isinstance(images, int):
        return None
    return Temperature(value, images, file) if TEMPERATURES[0] < value < TEMPERATURES[1] else None
