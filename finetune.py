"""Fine-tunes a pretrained network: `python finetune.py --help`."""

import sys

from keras_cnn.cli.program import run

if __name__ == "__main__":
    sys.exit(run("finetune", sys.argv[1:]))
