import io
import itertools
import time

import numpy as np
import pytest
from PIL import Image

from keras_cnn.data import fingerprints as fp


def pictures(count, seed=0):
    """Smooth random RGB images of 32 × 32."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(s).resize((32, 32), Image.Resampling.BICUBIC)) for s in small])


def hamming(hashes):
    return np.array([[(int(a) ^ int(b)).bit_count() for b in hashes] for a in hashes])


def test_thumbnail_is_the_mean_of_each_cell():
    # 18 wide and 16 high: each of the 9 × 8 cells is exactly 2 × 2 pixels.
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 18, 1), np.uint8)
    means = pixels.reshape(3, 8, 2, 9, 2).astype(float).mean(axis=(2, 4))
    thumbnails = fp.of_arrays(pixels).thumbnails.reshape(3, 8, 9)
    assert np.array_equal(thumbnails, np.floor(means + 0.5))


def test_thumbnail_of_fractional_cells():
    # A ramp 10 wide: cell 0 covers pixel 0 and a ninth of pixel 1: (9 * 0 + 1 * 90) / 10 = 9.
    pixels = np.broadcast_to(np.arange(0, 900, 90)[:10].clip(0, 255).astype(np.uint8)[:, None], (1, 8, 10, 1))
    assert fp.of_arrays(pixels).thumbnails[0, 0] == 9


def test_thumbnails_agree_with_pillow():
    pixels = pictures(20)
    box = [np.asarray(Image.fromarray(p).convert("L").resize((9, 8), Image.Resampling.BOX)) for p in pixels]
    difference = fp.of_arrays(pixels).thumbnails.reshape(-1, 8, 9).astype(int) - box
    assert np.abs(difference).max() <= 14  # Pillow's box filter takes whole pixels only


def test_perceptual_hash_bits_by_hand():
    row = [0, 3, 5, 8, 8, 4, 7, 9, 255]  # steps 3, 2, 3, 0, -4, 3, 2, 246: above 2 are 1 0 1 0 0 1 0 1
    thumbnail = np.zeros((8, 9), np.uint8)
    thumbnail[0] = row
    assert fp.perceptual_hashes(thumbnail.reshape(1, 72))[0] == 0b10100101 << 56


def near_pairs(thumbnails):
    """All pairs (i, j) as a list, and the bits they are apart."""
    everywhere = np.arange(len(thumbnails))
    across, within = fp.near_pairs(thumbnails, everywhere, np.zeros_like(everywhere), (10**9, 10**9))
    assert (across.count, within.count) == (0, len(within.pairs))
    found = sorted((i, j, bits) for bits, i, j in within.pairs)
    return [[i, j] for i, j, _ in found], [bits for _, _, bits in found]


def scattered(noise):
    """150 pictures and 60 of them with noise."""
    base = pictures(150)
    noisy = base[:60] + np.random.default_rng(1).normal(0, noise, base[:60].shape)
    return fp.of_arrays(np.concatenate([base, np.clip(noisy, 0, 255).astype(np.uint8)])).thumbnails


def crowded(noise, spot=0):
    """200 thumbnails that differ by noise alone, and 100 that have nothing to do with them; `spot` is in half."""
    rng = np.random.default_rng(2)
    one = fp.of_arrays(pictures(1)).thumbnails[0] // 2 + 60
    alike = one + rng.normal(0, noise, (200, 72))
    alike[:100, np.argmax(one)] += spot  # brighter where it is brightest: correlation and hash stay
    return np.concatenate(
        [np.clip(np.round(alike), 0, 255).astype(np.uint8), fp.of_arrays(pictures(100, 1)).thumbnails]
    )


@pytest.mark.parametrize(
    ("thumbnails", "least"),
    [
        (scattered(3), 50),
        (crowded(0), 19_900),
        (crowded(0.7), 10_000),
        (crowded(1.6), 30),
        (crowded(4), 0),
        (crowded(0.5, spot=20), 7000),
    ],
    ids=["scattered", "equal", "alike", "hardly alike", "different", "alike but for a spot"],
)
def test_near_pairs_equal_brute_force(thumbnails, least):
    bits = hamming(fp.perceptual_hashes(thumbnails))
    expected = []
    for i, j in itertools.combinations(range(len(thumbnails)), 2):
        a, b = (thumbnails[k].astype(float) - thumbnails[k].mean() for k in (i, j))
        if bits[i, j] <= 3 and np.abs(a - b).max() <= 16 and np.corrcoef(a, b)[0, 1] >= 0.995:
            expected.append([i, j])
    pairs, apart = near_pairs(thumbnails)
    assert pairs == expected
    assert apart == [bits[i, j] for i, j in expected]
    assert len(expected) >= least


def test_pairs_across_splits_are_counted_and_listed_apart_the_closest_first():
    thumbnails, rng = crowded(1), np.random.default_rng(3)
    images, splits = rng.integers(0, 250, 300), rng.integers(0, 3, 300)  # some are the very same image
    pairs, apart = near_pairs(thumbnails)
    kept = [(b, i, j) for (i, j), b in zip(pairs, apart, strict=True) if images[i] != images[j]]
    crossing = sorted(p for p in kept if splits[p[1]] != splits[p[2]])
    inside = sorted(p for p in kept if splits[p[1]] == splits[p[2]])
    across, within = fp.near_pairs(thumbnails, images, splits, (10**9, 50))
    assert (across.count, across.pairs) == (len(crossing), crossing)
    assert within.count == len(inside) > 2000
    assert len(within.pairs) == 50
    assert set(within.pairs) <= set(inside)
    assert [bits for bits, _, _ in within.pairs] == [bits for bits, _, _ in inside[:50]]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: jpeg(image, 60),
        lambda image: image.resize((64, 64), Image.Resampling.BICUBIC).resize((32, 32)),
        lambda image: image.point(lambda v: min(255, v + 10)),
    ],
    ids=["jpeg", "rescaled", "brighter"],
)
def test_altered_copies_are_found(change):
    originals = pictures(100)
    copies = np.stack([np.asarray(change(Image.fromarray(p))) for p in originals])
    pairs, _ = near_pairs(fp.of_arrays(np.concatenate([originals, copies])).thumbnails)
    found = {tuple(pair) for pair in pairs}
    assert len(found & {(i, i + 100) for i in range(100)}) >= 95
    assert len(found - {(i, i + 100) for i in range(100)}) == 0


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def test_flat_images_say_nothing():
    levels = np.arange(0, 200, dtype=np.uint8)[:, None, None, None]
    pairs, _ = near_pairs(fp.of_arrays(np.broadcast_to(levels, (200, 16, 16, 1))).thumbnails)
    assert len(pairs) == 0


def test_pixel_hashes_tell_shapes_apart():
    wide, high = (np.zeros((1, *shape, 1), np.uint8) for shape in ((2, 8), (8, 2)))
    assert bytes(fp.of_arrays(wide).pixel_hashes) != bytes(fp.of_arrays(high).pixel_hashes)


def test_images_with_equal_hashes_are_grouped():
    names = [bytes([1] * 16), bytes([0] * 15 + [9]), bytes([1] * 16), bytes([9] + [0] * 15), bytes([0] * 15 + [9])]
    numbers = fp.image_numbers(np.frombuffer(b"".join(names), np.uint8).reshape(-1, 16))
    assert fp.exact_groups(numbers) == [[0, 2], [1, 4]]
    assert fp.exact_groups(numbers[:0]) == []


def different(count):
    return fp.of_arrays(np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), np.uint8)).thumbnails


def alike(count):
    ramp = np.add.outer(8 * np.arange(8), 8 * np.arange(9)).reshape(1, 72) + 60
    return (ramp + np.random.default_rng(0).integers(-1, 2, (count, 72))).astype(np.uint8)


@pytest.mark.parametrize(("thumbnails", "pairs"), [(different(60_000), 0), (alike(7000), 7000 * 6999 // 2)])
def test_many_images_take_seconds(thumbnails, pairs):
    places, started = np.arange(len(thumbnails)), time.process_time()
    across, within = fp.near_pairs(thumbnails, places, places % 2, (100, 100))
    assert time.process_time() - started < 10
    assert across.count + within.count == pairs
