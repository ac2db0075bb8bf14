"""A few images of a split beside what training sees of them."""

import numpy as np
import tensorflow as tf

from keras_cnn.data.augment import Augmentation, augment
from keras_cnn.data.dataset import Split
from keras_cnn.data.fast_decoding import to_bytes
from keras_cnn.data.pipeline import ArrayBatches, Batch, FileBatches, batches, in_files


def preview(
    split: Split,
    image_shape: tuple[int, int, int],
    recipe: Augmentation,
    seed: int,
    *,
    views: int,
    batch_size: int,
    fit: str = "crop",
) -> np.ndarray:
    """(N, 1 + views, H, W, C) uint8: the images, and their augmentations by `recipe` in the first `views` epochs.

    The images are repeated up to `batch_size`, that of training, so that XLA compiles the augmentation once for both.
    """
    count = len(split)
    rows = max(batch_size, count)
    repeated = np.arange(-rows, 0) % count  # ends with all images, behind the last one, the first one's partner
    whole = _first(batches(split, image_shape, count, fit=fit))
    crop, recipe = in_files(split, recipe, seed)

    def augmented(images, keys, epoch):
        return to_bytes(augment(images, tf.zeros((tf.size(keys) // 2, 1)), keys, epoch, seed=seed, recipe=recipe)[0])

    signature = [((None, *image_shape), tf.uint8), ((None, 2), tf.int32), ((), tf.int32)]
    augmented = tf.function(augmented, autograph=False, input_signature=[tf.TensorSpec(*spec) for spec in signature])
    columns = [whole.images]
    for epoch in range(views):
        batch = whole
        if crop:
            options = {"start": (epoch, 0), "epochs": epoch + 1, "crop": crop, "cache": "none"}
            batch = _first(batches(split, image_shape, count, fit=fit, **options))
        filled = augmented(tf.gather(batch.images, repeated), tf.gather(batch.keys, repeated), epoch)
        columns.append(filled[rows - count :])
    return np.stack([column.numpy() for column in columns], axis=1)


def _first(batches: FileBatches | ArrayBatches) -> Batch:
    return next(iter(batches))
