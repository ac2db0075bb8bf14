"""One page about one run, several runs or a sweep: `python report.py --help`."""

import sys

from keras_cnn.cli.report import main
from keras_cnn.command_line import run

if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
