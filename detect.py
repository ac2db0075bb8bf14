"""Finds, follows and counts objects: `python detect.py --help`."""

import sys

from keras_cnn.cli.detect import main
from keras_cnn.command_line import run

if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
