import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn import config
from keras_cnn.data import arrays, load, sources, split_record, walking
from keras_cnn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
rng = np.random.default_rng(0)


def picture(size=(20, 20), mode="RGB"):
    noise = rng.integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def fill(folder, count=6, suffix=".png", **options):
    folder.mkdir(parents=True)
    for i in range(count):
        picture(**options).save(folder / f"{i}{suffix}")


@pytest.fixture
def read(tmp_path):
    """load() of a folder below tmp_path."""

    def load_folder(name="photos", **options):
        return load(f"folder:{tmp_path / name}", cache_dir=tmp_path / "cache", **options)

    return load_folder


def refused(action, *args, **options):
    with pytest.raises(InputError) as error:
        action(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_class_folders(tmp_path, read):
    for title in ("zebra", "Äpfel", "two words"):
        fill(tmp_path / "photos" / title, 10)
    data = read()
    assert data.classes == ("two words", "zebra", "Äpfel")
    assert data.image_shape == (20, 20, 3)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [24, 3, 3]
    for split in (data.train, data.validation, data.test):
        assert split.pixels is None
        assert [data.classes[label] for label in split.labels] == [i.split("/")[0] for i in split.ids]
        assert [file.path.relative_to(tmp_path / "photos").as_posix() for file in split.files] == list(split.ids)
        assert split.labels.dtype == np.int32


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid", "testing"), ("train", "eval", "TEST")]
)
def test_split_folders_are_kept(tmp_path, read, names):
    for name, count in zip(names, (8, 3, 5), strict=True):
        for title in "ab":
            fill(tmp_path / "photos" / name / title / "deeper", count)
    data = read(validation=0.5, test=0.5)
    for split, name, count in zip((data.train, data.validation, data.test), names, (8, 3, 5), strict=True):
        assert np.bincount(split.labels).tolist() == [count, count]
        assert all(i.startswith(f"{name}/") for i in split.ids)


def test_a_missing_split_is_cut_from_train(tmp_path, read):
    for title in "ab":
        fill(tmp_path / "photos" / "train" / title, 10)
        fill(tmp_path / "photos" / "test" / title, 4)
    (tmp_path / "photos" / "annotations").mkdir()
    data = read(validation=0.2)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [16, 4, 8]
    assert all(i.startswith("train/") for i in data.validation.ids)


def test_train_may_be_a_class(tmp_path, read):
    for title in ("train", "car", "train/steam"):
        fill(tmp_path / "photos" / title)
    assert read().classes == ("car", "train")


def test_litter_is_ignored_and_counted(tmp_path, read):
    for title in "ab":
        fill(tmp_path / "photos" / title)
    for name in ("a/.DS_Store", "a/Thumbs.db", "b/notes.txt", "b/raw.heic", "b/._1.png"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    (tmp_path / "photos" / ".git").mkdir()
    picture().save(tmp_path / "photos" / "loose.png")
    data = read()
    assert data.findings["ignored"] == {
        ".heic": 1,
        ".txt": 1,
        "hidden or system files": 3,
        "images outside any class folder": 1,
    }
    assert data.findings["notes"] == ["class folder b: 2 files left out: 1 .heic, 1 .txt"]
    assert len(data.train) + len(data.validation) + len(data.test) == 12


def test_the_records_hash_changes_with_a_pixel_under_the_same_name(tmp_path):
    pixels, labels, test = images(8, 6, 6), np.arange(8) % 2, images(2, 6, 6)
    records = []
    for change in (0, 0, 1):
        pixels[3, 0, 0] ^= change
        np.savez(tmp_path / "a.npz", x_train=pixels, y_train=labels, x_test=test, y_test=[0, 1])
        records.append(split_record(load(f"npz:{tmp_path}/a.npz", validation=2)))
    first, same, changed = records
    assert first == same
    assert changed["ids"] == first["ids"]
    assert changed["sha256"] != first["sha256"]


def test_order_of_listing_does_not_matter(tmp_path, read, monkeypatch):
    for title in "ab":
        fill(tmp_path / "photos" / title, 12)
    first = split_record(read())
    listing = walking.entries
    monkeypatch.setattr(walking, "entries", lambda folder: listing(folder)[::-1])
    assert split_record(read()) == first


def test_one_record_on_every_machine(tmp_path, read):
    for title in "ab":
        (tmp_path / "photos" / title).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(np.full((8, 8), i + 100 * (title == "b"), np.uint8)).save(
                tmp_path / "photos" / title / f"{i}.png"
            )
    record = split_record(read())
    # By hand: sha256("1|a/0.png") and so on, sorted; the first two are the test images, the next two validation.
    assert record["ids"]["test"] == by_rank("test")
    assert record["ids"]["validation"] == by_rank("validation")


def by_rank(name):
    from hashlib import sha256

    first = {"test": 0, "validation": 2}[name]
    return sorted(
        i
        for title in "ab"
        for i in sorted((f"{title}/{n}.png" for n in range(20)), key=lambda i: sha256(f"1|{i}".encode()).digest())[
            first : first + 2
        ]
    )


def test_copies_across_given_splits_are_reported(tmp_path, read):
    for part in ("train", "test"):
        for title in "ab":
            fill(tmp_path / "photos" / part / title)
    shared = picture()
    shared.save(tmp_path / "photos" / "train" / "a" / "copy.png")
    shared.save(tmp_path / "photos" / "test" / "b" / "copy.bmp")
    shared.save(tmp_path / "photos" / "test" / "b" / "nearly.jpg", quality=90)
    record = split_record(read(validation=0.2))
    assert record["disjoint_by_pixels"] is False
    assert record["duplicates"]["sets_across_splits"] == 1
    assert record["duplicates"]["sets_with_different_labels"] == 1
    (pair,) = record["duplicates"]["listed"]
    assert {i for _, i in pair} == {"train/a/copy.png", "test/b/copy.bmp"}
    near = record["near_duplicates"]
    assert near["pairs_across_splits"] == 1
    assert {i for _, i in near["listed"][0][:2]} == {"train/a/copy.png", "test/b/nearly.jpg"}
    json.dumps(record)


def test_sizes_and_channels_of_files(tmp_path, read):
    fill(tmp_path / "photos" / "a", mode="L")
    fill(tmp_path / "photos" / "b", mode="1")
    assert read().image_shape == (20, 20, 1)
    assert read(channels=3, image_size=(10, 30)).image_shape == (10, 30, 3)
    for width, shape in ((256, (4, 256, 3)), (257, (128, 128, 3))):  # the largest common size that is kept
        for title in "ab":
            fill(tmp_path / f"{width}" / title, 3, size=(width, 4))
        assert read(f"{width}").image_shape == shape
    picture((21, 20)).save(tmp_path / "photos" / "b" / "wide.png")
    data = read()
    assert data.image_shape == (128, 128, 3)
    assert "20 x 20 to 20 x 21" in data.findings["notes"][0]


def test_a_rotated_image_has_its_upright_size(tmp_path, read):
    exif = Image.Exif()
    exif[274] = 6
    for title in "ab":
        fill(tmp_path / "photos" / title, size=(30, 20))
        picture((20, 30)).save(tmp_path / "photos" / title / "turned.jpg", exif=exif)
    assert read().image_shape == (20, 30, 3)


def test_caps_and_subsets(tmp_path, read):
    fill(tmp_path / "photos" / "a", 20)
    fill(tmp_path / "photos" / "b", 8)
    capped = read(per_class=10, validation=2, test=2)
    assert [np.bincount(s.labels).tolist() for s in (capped.train, capped.validation, capped.test)] == [
        [8, 6],
        [1, 1],
        [1, 1],
    ]
    full, subset = read(), read(subset=3)
    assert np.bincount(subset.train.labels).tolist() == [3, 3]
    assert set(subset.train.ids) < set(full.train.ids)
    assert (subset.validation.ids, subset.test.ids) == (full.validation.ids, full.test.ids)


def test_layouts_that_cannot_be_read(tmp_path, read):
    photos = tmp_path / "photos"
    assert "does not exist" in refused(read)
    photos.write_text("x")
    assert "is a file" in refused(read)
    photos.unlink()
    photos.mkdir()
    picture().save(photos / "1.png")
    assert "no class folders, 1 images" in refused(read)
    fill(photos / "a")
    assert "only one class, 'a'" in refused(read)
    (photos / "b").mkdir()
    assert "b: no images" in refused(read)
    (photos / "b" / "scan.heic").write_bytes(b"x")
    assert "no images (but 1 .heic)" in refused(read)
    (photos / "b" / "x.png").write_bytes(b"x")
    assert "class 'b' has no usable image left for train" in refused(read, corrupt="skip")


def test_split_folders_that_cannot_be_read(tmp_path, read):
    photos = tmp_path / "photos"
    for title in "ab":
        fill(photos / "test" / title)
    assert "no train folder" in refused(read)
    for title in "ab":
        fill(photos / "train" / title)
    fill(photos / "val" / "c")
    assert "validation has the class 'c', train has not" in refused(read)
    os.rename(photos / "val" / "c", photos / "val" / "a")
    assert read().findings["notes"] == ["validation has no images of class 'b'"]
    fill(photos / "valid" / "a")
    assert "for validation; expected one of them" in refused(read)
    os.rename(photos / "valid", photos / "dogs")
    assert "'dogs' does not fit" in refused(read)


def test_links(tmp_path, read):
    fill(tmp_path / "photos" / "a")
    fill(tmp_path / "elsewhere")
    (tmp_path / "photos" / "b").symlink_to(tmp_path / "elsewhere")
    assert read().classes == ("a", "b")
    (tmp_path / "photos" / "a" / "up").symlink_to(tmp_path / "photos")
    assert "leads back to a folder above it" in refused(read)


def test_an_unreadable_folder(tmp_path, read, monkeypatch):
    for title in "ab":
        fill(tmp_path / "photos" / title)
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(walking.os, "scandir", refuse)
    assert refused(read).endswith("b: cannot be listed: Permission denied")


def test_names_that_are_not_text(tmp_path, read):
    for title in "ab":
        fill(tmp_path / "photos" / title)
    picture().save(tmp_path / "new.png")
    os.rename(tmp_path / "new.png", os.fsencode(tmp_path) + b"/photos/a/\xff.png")
    for name in ("e\u0301.png", "\u00e9.png"):  # é as two characters and as one
        picture().save(tmp_path / "photos" / "b" / name)
    data = read(corrupt="skip")
    assert [s["reason"].split(":")[0] for s in data.findings["skipped"]] == [
        "the name is not valid UTF-8",
        "another file's name looks the same (composed and decomposed letters)",
    ]
    assert [*data.train.ids, *data.validation.ids, *data.test.ids].count("b/\u00e9.png") == 1
    json.dumps(data.findings).encode()


def npz(folder, **content):
    np.savez(folder / "data.npz", **content)
    return f"npz:{folder / 'data.npz'}"


def images(count, *shape):
    return rng.integers(0, 256, (count, *shape), np.uint8)


def test_npz_with_splits(tmp_path):
    x, y = images(60, 8, 9), np.arange(60) % 3 + 5
    validation = {"x_val": x[40:50], "y_val": y[40:50, None]}
    data = load(npz(tmp_path, x_train=x[:40], y_train=y[:40], x_test=x[50:], y_test=y[50:], **validation))
    assert data.classes == ("5", "6", "7")
    assert data.image_shape == (8, 9, 1)
    assert np.array_equal(data.validation.pixels[..., 0], x[40:50])
    assert data.validation.labels.tolist() == [(i % 3) for i in range(40, 50)]
    assert data.test.ids[:2] == ("test/00000", "test/00001")


def test_arrays_of_another_type_are_other_arrays_though_their_bytes_are_the_same(tmp_path):
    labels = np.array(["a", "b"])
    kept = {arrays.keep_arrays({"y": each}, tmp_path) for each in (labels, labels.view(np.int32), labels.copy())}
    assert len(kept) == 2
    with pytest.raises(InputError, match=r"^arrays:0123: expected the 16 digits that load_data gave the arrays$"):
        arrays.read_kept("0123", tmp_path)
    with pytest.raises(InputError, match=r"^arrays:0{16}: no .*/arrays/0{16}\.npz: the arrays of the library's"):
        arrays.read_kept("0" * 16, tmp_path)
    key = arrays.keep_arrays({"x": images(4, 3, 3), "y": np.arange(4) % 2}, tmp_path)
    assert arrays.read_kept(key.removeprefix("arrays:"), tmp_path).classes == ("0", "1")


def test_npz_without_splits(tmp_path):
    x = images(50, 6, 6, 3)
    data = load(npz(tmp_path, x=x, y=np.arange(50) % 2, classes=np.array(["cat", "dog"])), validation=10, test=10)
    assert data.classes == ("cat", "dog")
    for split in (data.train, data.validation, data.test):
        numbers = [int(i.removeprefix("images/")) for i in split.ids]
        assert np.array_equal(split.pixels, x[numbers])
        assert split.labels.tolist() == [n % 2 for n in numbers]


def test_arrays_are_resized_as_files_are(tmp_path):
    x = images(20, 10, 20, 3)
    data = load(npz(tmp_path, x=x, y=np.arange(20) % 2), image_size=5, channels=1)
    assert data.image_shape == (5, 5, 1)
    number = int(data.train.ids[0].removeprefix("images/"))
    expected = Image.fromarray(x[number, :, 5:15]).resize((5, 5), Image.Resampling.BILINEAR).convert("L")
    assert np.array_equal(data.train.pixels[0, :, :, 0], np.asarray(expected))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [1]}, "holds a; expected x_train and y_train"),
        ({"x": np.zeros((4, 3, 3), np.uint8)}, "has x but no y"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [0, 1, 0, 1], "x_tset": [1]}, "array x_tset; did you mean x_test"),
        ({"x": np.zeros((4, 3, 3)), "y": [0, 1, 0, 1]}, "x is float64"),
        ({"x": np.zeros((4, 3), np.uint8), "y": [0, 1, 0, 1]}, "expected uint8 from 0 to 255"),
        ({"x": np.zeros((4, 3, 3, 4), np.uint8), "y": [0, 1, 0, 1]}, "x is uint8 \\(4, 3, 3, 4\\)"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [0, 1]}, "x has 4 images, y has 2 labels"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [0.5, 1, 0, 1]}, "y is float64"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": np.array([None] * 4)}, "without Python objects"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [0, 1, 2, 1], "classes": ["a", "b"]}, "y has the label 2"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [0, 1, 0, 1], "classes": [7, 8]}, "classes is int64 .*strings"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [*"abab"], "classes": ["a", "b"]}, "for whole numbers in y"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [0, 0, 0, 0]}, "only one class"),
        ({"x": np.zeros((4, 3, 3), np.uint8), "y": [0, 1, 0, 1], "classes": ["a", "a"]}, "classes has 'a' for 0 and 1"),
        (
            {"x": np.zeros((4, 3, 3), np.uint8), "y": [0, 1, 0, 1], "classes": ["a", ""]},
            "classes has an empty name for 1",
        ),
    ],
)
def test_npz_that_cannot_be_read(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        load(npz(tmp_path, **content))
    assert "\n" not in str(error.value)


def test_npz_file_errors(tmp_path):
    assert "no such file" in refused(load, f"npz:{tmp_path}/none.npz")
    assert "not a file" in refused(load, f"npz:{tmp_path}")
    source = npz(tmp_path, x=images(20, 4, 4), y=np.arange(20) % 2)
    file = tmp_path / "data.npz"
    data = file.read_bytes()
    for length in (0, 3, 100, len(data) - 5):
        file.write_bytes(data[:length])
        assert "data.npz" in refused(load, source)
    np.save(tmp_path / "single.npy", images(3, 4, 4))
    assert "single.npy: not an .npz file of arrays" in refused(load, f"npz:{tmp_path}/single.npy")


def test_options_are_checked(tmp_path):
    for option, value in {
        "image_size": 0,
        "channels": 2,
        "fit": "zoom",
        "per_class": 0,
        "subset": "half",
        "corrupt": "mend",
        "validation": 1.0,
        "test": "many",
    }.items():
        assert refused(load, **{option: value}).startswith(f"{option} = {value!r}: expected")
    assert "image_size" in refused(load, image_size=(1, 2, 3))
    assert "did you mean folder:" in refused(load, str(tmp_path))
    assert sources.source_names() in refused(load, "mnist")


def test_damaged_idx_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FASHION_MNIST_FOLDER", tmp_path)
    for name in ("train-images-idx3", "train-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(b"\x1f\x8b\x08\x00cut")
    assert "damaged gzip file" in refused(load, "fashion-mnist")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(arrays.gzip.compress(b"\0\0\x08\x03" + bytes(12) + b"x"))
    assert "complete IDX file" in refused(load, "fashion-mnist")
    small = b"\0\0\x08\x03" + np.array([2, 1, 3], ">u4").tobytes() + bytes(range(6))
    labels = b"\0\0\x08\x01" + np.array([3], ">u4").tobytes() + bytes(3)
    for content, words in (
        (small[:-1], "complete IDX file of bytes in 3 dimensions"),
        (small + b"x", "complete IDX file of bytes in 3 dimensions"),
        (labels, "complete IDX file of bytes in 3 dimensions"),
        (small[:9], "complete IDX file of bytes in 3 dimensions"),
        (small, f"{tmp_path}: 2 train images but 3 labels"),
    ):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(arrays.gzip.compress(content))
        (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(arrays.gzip.compress(labels))
        assert words in refused(load, "fashion-mnist")
    assert arrays.read_idx(tmp_path / "train-images-idx3-ubyte.gz", 3).tolist() == [[[0, 1, 2]], [[3, 4, 5]]]


def test_tiff_of_every_depth_is_read_among_other_images(tmp_path, read):
    for title, value in (("a", 0.25), ("b", 0.75)):
        fill(tmp_path / "photos" / title, 4, mode="L")
        flat = np.full((20, 20), value)
        for name, samples in (
            ("8.tif", (flat * 255).astype(np.uint8)),
            ("16.tiff", (flat * 65535).astype(np.uint16)),
            ("float.TIF", flat.astype(np.float32)),
        ):
            Image.fromarray(samples).save(tmp_path / "photos" / title / name, "TIFF")
    data = read()
    assert data.image_shape == (20, 20, 1)
    assert sum(map(len, (data.train, data.validation, data.test))) == 14
    assert data.findings["notes"] == []


def test_how_many_images_of_a_class_cannot_be_used_is_said(tmp_path, read):
    for title in "ab":
        fill(tmp_path / "photos" / title)
    for name in ("x.png", "y.png"):
        (tmp_path / "photos" / "b" / name).write_bytes(b"")
    notes = read(corrupt="skip").findings["notes"]
    assert notes == ["class b: 2 images left out, the first: b/x.png: empty (0 bytes)"]


def test_arrays_that_declare_more_than_the_memory_are_not_read(tmp_path, monkeypatch):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 42, 28, 28)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
        archive.writestr("y.npy", header.getvalue())
    message = refused(load, f"npz:{tmp_path}/bomb.npz")
    assert "bomb.npz: declares arrays of 6,422,528.0 GiB, where" in message
    source = npz(tmp_path, x=images(20, 4, 4), y=np.arange(20, dtype=np.int64) % 2)
    for memory in (20 * 4 * 4 + 20 * 8, 0):  # as much as they take; and not known
        monkeypatch.setattr(arrays, "available_memory", lambda memory=memory: memory)
        load(source)
    monkeypatch.setattr(arrays, "available_memory", lambda: 20 * 4 * 4 + 20 * 8 - 1)
    assert "data.npz: declares arrays of 0.0 GiB, where 0.0 GiB of memory are available" in refused(load, source)


def test_two_configs_for_one_folder_of_photos_cut_the_same_splits():
    shares = [config.load(ROOT / "configs" / name, []).data for name in ("photos.yaml", "finetune.yaml")]
    assert [(data.validation, data.test) for data in shares] == [(0.15, 0.15)] * 2
