"""Pictures of a sweep: its runs in `runs`, what its settings do in `settings`."""

from keras_cnn.figures.sweep.runs import Panel, fronts, parallel_coordinates, progress, slices
from keras_cnn.figures.sweep.settings import (
    Row,
    cell_means,
    epoch_means,
    importances,
    intervals,
    level_means,
    pair_counts,
    surface,
)

__all__ = [
    "Panel",
    "Row",
    "cell_means",
    "epoch_means",
    "fronts",
    "importances",
    "intervals",
    "level_means",
    "pair_counts",
    "parallel_coordinates",
    "progress",
    "slices",
    "surface",
]
