"""`python visualize.py`: what its arguments ask for."""

import argparse
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from keras_cnn import views
from keras_cnn.checking import check, options_of, placed, strip
from keras_cnn.cli.parser import Parser
from keras_cnn.errors import UsageError
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python visualize.py runs/fashion all                                      every view of a run
  python visualize.py runs/net3 attribution --method grad-cam --target cat  one method, one class
  python visualize.py vgg16 pairs --image dog.jpg --layer block1_conv1      a backbone with ImageNet weights
  python visualize.py model.keras activations --image a.jpg b.jpg           any Keras model file, nested ones too
  python visualize.py yolov3-tiny attribution --image street.jpg --box 2    the second box of a detector

views:
"""


def main(arguments: list[str]) -> None:
    """`python visualize.py`: see its --help."""
    view = arguments[1] if len(arguments) > 1 and not arguments[1].startswith("-") else None
    if view in views.VIEWS:
        import_tensorflow()  # takes seconds: --help and an unknown view do without
    options = options_of(views.find(view)) if view not in (None, "all") else {}
    parser = _parser(options)
    chosen = vars(parser.parse_args(arguments))
    source, view, out = chosen.pop("source"), chosen.pop("view"), chosen.pop("out")
    chosen.pop("debug")
    given = {name: chosen.pop(name) for name in options}
    for name, (hint, default, _) in options.items():
        if given[name] != default:
            given[name] = check(placed(given[name], "command line"), hint, _flag(name))
    if chosen["input_range"]:
        chosen["input_range"] = tuple(chosen["input_range"])
    import_tensorflow()
    from keras_cnn.views import session
    from keras_cnn.views.opened_model import VisualizeOptions

    asked = VisualizeOptions(images=tuple(chosen.pop("image")), classes=tuple(chosen.pop("classes")), out=out, **chosen)
    if asked.image_count is not None and asked.image_count < 1:
        raise UsageError(f"command line: --image-count: found {asked.image_count}, expected at least 1")
    drawn = session.visualize(source, view, asked, given)
    print(f"{len(drawn)} figure{'s' * (len(drawn) > 1)}, with the arrays behind as .npz")


def _parser(options: dict[str, tuple[Any, Any, str]]) -> Parser:
    known = (*views.VIEWS.items(), ("all", "all of these"))
    listed = "\n".join(f"  {name:<16} {summary}" for name, summary in known)
    parser = Parser(
        prog="python visualize.py",
        description="Draws what a network looks at. SOURCE VIEW --help shows the options of a view.",
        epilog=EXAMPLES + listed,
    )
    parser.add_argument("source", metavar="SOURCE", help="run folder, backbone, detector, .keras or .cfg file")
    parser.add_argument("view", metavar="VIEW", help="see below")
    parser.add_argument("--image", nargs="+", type=Path, default=[], metavar="FILE", help="images to look at")
    parser.add_argument(
        "--image-count",
        type=int,
        metavar="N",
        help="images in figures: of --image, default all, or of a run's validation images, default 4",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default RUN/visualizations or visualizations/NAME")
    parser.add_argument(
        "--weights", default="imagenet", help="of a backbone: imagenet, none or a file; of a .cfg a file"
    )
    parser.add_argument(
        "--image-size", type=int, metavar="PIXELS", help="of a backbone's or detector's images; default its own"
    )
    parser.add_argument(
        "--input-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="of a model file that does not rescale: what it wants for 0-255, such as -1 1",
    )
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="names for a model file's classes")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    group = parser.add_argument_group("options of this view") if options else parser
    for name, (hint, default, note) in options.items():
        _add(group, name, hint, default, note)
    return parser


def _add(group: argparse._ArgumentGroup, name: str, hint: Any, default: Any, note: str) -> None:
    """An option of a view as an option of the command line: True and False as a switch, a tuple as several values."""
    kind, several = _kind(hint)
    note = note if default in (None, (), False) else f"{note} (default {_shown(default)})"
    note = note.replace("%", "%%")
    if kind is bool:
        group.add_argument(_flag(name), action="store_true", default=default, help=note)
        return
    more = {"nargs": "+"} if several else {}
    group.add_argument(_flag(name), type=kind, default=default, metavar=name.upper(), help=note, **more)


def _kind(hint: Any) -> tuple[type, bool]:
    """What one value of a hint is, and whether there may be several."""
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
