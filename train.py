"""Trains a CNN from scratch: `python train.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_cnn.cli.program import run_program

        sys.exit(run_program("train"))
    except KeyboardInterrupt:  # before the program's own handling of signals
        sys.exit(3)
