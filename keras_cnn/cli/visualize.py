"""The command line of `python visualize.py`."""

import argparse
import itertools
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from keras_cnn import networks, views
from keras_cnn.checking import check, nearest, placed, strip
from keras_cnn.cli.parser import Parser
from keras_cnn.detection.named_models import NAMED
from keras_cnn.errors import InputError, UsageError
from keras_cnn.messages import counted, logger
from keras_cnn.run_folder import newest_runs
from keras_cnn.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from keras_cnn.views.support.opened_model import VisualizeOptions

DEFAULT_VIEW = "page"

EXAMPLES = """examples:
  python visualize.py                                                         the newest run, as a page
  python visualize.py runs/fashion kernels activations                        two views of a run
  python visualize.py runs/fashion all                                        every view of a run
  python visualize.py runs/net3 attribution --method grad-cam --target cat    one method, one class
  python visualize.py vgg16 filters --image dog.jpg --layer block1_conv1      a backbone with ImageNet weights
  python visualize.py model.keras activations --image a.jpg b.jpg             any Keras model file, nested ones too
  python visualize.py yolov3-tiny attribution --image street.jpg --box 2      the second box of a detector

views:
"""


def main(arguments: list[str]) -> None:
    """`python visualize.py`: see its --help."""
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    rest = arguments[len(words) :]
    if {"-h", "--help"} & set(rest) and not words:
        _parser({}).parse_args(["--help"])
    source, names = _source_and_views(words)
    if "all" in names and len(names) > 1:
        raise UsageError("command line: all draws every view; expected no other view with it")
    drawn = [] if names == ["all"] else [views.find(name) for name in names]
    if not {"-h", "--help"} & set(rest):
        _check_source(source)
        _check_options(drawn, rest)
    import_tensorflow()  # takes seconds; --help and what is unknown do not need it
    options = {view.name: view.options for view in drawn}
    together = {name: declared for view in options.values() for name, declared in view.items()}
    given = vars(_parser(together).parse_args([source, *names, *rest]))
    chosen = {view: _checked(given, declared) for view, declared in options.items()} or {"all": {}}
    from keras_cnn.views.support import session

    figures = session.visualize(source, chosen, _shared(given))
    logger.info("%s, with the arrays behind as .npz", counted(len(figures), "figure"))


def _source_and_views(words: list[str]) -> tuple[str, list[str]]:
    """The network and the views that the leading words name: the newest run and the page where they name none."""
    if words and not (views.is_view(words[0]) and not Path(words[0]).exists()):
        return words[0], words[1:] or [DEFAULT_VIEW]
    runs = newest_runs()
    if not runs:
        raise UsageError("command line: no run in runs/; expected SOURCE VIEW, such as: runs/fashion kernels")
    names = words or [DEFAULT_VIEW]
    logger.info("newest run  %s   view %s   (--help lists the others)", runs[0], " ".join(names))
    return str(runs[0]), names


def _check_source(source: str) -> None:
    """Raises InputError for a source that is neither a path nor a name, before TensorFlow is imported."""
    if Path(source).exists() or "keras_cnn.views.support" in sys.modules:
        return
    names = (*(network.name for network in networks.published()), *NAMED)
    if source not in names:
        hint = nearest(source, names) if Path(source).name == source else ""
        raise InputError(f"{source}: neither a run folder, nor a .keras, .h5 or .cfg file, nor a backbone{hint}")


def _check_options(drawn: list[views.View], rest: list[str]) -> None:
    """Raises InputError for an option that these views do not have and for an unknown method."""
    names = {name: (str, None, "") for view in drawn for name in view.option_names}
    _parser(names).check_options(rest)
    if any(view.name == "attribution" for view in drawn) and "--method" in rest:
        for word in itertools.takewhile(lambda word: not word.startswith("--"), rest[rest.index("--method") + 1 :]):
            views.check_method(word, "--method")


def _checked(given: dict[str, Any], declared: dict[str, tuple[Any, Any, str]]) -> dict[str, Any]:
    """The values of a view's options: those given, checked, and the defaults of the others."""
    return {
        option: check(placed(given[option], "command line"), hint, _flag(option)) if option in given else default
        for option, (hint, default, _) in declared.items()
    }


def _shared(given: dict[str, Any]) -> "VisualizeOptions":
    """The options that all views share."""
    from keras_cnn.views.support.opened_model import VisualizeOptions

    shared = {name: given[name] for name in ("out", "image_count", "weights", "image_size", "output")}
    range_ = tuple(given["input_range"]) if given["input_range"] else None
    options = VisualizeOptions(
        images=tuple(given["image"]), classes=tuple(given["classes"]), input_range=range_, **shared
    )
    if options.image_count is not None and options.image_count < 1:
        raise UsageError(f"command line: --image-count: found {options.image_count}, expected at least 1")
    return options


def _parser(options: dict[str, tuple[Any, Any, str]]) -> Parser:
    parser = Parser(
        prog="python visualize.py",
        description="Draws what a network looks at. SOURCE VIEW --help shows the options of a view.",
        epilog=EXAMPLES + "\n".join(_listed()),
    )
    source = "run folder, backbone, detector, .keras, .h5 or .cfg file; default the newest run"
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=source)
    parser.add_argument("view", nargs="*", metavar="VIEW", help=f"see below; default {DEFAULT_VIEW}")
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
    group = parser.add_argument_group("options of these views") if options else parser
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
        group.add_argument(_flag(name), action="store_true", default=argparse.SUPPRESS, help=note)
        return
    more: dict[str, Any] = {"nargs": "+"} if several else {}
    group.add_argument(_flag(name), type=kind, default=argparse.SUPPRESS, metavar=name.upper(), help=note, **more)


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
