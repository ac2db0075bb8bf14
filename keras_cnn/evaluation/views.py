"""Test-time augmentation: several views of an image, whose probabilities are averaged."""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from keras_cnn.data.augment import RECIPES, Augmentation, augment
from keras_cnn.data.fast_decoding import to_bytes
from keras_cnn.errors import InputError

MOST = 1000
_SEED = 0


@dataclass(frozen=True)
class Views:
    """What a model is shown of an image: the image itself, and `count` views of it as `recipe` makes them."""

    name: str  # "none", "flip" or a number, as on the command line
    recipe: Augmentation
    count: int

    def __len__(self) -> int:
        return 1 + self.count

    def of(self, batch, number: int) -> tf.Tensor:
        """(B, H, W, C) uint8: view `number` of a batch of `data.pipeline`, 0 being the images themselves.

        A view depends on its number and on the image's id alone.
        """
        if number == 0:
            return batch.images
        unused = tf.zeros((len(batch.keys), 1))
        return to_bytes(augment(batch.images, unused, batch.keys, number - 1, seed=_SEED, recipe=self.recipe)[0])

    def in_words(self) -> str:
        """What is averaged, for a line of text."""
        if not self.count:
            return "one view an image"
        return (
            "the image and its mirror image" if self.name == "flip" else f"the image and {self.count} augmented views"
        )


ONE = Views("none", RECIPES["none"], 0)
FLIP = Views("flip", Augmentation(flip=1.0), 1)


def choose_views(text: str | None, recipe: Augmentation) -> Views:
    """The views that `--views` asks for: None, "flip", or a number of views by the `recipe` of the training.

    MixUp and CutMix are left out of it, because they show two images at once. Raises InputError for anything else, and
    where nothing is left of the recipe.
    """
    if text is None:
        return ONE
    if text == "flip":
        return FLIP
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise InputError(f"--views {text}: expected flip, or a number of views from 1 to {MOST}")
    recipe = replace(recipe, mixup=0.0, cutmix=0.0)
    if recipe == replace(RECIPES["none"], fill=recipe.fill):
        raise InputError(
            f"--views {text}: the run trained without augmentation, so all views are one; try --views flip"
        )
    return Views(str(int(text)), recipe, int(text))


def mean_of_views(logits: np.ndarray) -> np.ndarray:
    """(N, C) float32: the logarithm of the mean probability over views, from their logits (V, N, C).

    Its softmax is the mean of the views' softmax, so that it serves as logits.
    """
    logits = np.asarray(logits, np.float64)
    logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return (np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))).astype(np.float32)
