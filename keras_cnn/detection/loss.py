"""YOLOv3's loss, as Darknet computes it.

Each true box is assigned to one prediction: that of the anchor, among those of all heads, whose shape overlaps the
box most, in the cell of its head that contains the box's centre. Its box loss is the binary cross-entropy of the
centre's place in the cell plus half the squared error of the logarithms of width and height in anchors, all times
2 - share, where share is the fraction of the image that the box covers. The minimum of the cross-entropy is subtracted,
so that a perfect network has a loss of 0; the gradient is the same. The other losses of the prediction are the binary
cross-entropy of an objectness of 1 and that of each class. Every other prediction has the cross-entropy of an
objectness of 0, unless its box overlaps a true box with an IoU above `ignore`. The loss is summed over an image and
averaged over the batch.

The gradients are those of Darknet's `yolo_layer.c` (truth minus prediction at the logistic outputs), as described by
Redmon & Farhadi, YOLOv3, arXiv:1804.02767, section 2. The factor 2 - share is only in the code.
"""

from collections.abc import Sequence

import tensorflow as tf

from keras_cnn.detection.boxes import LARGEST
from keras_cnn.detection.heads import YoloHead

BOX = 5  # numbers of a label: centre x and y, width and height as fractions of the image, and class
IGNORED = -1  # class of a box that counts neither if found nor if missed
FILLER = -2  # class of the rows that pad the labels of an image


class YoloLoss:
    """An `Objective` over the raw maps of `heads`, for square images of `size` pixels and labels (B, M, 5).

    A label is centre x and y, width and height as fractions of the image, and class, which may be IGNORED or FILLER. A
    prediction with more than the fraction `ignore` of its area in an ignored box is no mistake. If two boxes are
    assigned to one prediction, the later box counts.
    """

    measures: tuple[str, ...] = ("loss", "box_loss", "object_loss", "class_loss")
    labels = tf.TensorSpec((None, None, BOX), tf.float32)

    def __init__(self, heads: Sequence[YoloHead], size: int, ignore: float):
        self._heads, self._size, self._ignore = heads, size, ignore

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        return labels

    def weight(self, targets: tf.Tensor) -> tf.Tensor:
        """The number of images."""
        return tf.cast(tf.shape(targets)[0], tf.float32)

    def __call__(self, outputs, labels: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        maps = outputs if isinstance(outputs, list | tuple) else [outputs]
        maps = [tf.cast(each, tf.float32) for each in maps]
        predicted = tf.concat([tf.reshape(m, (tf.shape(m)[0], -1, 5 + self._heads[0].classes)) for m in maps], axis=1)
        place, wanted, real = self.assignment(labels, [m.shape[1:3] for m in maps])
        chosen = tf.gather(predicted, place, batch_dims=1)
        weight = tf.cast(real, tf.float32)
        box = self._box_loss(chosen, wanted, labels) * weight
        classes = tf.one_hot(tf.cast(labels[..., 4], tf.int32), self._heads[0].classes)
        kind = tf.reduce_sum(_cross_entropy(classes, chosen[..., 5:]), axis=-1) * weight
        objects = tf.reduce_max(tf.one_hot(place, tf.shape(predicted)[1]) * weight[..., None], axis=1)
        free = tf.cast(self._overlaps_none(predicted, labels, maps), tf.float32)
        missed = _cross_entropy(objects, predicted[..., 4]) * tf.maximum(objects, free)
        sums = [tf.reduce_sum(part) for part in (box, missed, kind)]
        total = tf.add_n(sums)
        return total / tf.cast(tf.shape(labels)[0], tf.float32), (total, *sums)

    def assignment(
        self, labels: tf.Tensor, shapes: Sequence[tuple[int, int]]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Assigns each box to a prediction.

        Returns (B, M) indices of predictions, counted over the cells and anchors of all heads, whose maps have `shapes`
        (rows, columns); (B, M, 4) targets: x and y after the logistic function, width and height as the logarithms
        that the network gives; and (B, M) bool: whether the prediction learns the box.
        """
        anchors = tf.constant([a for head in self._heads for a in head.anchors.tolist()], tf.float32) / self._size
        sides = labels[..., None, 2:4]
        shared = tf.reduce_prod(tf.minimum(sides, anchors), axis=-1)
        union = tf.reduce_prod(sides, axis=-1) + tf.reduce_prod(anchors, axis=-1) - shared
        best = tf.argmax(shared / union, axis=-1, output_type=tf.int32)
        table, start = [], 0
        for head, (rows, columns) in zip(self._heads, shapes, strict=True):
            for number in range(head.anchors_count):
                table.append((start, rows, columns, head.anchors_count, number, head.scale_x_y))
            start += rows * columns * head.anchors_count
        begins, rows, columns, each, number, grown = tf.unstack(
            tf.gather(tf.constant(table, tf.float32), best), axis=-1
        )
        x, y = labels[..., 0] * columns, labels[..., 1] * rows
        column = tf.clip_by_value(tf.floor(x), 0.0, columns - 1)
        row = tf.clip_by_value(tf.floor(y), 0.0, rows - 1)
        place = tf.cast(begins, tf.int32) + tf.cast(row * columns + column, tf.int32) * tf.cast(each, tf.int32)
        place += tf.cast(number, tf.int32)
        real = labels[..., 4] >= 0
        inside = (tf.stack([x - column, y - row], axis=-1) + (grown[..., None] - 1) / 2) / grown[..., None]
        logarithms = tf.math.log(tf.maximum(labels[..., 2:4], 1e-9) / tf.gather(anchors, best))
        wanted = tf.concat([tf.clip_by_value(inside, 0.0, 1.0), logarithms], axis=-1)
        return tf.where(real, place, 0), wanted, real & ~_repeated_later(place, real)

    def _box_loss(self, chosen: tf.Tensor, wanted: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        place = tf.reduce_sum(_cross_entropy(wanted[..., :2], chosen[..., :2]) - _entropy(wanted[..., :2]), axis=-1)
        sides = tf.reduce_sum(tf.square(chosen[..., 2:4] - wanted[..., 2:]), axis=-1) / 2
        return (place + sides) * (2 - labels[..., 2] * labels[..., 3])

    def _overlaps_none(self, predicted: tf.Tensor, labels: tf.Tensor, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        """(B, N) bool: whether a prediction overlaps every box by `ignore` at most."""
        low, high = self._decoded(tf.stop_gradient(predicted), maps)
        true_low = (labels[..., :2] - labels[..., 2:4] / 2)[:, None]
        true_high = (labels[..., :2] + labels[..., 2:4] / 2)[:, None]
        sides = tf.maximum(tf.minimum(high[:, :, None], true_high) - tf.maximum(low[:, :, None], true_low), 0)
        shared = tf.reduce_prod(sides, axis=-1)
        own = tf.reduce_prod(high - low, axis=-1)[..., None]
        union = own + tf.reduce_prod(labels[..., 2:4], axis=-1)[:, None] - shared
        reference = tf.where((labels[..., 4] < 0)[:, None], own, union)
        return tf.reduce_all(shared <= self._ignore * reference, axis=-1)

    def _decoded(self, predicted: tf.Tensor, maps: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """The corners x0, y0 and x1, y1, (B, N, 2) each, of all predicted boxes, as fractions of the image."""
        cells, counts, anchors, grown = [], [], [], []
        for each, head in zip(maps, self._heads, strict=True):
            rows, columns = each.shape[1:3]
            grid = tf.stack(tf.meshgrid(tf.range(columns), tf.range(rows)), axis=-1)
            grid = tf.cast(tf.repeat(tf.reshape(grid, (-1, 2)), head.anchors_count, axis=0), tf.float32)
            cells.append(grid)
            counts.append(tf.ones_like(grid) * (columns, rows))
            anchors.append(tf.tile(tf.constant(head.anchors, tf.float32), (rows * columns, 1)) / self._size)
            grown.append(tf.ones_like(grid) * head.scale_x_y)
        cells, counts, anchors, grown = (tf.concat(parts, axis=0) for parts in (cells, counts, anchors, grown))
        centres = (tf.sigmoid(predicted[..., :2]) * grown - (grown - 1) / 2 + cells) / counts
        half = tf.exp(tf.minimum(predicted[..., 2:4], LARGEST)) * anchors / 2
        return centres - half, centres + half


def _cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)


def _entropy(shares: tf.Tensor) -> tf.Tensor:
    """The minimum of the cross-entropy for the targets `shares`."""
    return -tf.math.xlogy(shares, shares) - tf.math.xlogy(1 - shares, 1 - shares)


def _repeated_later(place: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """(B, M) bool: whether a later box of the image has the same prediction."""
    count = tf.shape(place)[1]
    later = tf.range(count)[:, None] < tf.range(count)[None]
    return tf.reduce_any((place[:, :, None] == place[:, None]) & real[:, None] & later, axis=-1)
