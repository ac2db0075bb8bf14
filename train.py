"""Trains a CNN from scratch: `python train.py --help`."""

import sys

from keras_cnn.cli.program import run

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:]))
