"""Threefry-2x32 with 20 rounds (Salmon et al., SC 2011): random bits as a pure function of a key and a counter."""

import tensorflow as tf

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry(key0, key1, counter0, counter1):
    """Two words of 32 random bits for each key and counter. All arguments are uint32; their shapes broadcast."""
    keys = (key0, key1, tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(key0, key1), tf.constant(_PARITY, tf.uint32)))
    x, y = counter0 + keys[0], counter1 + keys[1]
    for block in range(5):
        for distance in _ROTATIONS[block % 2]:
            x += y
            y = tf.bitwise.bitwise_xor(_rotate(y, distance), x)
        x += keys[(block + 1) % 3]
        y += keys[(block + 2) % 3] + tf.constant(block + 1, tf.uint32)
    return x, y


def uniform(keys, stream, first: int, counters: int):
    """(B, 2 * counters) float32: uniform 24-bit numbers in [0, 1) for each image, from the counters after `first`.

    keys: (B, 2) int32. stream: epoch and seed, whole numbers of which the lower 32 bits are used.
    """
    words, (epoch, seed) = tf.bitcast(keys, tf.uint32), stream
    wide = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    own = tf.cast(tf.bitwise.bitwise_and(wide, 0xFFFFFFFF), tf.uint32)
    image = threefry(own[0], own[1], words[:, 0], words[:, 1])
    counter = tf.cast(first + tf.range(counters)[None], tf.uint32)
    bits = tf.concat(threefry(image[0][:, None], image[1][:, None], counter, tf.zeros_like(counter)), 1)
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def _rotate(word, distance):
    left = tf.bitwise.left_shift(word, tf.constant(distance, tf.uint32))
    return tf.bitwise.bitwise_or(left, tf.bitwise.right_shift(word, tf.constant(32 - distance, tf.uint32)))
