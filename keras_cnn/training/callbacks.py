"""Decisions at the end of an epoch. Each class is plain data that a checkpoint can hold and a resume can restore."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Best:
    """The best epoch so far by one monitored value; ties go to the lower validation loss, then to the earlier epoch."""

    monitor: str  # "val_loss", or a column of the history whose larger values are better
    epoch: int = 0  # 1-based; 0: none yet
    value: float = -math.inf  # of the monitor; larger is better
    loss: float = math.inf

    def update(self, row: dict) -> bool:
        """Takes the epoch's row of the history; True if it is the best so far."""
        value, loss = row[self.monitor], row["val_loss"]
        by_value = (value, -loss) > (self.value, -self.loss)
        better = loss < self.loss if self.monitor == "val_loss" else by_value
        if better:
            self.epoch, self.value, self.loss = row["epoch"], value, loss
        return better


@dataclass
class EarlyStopping:
    """Asks to stop when the best epoch is `patience` epochs ago; never asks if patience is None."""

    patience: int | None

    def stops(self, epoch: int, best: Best) -> bool:
        return self.patience is not None and epoch - best.epoch >= self.patience


@dataclass
class Plateau:
    """Multiplies the learning rate by `gamma` after `patience` epochs without a lower validation loss."""

    gamma: float
    patience: int
    scale: float = 1.0
    lowest: float = math.inf
    waited: int = 0

    def update(self, val_loss: float) -> None:
        if val_loss < self.lowest:
            self.lowest, self.waited = val_loss, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.scale, self.waited = self.scale * self.gamma, 0


def state_of(*watchers: Any) -> dict:
    """JSON-able state by class name."""
    return {type(w).__name__: asdict(w) for w in watchers}


def restore(state: dict, *watchers: Any) -> None:
    """Restores the state of each. Raises ValueError if a value is missing or of another type."""
    for watcher in watchers:
        stored = state.get(type(watcher).__name__)
        for name, value in asdict(watcher).items():
            found = stored.get(name) if isinstance(stored, dict) else None
            if not isinstance(found, str if isinstance(value, str) else int | float):
                raise ValueError(f"callbacks: {type(watcher).__name__}: {name}: found {found!r}")
            setattr(watcher, name, found)
