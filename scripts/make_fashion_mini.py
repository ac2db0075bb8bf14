"""Makes keras_cnn/data/embedded/fashion_mini.npz, always the same bytes, from Debian's package dataset-fashion-mnist.

    python scripts/make_fashion_mini.py [FOLDER]

It has the 1,000 training and 200 test images of each class whose ids come first by SHA-256, in their original order.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np

from keras_cnn.data.arrays import read_fashion_mnist
from keras_cnn.data.splits import at_most_per_class

EMBEDDED = Path(__file__).resolve().parents[1] / "keras_cnn" / "data" / "embedded"
PER_CLASS = {"train": 1000, "test": 200}


def main(folder: Path) -> None:
    """Writes fashion_mini.npz into `folder`."""
    arrays = {}
    for name, part in read_fashion_mnist().parts.items():
        split = at_most_per_class(part, PER_CLASS[name], seed="fashion-mini").split
        arrays[f"x_{name}"] = split.pixels
        arrays[f"y_{name}"] = split.labels.astype(np.uint8)
        arrays[f"index_{name}"] = np.array([int(i.rpartition("/")[2]) for i in split.ids], np.uint16)
    # numpy.savez_compressed has no option for the compression level.
    with zipfile.ZipFile(folder / "fashion_mini.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EMBEDDED)
