"""Augmentation of a batch of images as a function of (seed, epoch, image key), fused into one warp and one pass.

All geometry (pad and crop, flips, rotation, scale, shear, translation) is one affine map per image, sampled once; all
colour jitter is one affine map of the colours. XLA compiles each stage separately. On 2 cores, a batch of 32 images of
224 x 224 takes 31 ms with `ImageProjectiveTransformV3` and plain TensorFlow arithmetic, 25 ms as one XLA program (which
recomputes the sampling positions for each of the four neighbours, unvectorised), and 9 ms in stages; the colours alone
take 1.2 ms instead of 5.9 ms. XLA compiles once for each batch size, so that a partial last batch costs half a second
once per run.

Where XLA cannot compile for a GPU (see `xla_problem`), the same stages run uncompiled. Every op has a kernel on GPUs:
pixels and positions are uint32, which has kernels for arithmetic where int32 is computed on the host, and are gathered
as int32, because uint32 has no kernel for that.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal, cast, get_args

import tensorflow as tf

from keras_cnn.data.resized_crops import into_random_window
from keras_cnn.data.threefry import threefry
from keras_cnn.data.xla import compiled
from keras_cnn.errors import InputError

Fill = Literal["constant", "nearest", "reflect"]
FILLS = get_args(Fill)
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
                raise InputError(f"augmentation.{field.name} is {value}; expected a number of 0 or more")
        for name in ("flip", "vertical_flip"):
            if getattr(self, name) > 1:
                raise InputError(f"augmentation.{name} is {getattr(self, name)}; expected a probability, 0 to 1")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise InputError(f"augmentation.scale is {self.scale}; expected (smallest, largest), both above 0")
        if len(self.crop_area) != 2 or not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise InputError(
                f"augmentation.crop_area is {self.crop_area}; expected (smallest, largest), above 0, up to 1"
            )
        if self.shear >= 90:
            raise InputError(f"augmentation.shear is {self.shear}; expected less than 90 degrees")
        if self.fill not in FILLS:
            raise InputError(f"augmentation.fill is {self.fill!r}; expected one of {', '.join(FILLS)}")

    @property
    def interpolates(self) -> bool:
        """Whether a sampling position may fall between pixels."""
        return bool(self.crops or self.rotation or self.scale != (1.0, 1.0) or self.translation or self.shear)

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
    draws = _draw(keys, tf.cast(epoch, tf.int64), tf.cast(seed, tf.int64))
    height, width, channels = cast("tuple[int, int, int]", tuple(images.shape[1:]))
    if channels > 4 or min(height, width) < 2:
        raise InputError(f"an image of shape {(height, width, channels)} cannot be augmented; expected H, W of at least"
                         " 2 and at most 4 channels")  # fmt: skip
    colour = _colour_map(images, draws, recipe) if recipe.jitters or recipe.cutout else None
    if recipe.warps:
        matrix = _affine(draws, recipe, height, width)
        if recipe.crops:
            matrix = into_random_window(matrix, keys, (epoch, seed), recipe.crop_area, (height, width))
        images = _warp(images, matrix, recipe.interpolates, recipe.fill)
    result = _finish(images, channels, colour, draws, recipe)
    return _mix(result, labels, draws, recipe) if recipe.mixes else (result, labels)


@compiled
def _draw(keys, epoch, seed):
    """A uniform 24-bit number in [0, 1) for each name of `_DRAWS` and each image: {name: (B,) float32}."""
    words = tf.bitcast(keys, tf.uint32)
    stream = tf.cast(tf.bitwise.bitwise_and(tf.stack([seed, epoch]), 0xFFFFFFFF), tf.uint32)
    image = threefry(stream[0], stream[1], words[:, 0], words[:, 1])
    counter = tf.cast(tf.range(len(_DRAWS) // 2)[None], tf.uint32)
    bits = threefry(image[0][:, None], image[1][:, None], counter, tf.zeros_like(counter))
    uniform = tf.cast(tf.bitwise.right_shift(tf.concat(bits, 1), tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24
    return dict(zip(_DRAWS, tf.unstack(uniform, axis=1), strict=True))


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


def _warp(images, matrix, interpolate, fill):
    height, width = images.shape[1:3]
    border = 1 if fill == "constant" else 0
    packed = _pack(images, border)
    return _sample(packed, *_positions(matrix, height, width, interpolate, fill), width + 2 * border)


@compiled
def _pack(images, border):
    """(B, h, w) uint32: each pixel's channels in the four bytes of a word, so that sampling reads whole pixels."""
    spare = 4 - images.shape[-1]
    return tf.bitcast(tf.pad(images, [[0, 0], [border, border], [border, border], [0, spare]]), tf.uint32)


@compiled
def _positions(matrix, height, width, interpolate, fill):
    """The index of the upper left neighbour in the flattened packed batch, and the lower right's weights in 1/256."""
    x = tf.range(width, dtype=tf.float32)[None, None, :]
    y = tf.range(height, dtype=tf.float32)[None, :, None]
    a, b, c, d, e, f = (matrix[:, None, None, k] for k in range(6))
    border = 1 if fill == "constant" else 0
    rows, columns = height + 2 * border, width + 2 * border
    left, weight_x = _split(_fold(a * x + b * y + c, width, fill), columns)
    top, weight_y = _split(_fold(d * x + e * y + f, height, fill), rows)
    first = tf.bitcast(tf.range(tf.shape(matrix)[0]), tf.uint32)[:, None, None] * _word(rows * columns)
    columns = _word(columns)
    if interpolate:
        weights = tf.bitwise.bitwise_or(weight_x, tf.bitwise.left_shift(weight_y, _word(16)))
        return first + top * columns + left, weights
    eight = _word(8)
    whole_x, whole_y = left + tf.bitwise.right_shift(weight_x, eight), top + tf.bitwise.right_shift(weight_y, eight)
    return first + whole_y * columns + whole_x, None


def _fold(position, size, fill):
    """The position in the packed image, which has a border of one black pixel if `fill` is constant."""
    if fill == "constant":
        return tf.clip_by_value(position + 1, 0.0, size + 1.0)
    if fill == "reflect":
        phase = (position + 0.5) / (2 * size)
        phase = (phase - tf.floor(phase)) * (2 * size)
        position = tf.minimum(phase, 2 * size - phase) - 0.5
    return tf.clip_by_value(position, 0.0, size - 1.0)


def _split(position, size):
    """The whole part, at most size - 2 so that a right neighbour exists, and the rest in 1/256 pixel, 0 to 256."""
    fixed = tf.bitcast(tf.cast(position * 256 + 0.5, tf.int32), tf.uint32)
    pixel = tf.minimum(tf.bitwise.right_shift(fixed, _word(8)), _word(size - 2))
    return pixel, fixed - pixel * _word(256)


@compiled
def _sample(packed, index, weights, columns):
    """(B, H, W) uint32: the bilinear mean of the four neighbours, two channels at a time in the halves of a word.

    Each of the two interpolations rounds to 8 bits: the result is at most one grey level from the exact value, and
    equal to it wherever the position is whole.
    """
    flat = tf.bitcast(tf.reshape(packed, [-1]), tf.int32)

    def pixels(index):
        return tf.bitcast(tf.gather(flat, tf.bitcast(index, tf.int32)), tf.uint32)

    if weights is None:
        return pixels(index)
    corners = [pixels(index + _word(step)) for step in (0, 1, columns, columns + 1)]
    x, y = tf.bitwise.bitwise_and(weights, _word(0xFFFF)), tf.bitwise.right_shift(weights, _word(16))
    even, odd = (_bilinear([half(c) for c in corners], x, y) for half in (_even, _odd))
    return tf.bitwise.bitwise_or(even, tf.bitwise.left_shift(odd, _word(8)))


def _word(value):
    return tf.constant(value, tf.uint32)


def _even(pixels):
    return tf.bitwise.bitwise_and(pixels, _word(0x00FF00FF))


def _odd(pixels):
    return _even(tf.bitwise.right_shift(pixels, _word(8)))


def _bilinear(corners, x, y):
    def between(first, second, weight):
        total = first * (_word(256) - weight) + second * weight + _word(0x00800080)
        return _even(tf.bitwise.right_shift(total, _word(8)))

    upper, lower = between(corners[0], corners[1], x), between(corners[2], corners[3], x)
    return between(upper, lower, y)


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
        images = tf.bitcast(images, tf.uint8)[..., :channels]
    pixels = tf.cast(images, tf.float32)
    if colour is None:
        return pixels
    mean, gain, offset, saturation = colour
    if recipe.cutout:
        hidden = _box(draws["cutout_x"], draws["cutout_y"], float(recipe.cutout), float(recipe.cutout), images.shape)
        pixels = tf.where(hidden, mean[:, None, None, :], pixels)
    if recipe.saturation and images.shape[-1] == 3:
        red, green, blue = (pixels[:, :, :, k : k + 1] * GREY[k] for k in range(3))
        share = saturation[:, None, None, None]
        pixels = pixels * share + (red + green + blue) * (1 - share)
    if recipe.jitters:
        pixels = tf.clip_by_value(pixels * gain[:, None, None, None] + offset[:, None, None, None], 0.0, 255.0)
    return pixels


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
