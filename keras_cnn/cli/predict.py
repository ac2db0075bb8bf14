"""The command line of `python predict.py`."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from keras_cnn.cli.parser import Parser
from keras_cnn.errors import InputError, UsageError
from keras_cnn.messages import logger
from keras_cnn.tensorflow_import import import_tensorflow
from keras_cnn.views import check_method

EXAMPLES = """examples:
  python predict.py runs/photos cat.jpg                  the five most probable classes of one image
  python predict.py runs/photos new_photos/ more/*.jpg   folders, at any depth, and globs
  python predict.py cat.jpg                              by the newest finished run
  python predict.py runs/photos new/ --explain grad-cam  and what each prediction depends on
  python predict.py runs/photos test/ --template sample_submission.csv --output submission.csv
  python predict.py runs/photos/export/model.onnx new/   an export: .onnx, .tflite or SavedModel

Results are written to predictions/NAME/predictions.csv, with a row for each image; an image that cannot be read has its
reason there. Of more than 40 classes, a row has the five most probable ones, and predictions.npy has all probabilities.
A .csv with a column of paths lists images. A detector gives boxes, as in detect.py. A SavedModel is a program: open
only your own.
"""


def main(arguments: list[str]) -> None:
    """`python predict.py`: see its --help."""
    parser = Parser(prog="python predict.py", description="Classifies images without labels.", epilog=EXAMPLES)
    named = "run folder, model file, export or detector, then image files, folders, globs or a list.csv"
    parser.add_argument("named", nargs="+", metavar="[RUN] IMAGE", help=named)
    parser.add_argument("--top", type=int, metavar="K", help="number of classes that are shown; default 5")
    output = "file of the predictions, or of the submission; default predictions/NAME/predictions.csv"
    parser.add_argument("--output", type=Path, metavar="FILE", help=output)
    parser.add_argument("--submission", action="store_true", help="also write a file with the columns id,label")
    parser.add_argument(
        "--template", type=Path, metavar="CSV", help="also write a file with the columns and rows of this sample"
    )
    parser.add_argument("--explain", metavar="METHOD", help="draw what each prediction depends on, such as grad-cam")
    add_model_options(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)
    if chosen.top is not None and chosen.top < 1:
        raise UsageError(f"command line: --top {chosen.top}: expected at least 1")
    if chosen.explain is not None:
        check_method(chosen.explain, "--explain")
    from keras_cnn.prediction.images import list_images, stem_of
    from keras_cnn.prediction.sources import DETECTOR, EXPORT, kind_of, split_source

    source, images, is_newest = split_source(chosen.named)
    if kind_of(source) == DETECTOR:
        _detect(source, images, chosen)
        return
    if chosen.explain is not None and kind_of(source) == EXPORT:
        raise UsageError(f"command line: --explain: {source} is an export; expected the run or its .keras file")
    listing = list_images(images)
    if is_newest:
        logger.info(f"run         {source}, the newest that has finished")
    import_tensorflow()  # takes seconds, which --help and wrong names avoid
    from keras_cnn.prediction.session import PredictOptions, predict_named

    options = PredictOptions(
        top=chosen.top or PredictOptions.top,
        output=chosen.output,
        submission=chosen.submission,
        template=chosen.template,
        explain=chosen.explain,
        **model_options(chosen),
    )
    predict_named(source, listing, stem_of(images[0]), options)


def add_model_options(parser: Parser) -> None:
    """Adds the options that say how a run or a model file is opened."""
    parser.add_argument("--no-temperature", action="store_true", help="as the network says, although the run has one")
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="names for a model file's classes")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="for a model file for images of any size")
    range_help = "for a model file without rescaling: the range that it takes for 0-255, such as -1 1"
    parser.add_argument("--input-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help=range_help)


def model_options(chosen: argparse.Namespace) -> dict[str, Any]:
    """The keywords of `open_classifier` that the options of `add_model_options` give."""
    return {
        "calibrated": not chosen.no_temperature,
        "classes": tuple(chosen.classes),
        "image_size": chosen.image_size,
        "input_range": tuple(chosen.input_range) if chosen.input_range else None,
    }


def _detect(source: str, images: list[str], chosen: argparse.Namespace) -> None:
    """Hands the images over to `detect.py`."""
    given = [name for name, value in vars(chosen).items() if value and name not in ("named", "debug")]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise InputError(f"command line: {option}: {source} is a detector; expected the options of detect.py")
    from keras_cnn.cli import detect
    from keras_cnn.prediction.images import stem_of

    times: Counter[str] = Counter()
    for image in images:
        stem = stem_of(image)
        times[stem] += 1
        name = stem if times[stem] == 1 else f"{stem}-{times[stem]}"  # images of one name keep their own results
        detect.main([image, "--model", source, "--out", str(Path("detections", name))])
