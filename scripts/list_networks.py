"""Prints the rows of `keras_cnn/networks.py` that are computed: name, image side, parameters, multiply-adds, family.

    python scripts/list_networks.py [NAME ...]

Networks are built without memory for their weights, with the head of their publication for 1000 classes.
"""

import math
import sys

from keras_cnn.models import arithmetic, backbones, classics
from keras_cnn.models.applications import APPLICATIONS
from keras_cnn.models.graph import unallocated


def main() -> None:
    for name in sys.argv[1:] or backbones.names():
        side, is_classic = backbones.default_side(name), name in classics.CLASSICS
        with unallocated():
            head = "reference" if is_classic else "pooled"
            model = backbones.classifier(name, (side, side, 3), 1000, weights="none", head=head)
            parameters = sum(math.prod(weight.shape) for weight in model.weights)
            adds = arithmetic.totals(arithmetic.table(model)).multiply_adds
        family = "torchvision" if is_classic else APPLICATIONS[name].build.__module__.rpartition(".")[2]
        print(name, side, parameters, adds, family, flush=True)


if __name__ == "__main__":
    main()
