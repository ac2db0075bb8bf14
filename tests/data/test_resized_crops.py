import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import stats

from keras_cnn.data.augment import RECIPES, Augmentation, augment
from keras_cnn.data.columns import text_keys
from keras_cnn.data.dataset import Split
from keras_cnn.data.decoding import decode, read_image_file
from keras_cnn.data.pipeline import RandomCrop, batches, in_files
from keras_cnn.data.resized_crops import crop_windows
from tests.torchvision_transforms import transforms

MANY = 20_000
KEYS = text_keys(map(str, range(MANY)))


def windows(height, width, area=(0.08, 1.0), keys=KEYS, epoch=0, seed=0):
    sizes = (tf.fill([len(keys)], side) for side in (height, width))
    return crop_windows(tf.constant(keys), (epoch, seed), *sizes, area).numpy()


@pytest.mark.parametrize(("height", "width"), [(333, 500), (64, 48), (1000, 100)])
def test_windows_are_distributed_as_torchvisions(height, width):
    draw = transforms().RandomResizedCrop.get_params
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = np.array([draw(torch.empty(3, height, width), (0.08, 1), (3 / 4, 4 / 3)) for _ in range(4000)])
    ours = windows(height, width)
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()
    for place in range(4):
        assert stats.ks_2samp(ours[:, place], theirs[:, place]).pvalue > 0.001


def test_areas_and_ratios_by_hand():
    """Uniform over 0.25 to 0.5 of the area: mean 0.375; the ratio's logarithm uniform about 0, up to log 4/3."""
    _, _, height, width = windows(400, 400, area=(0.25, 0.5)).T
    share, ratio = height * width / 400**2, width / height
    assert share.mean() == pytest.approx(0.375, abs=0.003)
    assert (share.min(), share.max()) == pytest.approx((0.25, 0.5), abs=0.004)
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.005)
    assert np.log(ratio).std() == pytest.approx(np.log(4 / 3) / 3**0.5, abs=0.005)


def test_an_image_in_which_no_draw_fits_gives_its_largest_centred_window():
    assert windows(1000, 20, area=(0.9, 1.0))[:5].tolist() == [[486, 0, 27, 20]] * 5  # 20 / 27 is 3/4, nearly


def test_a_window_is_a_function_of_seed_epoch_and_image():
    some = KEYS[:64]
    base = windows(99, 77, keys=some)
    np.testing.assert_array_equal(windows(99, 77, keys=some[::-1])[::-1], base)
    for change in ({"epoch": 1}, {"seed": 1}, {"keys": KEYS[64:128]}):
        assert (windows(99, 77, **{"keys": some} | change) != base).any(axis=1).all()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth pictures in every orientation and in formats of both decoders."""
    folder, files = tmp_path_factory.mktemp("photos"), []
    for number in range(16):
        coarse = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((90 + number, 70), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        path = folder / f"{number}.{'webp' if number > 11 else 'jpg'}"
        image.save(path, quality=95, exif=exif)
        files.append(read_image_file(path))
    return Split(tuple(map(str, range(16))), np.zeros(16, np.int32), files=files)


def test_the_window_is_cut_from_the_upright_file_and_stretched(photos):
    crop = RandomCrop((0.1, 0.6), seed=4)
    options = {"seed": None, "start": (2, 0), "epochs": 3, "crop": crop}
    (batch,) = batches(photos, (32, 24, 3), 16, cache="none", **options)
    height, width = photos.files.upright_sizes()
    expected = crop_windows(tf.constant(photos.keys), (2, 4), height, width, crop.area).numpy()
    for file, image, (top, left, rows, columns) in zip(photos.files, batch.images.numpy(), expected, strict=True):
        whole = decode(file, tuple(np.array([file.height, file.width])[:: 1 if file.orientation < 5 else -1]), 3)
        part = Image.fromarray(whole[top : top + rows, left : left + columns])
        away = np.abs(np.asarray(part.resize((24, 32), Image.Resampling.BILINEAR)).astype(int) - image)
        assert away.mean() < 2.5, (file.path.name, away.mean())


def test_an_array_is_cropped_by_the_warp():
    """A ramp along x: the crop is a ramp over the window's columns."""
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, None, :, None], (8, 64, 64, 3))
    keys = KEYS[:8]
    recipe = Augmentation(crop_area=(0.2, 0.5))
    images, _ = augment(tf.constant(ramp), tf.ones((8, 1)), tf.constant(keys), 3, seed=5, recipe=recipe)
    expected = windows(64, 64, (0.2, 0.5), keys, epoch=3, seed=5)
    for image, (_, left, _, columns) in zip(images.numpy(), expected, strict=True):
        inside = 4 * np.clip(left + (np.arange(64) + 0.5) * columns / 64 - 0.5, 0, 63)
        np.testing.assert_allclose(image[:, 1:-1, 0], np.tile(inside[1:-1], (64, 1)), atol=1.01)


def test_files_are_cropped_once_while_they_are_decoded(photos):
    crop, rest = in_files(photos, RECIPES["imagenet"], 7)
    assert (crop, rest.crops, rest.flip) == (RandomCrop((0.08, 1.0), 7), False, 0.5)
    pixels = Split(("a",), np.zeros(1, np.int32), pixels=np.zeros((1, 8, 8, 3), np.uint8))
    assert in_files(pixels, RECIPES["imagenet"], 7) == (None, RECIPES["imagenet"])
    assert in_files(photos, RECIPES["standard"], 7) == (None, RECIPES["standard"])


def test_center_is_seven_eighths_of_the_largest_box(photos):
    file = photos.files[0]  # 90 x 70, upright
    whole = decode(file, (70, 90), 3)
    part = Image.fromarray(whole[4:65, 14:75])  # 7/8 of 70, rounded: 61; the rest is halved
    np.testing.assert_array_equal(
        decode(file, (32, 32), 3, "center"), np.asarray(part.resize((32, 32), Image.Resampling.BILINEAR))
    )
    (batch,) = batches(photos.take([0]), (32, 32, 3), 1, fit="center", cache="none")
    assert np.abs(batch.images.numpy()[0].astype(int) - decode(file, (32, 32), 3, "center")).mean() < 2.5
    np.testing.assert_array_equal(decode(file, (70, 90), 3, "center"), whole)  # it has the size already
