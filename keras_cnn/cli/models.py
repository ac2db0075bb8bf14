"""The command line of `keras-cnn models`: every network with its size, published accuracy and licence."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_cnn import closed_formulas, networks
from keras_cnn.checking import nearest
from keras_cnn.cli.parser import Parser
from keras_cnn.detection.named_models import NAMED, cache_folder, named_cfg
from keras_cnn.errors import InputError, UsageError
from keras_cnn.messages import aligned, wrapped
from keras_cnn.networks import ListedNetwork
from keras_cnn.tensorflow_import import import_tensorflow

FORMULAS_OF = "five_block"  # the network with closed formulas
EXAMPLES = """examples:
  keras-cnn models                              all networks
  keras-cnn models resnet50                     one of them, with licence, source and the file of its weights
  keras-cnn models net1 net4 --draw pictures    their architectures, as diagrams
  keras-cnn models five_block --formula         parameters and multiply-adds in letters
  keras-cnn models five_block --formula m=32 k=3 l=224 n=256
"""


def main(arguments: list[str]) -> None:
    """`keras-cnn models`: see its --help."""
    parser = Parser(prog="keras-cnn models", description="Lists the networks.", epilog=EXAMPLES)
    parser.add_argument("name", nargs="*", metavar="NAME", help="networks to describe; default all, in a table")
    parser.add_argument(
        "--draw", type=Path, metavar="DIR", help="write DIR/NAME.svg, the diagram of each: layers, shapes, weights"
    )
    letters = ", ".join(f"{letter} {meaning}" for letter, meaning in closed_formulas.LETTERS.items())
    parser.add_argument(
        "--formula",
        nargs="*",
        metavar="LETTER=NUMBER",
        help=f"of {FORMULAS_OF}: formulas of parameters and multiply-adds, and their values: {letters}",
    )
    chosen = parser.parse_args(arguments)
    if chosen.formula is not None:
        if chosen.name != [FORMULAS_OF]:
            found = " ".join(chosen.name) or "no network"
            raise UsageError(f"command line: --formula: found {found}, expected: models {FORMULAS_OF} --formula")
        lines = closed_formulas.formula_lines(chosen.formula)
    else:
        lines = _described(chosen.name) if chosen.name else _tables()
    for line in lines:
        print(line)
    if chosen.draw is not None:
        _draw(chosen.name, chosen.draw)


def _tables() -> Iterator[str]:
    yield "pretrained networks, for finetune.py --backbone NAME"
    yield from _aligned([_HEAD, *map(_row, networks.published())])
    yield ""
    for line in _EXPLAINED:
        yield from wrapped(line, "", 2)
    yield ""
    yield "networks to train from scratch, for train.py --model NAME"
    head = ("name", "image", "parameters", "multiply-adds")
    rows = [(n.name, n.image_size, f"{n.parameters:,}", _short(n.multiply_adds)) for n in networks.from_scratch()]
    yield from _aligned([head, *rows, ("layers", "any", "by its table", "")])
    yield ""
    yield "detectors, for detect.py --model NAME"
    yield from _aligned([("name", "cfg", "weights"), *map(_detector, NAMED)])


_HEAD = ("name", "side", "params", "mult-adds", "top-1", "licence", "weights")
_EXPLAINED = (
    "params: parameters with 1000 classes, without VGG's dense layers",
    "mult-adds: of one image of that side",
    "top-1: per cent of ImageNet's validation images, as published at keras.io/api/applications, or for the networks"
    " with torchvision's weights at pytorch.org/vision (IMAGENET1K_V1)",
    "licence: of the weights as their publishers give it; ImageNet's own terms come on top",
    "weights: here (on this machine), download (by Keras), bring (NAME says which file)",
)


def _row(network: ListedNetwork) -> tuple[str, ...]:
    accuracy = "-" if network.top1 is None else f"{network.top1:.1f}"
    numbers = (f"{network.parameters / 1e6:.1f} M", _short(network.multiply_adds), accuracy)
    return network.name, network.image_size, *numbers, network.licence.partition(" (")[0], network.weights_come_from


def _detector(name: str) -> tuple[str, ...]:
    weights = cache_folder() / f"{name}.weights"
    return name, "here" if named_cfg(name) else "bring", "here" if weights.is_file() else f"bring {weights}"


def _found(name: str) -> ListedNetwork:
    """The network of that name. InputError, with the nearest name, for an unknown one."""
    listed = {network.name: network for network in (*networks.published(), *networks.from_scratch())}
    if name not in listed:
        raise InputError(f"{name}: no network{nearest(name, listed)}")
    return listed[name]


def _draw(names: Sequence[str], folder: Path) -> None:
    """Writes the diagram of each network at the size of its publication, and prints the name of the file."""
    if not names:
        raise UsageError(f"command line: --draw {folder}: no network, expected: models NAME ... --draw {folder}")
    import_tensorflow()
    from keras_cnn import models
    from keras_cnn.charts.architecture import svg
    from keras_cnn.models.architecture import architecture
    from keras_cnn.run_folder import write_text

    folder.mkdir(parents=True, exist_ok=True)
    for network in map(_found, names):
        shape, classes, options = _as_published(network)
        model = models.build(network.name, shape, classes, **options)
        write_text(folder / f"{network.name}.svg", svg(architecture(model)))
        print(f"{folder / network.name}.svg")


def _as_published(network: ListedNetwork) -> tuple[tuple[int, int, int], int, dict[str, str]]:
    """The image shape, the number of classes and the options with which the network has its listed parameters."""
    if not network.family:
        height, width, channels = map(int, network.image_size.split("x"))
        return (height, width, channels), 10, {}
    side = int(network.image_size)
    if network.family == networks.SHIPPED_FAMILY:
        return (side, side, 1), 10, {"weights": "none"}
    head = {"head": "reference"} if network.family == networks.TORCHVISION_FAMILY else {}
    return (side, side, 3), 1000, {"weights": "none", **head}


def _described(names: Sequence[str]) -> Iterator[str]:
    for network in map(_found, names):
        yield f"{network.name}"
        yield f"  images         {'side ' if network.family else ''}{network.image_size}"
        yield f"  parameters     {network.parameters:,}"
        yield f"  multiply-adds  {network.multiply_adds:,} an image"
        if not network.family:
            yield "  from scratch   numbers of 10 classes and default options, which keras-cnn train --options lists"
            continue
        if network.top1 is not None:
            fifth = "" if network.top5 is None else f", top-5 {network.top5} %"
            yield f"  ImageNet       top-1 {network.top1} %{fifth}   ({network.source})"
        yield f"  licence        {network.licence}"
        yield f"  weights        {network.weights_come_from}: {network.weights_path}"


def _short(count: int) -> str:
    return f"{count / 1e9:.2f} G" if count >= 1e8 else f"{count / 1e6:.1f} M"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with their columns aligned; those of numbers to the right."""
    columns = list(zip(*rows[1:], strict=True))
    numbers = [i for i, cells in enumerate(columns) if all(c[:1].isdigit() or c in ("-", "") for c in cells)]
    return aligned(rows, numbers)
