"""Finds, follows and counts objects: `python detect.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_cnn.cli.program import run_program

        sys.exit(run_program("detect"))
    except KeyboardInterrupt:  # before the program's own handling of signals
        sys.exit(3)
