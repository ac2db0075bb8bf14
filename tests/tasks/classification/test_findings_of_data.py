"""What is odd about the images of a run, and what is advised, is said before it trains."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_cnn.config import TrainConfig
from keras_cnn.data import Split
from keras_cnn.data import fingerprints as fp
from keras_cnn.data.duplicates import overlaps
from keras_cnn.data.image_files import ImageFile
from keras_cnn.data.splits import SourcePart
from keras_cnn.tasks.classification.setup import data_notes
from keras_cnn.tasks.classification.summary import _advice, _classes, class_advice


def part(name: str, pixels: np.ndarray, labels: list[int]) -> SourcePart:
    ids = tuple(f"{name}/{number}" for number in range(len(labels)))
    return SourcePart(Split(ids, np.array(labels, np.int32), pixels), fp.of_arrays(pixels))


def test_identical_images_across_splits_and_with_other_labels_are_counted():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    parts = {"train": part("train", pixels[[0, 1, 1, 2]], [0, 0, 1, 1]), "test": part("test", pixels[[2, 3]], [1, 0])}
    assert list(data_notes({"notes": ["first"], "skipped": [{}, {}], **overlaps(parts)})) == [
        "first",
        "2 unreadable images skipped (see split.json)",
        "1 set of identical images lies across splits (see split.json)",
        "1 set of identical images has different labels (see split.json)",
    ]


def images(*counts: int, in_files: bool = False) -> Split:
    """A split with this number of images of each class."""
    ids = tuple(map(str, range(sum(counts))))
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    files = [ImageFile(Path(name), "PNG", "L", 1, 1, 1, transparent=False, size=70, modified=0) for name in ids]
    return Split(ids, labels, files=files) if in_files else Split(ids, labels, pixels=np.zeros((len(ids), 1, 1, 1)))


LOADED = SimpleNamespace(loaded=("conv1",))
FEW = ["999 photos are few for a network from scratch; a pretrained one learns"]
FEW += ["  from fewer: keras-cnn finetune PHOTOS --backbone mobilenetv2"]
UNEQUAL = ["the classes are unequal: --train.class_weights balanced counts them alike"]


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"train": images(900, 300)}, []),
        ({"train": images(901, 300)}, UNEQUAL),
        ({"train": images(901, 300), "class_weights": "balanced"}, []),
        ({"train": images(901, 300), "logit_adjustment": 1.0}, []),
        ({"train": images(1200, 0)}, []),
        ({"steps": 1}, ["one step an epoch: a smaller --batch-size than 128, or more --epochs"]),
        ({"train": images(500, 499, in_files=True)}, FEW),
        ({"train": images(500, 499, in_files=True), "loaded": SimpleNamespace(loaded=())}, FEW),
        ({"train": images(500, 499, in_files=True), "loaded": LOADED}, []),
        ({"train": images(500, 500, in_files=True)}, []),
        ({"train": images(500, 499)}, []),
        ({"validation": 299}, ["val_accuracy of 299 images chooses badly: val_loss chooses the best epoch"]),
        (
            {"validation": 299, "monitor": "val_accuracy"},
            ["val_accuracy of 299 images chooses badly; --train.monitor val_loss"],
        ),
        ({"steps": 1, "validation": 299, "overfit_batch": True}, []),
    ],
)
def test_advice_follows_from_the_numbers_of_images(settings, advice):
    given = {"train": images(600, 600), "validation": 300, "loaded": None, "steps": 2, "monitor": "val_loss"}
    given |= {"overfit_batch": False, "class_weights": "none", "logit_adjustment": 0.0} | settings
    of_training = ("overfit_batch", "class_weights", "logit_adjustment")
    setup = SimpleNamespace(
        train=given["train"],
        dataset=SimpleNamespace(classes=("cat", "dog"), validation=images(given["validation"])),
        config=SimpleNamespace(train=TrainConfig(**{name: given[name] for name in of_training})),
        **{name: given[name] for name in ("loaded", "steps", "monitor")},
    )
    of_classes = [] if given["overfit_batch"] else class_advice(setup)
    assert [*_advice(setup), *of_classes] == advice


def test_the_smallest_and_the_largest_class_are_named():
    dataset = SimpleNamespace(classes=("cat", "dog", "owl"), source="folder:pets")
    words = [_classes(SimpleNamespace(train=images(*n), dataset=dataset)).strip() for n in ((5, 3, 1200), (4, 4, 4))]
    assert words == [
        "folder:pets, 3 (dog) to 1,200 (owl) training images a class",
        "folder:pets, 4 training images in each class",
    ]
