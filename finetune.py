"""Fine-tunes a pretrained network: `python finetune.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_cnn.cli.program import run

        sys.exit(run("finetune", sys.argv[1:]))
    except KeyboardInterrupt:  # before the program's own handling of signals
        sys.exit(3)
