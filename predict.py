"""Classifies images by a trained network: `python predict.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_cnn.cli.program import run

        sys.exit(run("predict", sys.argv[1:]))
    except KeyboardInterrupt:  # before the program's own handling of signals
        sys.exit(3)
