"""TrivialAugment and RandAugment against torchvision: the same operations, levels and pictures."""

import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.data import policies
from keras_cnn.data.augment import Augmentation, augment
from keras_cnn.data.columns import text_keys
from keras_cnn.data.policies import LEVELS, OPERATIONS, magnitudes, with_geometry
from keras_cnn.data.warp import unpacked, warp
from keras_cnn.distribution.shares import Share
from keras_cnn.errors import InputError
from tests.torchvision_transforms import transforms

SIZE = (24, 30)
KEYS = text_keys(map(str, range(64)))
IDENTITY = np.array([1, 0, 0, 0, 1, 0], np.float32)
GEOMETRY = OPERATIONS[1:6]
STREAM = (tf.constant(3, tf.int64), tf.constant(5, tf.int64))


def smooth_images(count, size=SIZE, channels=3):
    """Images of every grey level whose neighbours differ by a few levels, as in photos."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    waves = rng.uniform(0.05, 0.3, (count, 1, 1, channels, 2))
    phases = rng.uniform(0, 6, (count, 1, 1, channels))
    heights = np.sin(waves[..., 0] * x[None, :, :, None] + waves[..., 1] * y[None, :, :, None] + phases)
    spans = rng.uniform(60, 127, (count, 1, 1, channels))
    return (127 + spans * heights + rng.integers(-3, 4, (count, *size, channels))).clip(0, 255).astype(np.uint8)


def apply_op(image, name, strength):
    """torchvision's result for one image (H, W, C) uint8, sampled bilinearly."""
    module = pytest.importorskip("torchvision.transforms.autoaugment")
    torch = pytest.importorskip("torch")
    picture = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    bilinear = module.InterpolationMode.BILINEAR
    return module._apply_op(picture, name, float(strength), bilinear, None).numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("policy", ["trivialaugment", "randaugment"])
def test_operations_and_magnitudes_are_torchvisions(policy):
    kind = {"trivialaugment": "TrivialAugmentWide", "randaugment": "RandAugment"}[policy]
    theirs = getattr(transforms(), kind)()
    space = theirs._augmentation_space(*((31,) if policy == "trivialaugment" else (31, SIZE)))
    assert tuple(space) == OPERATIONS
    ours = magnitudes(policy, SIZE)
    for row, (name, (values, signed)) in enumerate(space.items()):
        expected = np.broadcast_to(values.numpy(), LEVELS)
        if name.startswith("Translate"):  # int() in _apply_op, where 16 may be 15.999999
            expected = np.trunc(expected + 1e-4)
        np.testing.assert_allclose(ours[row], expected, rtol=1e-6, err_msg=name)
        assert policies._SIGNED[row] == signed


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_geometric_operation_gives_torchvisions_picture(name, sign):
    """Two roundings to 8 bits, and 1/512 pixel of rounded position; the images change by up to 40 levels a pixel."""
    transforms()
    levels = np.array([1, 9, 17, 30])
    images = smooth_images(len(levels))
    strength = sign * magnitudes("trivialaugment", SIZE)[OPERATIONS.index(name), levels]
    operation = tf.fill([len(levels), 1], OPERATIONS.index(name))
    matrix = with_geometry(tf.constant(np.tile(IDENTITY, (4, 1))), operation, tf.constant(strength[:, None]), SIZE)
    ours = unpacked(warp(tf.constant(images), matrix, True, "constant"), 3).numpy().astype(int)
    theirs = np.stack([apply_op(image, name, level) for image, level in zip(images, strength, strict=True)])
    assert np.abs(ours - theirs).max() <= 2
    assert np.abs(ours - theirs).mean() < 0.2


def test_two_geometric_operations_are_applied_in_their_order():
    """A move by 5 pixels to the right, then a quarter turn anticlockwise, by NumPy; and the other way round."""
    side = 12
    images = smooth_images(2, (side, side))
    move, turn = OPERATIONS.index("TranslateX"), OPERATIONS.index("Rotate")
    operation, strength = tf.constant([[move, turn], [turn, move]]), tf.constant([[5.0, 90.0], [90.0, 5.0]])
    matrix = with_geometry(tf.constant(np.tile(IDENTITY, (2, 1))), operation, strength, (side, side))
    ours = unpacked(warp(tf.constant(images), matrix, True, "constant"), 3).numpy()

    def moved(image):
        return np.pad(image, ((0, 0), (5, 0), (0, 0)))[:, :side]

    np.testing.assert_array_equal(ours[0], np.rot90(moved(images[0])))
    np.testing.assert_array_equal(ours[1], moved(np.rot90(images[1])))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "recipe", [Augmentation(policy="trivialaugment"), Augmentation(policy="randaugment", operations=2, magnitude=14)]
)
def test_augmented_images_are_those_of_torchvisions_operations(recipe, channels):
    """The operations that each image draws, by torchvision one after the other, the geometric ones first.

    Images with two geometric operations are left out: what leaves the image is lost between torchvision's two.
    """
    transforms()
    images = smooth_images(len(KEYS), channels=channels)
    drawn = [t.numpy() for t in policies.draw(tf.constant(KEYS), STREAM, recipe, SIZE)]
    ours, _ = augment(tf.constant(images), tf.ones((len(KEYS), 1)), tf.constant(KEYS), 3, seed=5, recipe=recipe)
    once, steep = [], []  # images with at most one geometric operation; those that make one level many
    for image, result, *steps in zip(images, ours.numpy(), *drawn, strict=True):
        ordered = sorted(zip(*steps, strict=True), key=lambda step: OPERATIONS[step[0]] not in GEOMETRY)
        names = [OPERATIONS[operation] for operation, _ in ordered]
        for name, (_, strength) in zip(names, ordered, strict=True):
            image = apply_op(image, name, strength)
        if sum(name in GEOMETRY for name in names) < 2:
            (steep if {"Equalize", "Solarize", "Posterize"} & {*names} else once).append(np.abs(result - image))
    assert min(len(once), len(steep)) > 5
    assert np.max(once) <= 2
    assert np.max(steep) <= 16
    assert np.mean(steep, axis=(1, 2, 3)).max() < 0.3


def test_draws_are_uniform_over_operations_levels_and_signs():
    keys = tf.constant(text_keys(map(str, range(14_000))))
    drawn = policies.draw(keys, STREAM, Augmentation(policy="trivialaugment"), SIZE)
    operation, strength = (each.numpy()[:, 0] for each in drawn)
    counts = np.bincount(operation, minlength=14)
    assert ((counts - 1000) ** 2 / 1000).sum() < 34.5  # 13 degrees of freedom, p = 0.001
    turns = strength[operation == OPERATIONS.index("Rotate")]
    assert abs((turns < 0).sum() - (turns > 0).sum()) < 4 * np.sqrt(len(turns))
    levels = np.bincount(np.round(np.abs(turns) / 4.5).astype(int), minlength=31)
    assert ((levels - len(turns) / 31) ** 2 / (len(turns) / 31)).sum() < 59.7  # 30 degrees of freedom, p = 0.001
    both, _ = policies.draw(keys, STREAM, Augmentation(policy="randaugment", operations=3), SIZE)
    assert abs(np.corrcoef(both.numpy(), rowvar=False) - np.eye(3)).max() < 5 / np.sqrt(14_000)


def test_an_image_changes_alike_in_any_batch_and_with_other_options_beside():
    recipe = Augmentation(policy="randaugment", pad_crop=2, flip=0.5, erase=0.5)
    images, keys = smooth_images(16), KEYS[:16]

    def run(rows, recipe=recipe, epoch=3):
        batch = (tf.constant(images[rows]), tf.ones((len(rows), 1)), tf.constant(keys[rows]))
        return augment(*batch, epoch, seed=5, recipe=recipe)[0].numpy()

    whole = run(np.arange(16))
    np.testing.assert_array_equal(run(np.arange(5, 9)), whole[5:9])
    shuffled = np.random.default_rng(1).permutation(16)
    np.testing.assert_array_equal(run(shuffled), whole[shuffled])
    shares = [run(rows) for first in range(4) for rows in Share(4, first).parts(16)]  # of four devices
    np.testing.assert_array_equal(np.concatenate(shares), whole)
    assert (run(np.arange(16), epoch=4) != whole).any(axis=(1, 2, 3)).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            {"policy": "autoaugment"},
            "data.augment.policy: found 'autoaugment', expected one of none, trivialaugment, r",
        ),
        (
            {"policy": "randaugment", "operations": 0},
            "data.augment.operations: found 0, expected a whole number from 1 to",
        ),
        (
            {"policy": "randaugment", "magnitude": 31},
            "data.augment.magnitude: found 31, expected a whole number from 0 to",
        ),
        (
            {"policy": "trivialaugment", "magnitude": 5},
            "data.augment.magnitude: found 5 with policy trivialaugment, exp",
        ),
        ({"erase": 1.2}, "data.augment.erase: found 1.2, expected a probability"),
    ],
)
def test_an_impossible_option_is_named(options, named):
    with pytest.raises(InputError, match=named):
        Augmentation(**options)


def test_images_of_two_channels_have_no_policy():
    batch = (tf.zeros((1, 8, 8, 2), tf.uint8), tf.ones((1, 1)), tf.zeros((1, 2), tf.int32))
    with pytest.raises(InputError, match="an image of 2 channels has no trivialaugment; expected 1 or 3 channels"):
        augment(*batch, 0, seed=0, recipe=Augmentation(policy="trivialaugment"))
