"""One page about one run, several runs or a sweep: `python report.py --help`."""

import sys

from keras_cnn.cli.program import run

if __name__ == "__main__":
    sys.exit(run("report", sys.argv[1:]))
