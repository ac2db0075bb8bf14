"""Boxes move with their pixels: coloured rectangles are found again by their colour."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_cnn.detection.annotations import load
from keras_cnn.detection.loss import FILLER
from keras_cnn.tasks.detection import augmentation, batches
from keras_cnn.tasks.detection.augmentation import MIN_SIDE, VISIBLE, Sample, augmented
from keras_cnn.tasks.detection.images import BoxImages, resized
from keras_cnn.tasks.detection.settings import BoxAugment

STILL = BoxAugment(mosaic=0, flip=0, scale=0, aspect=0, hue=0, saturation=1, exposure=1)
MOVED = dataclasses.replace(STILL, mosaic=0.5, flip=0.5, scale=0.3, aspect=0.1)


@pytest.fixture(scope="module")
def images(tmp_path_factory, rectangles) -> BoxImages:
    file = rectangles(tmp_path_factory.mktemp("set"), {"train": 12, "val": 2, "test": 2}, size=96)
    return BoxImages(load(f"coco:{file}").train, 96, "memory")


def found_again(pixels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Where a colour is, by more than half."""
    return np.abs(pixels.astype(int) - colour).max(axis=-1) < 45


def test_without_changes_it_is_the_image_itself(images):
    for index in range(len(images)):
        sample = augmented(images, index, 3, 1, STILL)
        np.testing.assert_array_equal(sample.pixels, images.pixels(index))
        np.testing.assert_array_equal(sample.boxes, images.pictures[index].boxes)
        np.testing.assert_array_equal(sample.classes, images.pictures[index].classes)


@pytest.mark.parametrize("seed", [1, 2])
def test_boxes_lie_where_their_pixels_are(images, colours, seed):
    checked = mosaics = 0
    for index in range(len(images)):
        for epoch in range(6):
            sample = augmented(images, index, epoch, seed, MOVED)
            mosaics += len(sample.boxes) > 3
            shown = [found_again(sample.pixels, colour) for colour in colours]
            for box, number in zip(sample.boxes, sample.classes, strict=True):
                after, before = sample.boxes[:, :2] > box[2:] + 4, sample.boxes[:, 2:] < box[:2] - 4
                if number < 0 or (after | before).any(axis=1).sum() < len(sample.boxes) - 1:  # another one is near
                    continue
                x0, y0, x1, y1 = np.round(box).astype(int)
                inside = shown[number][y0:y1, x0:x1]
                assert inside.mean() > 0.75  # the rest are the mixed pixels of its edges
                wide = np.flatnonzero(shown[number][(y0 + y1) // 2, max(0, x0 - 3) : x1 + 3])
                high = np.flatnonzero(shown[number][max(0, y0 - 3) : y1 + 3, (x0 + x1) // 2])
                edges = max(0, x0 - 3) + wide[[0, -1]] + (0, 1), max(0, y0 - 3) + high[[0, -1]] + (0, 1)
                np.testing.assert_allclose(np.concatenate(edges), [box[0], box[2], box[1], box[3]], atol=2.01)
                checked += 1
            every = np.zeros(sample.pixels.shape[:2], bool)
            for x0, y0, x1, y1 in sample.boxes:
                every[int(max(0, y0 - 1)) : int(y1 + 2), int(max(0, x0 - 1)) : int(x1 + 2)] = True
            assert not (np.any(shown, axis=0) & ~every).any()  # no rectangle without its box
    assert checked > 60
    assert mosaics > 15


def test_a_box_of_which_too_little_is_left_is_ignored(images):
    shares = []
    for index in range(len(images)):
        for epoch in range(8):
            sample = augmented(images, index, epoch, 5, dataclasses.replace(MOVED, mosaic=1))
            sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
            assert (sides > 0).all()
            assert (sides[sample.classes >= 0] >= MIN_SIDE).all()
            shares += (sample.classes < 0).tolist()
    assert 0.02 < np.mean(shares) < VISIBLE


def test_it_is_a_function_of_seed_epoch_and_image_alone(images):
    one, again = (augmented(images, 4, 2, 7, BoxAugment()) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, again.pixels)
    np.testing.assert_array_equal(one.boxes, again.boxes)
    for epoch, seed, index in ((3, 7, 4), (2, 8, 4), (2, 7, 5)):
        assert (augmented(images, index, epoch, seed, BoxAugment()).pixels != one.pixels).any()


def test_hue_turns_and_saturation_and_value_grow_by_one_factor_an_image(images):
    """As PIL converts the original; over 40 images the whole range is drawn and nothing beyond it."""
    recipe = dataclasses.replace(STILL, hue=0.1, saturation=1.5, exposure=2)
    turns, saturations, values = [], [], []
    for epoch in range(40):
        sample = augmented(images, 0, epoch, 1, recipe)
        np.testing.assert_array_equal(sample.boxes, images.pictures[0].boxes)
        before, after = (
            np.asarray(Image.fromarray(pixels).convert("HSV")).reshape(-1, 3).astype(int)
            for pixels in (images.pixels(0), sample.pixels)
        )
        clear = (before[:, 1] > 150) & (before[:, 2] > 150)  # the rectangle
        turn, factor = (after - before)[clear, 0], (after / np.maximum(before, 1))[clear]
        turns.append(np.median((turn + 128) % 256 - 128))
        saturations.append(np.median(factor[:, 1]))
        values.append(np.median(factor[:, 2]))
        below = after[:, 2] < 255
        exact = np.mean(after[below, 2] / before[below, 2])
        assert np.abs(after[:, 2] - np.minimum(before[:, 2] * exact, 255)).max() <= 1
    assert np.abs(turns).max() <= 26 + 1
    assert min(turns) < -20 < 20 < max(turns)
    assert 1 / 1.5 - 0.02 < min(saturations) < 0.75
    assert 0.5 - 0.02 < min(values) < 0.55


def test_images_of_a_mosaic_have_half_to_all_of_their_size(images):
    (index,) = [i for i in range(len(images)) if len(images.boxes(i)) == 1][:1]
    alone = BoxImages(images.pictures[index : index + 1], 96, "memory")
    sides = alone.boxes(0)[0, 2:] - alone.boxes(0)[0, :2]
    factors = []
    for epoch in range(60):
        sample = augmented(alone, 0, epoch, 3, dataclasses.replace(STILL, mosaic=1))
        assert len(sample.boxes) <= 4
        found = (sample.boxes[:, 2:] - sample.boxes[:, :2]) / sides
        factors += found[np.isclose(found[:, 0], found[:, 1], rtol=1e-6), 0].tolist()  # the others are cut
    assert 0.5 <= min(factors) < 0.6
    assert 0.9 < max(factors) <= 1


def test_batches_of_labels_are_padded_and_never_empty():
    empty = Sample(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, int))
    boxes = np.array([[0.0, 2, 4, 8], [1, 1, 2, 3]])
    two = Sample(empty.pixels, boxes, np.array([1, -1]))
    found = batches.labels_of([two, empty], 8)
    assert found[0].tolist() == [[0.25, 0.625, 0.5, 0.75, 1], [0.1875, 0.25, 0.125, 0.25, -1]]
    assert found[1].tolist() == [[0, 0, 0, 0, FILLER]] * 2
    assert batches.labels_of([empty], 8).shape == (1, 1, 5)


def test_batches_begin_at_any_step_and_have_the_boxes_of_their_images(images):
    whole = list(batches.training(images, 5, BoxAugment(), 3, start=(0, 0), epochs=2))
    assert [len(b.labels) for b in whole] == [len(images) // 5 * [5] + [len(images) % 5]][0] * 2
    later = list(batches.training(images, 5, BoxAugment(), 3, start=(1, 1), epochs=2))
    assert len(later) == len(whole) // 2 - 1
    for one, other in zip(later, whole[len(whole) // 2 + 1 :], strict=True):
        for found, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(found.numpy(), expected.numpy())
    keys = np.concatenate([batch.keys.numpy() for batch in whole[: len(whole) // 2]])
    assert {tuple(key) for key in keys} == {tuple(key) for key in images.keys}


def test_plain_batches_are_letterboxed_with_boxes_as_shares(tmp_path, rectangles):
    file = rectangles(tmp_path, {"train": 3, "val": 1, "test": 1}, size=64)
    images = BoxImages(load(f"coco:{file}").train, 128, "none")
    (batch,) = batches.plain(images, 4)
    labels, picture = batch.labels.numpy()[0], images.pictures[0]
    centres = (picture.boxes[:, :2] + picture.boxes[:, 2:]) / 2 / 64
    np.testing.assert_allclose(labels[: len(centres), :2], centres, rtol=1e-6)
    assert (labels[len(centres) :, 4] == FILLER).all()


def test_resizing_is_tensorflows_between_the_corners():
    import tensorflow as tf

    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3)).astype(np.uint8)
    for size in ((20, 30), (90, 70), (1, 5)):
        expected = tf.raw_ops.ResizeBilinear(
            images=image[None], size=size, align_corners=True, half_pixel_centers=False
        )
        assert np.abs(resized(image, size) - expected[0].numpy()).max() <= 0.501


def test_the_four_images_of_a_mosaic_meet_near_the_middle_and_each_may_be_in_any_quarter(images, monkeypatch):
    tiles = []

    def tile(_images, index, place, *, draws, sizes, recipe):
        tiles.append((index, place, sizes))
        return place, np.zeros((1, 1, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, int)

    monkeypatch.setattr(augmentation, "_tile", tile)
    corners, quarters, partners = [], [], []
    for epoch in range(200):
        tiles.clear()
        augmented(images, 5, epoch, 1, dataclasses.replace(STILL, mosaic=1))
        places = sorted(place for _, place, _ in tiles)
        x, y = places[0][2:]
        assert places == [(0, 0, x, y), (0, y, x, 96), (x, 0, 96, y), (x, y, 96, 96)]
        assert [sizes for *_, sizes in tiles] == [(0.5, 1.0)] * 4
        assert tiles[0][0] == 5
        corners.append((x, y))
        quarters.append(places.index(tiles[0][1]))
        partners += [index for index, *_ in tiles[1:]]
    for ends in zip(*corners, strict=True):
        assert (min(ends), max(ends)) == pytest.approx((0.3 * 96, 0.7 * 96), abs=2)
    assert np.bincount(quarters).min() > 30
    assert np.bincount(partners).min() > 20
    assert len(np.bincount(partners)) == len(images)
    tiles.clear()
    augmented(images, 5, 0, 1, STILL)
    assert tiles == [(5, (0, 0, 96, 96), (1.0, 1.0))]


def test_what_is_left_of_a_box_counts_from_three_tenths_and_two_pixels():
    place = (10, 20, 40, 60)
    boxes = np.array(
        [
            [12, 25, 20, 30],  # inside
            [3, 30, 13, 40],  # three tenths are left
            [2.9, 30, 12.9, 40],  # a little less
            [38, 30, 41, 40],  # two pixels wide
            [38.1, 30, 40.5, 40],
            [20, 58, 30, 61],
            [20, 58.1, 30, 60.5],
            [40, 20, 50, 30],  # beside it
            [0, 0, 10, 20],
            [12, 60, 15, 70],
        ]
    )
    cut, classes = augmentation._cut(boxes, np.arange(10), place)
    assert classes.tolist() == [0, 1, -1, 3, -1, 5, -1]
    np.testing.assert_allclose(cut[[1, 3, 5]], [[10, 30, 13, 40], [38, 30, 40, 40], [20, 58, 30, 60]])


@pytest.mark.parametrize(
    ("draws", "at", "flipped"),
    [
        # flip, size, grow, stretch, right, down: an image of 40x20 in a place of 50x60 at 10, 20
        ((0.9, 1, 0.5, 0.5, 0, 0), (10, 20, 40, 20), False),
        ((0.9, 1, 0.5, 0.5, 1, 0.5), (20, 40, 40, 20), False),
        ((0.4, 0, 0.5, 0.5, 0, 1), (10, 70, 20, 10), True),
        ((0.5, 1, 1, 0.5, 0, 0), (10, 20, 60, 30), False),  # by half
        ((0.9, 1, 0, 0.5, 1, 0), (40, 20, 20, 10), False),
        ((0.9, 0, 0.5, 1, 0, 0), (10, 20, 40, 5), False),  # stretched by four: twice as wide, half as high
        ((0.9, 0, 0.5, 0, 0, 0), (10, 20, 10, 20), False),
        ((0.9, 1, 1, 0.5, 1, 0), (0, 20, 60, 30), False),  # too wide: cut off at the left
    ],
)
def test_an_image_is_scaled_stretched_mirrored_and_moved_by_its_draws(draws, at, flipped, monkeypatch):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 3:8] = 200
    picture = SimpleNamespace(pixels=lambda _: pixels, boxes=lambda _: np.array([[3.0, 0, 8, 20]]),
                              classes=lambda _: np.array([1]))  # fmt: skip
    asked = []

    def placed(pixels, where, place):
        asked.append((pixels, where))
        return np.zeros((60, 50, 3), np.uint8)

    monkeypatch.setattr(augmentation, "_placed", placed)
    monkeypatch.setattr(augmentation, "_cut", lambda boxes, classes, place: (boxes, classes))
    recipe = dataclasses.replace(STILL, flip=0.5, scale=0.5, aspect=3)
    _, _, boxes, _ = augmentation._tile(picture, 0, (10, 20, 60, 80), draws=np.array([*draws, 0, 0, 0]),
                                        sizes=(0.5, 1.0), recipe=recipe)  # fmt: skip
    ((shown, where),) = asked
    assert where == pytest.approx(at)
    assert (shown[0, 3, 0] == 0) == flipped
    left, right = (32, 37) if flipped else (3, 8)
    x, y, wide, high = at
    np.testing.assert_allclose(boxes, [[x + wide * left / 40, y, x + wide * right / 40, y + high]])
