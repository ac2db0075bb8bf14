"""What names a detector, and where the cfg and weights of the named ones are. Nothing here imports TensorFlow."""

import os
import zipfile
from pathlib import Path

from keras_cnn.errors import InputError

NAMED = ("yolov3", "yolov3-tiny")
CFG_MEMBER = "darknet.cfg"  # added to Keras's own members of a .keras file
PACKAGED_CFGS = Path(__file__).parents[1] / "tasks" / "detection" / "cfgs"  # cfg files that come with the package


def is_detector(source: str | Path) -> bool:
    """Whether `source` is a known name, a .cfg file, a .keras file that `detect.py` wrote, or a run folder with one.

    A file that is cut off or no archive is not one.
    """
    if str(source) in NAMED or str(source).endswith(".cfg"):
        return True
    path = Path(source, "model.keras") if Path(source).is_dir() else Path(source)
    if path.suffix != ".keras":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return CFG_MEMBER in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def cache_folder() -> Path:
    """The folder of the named models' files: darknet in $KERAS_CNN_CACHE, or keras_cnn/darknet in the user's cache."""
    from keras_cnn.data.user_files import user_path  # with NumPy, which other answers need not wait for

    base = os.environ.get("KERAS_CNN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "keras_cnn")
    return user_path(base) / "darknet"


def named_cfg(name: str) -> Path | None:
    """The cfg of a named model: in the cache folder, or that of the package; None if there is neither."""
    places = (cache_folder() / f"{name}.cfg", PACKAGED_CFGS / f"{name}.cfg")
    return next((place for place in places if place.is_file()), None)


def named_files(name: str, weights: Path | None) -> tuple[Path, Path]:
    """The cfg and the weights of a named model. InputError, with what to bring, if one is missing."""
    folder, cfg = cache_folder(), named_cfg(name)
    weights = weights or folder / f"{name}.weights"
    if cfg is None:
        raise InputError(
            f"--model {name}: not found: {folder / name}.cfg; put {name}.cfg, {name}.weights and coco.names into"
            f" {folder} (cfg: github.com/pjreddie/darknet, or Debian's package darknet; weights:"
            f" pjreddie.com/media/files/{name}.weights), or give --model FILE.cfg --weights FILE"
        )
    if not weights.is_file():
        raise InputError(
            f"--model {name}: its cfg is {cfg}, but its weights are not found: {weights}; put {name}.weights and"
            f" coco.names there (pjreddie.com/media/files/{name}.weights), or give --weights FILE"
        )
    return cfg, weights
