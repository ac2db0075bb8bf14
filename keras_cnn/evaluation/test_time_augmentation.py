"""Test-time augmentation: the probabilities of several views of an image are averaged."""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from keras_cnn.data.augment import RECIPES, Augmentation, augment
from keras_cnn.data.fast_decoding import to_bytes
from keras_cnn.errors import InputError
from keras_cnn.messages import counted

MAX_VIEWS = 1000
_SEED = 0


@dataclass(frozen=True)
class Views:
    """The views of an image that a model is given: the image itself and `count` views augmented by `recipe`."""

    name: str  # "none", "flip" or a number, as on the command line
    recipe: Augmentation
    count: int

    def __len__(self) -> int:
        return 1 + self.count

    def of(self, batch, number: int) -> tf.Tensor:
        """(B, H, W, C) uint8: view `number` of a batch of `data.pipeline`; 0 is the images themselves.

        A view depends only on its number and the id of the image.
        """
        if number == 0:
            return batch.images
        unused = tf.zeros((len(batch.keys), 1))
        return to_bytes(augment(batch.images, unused, batch.keys, number - 1, seed=_SEED, recipe=self.recipe)[0])

    def in_words(self) -> str:
        """Description of the averaged views, such as "the image and its mirror image"."""
        if not self.count:
            return "one view per image"
        others = "its mirror image" if self.name == "flip" else counted(self.count, "augmented view")
        return f"the image and {others}"


ONE = Views("none", RECIPES["none"], 0)
FLIP = Views("flip", Augmentation(flip=1.0), 1)


def choose_views(text: str | None, recipe: Augmentation) -> Views:
    """The views for the option `--views`: None, "flip", or a number of views augmented by the training's `recipe`.

    MixUp and CutMix are left out of the recipe, because they combine two images. Raises InputError for other texts, and
    where nothing remains of the recipe.
    """
    if text is None:
        return ONE
    if text == "flip":
        return FLIP
    if not text.isdecimal() or not 1 <= int(text) <= MAX_VIEWS:
        raise InputError(f"--views {text}: expected flip, or a number of views from 1 to {MAX_VIEWS}")
    recipe = replace(recipe, mixup=0.0, cutmix=0.0)
    if recipe == replace(RECIPES["none"], fill=recipe.fill):
        raise InputError(
            f"--views {text}: the run was trained without augmentation, so all views are equal; expected --views flip"
        )
    return Views(str(int(text)), recipe, int(text))


def mean_of_views(logits: np.ndarray) -> np.ndarray:
    """(N, C) float32: the logarithm of the mean probability over V views, from their logits (V, N, C).

    It can be used as logits, because its softmax is the mean of the views' softmax.
    """
    logits = np.asarray(logits, np.float64)
    logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return (np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))).astype(np.float32)
