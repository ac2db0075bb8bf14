"""Trains a CNN from scratch: `python train.py --help`."""

import sys

from keras_cnn import command_line

if __name__ == "__main__":
    sys.exit(command_line.run(command_line.train, sys.argv[1:]))
