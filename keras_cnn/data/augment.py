"""Augmentation of a batch of images as a function of (seed, epoch, image key), fused into one warp and one pass.

All geometry (crops, flips, rotation, scale, shear, translation, and that of a policy) is one affine map per image,
sampled once; the colours of a policy follow in their order, and all colour jitter is one affine map of the colours.
XLA compiles each stage separately. On 2 cores, a batch of 32 images of 224 x 224 takes 31 ms with
`ImageProjectiveTransformV3` and plain TensorFlow arithmetic, 25 ms as one XLA program (which recomputes the sampling
positions for each of the four neighbours, unvectorised), and 9 ms in stages; the colours alone take 1.2 ms instead of
5.9 ms. XLA compiles once for each batch size, so that a partial last batch costs half a second once per run.

Where XLA cannot compile for a GPU (see `xla_problem`), the same stages run uncompiled; every op has a kernel on GPUs.
"""

import math
from dataclasses import dataclass, fields
from typing import cast

import tensorflow as tf

from keras_cnn.data import policies
from keras_cnn.data.colours import recoloured
from keras_cnn.data.erasing import erased_windows, inside_windows
from keras_cnn.data.policies import POLICIES, Policy
from keras_cnn.data.resized_crops import into_random_window
from keras_cnn.data.threefry import uniform
from keras_cnn.data.warp import FILLS, Fill, unpacked, warp
from keras_cnn.data.xla import compiled
from keras_cnn.errors import InputError

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's and torchvision's greyscale

# Every draw has a fixed index, so that switching one option on or off does not change the draws of another.
_DRAWS = (
    *("crop_x", "crop_y", "flip", "vertical_flip", "rotation", "scale", "translate_x", "translate_y", "shear"),
    *("brightness", "contrast", "saturation", "cutout_x", "cutout_y"),
    *("mix_choice", "beta_sign", "beta_radius", "beta_angle", "box_x", "box_y"),
)


@dataclass(frozen=True)
class Augmentation:
    """The random changes of a training image. All are off by default; each range is sampled uniformly.

    Raises `InputError`, with the name of the field, for an invalid value.

    Options:
        crop_area: smallest and largest share of the image in a crop that is resized to the whole (Szegedy et al. 2015)
        pad_crop: pixels added on every side before a crop of the original size is cut at random
        flip: probability of mirroring left to right
        vertical_flip: probability of mirroring top to bottom
        rotation: degrees, up to this far either way
        scale: smallest and largest magnification
        translation: fraction of the height and of the width, up to this far either way
        shear: degrees, up to this far either way
        brightness: factor from [max(0, 1 - b), 1 + b], as torchvision's ColorJitter
        contrast: the same, about the image's mean grey
        saturation: the same, about each pixel's grey
        policy: trivialaugment (Müller & Hutter 2021) draws one of 14 operations and its strength, randaugment (Cubuk
            et al. 2020) several of one strength; see `policies`
        operations: number of randaugment's operations, 1 to 10
        magnitude: strength of randaugment's operations, 0 to 30
        erase: probability that a rectangle of 2 to 33 % of the image gets the image's mean colour (Zhong et al. 2020)
        cutout: side in pixels of a square replaced by the image's mean colour (DeVries & Taylor 2017)
        mixup: alpha of the Beta distribution of the mixing weight (Zhang et al. 2018)
        cutmix: the same, the weight being an area (Yun et al. 2019); with mixup, each image draws one of them
        fill: the pixels outside the image: constant is black, nearest its nearest pixel, reflect its mirror image
    """

    crop_area: tuple[float, float] = (1.0, 1.0)
    pad_crop: int = 0
    flip: float = 0.0
    vertical_flip: float = 0.0
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translation: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    policy: Policy = "none"
    operations: int = 2
    magnitude: int = 9
    erase: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    fill: Fill = "constant"

    def __post_init__(self):
        for name in ("scale", "crop_area"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise InputError(f"data.augment.{field.name}: found {value}, expected a number of 0 or more")
        for name in ("flip", "vertical_flip", "erase"):
            if getattr(self, name) > 1:
                raise InputError(f"data.augment.{name}: found {getattr(self, name)}, expected a probability, 0 to 1")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise InputError(f"data.augment.scale: found {self.scale}, expected (smallest, largest), both above 0")
        if len(self.crop_area) != 2 or not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise InputError(
                f"data.augment.crop_area: found {self.crop_area}, expected (smallest, largest), above 0, up to 1"
            )
        if self.shear >= 90:
            raise InputError(f"data.augment.shear: found {self.shear}, expected less than 90 degrees")
        for name, values in (("fill", FILLS), ("policy", POLICIES)):
            if getattr(self, name) not in values:
                raise InputError(
                    f"data.augment.{name}: found {getattr(self, name)!r}, expected one of {', '.join(values)}"
                )
        for name, low, high in (("operations", 1, 10), ("magnitude", 0, policies.LEVELS - 1)):
            value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
            if value not in range(low, high + 1):
                raise InputError(f"data.augment.{name}: found {value}, expected a whole number from {low} to {high}")
            if value != default and self.policy != "randaugment":
                raise InputError(
                    f"data.augment.{name}: found {value} with policy {self.policy}, expected policy randaugment with it"
                )

    @property
    def interpolates(self) -> bool:
        """Whether a sampling position may fall between pixels."""
        turns = self.rotation or self.scale != (1.0, 1.0) or self.translation or self.shear
        return bool(self.crops or turns or self.has_policy)

    @property
    def has_policy(self) -> bool:
        """Whether operations are drawn for each image."""
        return self.policy != "none"

    @property
    def crops(self) -> bool:
        """Whether a crop of each image is resized."""
        return self.crop_area != (1.0, 1.0)

    @property
    def warps(self) -> bool:
        return self.interpolates or bool(self.pad_crop or self.flip or self.vertical_flip)

    @property
    def jitters(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation)

    @property
    def mixes(self) -> bool:
        return bool(self.mixup or self.cutmix)


# The reports name their augmentations. Where they give no numbers (COMP5623's affine map, CS6910's switch), the values
# are our own. CS7015's text names brightness, contrast and saturation, again without numbers; the settings known of its
# code are 0.5, 0.5 and none, so that the code alone is {name: cs7015, saturation: 0}.
RECIPES = {
    "none": Augmentation(),
    "light": Augmentation(flip=0.5, translation=0.05, fill="reflect"),
    "standard": Augmentation(
        flip=0.5, rotation=15, scale=(0.85, 1.2), translation=0.1, brightness=0.2, contrast=0.2, saturation=0.2,
        fill="reflect",
    ),
    "imagenet": Augmentation(crop_area=(0.08, 1.0), flip=0.5, brightness=0.4, contrast=0.4, saturation=0.4),
    "trivialaugment": Augmentation(flip=0.5, pad_crop=4, policy="trivialaugment"),
    "randaugment": Augmentation(flip=0.5, pad_crop=4, policy="randaugment"),
    "fashion": Augmentation(flip=0.5, pad_crop=2),
    "cs7015": Augmentation(pad_crop=4, flip=0.5, brightness=0.5, contrast=0.5, saturation=0.5),
    "comp5623": Augmentation(rotation=15, scale=(0.9, 1.1), translation=0.1, flip=0.2),
    "cs6910": Augmentation(rotation=20, scale=(0.8, 1.2), translation=0.1, flip=0.5, fill="nearest"),
    "tdt4265": Augmentation(),
    "in4310": Augmentation(),  # The report's section on data transformation lists none.
}  # fmt: skip


def augment(images, labels, keys, epoch, *, seed, recipe: Augmentation):
    """Applies the random changes of `recipe` in this epoch to a batch.

    `images` are (B, H, W, C), 0 to 255, uint8 or rounded to uint8, with H and W at least 2 and C at most 4; `labels`
    (B, classes), one-hot or soft; `keys` (B, 2) int32; `epoch` and `seed` whole numbers or scalar tensors, of which
    the lower 32 bits are used. Returns float32 images (B, H, W, C), 0 to 255, and float32 labels (B, classes).

    The changes of an image depend only on (seed, epoch, its key), not on its batch or its place there. The one
    exception is its partner in MixUp and CutMix: the image before it in the batch, or the last image for the first.
    """
    if not images.dtype.is_integer:
        images = tf.clip_by_value(tf.round(images), 0, 255)
    images, labels = tf.cast(images, tf.uint8), tf.cast(labels, tf.float32)
    stream = (tf.cast(epoch, tf.int64), tf.cast(seed, tf.int64))  # as tensors: a number would be compiled in
    draws = _draw(keys, stream)
    height, width, channels = cast("tuple[int, int, int]", tuple(images.shape[1:]))
    if channels > 4 or min(height, width) < 2:
        raise InputError(f"an image of shape {(height, width, channels)} cannot be augmented; expected H, W of at least"
                         " 2 and at most 4 channels")  # fmt: skip
    if recipe.has_policy and channels not in (1, 3):
        raise InputError(f"an image of {channels} channels has no {recipe.policy}; expected 1 or 3 channels")
    colour = _colour_map(images, draws, recipe) if recipe.jitters or recipe.cutout or recipe.erase else None
    size = (height, width)
    drawn = policies.draw(keys, stream, recipe, size) if recipe.has_policy else None
    if recipe.warps:
        matrix = _affine(draws, recipe, height, width)
        if recipe.crops:
            matrix = into_random_window(matrix, keys, stream, recipe.crop_area, size)
        if drawn:
            matrix = policies.with_geometry(matrix, *drawn, size)
        images = warp(images, matrix, recipe.interpolates, recipe.fill)
    if drawn:
        images = unpacked(images, channels)
        for operation, strength in zip(*(tf.unstack(each, axis=1) for each in drawn), strict=True):
            images = recoloured(images, operation, strength)
    erased = erased_windows(keys, stream, recipe.erase, size) if recipe.erase else None
    result = _finish(images, channels, colour, draws | {"erased": erased}, recipe)
    return _mix(result, labels, draws, recipe) if recipe.mixes else (result, labels)


@compiled
def _draw(keys, stream):
    """A uniform 24-bit number in [0, 1) for each name of `_DRAWS` and each image: {name: (B,) float32}."""
    numbers = uniform(keys, stream, 0, len(_DRAWS) // 2)
    return dict(zip(_DRAWS, tf.unstack(numbers, axis=1), strict=True))


def _between(uniform, low, high):
    return low + uniform * (high - low)


@compiled
def _affine(draws, recipe, height, width):
    """(B, 6) float32 a, b, c, d, e, f: output pixel (x, y) shows the input at (ax + by + c, dx + ey + f).

    With the image's centre as the origin, the input is flipped, then magnified, sheared along x, rotated clockwise and
    translated; the crop after padding is a further translation by whole pixels.
    """
    radians = math.pi / 180
    angle = _between(draws["rotation"], -recipe.rotation, recipe.rotation) * radians
    slope = tf.tan(_between(draws["shear"], -recipe.shear, recipe.shear) * radians)
    shrink = 1 / _between(draws["scale"], *recipe.scale)
    mirror_x = 1 - 2 * tf.cast(draws["flip"] < recipe.flip, tf.float32)
    mirror_y = 1 - 2 * tf.cast(draws["vertical_flip"] < recipe.vertical_flip, tf.float32)
    crop = 2 * recipe.pad_crop + 1
    move_x = tf.floor(draws["crop_x"] * crop) - recipe.pad_crop
    move_y = tf.floor(draws["crop_y"] * crop) - recipe.pad_crop
    move_x += _between(draws["translate_x"], -1, 1) * recipe.translation * width
    move_y += _between(draws["translate_y"], -1, 1) * recipe.translation * height
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = mirror_x * shrink * (cos + slope * sin), mirror_x * shrink * (sin - slope * cos)
    d, e = -mirror_y * shrink * sin, mirror_y * shrink * cos
    x, y = (width - 1) / 2, (height - 1) / 2
    c = x - a * (x + move_x) - b * (y + move_y)
    f = y - d * (x + move_x) - e * (y + move_y)
    return tf.stack([a, b, c, d, e, f], axis=1)


@compiled
def _colour_map(images, draws, recipe):
    """Mean colour (B, C), gain (B,), offset (B,) and saturation (B,).

    Brightness, contrast and saturation are applied in this order, as in torchvision's ColorJitter, but clipped only
    once at the end. The means are taken before the warp, over every (side / 32)th row and column.
    """
    step_y, step_x = (max(1, side // 32) for side in images.shape[1:3])
    thinned = tf.cast(images[:, ::step_y, ::step_x], tf.int64)
    count = thinned.shape[1] * thinned.shape[2]
    mean = tf.cast(tf.reduce_sum(thinned, axis=[1, 2]), tf.float32) / count  # whole numbers: exact in any order
    grey = tf.reduce_sum(mean * GREY, -1) if images.shape[-1] == 3 else tf.reduce_mean(mean, -1)
    brightness, contrast, saturation = (
        _between(draws[name], max(0.0, 1 - span), 1 + span)
        for name, span in (
            ("brightness", recipe.brightness), ("contrast", recipe.contrast), ("saturation", recipe.saturation)
        )
    )  # fmt: skip
    return mean, brightness * contrast, (1 - contrast) * brightness * grey, saturation


@compiled
def _finish(images, channels, colour, draws, recipe):
    """The uint8 images, packed or not, as float32 after cutout and colour jitter in one pass."""
    if images.dtype == tf.uint32:
        images = unpacked(images, channels)
    pixels = tf.cast(images, tf.float32)
    if colour is None:
        return pixels
    mean, gain, offset, saturation = colour
    for hidden in _hidden(draws, recipe, images.shape):
        pixels = tf.where(hidden, mean[:, None, None, :], pixels)
    if recipe.saturation and images.shape[-1] == 3:
        red, green, blue = (pixels[:, :, :, k : k + 1] * GREY[k] for k in range(3))
        share = saturation[:, None, None, None]
        pixels = pixels * share + (red + green + blue) * (1 - share)
    if recipe.jitters:
        pixels = tf.clip_by_value(pixels * gain[:, None, None, None] + offset[:, None, None, None], 0.0, 255.0)
    return pixels


def _hidden(draws, recipe, shape):
    """The (B, H, W, 1) bool masks of what cutout and erasing hide."""
    if recipe.cutout:
        yield _box(draws["cutout_x"], draws["cutout_y"], float(recipe.cutout), float(recipe.cutout), shape)
    if recipe.erase:
        yield inside_windows(draws["erased"], shape[1], shape[2])


def _box(centre_x, centre_y, width, height, shape):
    """(B, H, W, 1) bool: the pixels inside a box. Its centre is uniform over the image, whose edges clip it."""

    def inside(centre, side, size):
        start = tf.floor(centre * size) - tf.floor(side / 2)
        pixel = tf.range(size, dtype=tf.float32)[None]
        return (pixel >= start[:, None]) & (pixel < (start + side)[:, None])

    rows, columns = inside(centre_y, height, shape[1]), inside(centre_x, width, shape[2])
    return rows[:, :, None, None] & columns[:, None, :, None]


@compiled
def _mix(images, labels, draws, recipe):
    """Each image and label mixed with its predecessor by MixUp or CutMix; a batch of one image does not change."""
    own_up = _symmetric_beta(draws, recipe.mixup or 1.0)
    side = tf.sqrt(1 - _symmetric_beta(draws, recipe.cutmix or 1.0))
    box = _box(
        draws["box_x"], draws["box_y"],
        tf.floor(side * images.shape[2]), tf.floor(side * images.shape[1]), images.shape,
    )  # fmt: skip
    own_cut = 1 - tf.cast(box, tf.float32)
    share = 0.5 if recipe.mixup and recipe.cutmix else float(bool(recipe.mixup))
    up = draws["mix_choice"] < share
    own = tf.where(up[:, None, None, None], own_up[:, None, None, None], own_cut)
    weight = tf.where(up, own_up, tf.reduce_mean(own_cut, axis=[1, 2, 3]))[:, None]

    def previous(batch):
        return tf.concat([batch[-1:], batch[:-1]], axis=0)

    return images * own + previous(images) * (1 - own), labels * weight + previous(labels) * (1 - weight)


def _symmetric_beta(draws, alpha):
    """Beta(alpha, alpha) from three uniform numbers, without rejection (Devroye 1996, "one line of code")."""
    sign = tf.where(draws["beta_sign"] < 0.5, -0.5, 0.5)
    spread = (tf.pow(1 - draws["beta_radius"], -1 / alpha) - 1) * tf.square(tf.cos(2 * math.pi * draws["beta_angle"]))
    return 0.5 + sign / tf.sqrt(1 + 1 / spread)
