"""The position of a run, and the contents of its checkpoint besides the variables."""

from dataclasses import dataclass, field
from typing import Literal

CHECKPOINT_FIELDS = {
    "position": dict,
    "phase": int,
    "features": str | None,  # where the outputs of a frozen part were kept
    "callbacks": dict,
    "precision": Literal["float32", "mixed_bfloat16", "mixed_float16"],
    "run_id": str,
    "config": dict,
    "split": str,  # SHA-256
    "layers": list[dict] | None,  # their settings; missing: written before there was this field
    "best_model": str | None,  # SHA-256
    "replicas": int | None,  # that trained together; missing: one
}


@dataclass
class TrainingState:
    """Position and history of a run; JSON-able."""

    ended: bool = False  # all epochs are done, or the run stopped early
    epoch: int = 0  # completed epochs
    step: int = 0  # completed steps of the current epoch
    images: int = 0  # images of the current epoch so far
    sums: dict[str, float] = field(default_factory=dict)  # the objective's measures, summed over those images
    epoch_seconds: float = 0.0
    run_seconds: float = 0.0
    history: list[dict] = field(default_factory=list)

    def add(self, sums: dict[str, float], images: int) -> None:
        """Adds a step and its sums."""
        self.step += 1
        self.images += images
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in sums.items()}

    @property
    def means(self) -> dict[str, float]:
        """Mean of each measure over the images of the epoch so far."""
        return {name: value / self.images for name, value in self.sums.items()}

    def next_epoch(self, row: dict) -> None:
        """Adds the epoch's row to the history and starts the next."""
        self.history.append(row)
        self.epoch, self.step, self.images, self.sums = self.epoch + 1, 0, 0, {}
        self.epoch_seconds = 0.0
