"""Finds, follows and counts objects: `python detect.py --help`."""

import sys

from keras_cnn.cli.program import run

if __name__ == "__main__":
    sys.exit(run("detect", sys.argv[1:]))
