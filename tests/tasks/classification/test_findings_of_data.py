"""What is odd about the images of a run is said before it trains."""

import numpy as np

from keras_cnn.data import Split
from keras_cnn.data import fingerprints as fp
from keras_cnn.data.splits import SourcePart, overlaps
from keras_cnn.tasks.classification.setup import data_notes


def part(name: str, pixels: np.ndarray, labels: list[int]) -> SourcePart:
    ids = tuple(f"{name}/{number}" for number in range(len(labels)))
    return SourcePart(Split(ids, np.array(labels, np.int32), pixels), fp.of_arrays(pixels))


def test_identical_images_across_splits_and_with_other_labels_are_counted():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    parts = {"train": part("train", pixels[[0, 1, 1, 2]], [0, 0, 1, 1]), "test": part("test", pixels[[2, 3]], [1, 0])}
    assert list(data_notes({"notes": ["first"], "skipped": [{}, {}], **overlaps(parts)})) == [
        "first",
        "2 unreadable images skipped (see split.json)",
        "1 sets of identical images lie across splits (see split.json)",
        "1 sets of identical images have different labels (see split.json)",
    ]
