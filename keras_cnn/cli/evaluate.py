"""The command line of `python evaluate.py`."""

import argparse
from pathlib import Path
from typing import Literal

from keras_cnn.cli import early
from keras_cnn.cli.parser import Parser
from keras_cnn.config import DEVICES_HELP
from keras_cnn.errors import InputError
from keras_cnn.evaluation.coverage import LEVEL, check_level
from keras_cnn.messages import logger
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python evaluate.py runs/fashion                                   the test split
  python evaluate.py runs/fashion --source folder:new_photos        other images of the same classes
  python evaluate.py runs/after --against runs/before               which is better, and where
  python evaluate.py runs/fashion --outliers other_photos           which score tells unknown images apart
  python evaluate.py runs/net4 runs/net4-2 runs/net4-3              several seeds together
  python evaluate.py runs/fashion-folds --label-errors              which labels are probably wrong
  python evaluate.py runs/net4 runs/net4-2 --ensemble               the mean of their probabilities

Metrics, predictions and figures are written to RUN/evaluations/NAME. Every reading of test images is counted in
RUN/test_readings.csv. Several runs are compared by their recorded metrics; runs without them are evaluated.
"""


def main(arguments: list[str]) -> None:
    """`python evaluate.py`: see its --help."""
    chosen = _parser().parse_args(arguments)
    _check(chosen)
    if chosen.label_errors:
        _list_label_errors(chosen)
        return
    if len(chosen.run) == 1:
        early.check_run(chosen.run[0])
        if chosen.against:
            early.check_run(chosen.against)
        logger.info(f"evaluating  {chosen.run[0]}")
    import_tensorflow()  # takes seconds, which --help and wrong options avoid
    _measure(chosen)


def _parser() -> Parser:
    parser = Parser(prog="python evaluate.py", description="Measures trained runs.", epilog=EXAMPLES)
    parser.add_argument(
        "run", nargs="+", type=Path, metavar="RUN", help="run folder; runs that differ only in their seed are combined"
    )
    parser.add_argument(
        "--split", choices=("test", "validation", "train"), help="default: test; with --source, all images"
    )
    parser.add_argument("--source", help="other images of the same classes: folder:PATH, npz:FILE, tfds:NAME, ...")
    parser.add_argument("--against", type=Path, metavar="RUN", help="an older run to compare with on the same images")
    together = parser.add_mutually_exclusive_group()
    together.add_argument(
        "--ensemble", action="store_true", help="measure the mean of the runs' probabilities beside the best single run"
    )
    together.add_argument(
        "--soup",
        action="store_true",
        help="the same for the mean of their weights, of runs that start from the same weights; written as soup.keras",
    )
    parser.add_argument(
        "--outliers",
        metavar="IMAGES",
        help="images of none of the classes (folder, glob, list or file): how well scores tell them from known ones",
    )
    parser.add_argument(
        "--corruptions",
        type=int,
        nargs="?",
        const=1000,
        metavar="N",
        help="errors on N evenly spaced images (default 1000) under the fifteen common corruptions at five strengths;"
        " with --against, relative to those of another run that was measured so before",
    )
    parser.add_argument(
        "--views",
        metavar="flip|N",
        help="test-time augmentation: average the probabilities of the image and its mirror image, or of the image and"
        " N views made by the run's augmentation",
    )
    parser.add_argument(
        "--temperature", action="store_true", help="scale the logits by the temperature fitted on the validation images"
    )
    parser.add_argument(
        "--coverage",
        type=float,
        metavar="SHARE",
        default=LEVEL,
        help="share of the prediction sets that are to hold the true class, calibrated on the validation images;"
        f" default: {LEVEL:g}",
    )
    parser.add_argument(
        "--class",
        action="append",
        default=[],
        dest="classes",
        metavar="NAME",
        help="show the images with the highest and lowest scores of this class; may be repeated",
    )
    parser.add_argument(
        "--corrupt",
        choices=("fail", "skip"),
        help="handling of unreadable images of a source; default: that of the run",
    )
    parser.add_argument(
        "--label-errors",
        action="store_true",
        help="list the labels that are probably wrong, of the test or validation split, or of all images of --folds",
    )
    parser.add_argument("--devices", default="auto", metavar="D", help=DEVICES_HELP)
    parser.add_argument("--full", action="store_true", help="print all numbers and findings, not ten lines")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _check(chosen: argparse.Namespace) -> None:
    """Raises InputError for options that do not fit each other."""
    if chosen.against and len(chosen.run) > 1:
        raise InputError(
            f"command line: --against compares one run with another; found {len(chosen.run)} runs before it"
        )
    kind = _averaged(chosen)
    others = ("against", "classes", "outliers", "corruptions", "label_errors")
    beside = [name for name in others if getattr(chosen, name) not in (None, [], False, ())]
    if kind and (beside or len(chosen.run) < 2):
        given = f"--{beside[0].replace('classes', 'class').replace('_', '-')}" if beside else "one run"
        raise InputError(f"command line: --{kind} averages several runs; found {given}, expected RUN RUN-2 ... alone")
    if chosen.outliers and (chosen.against or chosen.views or len(chosen.run) > 1):
        found = "--against" if chosen.against else "--views" if chosen.views else f"{len(chosen.run)} runs"
        raise InputError(f"command line: --outliers measures one run on single images; found {found} beside it")
    if chosen.corruptions is not None and (chosen.outliers or chosen.views or len(chosen.run) > 1):
        found = "--outliers" if chosen.outliers else "--views" if chosen.views else f"{len(chosen.run)} runs"
        raise InputError(f"command line: --corruptions measures one run on single images; found {found} beside it")
    check_level(chosen.coverage, "command line: --coverage")


def _averaged(chosen: argparse.Namespace) -> Literal["ensemble", "soup"] | None:
    """What of several runs is averaged, their probabilities or their weights; None for nothing."""
    return "ensemble" if chosen.ensemble else "soup" if chosen.soup else None


def _measure(chosen: argparse.Namespace) -> None:
    from keras_cnn.evaluation import session
    from keras_cnn.evaluation.target import EvaluateOptions

    options = EvaluateOptions(
        chosen.split,
        chosen.source,
        chosen.views,
        chosen.temperature,
        tuple(chosen.classes),
        chosen.corrupt,
        chosen.full,
        chosen.devices,
        chosen.coverage,
    )
    if kind := _averaged(chosen):
        from keras_cnn.evaluation.ensemble_session import evaluate_ensemble

        evaluate_ensemble(chosen.run, options, kind)
    elif chosen.corruptions is not None:
        from keras_cnn.evaluation.robustness import measure_corruptions

        measure_corruptions(chosen.run[0], options, chosen.corruptions, chosen.against)
    elif chosen.outliers:
        from keras_cnn.prediction.outliers import measure_outliers

        measure_outliers(chosen.run[0], chosen.outliers, options)
    elif chosen.against:
        session.compare_runs(chosen.run[0], chosen.against, options)
    elif len(chosen.run) > 1:
        session.show_runs(chosen.run, options)
    else:
        session.evaluate_run(chosen.run[0], options)
        if options.source is None and chosen.full:
            logger.info(f"next        {session.next_command(chosen.run[0], options)}")


def _list_label_errors(chosen: argparse.Namespace) -> None:
    """Lists the suspected label errors of a run or of a cross-validation."""
    given = {
        "--source": chosen.source,
        "--against": chosen.against,
        "--views": chosen.views,
        "--temperature": chosen.temperature,
        "--class": chosen.classes,
        "--corrupt": chosen.corrupt,
        "--outliers": chosen.outliers,
        "--corruptions": chosen.corruptions is not None,
        "several runs": len(chosen.run) > 1,
    }
    if wrong := next((name for name, value in given.items() if value), None):
        raise InputError(f"command line: {wrong} does not fit --label-errors; expected one run or cross-validation")
    run = chosen.run[0]
    early.check_exists(run)
    if not (run / "sweep.json").is_file():
        early.check_run(run)
    import_tensorflow()
    from keras_cnn.evaluation.label_error_files import write_label_errors

    write_label_errors(run, chosen.split)
