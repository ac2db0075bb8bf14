"""Fine-tunes a pretrained network: `python finetune.py --help`."""

import sys

from keras_cnn.cli.program import run_program

if __name__ == "__main__":
    sys.exit(run_program("finetune"))
