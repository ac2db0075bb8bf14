"""Draws what a network looks at: `python visualize.py --help`."""

import sys

from keras_cnn.cli.visualize import main
from keras_cnn.command_line import run

if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
