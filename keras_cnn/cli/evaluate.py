"""`python evaluate.py`: what its arguments ask for."""

from pathlib import Path

from keras_cnn.cli.parser import Parser
from keras_cnn.errors import InputError
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python evaluate.py runs/fashion                                   the test split
  python evaluate.py runs/fashion --source folder:new_photos        other images of the same classes
  python evaluate.py runs/after --against runs/before               which is better, and where
  python evaluate.py runs/net4 runs/net4-2 runs/net4-3              several seeds together

Numbers, predictions and figures go to RUN/evaluations/NAME. Every look at test images is counted in
RUN/test_readings.csv. Of several runs, numbers on record are taken where there are any.
"""


def main(arguments: list[str]) -> None:
    """`python evaluate.py`: see its --help."""
    parser = Parser(prog="python evaluate.py", description="Measures trained runs.", epilog=EXAMPLES)
    parser.add_argument("run", nargs="+", type=Path, metavar="RUN", help="run folder; several are summed up by seed")
    parser.add_argument("--split", choices=("test", "validation", "train"), help="default test; of a source, all parts")
    parser.add_argument("--source", help="other images of the same classes: folder:PATH, npz:FILE, tfds:NAME, ...")
    parser.add_argument("--against", type=Path, metavar="RUN", help="an older run, compared on the same images")
    parser.add_argument(
        "--views",
        metavar="flip|N",
        help="test-time augmentation: average the probabilities of the image and its mirror image, or of the image and"
        " N views by the run's own augmentation",
    )
    parser.add_argument(
        "--temperature", action="store_true", help="probabilities at the temperature fitted on validation"
    )
    parser.add_argument(
        "--class",
        action="append",
        default=[],
        dest="classes",
        metavar="NAME",
        help="show the images of highest and lowest score of this class; may be given more than once",
    )
    parser.add_argument("--corrupt", choices=("fail", "skip"), help="unreadable images of a source; default as the run")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)
    if chosen.against and len(chosen.run) > 1:
        raise InputError(
            f"command line: --against compares one run with another; found {len(chosen.run)} runs before it"
        )
    import_tensorflow()  # takes seconds: --help and wrong options do without
    from keras_cnn.evaluation import session
    from keras_cnn.evaluation.subjects import EvaluateOptions

    asked = EvaluateOptions(
        chosen.split, chosen.source, chosen.views, chosen.temperature, tuple(chosen.classes), chosen.corrupt
    )
    if chosen.against:
        session.compare_runs(chosen.run[0], chosen.against, asked)
    elif len(chosen.run) > 1:
        session.sum_up_runs(chosen.run, asked)
    else:
        session.evaluate_run(chosen.run[0], asked)
        if asked.source is None:
            print(f"next        {session.next_command(chosen.run[0], asked)}")
