"""The options that do not fit the labels of the images: refused by name before anything is trained."""

from keras_cnn.errors import require
from keras_cnn.tasks.classification.setup import TrainingSetup

SEVERAL = "several labels an image, each with a sigmoid of its own"


def require_fitting(setup: TrainingSetup) -> None:
    """Raises InputError for an option without meaning for the labels: one class an image, or several."""
    train, augmentation = setup.config.train, setup.augmentation
    if not setup.dataset.several_labels:
        is_map = train.monitor == "val_map"
        require(not is_map, "train.monitor", "found val_map, of one class an image", "auto, val_accuracy or val_loss")
        return
    monitors = "auto, val_map or val_loss"
    found = {
        "train.monitor": (train.monitor, train.monitor == "val_accuracy", monitors),
        "train.loss": (train.loss, train.loss != "cross_entropy", "cross_entropy"),
        "train.logit_adjustment": (train.logit_adjustment, train.logit_adjustment > 0, "0"),
        "data.augment.mixup": (augmentation.mixup, augmentation.mixup > 0, "0"),
        "data.augment.cutmix": (augmentation.cutmix, augmentation.cutmix > 0, "0"),
        "published": ("numbers of a publication", setup.config.published is not None, "null"),
    }
    for name, (value, is_wrong, expected) in found.items():
        require(not is_wrong, name, f"found {value} with {SEVERAL}", expected)
