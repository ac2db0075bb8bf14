"""Figures in the run folder."""

from matplotlib.figure import Figure

from keras_cnn.figures import style
from keras_cnn.run_folder import RunFolder, naming_a_full_disk


def save_figure(figure: Figure, folder: RunFolder, name: str) -> None:
    """Writes figures/NAME.png of the run. Raises Stopped if the disk is full."""
    path = folder.figures / f"{name}.png"
    with naming_a_full_disk(path):
        style.save(figure, path)
