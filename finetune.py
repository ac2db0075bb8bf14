"""Fine-tunes a pretrained network: `python finetune.py --help`."""

import sys

from keras_cnn.command_line import run
from keras_cnn.faces.finetune import main

if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
