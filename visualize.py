"""Draws what a network looks at: `python visualize.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_cnn.cli.program import run

        sys.exit(run("visualize", sys.argv[1:]))
    except KeyboardInterrupt:  # before the program's own handling of signals
        sys.exit(3)
