"""What a user may name to predict with: a run folder, a model file, an export or a detector. Needs no TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

from keras_cnn.checking import near_path
from keras_cnn.data.user_files import user_path
from keras_cnn.detection.named_models import NAMED, is_detector
from keras_cnn.errors import InputError
from keras_cnn.run_folder import is_detection_run, newest_runs

RUN, MODEL_FILE, EXPORT, DETECTOR = "run", "model file", "export", "detector"
KERAS_ENDINGS = (".keras", ".h5", ".hdf5")
EXPORT_ENDINGS = (".onnx", ".tflite")
_SWEEP = "study.journal"
_EXPORTED = ("model.keras", "model.onnx", "model.tflite", "model_int8.tflite", "savedmodel")


def kind_of(source: str | Path) -> str | None:
    """The kind of predictor that `source` names; None for anything else, such as an image or a folder of images.

    Raises InputError for a folder that holds several of them: a sweep, or the folder of a run's exports.
    """
    text, path = str(source), user_path(source)
    if text in NAMED or (not path.is_dir() and is_detector(path)):
        return DETECTOR
    if path.suffix in KERAS_ENDINGS:
        return MODEL_FILE
    if path.suffix in EXPORT_ENDINGS or (path / "saved_model.pb").is_file():
        return EXPORT
    if not path.is_dir():
        return None
    if (path / _SWEEP).is_file():
        runs = sorted(config.parent for config in path.glob("*/config.yaml"))
        raise InputError(f"{text}: a sweep; expected one of its runs" + (f", such as {runs[0]}" if runs else ""))
    if (path / "export.json").is_file():
        files = [name for name in _EXPORTED if (path / name).exists()]
        raise InputError(f"{text}: a folder of exports; expected one of them: {', '.join(files)}")
    if any((path / name).is_file() for name in ("config.yaml", "model.keras")):
        return DETECTOR if is_detection_run(path) else RUN
    return None


def split_source(named: Sequence[str], runs: Path = Path("runs")) -> tuple[str, list[str], bool]:
    """(what predicts, the images, whether it was chosen here) for the words of a command line.

    If the first word does not name what predicts, the newest finished run in `runs` does. Raises InputError if there
    is none, and if no image is left.
    """
    first, *rest = named
    chosen = kind_of(first) is None
    if chosen:
        first, rest = str(newest_run(runs, named)), list(named)
    if not rest:
        raise InputError(f"{first}: no images to predict; expected image files, folders, globs or a list.csv after it")
    return first, rest, chosen


def newest_run(runs: Path, named: Sequence[str]) -> Path:
    """The run folder of a classifier in `runs` that finished last. InputError if there is none."""
    newest = next((run for run in newest_runs(runs) if kind_of(run) == RUN), None)
    if newest is None:
        path = user_path(named[0])
        if not path.exists() and (near := near_path(path)):
            raise InputError(f"{path}: no such run, model file or export; did you mean {near}?")
        raise InputError(
            f"{named[0]}: no run, model file or export, and {runs} has no finished run to predict with; expected"
            f" RUN {' '.join(named)}"
        )
    return newest
