import dataclasses
import os
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_cnn.data import jpeg_cache
from keras_cnn.data.dataset import Split
from keras_cnn.data.decoding import decode, read_image_file
from keras_cnn.data.pipeline import batches, cached
from keras_cnn.errors import InputError

SHAPE = (28, 28, 3)  # the shorter side of a kept file is 32 pixels


@pytest.fixture
def photos(tmp_path):
    """Smooth pictures: large ones, one turned by EXIF, one with transparency, one grey and one small."""
    folder, files = tmp_path / "photos", []
    folder.mkdir()
    exif = Image.Exif()
    exif[274] = 6
    for name, size, mode, options in (
        ("a.jpg", (120, 90), "RGB", {"quality": 95}),
        ("b.jpg", (90, 130), "RGB", {"quality": 95, "exif": exif}),
        ("c.png", (100, 64), "RGBA", {}),
        ("d.png", (64, 100), "L", {}),
        ("e.jpg", (40, 20), "RGB", {"quality": 80}),
    ):
        noise = np.random.default_rng(len(files)).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(folder / name, **options)
        files.append(read_image_file(folder / name))
    return Split(tuple("abcde"), np.arange(5, dtype=np.int32), files=files)


def contents_of(split):
    file = split.files.containers[0]
    with open(file, "rb") as content:
        whole = content.read()
    return [
        whole[offset : offset + size]
        for offset, size in zip(split.files.column("offset"), split.files.column("size"), strict=True)
    ]


def test_kept_files_have_the_stated_side_and_quality_and_small_ones_are_unchanged(photos, tmp_path):
    kept = cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "cache")
    images = [Image.open(BytesIO(content)) for content in contents_of(kept)]
    assert [image.size for image in images] == [(43, 32), (46, 32), (50, 32), (32, 50), (40, 20)]
    assert [image.mode for image in images] == ["RGB", "RGB", "RGB", "L", "RGB"]
    assert contents_of(kept)[4] == photos.files[4].path.read_bytes()
    plain = Image.new("RGB", (8, 8))
    buffer = BytesIO()
    plain.save(buffer, "JPEG", quality=90)
    assert images[0].quantization == Image.open(BytesIO(buffer.getvalue())).quantization


def test_batches_are_those_of_the_kept_files_and_close_to_the_originals(photos, tmp_path):
    kept = cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "cache")
    (batch,) = batches(kept, SHAPE, 8, cache="none")
    assert batch.labels.numpy().tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(batch.keys.numpy(), photos.keys)
    bytes_of = contents_of(kept)
    for image, original, content in zip(batch.images.numpy(), photos.files, bytes_of, strict=True):
        small = dataclasses.replace(original, orientation=1)
        assert np.abs(image.astype(int) - decode(small, (28, 28), 3, content=content)).mean() < 2.5
        assert np.abs(image.astype(int) - decode(original, (28, 28), 3)).mean() < 6  # a few pixels of a small JPEG


def test_the_file_is_used_again_and_a_damaged_one_is_replaced(photos, tmp_path, monkeypatch):
    first = contents_of(cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "cache"))
    (place,) = (tmp_path / "cache").glob("*.jpegs")
    made = []
    encode = jpeg_cache.encode_all
    monkeypatch.setattr(jpeg_cache, "encode_all", lambda paths, side: made.append(len(paths)) or encode(paths, side))
    cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "cache")
    assert made == []
    os.truncate(place, place.stat().st_size - 1)
    assert contents_of(cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "cache")) == first
    assert made == [5]
    assert {entry.suffix for entry in (tmp_path / "cache").iterdir()} == {".jpegs", ".columns", ""}


def test_processes_write_what_one_process_writes(photos, tmp_path, monkeypatch):
    first = contents_of(cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "one"))
    monkeypatch.setattr(jpeg_cache, "_FEW", 0)
    monkeypatch.setattr(jpeg_cache, "_BATCH", 2)
    assert contents_of(cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "several")) == first


def test_the_size_is_said_before_and_a_small_disk_is_one_line(photos, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(jpeg_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=99))
    with (
        caplog.at_level("INFO", "keras_cnn"),
        pytest.raises(InputError, match=r"the cache of JPEG files needs .* MiB in"),
    ):
        cached(photos, SHAPE, cache="jpeg", cache_dir=tmp_path / "cache")
    assert "shorter side 32, quality 90, takes about 0.00 GB" in caplog.text
    assert list((tmp_path / "cache").glob("*jpegs*")) == [tmp_path / "cache" / ".jpegs-lock"]
