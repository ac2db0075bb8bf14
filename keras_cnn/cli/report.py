"""The command line of `python report.py`."""

from pathlib import Path

from keras_cnn.cli import early
from keras_cnn.cli.parser import Parser
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python report.py runs/fashion                     one run; writes runs/fashion/report.html
  python report.py runs/net1 runs/net3 --out a.html several runs, compared
  python report.py runs/cs7015_net1                 a sweep; writes its report.html and analysis/ (PNG, CSV)
  python report.py runs.csv                         any table with a row a run, or a row a run and epoch
"""


def main(arguments: list[str]) -> None:
    """`python report.py`: see its --help."""
    parser = Parser(prog="python report.py", description="Writes one page about runs or a sweep.", epilog=EXAMPLES)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folder, folder of them, sweep, or CSV file"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page; default report.html beside the runs")
    parser.add_argument("--wandb", action="store_true", help="save the same as a W&B Report too; needs an account")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)
    for path in chosen.runs:
        early.check_exists(path)

    import_tensorflow(counts_devices=False)  # takes seconds, which --help and wrong paths avoid
    from keras_cnn.report.pages import write_pages

    write_pages(chosen.runs, chosen.out, wandb=chosen.wandb)
