"""Trains a CNN from scratch: `python train.py --help`."""

import sys

from keras_cnn.cli.train import main
from keras_cnn.command_line import run

if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
