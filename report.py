"""One page about one run, several runs or a sweep: `python report.py --help`."""

import sys

from keras_cnn.cli.program import run_program

if __name__ == "__main__":
    sys.exit(run_program("report"))
