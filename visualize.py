"""Draws what a network looks at: `python visualize.py --help`."""

import sys

from keras_cnn.cli.program import run

if __name__ == "__main__":
    sys.exit(run("visualize", sys.argv[1:]))
