"""Trains a CNN from scratch: `python train.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_cnn.cli.program import run

        sys.exit(run("train", sys.argv[1:]))
    except KeyboardInterrupt:  # before the program's own handling of signals
        sys.exit(3)
