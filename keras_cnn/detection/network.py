"""Opens a detector from its files: Darknet's cfg and weights, a name for both, or a saved `.keras` file."""

import contextlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_cnn.checking import nearest
from keras_cnn.data.user_files import decoded
from keras_cnn.detection.annotations.yolo_description import read_names
from keras_cnn.detection.cfg import MAX_CFG, Cfg, parse_cfg, read_cfg
from keras_cnn.detection.darknet import load_darknet
from keras_cnn.detection.heads import YoloHead, read_heads
from keras_cnn.detection.named_models import CFG_MEMBER, NAMED, named_files
from keras_cnn.errors import InputError, require
from keras_cnn.messages import logger
from keras_cnn.models.model_files import load_model
from keras_cnn.run_folder import replacing

NAMES_MEMBER = "classes.txt"  # added to Keras's own members of a .keras file, as the cfg is


@dataclass(frozen=True)
class Network:
    """A detector: a Keras model, the heads of its outputs and the names of its classes."""

    model: keras.Model
    cfg: Cfg
    heads: list[YoloHead]
    names: list[str]


def open_network(
    model: str,
    weights: Path | None = None,
    names: Path | None = None,
    size: tuple[int, int] | None = None,
    *,
    fold: bool = True,
) -> Network:
    """The network that `model` names.

    `model` is a cfg file with `weights` (by default the .weights file of its name beside it), one of NAMED, a file that
    `save_network` wrote, or the run folder of a training on boxes. Without `names`, the class names come from a .names
    file beside the cfg or the weights if exactly one has one line for each class; otherwise, the classes are called by
    their numbers. Batch norms are folded into their convolutions unless `fold` is False; a saved file stays as it is.
    Raises InputError for a file that cannot be read.
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
        cfg_file, weights = named_files(model, weights)
    else:
        cfg_file = Path(model)
        if not cfg_file.suffix and not cfg_file.exists():
            raise InputError(f"--model {model}: no such file or name{nearest(model, NAMED)}")
    if weights is None:
        weights = cfg_file.with_suffix(".weights")
        found = f"{weights} does not exist"
        require(weights.is_file(), f"{cfg_file}: a cfg has no weights", found, "that file, or --weights FILE")
    cfg = read_cfg(cfg_file)
    heads = read_heads(cfg)
    classes = heads[0].classes
    loaded = load_darknet(cfg_file, weights, size=size, fold=fold)
    class_names = (
        _fitting(read_names(names), heads, str(names)) if names else _names_beside((cfg_file, weights), classes)
    )
    return Network(loaded, cfg, heads, class_names)


def save_network(network: Network, file: Path) -> None:
    """Writes the network as a .keras file, which plain Keras can load; cfg and class names are stored inside."""
    require(file.suffix == ".keras", str(file), f"the suffix {file.suffix or '(none)'}", "a file name ending in .keras")
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        network.model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CFG_MEMBER, network.cfg.text)
            archive.writestr(NAMES_MEMBER, "\n".join(network.names) + "\n")


def _saved(file: Path, names: Path | None) -> Network:
    require(file.is_file(), str(file), "no such file", "a .keras file, as --save writes it")
    text, classes = (_member(file, member) for member in (CFG_MEMBER, NAMES_MEMBER))
    cfg, model = parse_cfg(text, file), load_model(file)
    heads = read_heads(cfg)
    expected = [head.anchors_count * (5 + head.classes) for head in heads]
    channels = [output.shape[-1] for output in model.outputs]
    require(channels == expected, str(file), f"outputs of {channels} channels", f"{expected}, as its {CFG_MEMBER} says")
    own_names = [line.strip() for line in classes.splitlines()]
    return Network(model, cfg, heads, _fitting(read_names(names) if names else own_names, heads, str(names or file)))


def _member(file: Path, name: str) -> str:
    """The text of a member that `save_network` adds to a .keras file. Raises InputError if it is missing."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = archive.getinfo(name).file_size
            require(size <= MAX_CFG, f"{file}: {name}", f"{size:,} bytes", f"at most {MAX_CFG:,}")
            return decoded(archive.read(name), file, name)
    except KeyError:
        raise InputError(f"{file}: not a detector that --save has written: it has no {name}") from None
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: {name} cannot be read: {error}") from None


def _fitting(names: list[str], heads: list[YoloHead], where: str) -> list[str]:
    """The names. Raises InputError unless there is one for each class."""
    classes = heads[0].classes
    require(len(names) == classes, where, f"{len(names)} names", f"{classes}, one for each class of the network")
    return names


def _names_beside(files: tuple[Path, Path], classes: int) -> list[str]:
    beside = sorted({path for file in files for path in file.resolve().parent.glob("*.names")})
    contents = set()
    for path in beside:
        with contextlib.suppress(InputError):  # the user did not name this file
            contents.add(tuple(read_names(path)))
    fitting = [names for names in contents if len(names) == classes == len(set(names))]
    if len(fitting) == 1:
        return list(fitting[0])
    logger.info(f"names       none given and none found: classes are called 0 to {classes - 1} (--names FILE)")
    return [str(number) for number in range(classes)]
