"""What is kept of a frozen part: its numbers, their order, and the file that is whole and its own or not used."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_cnn import models
from keras_cnn.data import cache, pipeline
from keras_cnn.data.augment import RECIPES, augment
from keras_cnn.data.dataset import Split
from keras_cnn.data.decoding import read_image_file
from keras_cnn.distribution.replicas import SINGLE, Replicas
from keras_cnn.errors import InputError, Interrupted
from keras_cnn.models import freezing
from keras_cnn.tasks.classification import features
from keras_cnn.tasks.classification.features import BFLOAT16, AugmentedViews, FrozenFeatures, FrozenPart, image_key
from keras_cnn.training.task import no_interrupt
from tests.ranks_in_threads import all_of, replicas_of_ranks

ROOT = Path(__file__).resolve().parents[3]
SHAPE, COUNT = (32, 32, 3), features.BATCH + 9  # a whole batch and a short one
END = "maxpool"
VIEWS = AugmentedViews(RECIPES["fashion"], seed=5, count=2)


def split_of(pixels: np.ndarray) -> Split:
    return Split(tuple(map(str, range(len(pixels)))), np.arange(len(pixels), dtype=np.int32) % 3, pixels=pixels)


@pytest.fixture(scope="module")
def images() -> Split:
    return split_of(np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), np.uint8))


def network() -> keras.Model:
    """ResNet18 frozen up to its first pool, with statistics that batch norm makes something of."""
    keras.utils.set_random_seed(3)
    model = models.build("resnet18", SHAPE, 3, weights="none")
    norm, rng = model.get_layer("bn1"), np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 2, 64).astype("float32") for _ in norm.weights])
    freezing.freeze(model, "conv1")
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return network()


def frozen_of(model: keras.Model, dtype: str = "auto", read=None, replicas: Replicas = SINGLE) -> FrozenPart:
    def batches(split: Split, size: int):
        if read is not None:
            read.append(len(split))
        return pipeline.batches(split, SHAPE, size)

    return FrozenPart(freezing.split(model, freezing.boundary(model))[0], dtype, batches, replicas)


def in_memory(frozen: FrozenPart, split: Split, recipe: AugmentedViews | None = None) -> np.ndarray:
    return frozen.in_memory(split, recipe, no_interrupt).values


def layer_output(model: keras.Model, images) -> np.ndarray:
    return keras.Model(model.input, model.get_layer(END).output)(tf.cast(images, tf.float32), training=False).numpy()


def test_the_features_are_what_keras_has_behind_the_last_frozen_layer(model, images):
    frozen = frozen_of(model)
    found = in_memory(frozen, images)
    expected = layer_output(model, images.pixels)
    assert freezing.boundary(model) == END
    assert found.shape == (1, COUNT, 8, 8, 64)
    assert found.nbytes == frozen.size_in_bytes(COUNT) == COUNT * 8 * 8 * 64 * 4
    assert not frozen.rounds
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected) > 1


def test_bfloat16_is_the_same_rounded(model, images):
    frozen = frozen_of(model, "bfloat16")
    found = in_memory(frozen, images)
    assert (found.dtype, frozen.rounds) == (BFLOAT16, True)
    assert frozen.size_in_bytes(3 * COUNT) == 3 * COUNT * 8 * 8 * 64 * 2
    np.testing.assert_array_equal(found, in_memory(frozen_of(model), images).astype(BFLOAT16))


def test_what_is_computed_in_bfloat16_is_kept_so(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        frozen = frozen_of(network())
    finally:
        keras.config.set_dtype_policy("float32")
    assert (frozen.dtype, frozen.rounds) == (BFLOAT16, False)
    assert in_memory(frozen, images).dtype == BFLOAT16


def test_a_view_is_what_the_augmentation_makes_of_that_epoch(model, images):
    whole = images.take(range(features.BATCH))  # XLA compiles the augmentation for each size of a batch
    found = in_memory(frozen_of(model), whole, VIEWS)
    assert found.shape == (2, features.BATCH, 8, 8, 64)
    changed = tf.function(
        lambda view: augment(whole.pixels, labels, whole.keys, view, seed=5, recipe=RECIPES["fashion"])[0]
    )
    whole, labels = dataclasses.replace(whole, pixels=tf.constant(whole.pixels)), tf.zeros((features.BATCH, 1))
    for view in range(2):
        seen = changed(tf.constant(view))
        np.testing.assert_allclose(found[view], layer_output(model, seen), rtol=1e-4, atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.1


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_compute_parts_and_all_have_the_whole_to_the_byte(model, images, count):
    """With three ranks, the last computes nothing: there are two batches."""
    read = [[] for _ in range(count)]
    with replicas_of_ranks(count) as replicas:
        frozen = [frozen_of(model, "bfloat16", own, each) for own, each in zip(read, replicas, strict=True)]
        parts = all_of([lambda part=part: in_memory(part, images, VIEWS) for part in frozen])
    expected = in_memory(frozen_of(model, "bfloat16"), images, VIEWS)
    assert [part.tobytes() == expected.tobytes() for part in parts] == [True] * count
    assert read == [[features.BATCH] * 2, [9] * 2, [0] * 2][:count]


@pytest.mark.parametrize("start", [(0, 0), (1, 2), (2, 3)])
def test_batches_come_in_the_pipelines_order_with_the_view_of_their_epoch(images, start):
    values = np.arange(2 * COUNT, dtype=np.float32).reshape(2, COUNT, 1)
    found = list(FrozenFeatures(values, images).batches(12, seed=9, start=start, epochs=4))
    expected = list(pipeline.batches(images, SHAPE, 12, seed=9, start=start, epochs=4))
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("labels", "keys", "epoch"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
    for batch in found:
        epoch = int(batch.epoch)
        (pixels,) = (b.images for b in expected if np.array_equal(b.keys, batch.keys) and int(b.epoch) == epoch)
        places = [int(np.flatnonzero((images.pixels == image).all(axis=(1, 2, 3)))[0]) for image in pixels.numpy()]
        assert (batch.images.numpy()[:, 0] - COUNT * (epoch % 2)).astype(int).tolist() == places


# --- on disk ----------------------------------------------------------------------------------------------------------


def on_disk(
    frozen: FrozenPart, split: Split, folder: Path, recipe: AugmentedViews | None = None, fit: str = "crop"
) -> np.ndarray:
    key = image_key(split, SHAPE, fit)
    return frozen.on_disk(split, recipe, no_interrupt, folder=folder, image_key=key).values


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_a_whole_file_is_read_and_not_computed_again(model, images, tmp_path, dtype):
    read, images = [], images.take(range(features.BATCH))
    first = on_disk(frozen_of(model, dtype, read), images, tmp_path, VIEWS)
    assert isinstance(first, np.memmap)
    assert read == [features.BATCH] * 2  # a pass a view
    np.testing.assert_array_equal(first, in_memory(frozen_of(model, dtype), images, VIEWS))
    # another process has another network of the same layers and weights
    again = on_disk(frozen_of(network(), dtype, read), images, tmp_path, VIEWS)
    assert len(read) == 2
    assert again.dtype == first.dtype
    np.testing.assert_array_equal(again, first)
    (name,) = files(tmp_path)
    assert re.fullmatch(r"features-[0-9a-f]{32}\.npy", name)


def test_a_file_that_is_cut_off_or_not_ours_is_computed_again(model, images, tmp_path):
    frozen = frozen_of(model)
    whole = np.array(on_disk(frozen, images, tmp_path))
    (name,) = files(tmp_path)
    content = (tmp_path / name).read_bytes()
    for damage in (content[:-1], content[: len(content) // 2], b"", bytes(len(content)), content + b"x"):
        (tmp_path / name).write_bytes(damage)
        np.testing.assert_array_equal(on_disk(frozen, images, tmp_path), whole)
        assert (tmp_path / name).read_bytes() == content
    assert files(tmp_path) == [name]


def zeros(self: FrozenPart, split: Split, recipe: AugmentedViews | None, *_):
    """Stands in for the computation where it is the file's name that counts."""
    yield np.zeros(self._shape(split, recipe), self.dtype)


def test_other_weights_images_preprocessing_or_changes_are_another_file(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(FrozenPart, "_computed", zeros)
    other = network()
    other.get_layer("bn1").moving_mean.assign(other.get_layer("bn1").moving_mean + 1e-6)
    further = network()
    freezing.freeze(further, "layer1")  # the cut is further on
    pixels = images.pixels.copy()
    pixels[0, 0, 0, 0] ^= 1
    makers = (
        lambda: on_disk(frozen_of(model), images, tmp_path),
        lambda: on_disk(frozen_of(model, "bfloat16"), images, tmp_path),
        lambda: on_disk(frozen_of(other), images, tmp_path),
        lambda: on_disk(frozen_of(further), images, tmp_path),
        lambda: on_disk(frozen_of(model), split_of(pixels), tmp_path),
        lambda: on_disk(frozen_of(model), images.take(range(COUNT - 1)), tmp_path),
        lambda: on_disk(frozen_of(model), images, tmp_path, fit="pad"),
        lambda: on_disk(frozen_of(model), images, tmp_path, VIEWS),
        lambda: on_disk(frozen_of(model), images, tmp_path, dataclasses.replace(VIEWS, seed=6)),
        lambda: on_disk(frozen_of(model), images, tmp_path, dataclasses.replace(VIEWS, count=1)),
        lambda: on_disk(frozen_of(model), images, tmp_path, dataclasses.replace(VIEWS, augmentation=RECIPES["light"])),
    )
    for count, make in enumerate(makers, 1):
        make()
        assert len(files(tmp_path)) == count


def test_other_preprocessing_inside_the_network_is_another_file(images, tmp_path, monkeypatch):
    monkeypatch.setattr(FrozenPart, "_computed", zeros)
    fronts = []
    for scale in (1.0, 2.0):
        image = keras.Input(SHAPE, name="image")
        x = keras.layers.Rescaling(scale, name="rescale")(image)
        fronts.append(keras.Model(image, keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv1")(x)))
    for number, front in enumerate(fronts, 1):
        frozen = FrozenPart(front, "auto", lambda split, size: pipeline.batches(split, SHAPE, size))
        on_disk(frozen, images, tmp_path)
        assert len(files(tmp_path)) == number


def test_images_in_files_are_known_by_path_size_and_time(tmp_path):
    def described() -> Split:
        path = tmp_path / "one.png"
        return Split(("one",), np.zeros(1, np.int32), files=(read_image_file(path),))

    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "one.png")
    before = image_key(described(), SHAPE, "crop")
    assert image_key(described(), SHAPE, "crop") == before
    os.utime(tmp_path / "one.png", ns=(1, 1))
    assert len({before, image_key(described(), SHAPE, "crop"), image_key(described(), (4, 4, 3), "crop")}) == 3


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A folder on a file system of its own with 640 KiB: the features of 41 images take 656 KiB in float32."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", folder]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root on Linux")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_too_small_is_named_beforehand_and_nothing_is_computed(model, images, small_disk):
    read = []
    size = rf"needs 0.64 MiB in {small_disk}, where 0.62 MiB are free"  # 41 × 8 × 8 × 64 × 4 bytes in 640 KiB
    message = rf"^the cache of finetune.features {size}; expected a cache_dir"
    with pytest.raises(InputError, match=message) as error:
        on_disk(frozen_of(model, read=read), images, small_disk)
    assert str(error.value).endswith("with more room, or finetune.features: none")
    assert read == files(small_disk) == []


def test_a_disk_that_fills_up_in_the_middle_is_named_and_left_as_it_was(model, small_disk):
    few = split_of(np.random.default_rng(0).integers(0, 256, (features.BATCH + 2, *SHAPE), np.uint8))

    def batches(split: Split, size: int):
        for number, batch in enumerate(pipeline.batches(split, SHAPE, size)):
            if number == 1:
                (small_disk / "another program's").write_bytes(bytes(376 * 1024))
            yield batch

    front = freezing.split(model, freezing.boundary(model))[0]
    with pytest.raises(InputError, match=rf"needs 0.27 MiB in {small_disk}, where 0"):
        on_disk(FrozenPart(front, "bfloat16", batches), few, small_disk)
    assert files(small_disk) == ["another program's"]
    (small_disk / "another program's").unlink()
    assert on_disk(frozen_of(model, "bfloat16"), few, small_disk).shape == (1, len(few), 8, 8, 64)


DYING = """
import os, signal, sys
import numpy as np
from keras_cnn.data import cache
def batches():
    yield np.ones((32, 8, 8, 64), np.float32)
    os.kill(os.getpid(), signal.SIGKILL)
folder, key, count = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
shape, what = (1, count, 8, 8, 64), "cache of finetune.features"
cache.on_disk(folder, "features-", key, shape=shape, dtype=np.float32, batches=batches, what=what)
"""


def test_what_a_killed_process_leaves_is_not_used_and_goes(model, images, tmp_path):
    whole = np.array(on_disk(frozen_of(model), images, tmp_path))
    (name,) = files(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    words = [sys.executable, "-c", DYING, tmp_path, content[-32:].hex(), str(COUNT)]
    assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    assert files(tmp_path) == [name.replace(".npy", ".part")]
    np.testing.assert_array_equal(on_disk(frozen_of(model), images, tmp_path), whole)
    assert files(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == content
    (tmp_path / f"features-{'0' * 32}.part").write_bytes(b"of another network")
    (tmp_path / "features-of-mine.part").write_bytes(b"not ours")
    (tmp_path / name).unlink()
    on_disk(frozen_of(model), images, tmp_path)
    assert files(tmp_path) == sorted([name, "features-of-mine.part"])


def test_an_interrupt_is_checked_between_two_batches_and_leaves_no_file(model, images, tmp_path):
    asked = []

    def check_interrupt() -> None:
        asked.append(True)
        if len(asked) == 2:
            raise Interrupted("stopped by SIGTERM")

    with pytest.raises(Interrupted):
        frozen_of(model).on_disk(images, None, check_interrupt, folder=tmp_path, image_key=b"")
    assert files(tmp_path) == []


def test_a_long_pass_says_how_far_it_is(model, images, monkeypatch, messages):
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(features.time, "monotonic", lambda: next(clock))
    frozen_of(model).in_memory(images, VIEWS, no_interrupt)
    # asked at 0, and after each of four batches at 6, 12, 18 and 24 seconds
    assert messages == [
        f"features  {COUNT} of {2 * COUNT}, {COUNT / 12:.0f} images/s",
        "features  82 of 82, 3 images/s",
    ]


def test_the_array_is_filled_batch_by_batch_and_not_held_twice(model, images, monkeypatch):
    def one_by_one(self, split, recipe, *_):
        return (np.zeros((1, 8, 8, 64), np.float32) for _ in range(len(split)))

    monkeypatch.setattr(FrozenPart, "_computed", one_by_one)
    frozen = frozen_of(model)
    tracemalloc.start()
    try:
        in_memory(frozen, images)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * frozen.size_in_bytes(COUNT)
    finally:
        tracemalloc.stop()


def test_whether_bytes_fit_is_asked_of_what_is_available(monkeypatch):
    monkeypatch.setattr(cache, "available_memory", lambda: 1000)
    assert cache.bytes_fit(400)
    assert not cache.bytes_fit(401)
