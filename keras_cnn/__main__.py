"""Makes `python -m keras_cnn` the command `keras-cnn`."""

import sys

from keras_cnn.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
