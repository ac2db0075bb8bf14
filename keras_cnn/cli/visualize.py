"""The command line of `python visualize.py`."""

import argparse
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from keras_cnn import views
from keras_cnn.checking import check, placed, strip
from keras_cnn.cli.parser import Parser
from keras_cnn.errors import UsageError
from keras_cnn.messages import logger
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python visualize.py runs/fashion all                                        every view of a run
  python visualize.py runs/net3 attribution --method grad-cam --target cat    one method, one class
  python visualize.py vgg16 filters --image dog.jpg --layer block1_conv1      a backbone with ImageNet weights
  python visualize.py model.keras activations --image a.jpg b.jpg             any Keras model file, nested ones too
  python visualize.py yolov3-tiny attribution --image street.jpg --box 2      the second box of a detector

views:
"""


def main(arguments: list[str]) -> None:
    """`python visualize.py`: see its --help."""
    name = arguments[1] if len(arguments) > 1 and not arguments[1].startswith("-") else None
    options = {}
    if name is not None and name != "all":
        view = views.find(name)
        import_tensorflow()  # takes seconds; --help and an unknown view do not need it
        options = view.options
    given = vars(_parser(options).parse_args(arguments))
    source, name, out = given.pop("source"), given.pop("view"), given.pop("out")
    given.pop("debug")
    chosen = {option: given.pop(option) for option in options}
    for option, (hint, default, _) in options.items():
        if chosen[option] != default:
            chosen[option] = check(placed(chosen[option], "command line"), hint, _flag(option))
    if given["input_range"]:
        given["input_range"] = tuple(given["input_range"])
    import_tensorflow()
    from keras_cnn.views.support import session
    from keras_cnn.views.support.opened_model import VisualizeOptions

    images, classes = tuple(given.pop("image")), tuple(given.pop("classes"))
    shared = VisualizeOptions(images=images, classes=classes, out=out, **given)
    if shared.image_count is not None and shared.image_count < 1:
        raise UsageError(f"command line: --image-count: found {shared.image_count}, expected at least 1")
    figures = session.visualize(source, name, shared, chosen)
    logger.info("%s figure%s, with the arrays behind as .npz", len(figures), "s" * (len(figures) > 1))


def _parser(options: dict[str, tuple[Any, Any, str]]) -> Parser:
    parser = Parser(
        prog="python visualize.py",
        description="Draws what a network looks at. SOURCE VIEW --help shows the options of a view.",
        epilog=EXAMPLES + "\n".join(_listed()),
    )
    parser.add_argument("source", metavar="SOURCE", help="run folder, backbone, detector, .keras, .h5 or .cfg file")
    parser.add_argument("view", metavar="VIEW", help="see below")
    parser.add_argument("--image", nargs="+", type=Path, default=[], metavar="FILE", help="images to look at")
    parser.add_argument(
        "--image-count",
        type=int,
        metavar="N",
        help="number of images in figures: of --image, default all, or of a run's validation images, default 4",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default RUN/visualizations or visualizations/NAME")
    parser.add_argument(
        "--weights", default="imagenet", help="for a backbone: imagenet, none or a file; for a .cfg: a file"
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side of the images of a backbone or detector, default its own, or of a model for images of any size",
    )
    parser.add_argument(
        "--input-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="for a model file without rescaling: the range that it takes for 0-255, such as -1 1",
    )
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="names for a model file's classes")
    parser.add_argument(
        "--output", metavar="NAME", help="for a model file with several outputs: the one whose classes are explained"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    group = parser.add_argument_group("options of this view") if options else parser
    for name, (hint, default, note) in options.items():
        _add(group, name, hint, default, note)
    return parser


def _listed() -> Iterator[str]:
    """The views and their summaries, for --help."""
    width = max(map(len, views.VIEWS)) + 1
    for view in views.VIEWS.values():
        aliases = f" (or {', '.join(view.aliases)})" if view.aliases else ""
        yield f"  {view.name:<{width}} {view.summary}{aliases}"
    yield f"  {'all':<{width}} all of these"


def _add(group: argparse._ActionsContainer, name: str, hint: Any, default: Any, note: str) -> None:
    """Adds an option of a view: a bool becomes a switch, a tuple takes several values."""
    kind, several = _kind(hint)
    note = note if default in (None, (), False) else f"{note} (default {_shown(default)})"
    note = note.replace("%", "%%")
    if kind is bool:
        group.add_argument(_flag(name), action="store_true", default=default, help=note)
        return
    more: dict[str, Any] = {"nargs": "+"} if several else {}
    group.add_argument(_flag(name), type=kind, default=default, metavar=name.upper(), help=note, **more)


def _kind(hint: Any) -> tuple[type, bool]:
    """The type of one value of a type hint, and whether there may be several values."""
    hint = strip(hint)
    origin, inside = get_origin(hint), [part for part in get_args(hint) if part not in (type(None), Ellipsis)]
    if origin is tuple:
        return _kind(inside[0])[0], True
    if origin is Literal:
        return str, False
    if origin in (Union, types.UnionType):
        return _kind(inside[0])
    return hint, False


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
