"""Measures trained runs: `python evaluate.py --help`."""

import sys

from keras_cnn.cli.program import run

if __name__ == "__main__":
    sys.exit(run("evaluate", sys.argv[1:]))
