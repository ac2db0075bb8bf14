"""What a program prints after a finished run: its numbers, and the commands to continue with."""

from collections.abc import Callable
from pathlib import Path

from keras_cnn import run_folder
from keras_cnn.messages import logger


def photos_next(folder: Path) -> str:
    """The command to try after a run from scratch."""
    photos = run_folder.shell_command("train", "photos", "--data.source", "folder:YOUR_PHOTOS")
    return f"{photos}   (one folder a class)"


def conclude(metrics: dict, folder: Path, then: Callable[[Path], str] = photos_next) -> None:
    """Prints the folder of a finished run, its test accuracy, and what to try next."""
    low, high = metrics["accuracy_interval"]
    logger.info("")
    logger.info(f"run folder     {folder}   (curves, confusion matrices and mistakes in {folder / 'figures'})")
    logger.info(
        f"test accuracy  {metrics['accuracy']:.4f}  [{low:.4f}, {high:.4f}] 95 % Wilson interval,"
        f" {metrics['images']:,} images; best epoch {metrics['best_epoch']} by {metrics['chosen_by']}"
    )
    page = run_folder.shell_command("report", folder)
    logger.info(f"next           {page}   (all of it on one page)")
    logger.info(f"               {then(folder)}")
