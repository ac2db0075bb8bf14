"""What a program prints after a finished run: its numbers, and the commands to continue with."""

import shlex
from collections.abc import Callable
from pathlib import Path

from keras_cnn import run_folder
from keras_cnn.messages import logger


def photos_next(folder: Path) -> str:
    """The command to try after a run from scratch."""
    return f"{run_folder.python()} train.py configs/photos.yaml --data.source folder:YOUR_PHOTOS   (one folder a class)"


def conclude(metrics: dict, folder: Path, then: Callable[[Path], str] = photos_next) -> None:
    """Prints the folder of a finished run, its test accuracy, and what to try next."""
    low, high = metrics["accuracy_interval"]
    logger.info("")
    logger.info(f"run folder     {folder}   (curves, confusion matrices and mistakes in {folder / 'figures'})")
    logger.info(
        f"test accuracy  {metrics['accuracy']:.4f}  [{low:.4f}, {high:.4f}] 95 % Wilson interval,"
        f" {metrics['images']:,} images; best epoch {metrics['best_epoch']} by {metrics['chosen_by']}"
    )
    page = shlex.join([run_folder.python(), "report.py", str(folder)])
    logger.info(f"next           {page}   (all of it on one page)")
    logger.info(f"               {then(folder)}")
