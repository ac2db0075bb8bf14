"""The command line of `keras-cnn demo`."""

from keras_cnn.cli.parser import Parser
from keras_cnn.cli.predict import add_model_options, model_options
from keras_cnn.errors import UsageError
from keras_cnn.extras import require_extra
from keras_cnn.messages import logger
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  keras-cnn demo runs/photos                      a page for this browser, on this machine alone; Ctrl-C ends it
  keras-cnn demo runs/photos/model.keras --port 8000

Drop a picture on the page: it shows the classes with the probabilities that predict gives, and Grad-CAM with the
verdict of its sanity checks. It works without a network. The pictures are deleted when the demo ends.
"""


def main(arguments: list[str]) -> None:
    """`keras-cnn demo`: see its --help."""
    parser = Parser(prog="keras-cnn demo", description="Shows what a network says about a picture.", epilog=EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="run folder or model file (.keras, .h5)")
    parser.add_argument("--port", type=int, metavar="N", help="default the first free one from 7860")
    parser.add_argument("--top", type=int, default=5, metavar="K", help="number of classes that are shown; default 5")
    add_model_options(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)
    if chosen.top < 1:
        raise UsageError(f"command line: --top {chosen.top}: expected at least 1")
    if chosen.port is not None and not 1 <= chosen.port <= 65535:
        raise UsageError(f"command line: --port {chosen.port}: expected 1 to 65535")
    require_extra("demo", "the demo")
    from keras_cnn.prediction.sources import EXPORT, kind_of

    if kind_of(chosen.run) == EXPORT:
        raise UsageError(f"{chosen.run}: an export, whose layers cannot be read; expected the run or its .keras file")
    import_tensorflow()
    from keras_cnn.prediction.classifier import open_classifier
    from keras_cnn.prediction.demo_page import serve

    classifier = open_classifier(chosen.run, **model_options(chosen))
    for note in classifier.notes:
        logger.info(f"note        {note}")
    serve(classifier, top=chosen.top, port=chosen.port)
