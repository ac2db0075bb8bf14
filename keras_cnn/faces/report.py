"""`python report.py`: what its arguments ask for."""

from pathlib import Path

from keras_cnn.command_line import Parser

EXAMPLES = """examples:
  python report.py runs/fashion                     one run; writes runs/fashion/report.html
  python report.py runs/net1 runs/net3 --out a.html several runs, compared
  python report.py runs/sweep                       a folder of runs; writes runs/sweep/report.html
"""


def main(arguments: list[str]) -> None:
    """`python report.py`: see its --help."""
    parser = Parser(prog="python report.py", description="Writes one page about runs.", epilog=EXAMPLES)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, or a folder of run folders")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page; default report.html beside the runs")
    parser.add_argument("--wandb", action="store_true", help="save the same as a W&B Report too; needs an account")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)

    from keras_cnn.report.html import write_report  # takes a second: --help does without

    place = write_report(chosen.runs, chosen.out)
    print(f"report  {place}   ({place.stat().st_size / 1e6:.1f} MB; opens in any browser, without a network)")
    if chosen.wandb:
        from keras_cnn.report import wandb

        print(f"W&B     {wandb.save(wandb.build(chosen.runs))}")
