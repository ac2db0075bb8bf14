"""Measures trained runs: `python evaluate.py --help`."""

import sys

from keras_cnn.cli.program import run_program

if __name__ == "__main__":
    sys.exit(run_program("evaluate"))
