"""Draws what a network looks at: `python visualize.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_cnn.cli.program import run_program

        sys.exit(run_program("visualize"))
    except KeyboardInterrupt:  # before the program's own handling of signals
        sys.exit(3)
