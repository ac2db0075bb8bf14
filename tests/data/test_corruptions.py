import io
import math

import cv2
import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter

from keras_cnn.data.corruptions import CORRUPTIONS, STRENGTHS, corrupted, disk, frost_texture, moved, plasma, zoomed
from keras_cnn.errors import InputError


def photo(side: int = 32, channels: int = 3) -> np.ndarray:
    """A smooth picture with an edge, of values that no corruption clips by much."""
    rows, columns = np.mgrid[:side, :side] / side
    waves = [0.5 + 0.2 * np.sin(7 * rows + c) * np.cos(5 * columns - c) for c in range(channels)]
    picture = np.stack(waves, axis=2) + 0.15 * (columns > 0.5)[..., None]
    return (picture * 255).astype(np.uint8)


def under(name: str, strength: int, image: np.ndarray, seed: int = 0) -> np.ndarray:
    return corrupted(image, name, strength, np.random.default_rng(seed))


# Of the code of the publication, make_cifar_c.py and make_imagenet_c.py; of zoom, the end and the step of the factors.
CIFAR_10_C = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.1),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (80, 65, 58, 50, 40),
}
IMAGENET_C = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "elastic_transform": ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg_compression": (25, 18, 15, 10, 7),
}


@pytest.mark.parametrize(("size", "published"), [("small", CIFAR_10_C), ("large", IMAGENET_C)])
def test_strengths_are_the_published_ones(size, published):
    found = {name: getattr(corruption, size) for name, corruption in CORRUPTIONS.items()}
    for factors, (end, step) in zip(found.pop("zoom_blur"), published["zoom_blur"], strict=True):
        np.testing.assert_array_equal(factors, np.arange(1, end, step))
    assert found == {name: strengths for name, strengths in published.items() if name != "zoom_blur"}


def test_to_a_shorter_side_of_64_pixels_the_strengths_are_those_of_small_images():
    for shape, factor in (((64, 90), 0.15), ((65, 90), 0.05), ((90, 65), 0.05)):
        image = cv2.resize(photo(96), shape[::-1])
        means = image.mean(axis=(0, 1))
        assert np.abs(under("contrast", 5, image) - ((image - means) * factor + means)).max() < 1 + 1e-9


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_of_any_kind_keep_their_form_and_change_more_and_more(name):
    for shape in ((32, 32, 3), (28, 28, 1), (12, 12, 3), (40, 30, 3), (96, 128, 3)):
        image = cv2.resize(photo(96), shape[1::-1])[..., : shape[2]]
        before = image.copy()
        changes = []
        for strength in STRENGTHS:
            found = under(name, strength, image)
            assert (found.shape, found.dtype) == (shape, np.uint8)
            changes.append(np.abs(found.astype(float) - image).mean())
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(under(name, 3, image), under(name, 3, image))
        assert changes[4] > 0.2  # grey levels; a smooth picture hardly changes by pixelating
        assert changes[4] > changes[0] or name in ("elastic_transform", "frost")  # bent locally; darker below more ice


def test_noise_has_the_published_moments():
    grey = np.full((200, 50, 3), 128, np.uint8)  # small: the shorter side counts
    level = 128 / 255
    noise = under("gaussian_noise", 5, grey) / 255
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    shots = under("shot_noise", 5, grey) / 255
    assert shots.mean() == pytest.approx(level, abs=0.006)  # values are cut off to whole numbers
    assert shots.std() == pytest.approx(math.sqrt(level / 50), rel=0.03)
    hit = under("impulse_noise", 5, grey)
    assert np.mean(hit == 0) == pytest.approx(0.035, abs=0.004)
    assert np.mean(hit == 255) == pytest.approx(0.035, abs=0.004)
    assert set(np.unique(hit)) == {0, 128, 255}


@pytest.mark.parametrize(("side", "radius", "softness"), [(32, 1.5, 0.1), (224, 6, 0.5), (224, 10, 0.5)])
def test_defocus_is_opencvs_filter_with_the_published_disk(side, radius, softness):
    reach = max(8, math.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (rows**2 + columns**2 <= radius**2).astype(np.float64)
    size = (3, 3) if radius <= 8 else (5, 5)
    kernel = cv2.GaussianBlur(kernel / kernel.sum(), size, sigmaX=softness)
    np.testing.assert_allclose(disk(radius, softness), kernel, atol=1e-7)
    strength = 5 if radius in (1.5, 10) else 3
    expected = cv2.filter2D(photo(side) / 255, -1, kernel)
    found = under("defocus_blur", strength, photo(side)).astype(int)
    assert np.abs(found - expected * 255).max() < 1 + 1e-9


def test_glass_moves_pixels_within_their_reach():
    image = np.zeros((32, 32, 1), np.uint8)
    image[16, 16] = 255
    found = under("glass_blur", 3, image)  # reach 1, a blur of 0.4 before and after
    places = np.argwhere(found[..., 0] > 0)
    assert np.abs(places - 16).max() <= 1 + 2 + 2
    unmoved = gaussian_filter(gaussian_filter(image / 255.0, (0.4, 0.4, 0)), (0.4, 0.4, 0))
    assert np.abs(found / 255 - unmoved).max() > 0.05


def test_motion_leaves_half_a_gaussian_behind_a_point():
    image = np.zeros((21, 21, 1))
    image[10, 10] = 1
    weights = np.exp(-(np.arange(7) ** 2) / (2 * 2.0**2))
    weights /= weights.sum()
    np.testing.assert_allclose(moved(image, 3, 2, 0)[10, 4:11, 0], weights[::-1])
    np.testing.assert_allclose(moved(image, 3, 2, 90)[4:11, 10, 0], weights[::-1])
    slanted = moved(image, 3, 2, 45)
    steps = [round(i * math.sqrt(0.5)) for i in range(7)]
    assert slanted[10 - steps[6], 10 - steps[6], 0] == pytest.approx(weights[6] + weights[5] * (steps[5] == steps[6]))
    assert slanted.sum() == pytest.approx(1)


def test_zoom_enlarges_the_middle():
    columns = np.tile(np.arange(32.0)[None, :, None], (32, 1, 1))
    found = zoomed(columns, 2)
    np.testing.assert_allclose(found[0, :, 0], np.linspace(8, 23, 32))
    np.testing.assert_array_equal(zoomed(columns, 1), columns)


def test_brightness_is_the_value_of_hsv():
    image = photo()
    image[:4] = 0
    hsv = rgb_to_hsv(image / 255)
    hsv[..., 2] = (hsv[..., 2] + 0.3).clip(0, 1)
    assert np.abs(under("brightness", 5, image) - hsv_to_rgb(hsv) * 255).max() < 1 + 1e-9


def test_contrast_shrinks_differences_from_the_mean():
    image = photo()
    means = image.mean(axis=(0, 1))
    found = under("contrast", 5, image)
    assert np.abs(found - ((image - means) * 0.15 + means)).max() < 1 + 1e-9


def test_jpeg_and_pixelate_are_pillows():
    image, file = photo(), io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=40)
    assert np.abs(under("jpeg_compression", 5, image).astype(int) - np.asarray(Image.open(file))).max() <= 1
    small = Image.fromarray(image).resize((20, 20), Image.Resampling.BOX)
    expected = np.asarray(small.resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(under("pixelate", 5, image) - expected).max() <= 1


def test_a_cloud_is_smooth_between_0_and_1():
    cloud = plasma(200, 3.0, np.random.default_rng(0))
    assert cloud.shape == (256, 256)
    assert (cloud.min(), cloud.max()) == (0, 1)
    rough = plasma(200, 1.4, np.random.default_rng(0))
    assert np.abs(np.diff(cloud)).mean() < np.abs(np.diff(rough)).mean() / 3
    hazy = under("fog", 5, photo())
    assert hazy.std() < photo().std()


def test_frost_covers_with_pale_needles():
    ice = frost_texture((64, 64, 3), np.random.default_rng(0))
    assert ice.shape == (64, 64, 3)
    assert 0 <= ice.min() < ice.max() <= 1
    assert under("frost", 5, np.zeros((64, 64, 3), np.uint8)).mean() > 30


def test_wrong_names_and_strengths_are_named():
    with pytest.raises(InputError, match="corruption 'rain': expected one of gaussian_noise, shot_noise"):
        under("rain", 1, photo())
    with pytest.raises(InputError, match="strength 6: expected a whole number from 1 to 5"):
        under("fog", 6, photo())
