"""The colour operations of TrivialAugment and RandAugment, each image with its own, as torchvision computes them.

What maps each grey level of a channel to another is a table of 256 numbers: brightness, posterize, solarize, and also
contrast, autocontrast and equalize, whose tables are computed from the image. Color and sharpness are computed pixel by
pixel. On CPUs, what needs the pixels is computed in a loop over the images that have such an operation: for a batch of
32 images of 224 x 224 on one core, the histograms of two images take 1 ms and those of all 58 ms. On GPUs, it is
computed for all images at once.

Results are whole grey levels, truncated as torchvision truncates them, after adding 1/256 so that rounding of float32
cannot make a level of its neighbour.
"""

import tensorflow as tf

from keras_cnn.data.policies import OPERATIONS
from keras_cnn.data.xla import compiled

_GREY = (0.2989, 0.587, 0.114)  # torchvision's rgb_to_grayscale
_OF_PIXELS = ("Contrast", "AutoContrast", "Equalize")  # operations whose table depends on the image


def recoloured(images, operation, strength):
    """(B, H, W, C) uint8: the images (B, H, W, C) uint8, C 1 or 3, after the colour operation of each.

    operation: (B,) int32, indices of OPERATIONS, of which the geometric ones change nothing here. strength: (B,).
    """
    at_once = on_gpu()
    tables = _tables(operation, strength, images.shape[-1])
    tables = _with_tables_of_pixels(images, operation, strength, tables, at_once)
    return _with_pixel_operations(_looked_up(images, tables), operation, strength, at_once)


def on_gpu() -> bool:
    """Whether this process has a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


@compiled
def _tables(operation, strength, channels):
    """(B, C, 256) float32: the new grey level for each, by the operations that do not look at the image."""
    level = tf.range(256, dtype=tf.float32)[None]
    strength = strength[:, None]
    block = tf.pow(2.0, 8 - strength)
    changed = {
        "Brightness": _whole(level * (1 + strength)),
        "Posterize": tf.floor(level / block) * block,
        "Solarize": tf.where(level >= strength, 255 - level, level),
    }
    table = tf.broadcast_to(level, [tf.shape(operation)[0], 256])
    for name, values in changed.items():
        table = tf.where(_is(operation, name)[:, None], values, table)
    return tf.tile(table[:, None], [1, channels, 1])


@compiled
def _with_tables_of_pixels(images, operation, strength, tables, at_once):
    """The tables with those of the operations that look at the image."""
    return _changed(_tables_of_pixels, _OF_PIXELS, (images, operation, strength), tables, at_once)


def _tables_of_pixels(images, operation, strength):
    """(n, C, 256) float32: the tables of images whose operation is one of `_OF_PIXELS`."""
    level = tf.range(256, dtype=tf.float32)[None, None]
    height, width, channels = images.shape[1:]
    counts = _histograms(images)
    seen = counts > 0
    low = tf.reduce_min(tf.where(seen, level, 255.0), axis=2, keepdims=True)
    high = tf.reduce_max(tf.where(seen, level, 0.0), axis=2, keepdims=True)
    last = tf.reduce_sum(tf.where(level == high, counts, 0.0), axis=2, keepdims=True)
    step = tf.floor((height * width - last) / 255)
    below = tf.cumsum(counts, axis=2, exclusive=True) + tf.floor(step / 2)
    equal = tf.clip_by_value(tf.floor(below / tf.maximum(step, 1.0)), 0.0, 255.0)
    grey = tf.floor(_grey(tf.cast(images, tf.float32)) + 2**-8) if channels == 3 else images
    mean = tf.reduce_mean(tf.cast(grey, tf.float64), axis=[1, 2, 3])[:, None, None]
    factor = 1 + strength[:, None, None]
    drawn = {
        "Contrast": _whole(level * factor + (1 - factor) * tf.cast(mean, tf.float32)),
        "AutoContrast": tf.where(high > low, _whole((level - low) * (255 / tf.maximum(high - low, 1.0))), level),
        "Equalize": tf.where(step > 0, tf.cast(equal, tf.float32), level),
    }
    result = tf.zeros_like(drawn["Contrast"])
    for name, table in drawn.items():
        result = tf.where(_is(operation, name)[:, None, None], table, result)
    return result


def _histograms(images):
    """(n, C, 256) float64: how many pixels of each channel have each grey level."""
    channels, count = images.shape[-1], tf.shape(images)[0]
    first = tf.bitcast(tf.range(count * channels), tf.uint32) * tf.constant(256, tf.uint32)
    place = tf.cast(images, tf.uint32) + tf.reshape(first, [-1, 1, 1, channels])
    place = tf.bitcast(tf.reshape(place, [-1]), tf.int32)
    sums = tf.math.unsorted_segment_sum(tf.ones_like(place, tf.float32), place, count * channels * 256)
    return tf.cast(tf.reshape(sums, [-1, channels, 256]), tf.float64)


@compiled
def _looked_up(images, tables):
    """(B, H, W, C) uint8: each value replaced by that of its image's and channel's table."""
    channels = images.shape[-1]
    first = tf.bitcast(tf.range(tf.shape(images)[0] * channels), tf.uint32) * tf.constant(256, tf.uint32)
    place = tf.cast(images, tf.uint32) + tf.reshape(first, [-1, 1, 1, channels])
    return tf.cast(tf.gather(tf.reshape(tables, [-1]), tf.bitcast(place, tf.int32)), tf.uint8)


@compiled
def _with_pixel_operations(images, operation, strength, at_once):
    """The images after Color and Sharpness, for those that have them."""
    return _changed(_pixels, ("Color", "Sharpness"), (images, operation, strength), images, at_once)


def _pixels(images, operation, strength):
    """(n, H, W, C) uint8: the images after Color or Sharpness."""
    pixels = tf.cast(images, tf.float32)
    factor = 1 + strength[:, None, None, None]
    is_color = _is(operation, "Color")[:, None, None, None]
    plain = tf.floor(_grey(pixels) + 2**-8) if images.shape[-1] == 3 else pixels
    other = tf.where(is_color, plain, _smooth(pixels))
    return tf.cast(_whole(pixels * factor + other * (1 - factor)), tf.uint8)


def _smooth(pixels):
    """The means of 3 x 3 pixels, the middle one weighted by 5, as whole levels; the image's edge stays as it is."""
    height, width = pixels.shape[1:3]
    if min(height, width) < 3:
        return pixels
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * pixels[:, 1:-1, 1:-1]
    inner = tf.pad(tf.round(sums / 13), [[0, 0], [1, 1], [1, 1], [0, 0]])
    row, column = tf.range(height, dtype=tf.float32)[:, None], tf.range(width, dtype=tf.float32)[None]
    edge = (row == 0) | (row == height - 1) | (column == 0) | (column == width - 1)
    return tf.where(edge[None, :, :, None], pixels, inner)


def _changed(change, names, inputs, results, at_once):
    """`results` with the rows of images whose operation is one of `names` replaced by `change(*inputs)` of them."""
    operation = inputs[1]
    wanted = tf.reduce_any(tf.stack([_is(operation, name) for name in names]), axis=0)
    if at_once:
        shape = [-1, *[1] * (results.shape.rank - 1)]
        return tf.where(tf.reshape(wanted, shape), change(*inputs), results)
    first = tf.argsort(tf.cast(~wanted, tf.int32), stable=True)
    count = tf.reduce_sum(tf.cast(wanted, tf.int32))

    def one(number, results):
        row = tf.gather(first, [number])  # a slice would make XLA compile anew for every batch: it wants `first` known
        new = change(*(tf.gather(tensor, row) for tensor in inputs))
        return number + 1, tf.tensor_scatter_nd_update(results, row[None], new)

    return tf.while_loop(lambda number, _: number < count, one, (tf.constant(0), results), parallel_iterations=1)[1]


def _grey(pixels):
    return pixels[..., 0:1] * _GREY[0] + pixels[..., 1:2] * _GREY[1] + pixels[..., 2:3] * _GREY[2]


def _whole(values):
    """Truncated to whole grey levels, 0 to 255."""
    return tf.floor(tf.clip_by_value(values, 0.0, 255.0) + 2**-8)


def _is(operation, name):
    return operation == OPERATIONS.index(name)
