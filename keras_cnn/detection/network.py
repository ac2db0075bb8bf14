"""A detector from its files: Darknet's cfg and weights, a name for both, or a saved `.keras` file."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_cnn.checking import nearest
from keras_cnn.detection.cfg import Cfg, parse_cfg, read_cfg
from keras_cnn.detection.darknet import load_darknet
from keras_cnn.detection.heads import YoloHead, read_heads
from keras_cnn.errors import InputError, require
from keras_cnn.messages import logger
from keras_cnn.run_folder import replacing

NAMED = ("yolov3", "yolov3-tiny")
CFG_MEMBER, NAMES_MEMBER = "darknet.cfg", "classes.txt"  # members of a .keras file beside Keras's own


@dataclass(frozen=True)
class Network:
    """A detector: a Keras model, the heads of its outputs and the names of its classes."""

    model: keras.Model
    cfg: Cfg
    heads: list[YoloHead]
    names: list[str]


def cache_folder() -> Path:
    """The folder of the files of named models: darknet in KERAS_CNN_CACHE, or in keras_cnn in the user's cache."""
    base = os.environ.get("KERAS_CNN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "keras_cnn")
    return Path(base).expanduser() / "darknet"


def open_network(
    model: str,
    weights: Path | None = None,
    names: Path | None = None,
    size: tuple[int, int] | None = None,
    *,
    fold: bool = True,
) -> Network:
    """The network that `model` names.

    `model` is a cfg file with `weights`, one of NAMED, a file that `save_network` wrote, or the run folder of a
    training on boxes. Without `names`, the only .names file beside the cfg or the weights with one line for each class
    is used; without that, the classes are called by their numbers. Batch norms are folded into their convolutions
    unless `fold` is False; a saved file keeps its own. InputError for a file that cannot be read.
    """
    if Path(model).is_dir():
        trained = Path(model, "model.keras")
        require(trained.is_file(), model, "no model.keras in this folder", "the folder of a training that has ended")
        model = str(trained)
    if model.endswith(".keras"):
        for option, given in {"--weights": weights, "--size": size}.items():
            require(given is None, option, f"given with {model}", "no such option: the file has its own")
        return _saved(Path(model), names)
    if model in NAMED:
        cfg_file, weights = _named(model, weights)
    else:
        cfg_file = Path(model)
        if not cfg_file.suffix and not cfg_file.exists():
            raise InputError(f"--model {model}: no such file or name{nearest(model, NAMED)}")
    if weights is None:
        raise InputError(f"{cfg_file}: a cfg has no weights; name their file: --weights FILE")
    cfg = read_cfg(cfg_file)
    heads = read_heads(cfg)
    classes = heads[0].classes
    class_names = _read_names(names, classes) if names else _names_beside((cfg_file, weights), classes)
    return Network(load_darknet(cfg_file, weights, size=size, fold=fold), cfg, heads, class_names)


def save_network(network: Network, file: Path) -> None:
    """Writes the network as a .keras file, which plain Keras loads; cfg and class names are stored inside."""
    require(file.suffix == ".keras", str(file), f"the suffix {file.suffix or '(none)'}", "a file name ending in .keras")
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        network.model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CFG_MEMBER, network.cfg.text)
            archive.writestr(NAMES_MEMBER, "\n".join(network.names) + "\n")


def _saved(file: Path, names: Path | None) -> Network:
    require(file.is_file(), str(file), "no such file", "a .keras file, as --save writes it")
    try:
        with zipfile.ZipFile(file) as archive:
            text, classes = (archive.read(member).decode() for member in (CFG_MEMBER, NAMES_MEMBER))
        model = keras.models.load_model(file, compile=False, safe_mode=True)
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: not a detector that --save has written: {reason}") from None
    cfg = parse_cfg(text, file)
    heads = read_heads(cfg)
    return Network(model, cfg, heads, _read_names(names, heads[0].classes) if names else classes.splitlines())


def _named(name: str, weights: Path | None) -> tuple[Path, Path]:
    folder = cache_folder()
    files = [folder / f"{name}.cfg", weights or folder / f"{name}.weights"]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise InputError(
            f"--model {name}: not found: {', '.join(missing)}; put {name}.cfg, {name}.weights and coco.names into"
            f" {folder} (cfg: github.com/pjreddie/darknet, or Debian's package darknet; weights:"
            f" pjreddie.com/media/files/{name}.weights), or give --model FILE.cfg --weights FILE"
        )
    return files[0], files[1]


def _read_names(file: Path, classes: int) -> list[str]:
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").strip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"{file}: cannot read the names of the classes: {reason}") from None
    require(len(names) == classes, str(file), f"{len(names)} names", f"{classes}, one a class of the network")
    return names


def _names_beside(files: tuple[Path, Path], classes: int) -> list[str]:
    beside = sorted({path for file in files for path in file.resolve().parent.glob("*.names")})
    contents = {tuple(path.read_text(encoding="utf-8", errors="replace").strip().splitlines()) for path in beside}
    fitting = [names for names in contents if len(names) == classes]
    if len(fitting) == 1:
        return [name.strip() for name in fitting[0]]
    logger.info(f"names       none given and none found: classes are called 0 to {classes - 1} (--names FILE)")
    return [str(number) for number in range(classes)]
