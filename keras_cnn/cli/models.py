"""The command line of `keras-cnn models`: every network with its size, published accuracy and licence."""

from collections.abc import Iterator, Sequence

from keras_cnn import networks
from keras_cnn.checking import nearest
from keras_cnn.cli.parser import Parser
from keras_cnn.detection.named_models import NAMED, cache_folder, named_cfg
from keras_cnn.errors import InputError
from keras_cnn.messages import aligned, wrapped
from keras_cnn.networks import ListedNetwork

EXAMPLES = """examples:
  keras-cnn models                 all networks
  keras-cnn models resnet50        one of them, with licence, source and the file of its weights
"""


def main(arguments: list[str]) -> None:
    """`keras-cnn models`: see its --help."""
    parser = Parser(prog="keras-cnn models", description="Lists the networks.", epilog=EXAMPLES)
    parser.add_argument("name", nargs="*", metavar="NAME", help="networks to describe; default all, in a table")
    chosen = parser.parse_args(arguments)
    for line in _described(chosen.name) if chosen.name else _tables():
        print(line)


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


def _described(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        network = networks.find(name)
        if network is None:
            known = [network.name for network in networks.published()]
            raise InputError(f"{name}: no network with published weights{nearest(name, known)}")
        yield f"{network.name}"
        yield f"  images         side {network.image_size}"
        yield f"  parameters     {network.parameters:,}"
        yield f"  multiply-adds  {network.multiply_adds:,} an image"
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
