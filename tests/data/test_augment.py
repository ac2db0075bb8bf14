"""Augmentation against NumPy, SciPy and Pillow, and the promise that an image's changes depend on its key alone."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from keras_cnn.data import augment as module
from keras_cnn.data.augment import GREY, RECIPES, Augmentation, augment
from keras_cnn.data.threefry import threefry
from keras_cnn.data.warp import FILLS, unpacked, warp
from keras_cnn.errors import InputError
from tests.gpu_kernels import kernels_of

SIDE = 12
EVERYTHING = Augmentation(
    rotation=30, scale=(0.8, 1.2), translation=0.1, shear=10, flip=0.5, vertical_flip=0.5, pad_crop=2,
    brightness=0.3, contrast=0.3, saturation=0.3, cutout=4, erase=0.5, mixup=0.4, cutmix=1.0,
)  # fmt: skip
POLICIES = (Augmentation(policy="trivialaugment"), Augmentation(policy="randaugment", operations=1))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def keys():
    return np.random.default_rng(1).integers(-(2**31), 2**31, (16, 2)).astype(np.int32)


def run(images, keys, recipe, epoch=0, seed=0, labels=None):
    labels = np.eye(len(images), dtype=np.float32) if labels is None else labels
    out, mixed = augment(tf.constant(images), tf.constant(labels), tf.constant(keys), epoch, seed=seed, recipe=recipe)
    return out.numpy(), mixed.numpy()


def draws(count, **values):
    """The middle of every range, but for `values`."""
    return {name: tf.fill([count], float(values.get(name, 0.5))) for name in module._DRAWS}


def uniform(keys, epoch=0, seed=0):
    drawn = module._draw(tf.constant(keys), (tf.constant(epoch, tf.int64), tf.constant(seed, tf.int64)))
    return np.stack([value.numpy() for value in drawn.values()], axis=1)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_vectors_published_with_random123(key, counter, expected):
    words = threefry(*(tf.constant(word, tf.uint32) for word in (*key, *counter)))
    assert tuple(int(word) for word in words) == expected


def test_draws_are_uniform_and_independent():
    count = 20_000
    keys = np.stack([np.arange(count), np.zeros(count)], 1).astype(np.int32)  # as alike as keys can be
    values = uniform(keys)
    assert values.min() >= 0
    assert values.max() < 1
    ranks = (np.arange(count) + 0.5)[:, None] / count
    assert np.abs(np.sort(values, axis=0) - ranks).max() < 1.95 / np.sqrt(count)  # Kolmogorov-Smirnov, p = 0.001
    cells = np.apply_along_axis(np.bincount, 0, (values * 16).astype(int), minlength=16)
    chi_square = ((cells - count / 16) ** 2 / (count / 16)).sum(axis=0)
    assert chi_square.max() < 44.3  # 15 degrees of freedom, p = 0.0001
    others = [uniform(keys, epoch=1), uniform(keys, seed=1), np.roll(values, 1, axis=0)]
    together = np.corrcoef(np.concatenate([values, *others], axis=1), rowvar=False)
    assert np.abs(together - np.eye(len(together))).max() < 5 / np.sqrt(count)


@pytest.mark.parametrize(
    "recipe",
    [RECIPES["standard"], RECIPES["comp5623"], RECIPES["cs7015"], Augmentation(cutout=5, flip=0.5, fill="nearest")],
)
def test_an_image_changes_alike_in_any_batch_at_any_place(images, keys, recipe):
    whole, _ = run(images, keys, recipe, epoch=3, seed=5)
    assert np.isfinite(whole).all()
    assert (whole >= 0).all()
    assert (whole <= 255).all()
    shuffled = np.random.default_rng(2).permutation(len(images))
    np.testing.assert_array_equal(run(images[shuffled], keys[shuffled], recipe, 3, 5)[0], whole[shuffled])
    np.testing.assert_array_equal(run(images[4:9], keys[4:9], recipe, 3, 5)[0], whole[4:9])
    for epoch, seed in ((4, 5), (3, 6)):
        changed = (run(images, keys, recipe, epoch, seed)[0] != whole).any(axis=(1, 2, 3))
        assert changed.mean() > 0.5


def test_one_option_does_not_change_the_draws_of_another(images, keys):
    flipped, _ = run(images, keys, Augmentation(flip=0.5))
    both, _ = run(images, keys, Augmentation(flip=0.5, cutout=3))
    same = (flipped == both).all(axis=-1).mean(axis=(1, 2))
    assert (same >= 1 - 9 / SIDE**2).all()


def test_without_options_nothing_changes(images, keys):
    out, labels = run(images, keys, Augmentation())
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(labels, np.eye(16))


@pytest.mark.parametrize("fill", FILLS)
def test_an_identity_warp_is_exact(images, fill):
    matrix = module._affine(draws(16), Augmentation(rotation=30, shear=10, translation=0.2), SIDE, SIDE)
    warped = warp(tf.constant(images), matrix, True, fill)
    np.testing.assert_array_equal(unpacked(warped, 3), images)


@pytest.mark.parametrize(("fill", "mode"), [("constant", "constant"), ("nearest", "edge"), ("reflect", "symmetric")])
def test_pad_and_crop_cuts_exact_windows_and_all_of_them(fill, mode):
    image = np.random.default_rng(3).integers(0, 256, (7, 9, 1), dtype=np.uint8)
    keys = np.stack([np.arange(2000)] * 2, 1).astype(np.int32)
    out, _ = run(np.repeat(image[None], 2000, 0), keys, Augmentation(pad_crop=2, fill=fill), labels=np.ones((2000, 1)))
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode=mode)
    windows = [padded[y : y + 7, x : x + 9] for y in range(5) for x in range(5)]
    counts = [(out == window).all(axis=(1, 2, 3)).sum() for window in windows]
    assert sum(counts) == 2000
    assert ((np.array(counts) - 80) ** 2 / 80).sum() < 51.2  # 24 degrees of freedom, p = 0.001


def test_flips_are_exact_and_as_frequent_as_asked(images, keys):
    wide = images[:, :7]
    np.testing.assert_array_equal(run(wide, keys, Augmentation(flip=1))[0], wide[:, :, ::-1])
    np.testing.assert_array_equal(run(wide, keys, Augmentation(vertical_flip=1))[0], wide[:, ::-1])
    keys = np.stack([np.arange(4000)] * 2, 1).astype(np.int32)
    flat = np.tile(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1), (4000, 2, 1, 1))
    flipped = run(flat, keys, Augmentation(flip=0.2), labels=np.ones((4000, 1)))[0][:, 0, 0, 0] == 255
    assert abs(flipped.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)


@pytest.mark.parametrize(("draw", "turns"), [(1.0, -1), (0.0, 1)])
def test_a_quarter_turn_is_exact(images, draw, turns):
    matrix = module._affine(draws(16, rotation=draw), Augmentation(rotation=90), SIDE, SIDE)
    warped = unpacked(warp(tf.constant(images), matrix, True, "constant"), 3)
    np.testing.assert_array_equal(warped, np.rot90(images, turns, axes=(1, 2)))


def forward(recipe, values, side):
    """Rotation, shear, magnification and flip as one matrix, and the move, each written down from its definition."""
    angle, shear = ((2 * values[name] - 1) * np.deg2rad(getattr(recipe, name)) for name in ("rotation", "shear"))
    low, high = recipe.scale
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[1, np.tan(shear)], [0, 1]])
    mirror = np.diag([-1.0 if values["flip"] < recipe.flip else 1.0, 1.0])
    move = np.array([2 * values[name] - 1 for name in ("translate_x", "translate_y")]) * recipe.translation * side
    return turn @ slant @ (np.eye(2) * (low + values["scale"] * (high - low))) @ mirror, move


@pytest.mark.parametrize(
    ("fill", "mode"), [("constant", "grid-constant"), ("nearest", "nearest"), ("reflect", "reflect")]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_warp_is_scipys_affine_transform(images, fill, mode, seed):
    ndimage = pytest.importorskip("scipy.ndimage")
    recipe = Augmentation(rotation=40, scale=(0.7, 1.4), shear=20, translation=0.3, flip=0.5, fill=fill)
    values = dict(zip(module._DRAWS, np.random.default_rng(seed).random(len(module._DRAWS)), strict=True))
    matrix = module._affine(draws(1, **values), recipe, SIDE, SIDE)
    warped = unpacked(warp(tf.constant(images[:1]), matrix, True, fill), 3)[0].numpy()
    linear, move = forward(recipe, values, SIDE)
    backward = np.linalg.inv(linear)[::-1, ::-1]  # rows before columns
    centre = np.full(2, (SIDE - 1) / 2)
    offset = centre - backward @ (centre + move[::-1])
    for channel in range(3):
        plane = images[0, ..., channel].astype(float)
        exact = ndimage.affine_transform(plane, backward, offset, order=1, mode=mode)
        # Two roundings to 8 bits, and 1/512 pixel of rounded position on noise that may jump by 255.
        assert np.abs(warped[..., channel] - exact).max() < 2.1


def test_a_flat_image_is_warped_about_its_own_centre():
    """Half a turn, and a move by a quarter of 40 x 20 pixels: height and width are not mixed up."""
    images = np.random.default_rng(6).integers(0, 256, (1, 20, 40, 3), dtype=np.uint8)
    half_turn = module._affine(draws(1, rotation=1), Augmentation(rotation=180), 20, 40)
    moved = module._affine(draws(1, translate_x=1, translate_y=1), Augmentation(translation=0.25), 20, 40)
    expected = {"turn": images[:, ::-1, ::-1], "move": np.pad(images, ((0, 0), (5, 0), (10, 0), (0, 0)))[:, :20, :40]}
    for name, matrix in (("turn", half_turn), ("move", moved)):
        warped = unpacked(warp(tf.constant(images), matrix, True, "constant"), 3)
        np.testing.assert_array_equal(warped, expected[name])


@pytest.mark.parametrize(
    ("x", "y", "rows", "columns"),
    [
        (0, 0, (0, 2), (0, 2)),
        (0.5, 0.5, (2, 6), (8, 12)),
        (0.999, 0.999, (5, 8), (17, 20)),
        (0.2, 0.75, (4, 8), (2, 6)),
    ],
)
def test_cutout_lies_around_its_draw(x, y, rows, columns):
    """A square of 4: two pixels before (floor(20 x), floor(8 y)) and one after it, in an image of 20 x 8."""
    image = np.random.default_rng(7).integers(0, 256, (1, 8, 20, 3), dtype=np.uint8)
    recipe, values = Augmentation(cutout=4), draws(1, cutout_x=x, cutout_y=y)
    colour = module._colour_map(tf.constant(image), values, recipe)
    out = module._finish(tf.constant(image), 3, colour, values, recipe)[0].numpy()
    hidden = np.zeros((8, 20), bool)
    hidden[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal((out != image[0]).any(-1), hidden)
    np.testing.assert_allclose(out[hidden], np.tile(image[0].mean(axis=(0, 1)), (hidden.sum(), 1)), atol=1e-3)


def test_jitter_is_pillows_brightness_contrast_and_colour():
    image = np.random.default_rng(4).integers(70, 140, (SIDE, SIDE, 3), dtype=np.uint8)
    recipe = Augmentation(brightness=0.4, contrast=0.5, saturation=0.6)
    values = draws(1, brightness=0.75, contrast=0.25, saturation=0.9)  # factors 1.2, 0.75 and 1.48
    colour = module._colour_map(tf.constant(image[None]), values, recipe)
    ours = module._finish(tf.constant(image[None]), 3, colour, values, recipe)[0].numpy()
    bright = image * 1.2
    contrasted = (bright - (bright @ GREY).mean()) * 0.75 + (bright @ GREY).mean()
    grey = (contrasted @ GREY)[..., None]
    np.testing.assert_allclose(ours, grey + (contrasted - grey) * 1.48, atol=1e-3)
    pillow = Image.fromarray(image)
    for enhance, factor in ((ImageEnhance.Brightness, 1.2), (ImageEnhance.Contrast, 0.75), (ImageEnhance.Color, 1.48)):
        pillow = enhance(pillow).enhance(factor)
    assert np.abs(ours - np.asarray(pillow)).max() < 3  # Pillow truncates after each of the three steps


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(64, 100, 2, 3), (63, 96, 1, 3)])
def test_means_are_of_every_second_or_third_pixel_of_a_larger_image(height, width, rows, columns):
    image = np.random.default_rng(8).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    mean, *_ = module._colour_map(tf.constant(image), draws(1), Augmentation(contrast=0.5))
    np.testing.assert_allclose(mean[0], image[0, ::rows, ::columns].mean(axis=(0, 1)), rtol=1e-5)


def test_jitter_is_clipped_to_the_range_of_pixels(images, keys):
    out, _ = run(images, keys, Augmentation(brightness=3, contrast=3))
    assert out.min() == 0
    assert out.max() == 255


def test_cutout_hides_one_square_with_the_mean_colour(images, keys):
    out, _ = run(images, keys, Augmentation(cutout=4))
    for before, after in zip(images, out, strict=True):
        hidden = np.isclose(after, before.mean(axis=(0, 1)), atol=1e-3).all(axis=-1)
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        assert 2 <= rows.sum() <= 4
        assert 2 <= columns.sum() <= 4
        np.testing.assert_array_equal(hidden, rows[:, None] & columns)
        np.testing.assert_array_equal(after[~hidden], before[~hidden])


def test_mixup_weighs_images_and_labels_alike(images, keys):
    out, labels = run(images, keys, Augmentation(mixup=0.4), epoch=2)
    own = np.diag(labels)
    assert own.min() < 0.5 < own.max()
    before = images[np.arange(16) - 1].astype(float)
    expected = own[:, None, None, None] * images + (1 - own)[:, None, None, None] * before
    np.testing.assert_allclose(out, expected, atol=1e-3)
    np.testing.assert_allclose(labels, np.diag(own) + (1 - own)[:, None] * np.eye(16)[np.arange(16) - 1], atol=1e-6)


def test_cutmix_weighs_labels_by_area(keys):
    flat = np.broadcast_to(np.arange(16, dtype=np.uint8)[:, None, None, None] * 10, (16, SIDE, SIDE, 3))
    out, labels = run(flat, keys, Augmentation(cutmix=1.0))
    own = (out == flat).mean(axis=(1, 2, 3))
    assert 0 < own.min() < own.max() <= 1
    np.testing.assert_allclose(np.diag(labels), own, atol=1e-6)
    pasted = flat[np.arange(16) - 1]
    assert ((out == flat) | (out == pasted)).all()


def test_with_both_mixes_each_image_has_one_and_a_batch_of_one_has_none(images, keys):
    out, labels = run(images, keys, Augmentation(mixup=1.0, cutmix=1.0))
    own, before = (out == images).all(axis=-1), (out == images[np.arange(16) - 1]).all(axis=-1)
    cut = (own | before).all(axis=(1, 2))
    assert 3 <= cut.sum() <= 13
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    alone, label = run(images[:1], keys[:1], Augmentation(mixup=1.0, cutmix=1.0))
    np.testing.assert_allclose(alone, images[:1], atol=1e-3)
    assert label == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixing_weights_have_the_beta_distribution(alpha):
    names = ("beta_sign", "beta_radius", "beta_angle")
    values = np.random.default_rng(5).random((3, 50_000)).astype(np.float32)
    sample = module._symmetric_beta(dict(zip(names, map(tf.constant, values), strict=True)), alpha).numpy()
    assert np.isfinite(sample).all()
    assert abs(sample.mean() - 0.5) < 0.01
    assert sample.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    stats = pytest.importorskip("scipy.stats")
    grid = np.linspace(0.01, 0.99, 99)  # float32 has no room for the mass that Beta(0.2, 0.2) has next to 0 and 1
    below = np.searchsorted(np.sort(sample), grid) / sample.size
    assert np.abs(below - stats.beta(alpha, alpha).cdf(grid)).max() < 1.95 / np.sqrt(sample.size)


def test_inside_a_callers_function_epochs_and_short_batches_trace_once(images, keys):
    traces = []

    @tf.function(input_signature=[
        tf.TensorSpec([None, SIDE, SIDE, 3], tf.uint8), tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([], tf.int32)
    ])  # fmt: skip
    def step(images, keys, epoch):
        traces.append(1)
        return augment(images, tf.ones((tf.shape(images)[0], 1)), keys, epoch, seed=7, recipe=RECIPES["standard"])[0]

    for epoch in range(3):
        for count in (16, 5):
            inside = step(images[:count], keys[:count], epoch)
            np.testing.assert_array_equal(inside, run(images[:count], keys[:count], RECIPES["standard"], epoch, 7)[0])
    assert len(traces) == 1


def test_grey_and_float_images_are_taken_too(images, keys):
    grey = images[..., :1]
    out, _ = run(grey, keys, RECIPES["standard"])
    assert out.shape == grey.shape
    np.testing.assert_array_equal(run(images.astype(np.float32), keys, RECIPES["cs7015"])[0],
                                  run(images, keys, RECIPES["cs7015"])[0])  # fmt: skip


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"flip": 1.5}, "data.augment.flip: found 1.5"),
        ({"rotation": -3}, "data.augment.rotation: found -3"),
        ({"scale": (1.2, 0.8)}, "data.augment.scale: found"),
        ({"shear": 90}, "data.augment.shear: found 90"),
        ({"vertical_flip": 1.01}, "data.augment.vertical_flip: found 1.01"),
        ({"rotation": float("inf")}, "data.augment.rotation: found inf"),
        ({"scale": (0, 1)}, "data.augment.scale: found"),
        ({"scale": (1, 1, 1)}, "data.augment.scale: found"),
        ({"crop_area": (0, 1)}, "data.augment.crop_area: found"),
        ({"crop_area": (0.5, 1.01)}, "data.augment.crop_area: found"),
        ({"crop_area": (0.5, 0.4)}, "data.augment.crop_area: found"),
        ({"fill": "wrap"}, "data.augment.fill: found 'wrap'"),
        ({"mixup": float("nan")}, "data.augment.mixup: found nan"),
    ],
)
def test_an_impossible_option_is_named(options, named):
    with pytest.raises(InputError, match=named):
        Augmentation(**options)
    Augmentation(flip=1, vertical_flip=1, scale=(2, 2), crop_area=(1, 1), shear=89)


@pytest.mark.parametrize("shape", [(1, 8, 3), (8, 1, 3), (8, 8, 5)])
def test_an_image_that_cannot_be_warped_is_named(keys, shape):
    with pytest.raises(
        InputError, match=r"an image of shape \(.* cannot be augmented; expected H, W of at least 2 and"
    ):
        run(np.zeros((16, *shape), np.uint8), keys, Augmentation())
    assert run(np.zeros((16, 2, 2, 4), np.uint8), keys, Augmentation(flip=1))[0].shape == (16, 2, 2, 4)


def test_the_recipe_of_cs7015_is_the_published_one():
    """Its text: "random cropping 32x32 (after padding of 4), random horizontal flips, color jittering, i.e., randomly
    changing the brightness, contrast, and saturation"."""
    assert RECIPES["cs7015"] == Augmentation(pad_crop=4, flip=0.5, brightness=0.5, contrast=0.5, saturation=0.5)
    assert RECIPES["comp5623"].flip == 0.2
    assert RECIPES["tdt4265"] == RECIPES["none"] == Augmentation()
    colours = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}
    assert RECIPES["imagenet"] == Augmentation(crop_area=(0.08, 1), flip=0.5, **colours)  # Szegedy et al. 2015
    assert RECIPES["fashion"] == Augmentation(flip=0.5, pad_crop=2)
    assert RECIPES["light"] == Augmentation(flip=0.5, translation=0.05, fill="reflect")
    assert RECIPES["cs6910"] == Augmentation(rotation=20, scale=(0.8, 1.2), translation=0.1, flip=0.5, fill="nearest")
    assert (RECIPES["comp5623"].rotation, RECIPES["standard"].rotation) == (15, 15)
    assert (RECIPES["comp5623"].scale, RECIPES["standard"].scale) == ((0.9, 1.1), (0.85, 1.2))


# --- without XLA ---


@pytest.fixture
def without_xla(monkeypatch):
    """XLA cannot compile, as on a GPU without ptxas."""
    return lambda: monkeypatch.setattr("keras_cnn.data.xla.xla_problem", lambda: "libdevice not found")


@pytest.mark.parametrize("recipe", [*dict.fromkeys(RECIPES.values()), EVERYTHING])
def test_uncompiled_augmentation_gives_the_same_images(images, keys, without_xla, recipe):
    """Recipes that move by whole pixels and change no colour are equal to the bit.

    The rest was measured with 32 images of 224 x 224. XLA fuses a multiplication with an addition, so that a position
    may differ in its last bit: then at most 1 in 1000 pixels differs by one grey level, times the gain of the contrast
    (0.3: 1.3 * 1.3); posterizing and solarizing may make more of it. Colours differ by 3e-5.
    """
    compiled, labels = run(images, keys, recipe, epoch=3, seed=5)
    without_xla()
    plain, plain_labels = run(images, keys, recipe, epoch=3, seed=5)
    np.testing.assert_allclose(plain_labels, labels, atol=1e-6)
    if not (recipe.interpolates or recipe.jitters or recipe.mixes):
        np.testing.assert_array_equal(plain, compiled)
    differences = np.abs(plain - compiled)
    assert differences.max() <= (255 if recipe.has_policy else 1.3**2)
    assert (differences > 1e-3).mean() < 2e-3


def test_every_op_of_the_uncompiled_augmentation_has_a_kernel_for_gpus(without_xla, monkeypatch):
    """Read from TensorFlow's registry of kernels; an op whose output stays on the host may have a few numbers alone."""
    without_xla()
    missing, on_host = set(), set()
    monkeypatch.setattr("keras_cnn.data.colours.on_gpu", lambda: True)
    for recipe in (EVERYTHING, Augmentation(pad_crop=2), RECIPES["standard"], *POLICIES):
        for channels in (1, 3):
            for op in traced(recipe, channels).get_operations():
                kernels = kernels_of(op)
                if not kernels:
                    missing.add((op.type, op.outputs[0].dtype.name))
                elif all(set(kernel.host_memory_arg) & {"output", "z"} for kernel in kernels):
                    on_host |= {(op.type, str(output.shape)) for output in op.outputs if output.shape.rank > 2}
    assert missing == set()
    assert on_host == set()


def traced(recipe, channels):
    """The graph of the augmentation of a batch of any size."""
    function = tf.function(lambda *batch: augment(*batch, seed=3, recipe=recipe), autograph=False)
    images, labels = tf.TensorSpec((None, 32, 32, channels), tf.uint8), tf.TensorSpec((None, 10))
    keys, epoch = tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((), tf.int32)
    return function.get_concrete_function(images, labels, keys, epoch).graph
