"""Batches: their order, their bytes however they are cached, and their images beside the Pillow decoder's."""

import dataclasses
import errno
import itertools
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_cnn.data import cache as caching
from keras_cnn.data import fast_decoding, pipeline
from keras_cnn.data.augment import RECIPES
from keras_cnn.data.dataset import Split
from keras_cnn.data.decoding import decode, read_image_file
from keras_cnn.data.image_files import ImageFile
from keras_cnn.data.pipeline import batches, cached, order
from keras_cnn.data.preview import preview
from keras_cnn.errors import InputError, Stopped
from keras_cnn.operating_system import available_memory

SHAPE = (24, 20, 3)
PINNED = [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]  # order(0, 0, 10)


def smooth(width, height, seed):
    """A picture without fine detail, on which resampling filters agree."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def described(path) -> ImageFile:
    return read_image_file(Path(path))


def split_of(paths) -> Split:
    ids = tuple(f"{number}/{Path(path).name}" for number, path in enumerate(paths))
    return Split(ids, np.arange(len(paths), dtype=np.int32) % 3, files=tuple(map(described, paths)))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Split:
    """Every kind of file that a decoder of its own or a turn of its own treats."""
    folder, paths = tmp_path_factory.mktemp("mixed"), []

    def save(name, image, **options):
        paths.append(folder / name)
        image.save(paths[-1], **options)

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"turned{orientation}.jpg", smooth(61, 40, orientation), quality=95, exif=exif)
    save("large.jpg", smooth(400, 330, 10), quality=95)
    save("tall.jpg", smooth(30, 90, 11), quality=95)
    save("small.jpg", smooth(11, 14, 12), quality=95)
    save("exact.jpg", smooth(20, 24, 13), quality=95)
    save("grey.jpg", smooth(50, 50, 14).convert("L"), quality=95)
    save("cmyk.jpg", smooth(50, 50, 15).convert("CMYK"), quality=95)
    save("plain.png", smooth(50, 44, 16))
    save("grey.png", smooth(50, 44, 17).convert("L"))
    save("alpha.png", smooth(50, 44, 18).convert("RGBA"))
    save("hole.png", smooth(50, 44, 19), transparency=smooth(50, 44, 19).getpixel((25, 22)))
    save("palette.gif", smooth(50, 44, 20).convert("P"))
    save("bitmap.bmp", smooth(33, 44, 21))
    save("naïve 画.webp", smooth(33, 44, 22), lossless=True)
    return split_of(paths)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Split:
    """Eleven JPEG files: two batches of four and one of three."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(11):
        smooth(40 + number, 35, number).save(folder / f"{number}.jpg")
    return split_of([folder / f"{number}.jpg" for number in range(11)])


@pytest.fixture(scope="module")
def arrays() -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)
    return Split(tuple(map(str, range(11))), np.arange(11, dtype=np.int32), pixels=pixels)


def images_of(dataset):
    return np.concatenate([batch.images.numpy() for batch in dataset])


def listed(dataset):
    return [(int(b.epoch), b.labels.numpy().tolist(), b.keys.numpy().tolist(), b.images.numpy()) for b in dataset]


def assert_same(first, second):
    assert [batch[:3] for batch in first] == [batch[:3] for batch in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[3], other[3])


def test_the_order_is_fixed_by_seed_and_epoch_for_all_time():
    assert order(0, 0, 10).tolist() == PINNED
    assert sorted(order(7, 3, 1000)) == list(range(1000))
    different = [order(7, 3, 1000), order(7, 4, 1000), order(8, 3, 1000)]
    for one in range(3):
        for other in range(one):
            assert (different[one] == different[other]).mean() < 0.01
    assert order(None, 5, 4).tolist() == [0, 1, 2, 3]


def test_the_order_favours_no_place():
    first = np.array([order(1, epoch, 8) for epoch in range(4000)])
    counts = np.stack([(first == image).sum(axis=0) for image in range(8)])
    assert ((counts - 500) ** 2 / 500).sum() < 85.4  # 49 degrees of freedom, p = 0.001


@pytest.mark.parametrize("kind", ["photos", "arrays"])
def test_evaluation_reads_every_image_once_in_order(kind, request):
    split = request.getfixturevalue(kind)
    read = list(batches(split, SHAPE, 4))
    assert [len(batch.labels) for batch in read] == [4, 4, 3]
    assert [batch.images.shape for batch in read] == [(4, *SHAPE), (4, *SHAPE), (3, *SHAPE)]
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in read]), split.labels)
    np.testing.assert_array_equal(np.concatenate([batch.keys for batch in read]), split.keys)
    if split.pixels is not None:
        np.testing.assert_array_equal(images_of(read), split.pixels)


@pytest.mark.parametrize("kind", ["photos", "arrays"])
def test_training_follows_the_order_and_goes_on_from_anywhere(kind, request):
    split = request.getfixturevalue(kind)
    whole = listed(batches(split, SHAPE, 4, seed=9, epochs=3))
    assert [batch[0] for batch in whole] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for epoch in range(3):
        keys = np.concatenate([batch[2] for batch in whole[3 * epoch : 3 * epoch + 3]])
        np.testing.assert_array_equal(keys, split.keys[order(9, epoch, 11)])
    in_order = images_of(batches(split, SHAPE, 4))
    np.testing.assert_array_equal(np.concatenate([batch[3] for batch in whole[3:6]]), in_order[order(9, 1, 11)])
    for start in ((0, 1), (1, 2), (1, 3), (3, 0)):
        rest = listed(batches(split, SHAPE, 4, seed=9, start=start, epochs=3))
        assert_same(rest, whole[3 * start[0] + start[1] :])


def test_what_lies_before_the_start_is_not_decoded(photos):
    gone = dataclasses.replace(photos.files[0], path=Path("gone.jpg"))
    broken = dataclasses.replace(photos, files=(gone, *photos.files[1:]))
    step = int(np.flatnonzero(order(9, 0, 11) == 0)[0]) // 4
    assert step < 2
    rest = listed(batches(broken, SHAPE, 4, seed=9, start=(0, step + 1)))
    assert_same(rest, listed(batches(photos, SHAPE, 4, seed=9))[step + 1 :])


def copies(split: Split, folder: Path) -> Split:
    """The same images in files of their own, to be damaged."""
    files = [dataclasses.replace(file, path=folder / file.path.name) for file in split.files]
    for file, original in zip(files, split.files, strict=True):
        file.path.write_bytes(original.path.read_bytes())
    return dataclasses.replace(split, files=tuple(files))


DAMAGE = {
    "vanished": (Path.unlink, "vanished"),
    "emptied": (lambda path: path.write_bytes(b""), r"empty \(0 bytes\)"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-200]), "truncated"),
    "another thing": (lambda path: path.write_text("hello"), "not a JPEG"),
}


@pytest.mark.parametrize(
    ("name", "damage"),
    [*itertools.product(("large.jpg", "plain.png", "bitmap.bmp"), DAMAGE), ("large.jpg", "made smaller")],
)
def test_a_file_damaged_while_batches_are_read_is_named(mixed, tmp_path, name, damage):
    split = copies(mixed, tmp_path)
    under_way = iter(batches(split, SHAPE, 4, seed=3, epochs=50))
    next(under_way)
    made_smaller = (lambda path: smooth(9, 8, 0).save(path), "is now JPEG RGB of 9 x 8 pixels, .* expected")
    change, words = DAMAGE.get(damage, made_smaller)
    change(tmp_path / name)
    with pytest.raises(Stopped, match=f"^{tmp_path / name}: .*{words}") as stop:
        list(under_way)
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize("how", [{}, {"cache": "disk"}, {"cache": "memory"}])
def test_files_that_vanish_before_the_first_batch_are_named_and_counted(mixed, tmp_path, how):
    split = copies(mixed, tmp_path)
    for file in split.files:
        file.path.unlink()
    with pytest.raises(Stopped, match=rf"^{tmp_path}/.*: vanished .* \(like {len(split) - 1} others\)"):
        list(batches(split, SHAPE, 4, **how, cache_dir=tmp_path / "cache", epochs=2))


def test_a_cache_folder_that_cannot_be_is_one_line(photos, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "below", "/proc/none/cache", "~nobody-of-that-name/cache"):
        with pytest.raises(InputError, match=r"data.cache_dir .* expected a folder that may be written to") as error:
            cached(photos, SHAPE, cache="disk", cache_dir=folder)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("fit", ["crop", "center", "stretch", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_file_comes_out_like_the_pillow_decoders(mixed, fit, channels):
    ours = images_of(batches(mixed, (24, 20, channels), 8, fit=fit)).astype(int)
    for file, image in zip(mixed.files, ours, strict=True):
        away = np.abs(image - decode(file, (24, 20), channels, fit))
        slow = file.format not in ("JPEG", "PNG") or file.path.stem in ("cmyk", "alpha", "hole")
        # Pillow's own where TensorFlow has no decoder; else area against triangle filter, and a JPEG decoded smaller.
        limit = (0, 0) if slow else (4, 24)
        assert away.mean() <= limit[0], (file.path.name, away.mean())
        assert np.percentile(away, 98) <= limit[1], (file.path.name, np.percentile(away, 98))


def test_the_decoder_is_traced_once_for_all_pipelines(mixed):
    shape = (13, 17, 3)
    images = [np.concatenate([batch.images for batch in batches(split, shape, 4)]) for split in (mixed, mixed)]
    np.testing.assert_array_equal(*images)
    assert fast_decoding._by_tensorflow(shape, "crop", False).experimental_get_tracing_count() == 1


def test_an_unknown_fit_or_cache_is_named(photos):
    with pytest.raises(InputError, match=r"data.fit is 'squeeze'; expected one of crop, center, stretch, pad"):
        batches(photos, SHAPE, 4, fit="squeeze")
    with pytest.raises(InputError, match=r"data.cache is 'ram'; expected one of auto, none, memory, disk, jpeg"):
        batches(photos, SHAPE, 4, cache="ram")
    with pytest.raises(InputError, match=r"without data.cache_dir"):
        cached(photos, SHAPE, cache="disk")


def test_arrays_are_conformed_to_the_shape_that_the_network_gets(arrays):
    grey = images_of(batches(arrays, (24, 20, 1), 4))[..., 0].astype(int)
    assert np.abs(grey - arrays.pixels @ [0.299, 0.587, 0.114]).max() <= 1
    flat = dataclasses.replace(arrays, pixels=np.full((11, 8, 4, 1), 77, np.uint8))
    assert np.unique(images_of(batches(flat, (6, 6, 3), 4))).tolist() == [77]
    assert images_of(batches(flat, (6, 6, 3), 4)).shape == (11, 6, 6, 3)
    padded = images_of(batches(flat, (6, 6, 3), 4, fit="pad"))
    assert (padded[:, :, :1] == 0).all()
    assert (padded[:, :, 2:4] == 77).all()


def test_memory_mapped_arrays_are_read_by_the_batch(arrays, tmp_path):
    np.save(tmp_path / "pixels.npy", arrays.pixels)
    mapped = dataclasses.replace(arrays, pixels=np.load(tmp_path / "pixels.npy", mmap_mode="r"))
    assert_same(listed(batches(mapped, SHAPE, 4, seed=2)), listed(batches(arrays, SHAPE, 4, seed=2)))


@pytest.mark.parametrize("cache", ["memory", "disk", "auto"])
def test_cached_images_are_the_same_bytes(mixed, cache, tmp_path):
    held = cached(mixed, SHAPE, cache=cache, cache_dir=tmp_path)
    assert held.pixels.shape == (len(mixed), *SHAPE)
    assert held.files is None
    assert isinstance(held.pixels, np.memmap) == (cache == "disk")
    plain = listed(batches(mixed, SHAPE, 8, seed=1, epochs=2))
    assert_same(listed(batches(held, SHAPE, 8, seed=1, epochs=2)), plain)
    assert_same(listed(batches(mixed, SHAPE, 8, seed=1, epochs=2, cache=cache, cache_dir=tmp_path)), plain)


def test_auto_takes_memory_only_where_it_fits(photos, monkeypatch):
    need = 11 * 24 * 20 * 3
    monkeypatch.setattr(caching, "available_memory", lambda: need / caching.MEMORY_SHARE - 1)
    assert cached(photos, SHAPE) is photos
    monkeypatch.setattr(caching, "available_memory", lambda: need / caching.MEMORY_SHARE)
    assert cached(photos, SHAPE).pixels.nbytes == need


@pytest.mark.parametrize(
    ("seconds_an_image", "free_images", "choice"),
    [(7, 44, "disk"), (7, 43, "none"), (5, 44, "none")],  # 11 images: 77 or 55 s; a quarter of the disk
)
def test_auto_takes_the_disk_where_decoding_is_slow_and_room_is_plenty(
    photos, tmp_path, monkeypatch, caplog, seconds_an_image, free_images, choice
):
    clock = iter((0.0, 11.0 * seconds_an_image))
    monkeypatch.setattr(caching, "available_memory", lambda: 0)
    monkeypatch.setattr(caching.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(caching.shutil, "disk_usage", lambda _: SimpleNamespace(free=free_images * 24 * 20 * 3))
    decoded = []
    with caplog.at_level("INFO", "keras_cnn"):
        assert caching.chosen(photos, SHAPE, tmp_path, decoded.append) == choice
    assert [len(some) for some in decoded] == [11]
    assert f"take {11 * seconds_an_image / 60:.1f} minutes an epoch" in caplog.text
    assert caplog.text.strip().endswith(f"data.cache {choice}")


def test_auto_holds_nothing_that_is_read_once(photos, monkeypatch):
    seen = []
    monkeypatch.setattr(pipeline, "cached", lambda split, *_, cache, **__: seen.append(cache) or split)
    for start, epochs in ((0, 1), (0, 2), (1, 2)):
        batches(photos, SHAPE, 4, start=(start, 0), epochs=epochs, cache="auto")
    assert seen == ["none", "auto", "none"]


def test_available_memory_is_a_part_of_the_machines():
    assert 2**26 < available_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def stored(folder):
    (path,) = folder.glob("*.npy")
    return path


def test_the_disk_cache_is_written_once_and_mended_where_it_is_not_whole(photos, tmp_path):
    whole = np.array(cached(photos, SHAPE, cache="disk", cache_dir=tmp_path).pixels)
    path = stored(tmp_path)
    written = path.stat().st_mtime_ns
    cached(photos, SHAPE, cache="disk", cache_dir=tmp_path)
    assert path.stat().st_mtime_ns == written
    content = path.read_bytes()
    for damage in (content[:-1], content[: len(content) // 2], b"", bytes(len(content)), content + b"x"):
        path.write_bytes(damage)
        np.testing.assert_array_equal(cached(photos, SHAPE, cache="disk", cache_dir=tmp_path).pixels, whole)
        assert path.read_bytes() == content
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", path.name]


def replaced_first(split, file):
    return dataclasses.replace(split, files=(file, *split.files[1:]))


def test_another_shape_fit_file_or_version_is_another_cache(photos, tmp_path, monkeypatch):
    key = caching.cache_key(photos, SHAPE, "crop")
    assert caching.cache_key(photos, (24, 24, 3), "crop") != key
    assert caching.cache_key(photos, SHAPE, "pad") != key
    assert caching.cache_key(photos.take(range(10)), SHAPE, "crop") != key
    copy = tmp_path / "0.jpg"
    copy.write_bytes(photos.files[0].path.read_bytes())
    first = photos.files[0]
    changes = ({"path": copy}, {"modified": first.modified + 1}, {"size": first.size + 1})
    changed = [replaced_first(photos, dataclasses.replace(first, **change)) for change in changes]
    assert len({key, *(caching.cache_key(split, SHAPE, "crop") for split in changed)}) == 4
    renamed = dataclasses.replace(photos, ids=("another", *photos.ids[1:]))
    assert caching.cache_key(renamed, SHAPE, "crop") != key
    monkeypatch.setattr(caching, "VERSION", caching.VERSION + 1)
    assert caching.cache_key(photos, SHAPE, "crop") != key


def test_a_full_disk_is_named_beforehand_and_leaves_nothing(photos, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(0, 0, 3 * 2**20)
    monkeypatch.setattr(caching.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs 6.32 MiB in .*, where 3.00 MiB are free"):
        cached(photos, (448, 448, 3), cache="disk", cache_dir=tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "full"), InputError),
        (OSError(errno.EDQUOT, "quota"), InputError),
        (OSError(errno.EIO, "bad"), OSError),
    ],
)
def test_a_write_that_fails_half_way_leaves_nothing(photos, tmp_path, error, raised):
    def decoded():
        yield np.zeros((4, *SHAPE), np.uint8)
        raise error

    with pytest.raises(raised):
        caching.keep_on_disk(photos, SHAPE, "crop", tmp_path, decoded())
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_the_preview_shows_originals_beside_what_training_sees(photos):
    mixed = dataclasses.replace(RECIPES["standard"], mixup=0.5)
    sheet = preview(photos.take([5, 1, 8, 0]), SHAPE, mixed, 3, views=2, batch_size=4)
    filled = preview(photos.take([5, 1, 8, 0]), SHAPE, mixed, 3, views=2, batch_size=9)
    np.testing.assert_array_equal(filled, sheet)
    assert sheet.shape == (4, 3, *SHAPE)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[:, 0], images_of(batches(photos, SHAPE, 11))[[5, 1, 8, 0]])
    assert (sheet[:, 1] != sheet[:, 2]).any(axis=(1, 2, 3)).all()
    none = preview(photos, SHAPE, RECIPES["none"], 3, views=1, batch_size=4)
    assert none.shape == (11, 2, *SHAPE)
    np.testing.assert_array_equal(none[:, 0], none[:, 1])


PEAK = """
import resource, sys
from tests.data.test_pipeline import *
split = split_of([sys.argv[1]] * int(sys.argv[2]))
done = sum(len(batch.labels) for batch in batches(split, (224, 224, 3), 32, seed=0, epochs=2))
assert done == 2 * len(split)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    smooth(300, 260, 0).save(tmp_path / "photo.jpg")

    def peak(count):
        run = [sys.executable, "-c", PEAK, str(tmp_path / "photo.jpg"), str(count)]
        done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        return int(done.stdout.split()[-1])

    assert peak(1500) - peak(300) < 40  # MiB; held, 1,200 images more would take 172
