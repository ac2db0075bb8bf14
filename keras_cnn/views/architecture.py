"""`architecture`: the network as a diagram of layers, with their shapes and numbers of weights."""

from pathlib import Path

import numpy as np

from keras_cnn.charts.architecture import svg
from keras_cnn.models.architecture import architecture
from keras_cnn.run_folder import write_text
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_arrays


def draw(opened: OpenedModel, out: Path) -> list[SavedFigure]:
    """architecture.svg: a box for each layer with what follows it, arrows between them, equal blocks drawn once.

    The arrays hold for each box its name, its layers, its kind, its shape and its weights, and the arrows.
    """
    network = architecture(opened.model)
    drawn = SavedFigure(
        out / "architecture.svg",
        out / "architecture.npz",
        f"{len(network.boxes)} boxes, {network.parameters:,} weights; opens in any browser",
    )
    write_text(drawn.figure, svg(network))
    arrays = {
        "boxes": [box.title for box in network.boxes],
        "layers": [" ".join(box.nodes) for box in network.boxes],
        "kinds": [box.kind for box in network.boxes],
        "shapes": [box.size for box in network.boxes],
        "weights": [box.parameters for box in network.boxes],
        "repeats": [part.repeats for part in network.segments for _ in part.boxes],
        "arrows": np.array(network.arrows, int).reshape(-1, 2),
    }
    save_arrays(drawn.arrays, arrays)
    return [drawn]
