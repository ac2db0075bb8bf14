import hashlib
import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_cnn.data import audit as module
from keras_cnn.data import decoding, load
from keras_cnn.data.audit import audit
from keras_cnn.errors import InputError


def picture(seed=0, size=(40, 30)):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encoded(image_format, seed=0, **options):
    buffer = io.BytesIO()
    picture(seed).save(buffer, image_format, **options)
    return buffer.getvalue()


def problem(folder, name, data):
    (folder / name).write_bytes(data)
    return audit(folder, [name], folder / "cache")[1].get(name)


@pytest.fixture
def nasty(tmp_path):
    """Two classes with five good images each and one of each kind of bad file; (root, names of the bad)."""
    root = tmp_path / "photos"
    for c, title in enumerate(("a", "b c é")):
        (root / title).mkdir(parents=True)
        for i in range(5):
            picture(10 * c + i).save(root / title / f"größe {i}.jpg")
    jpeg = encoded("JPEG")
    bad = {f"a/cut{n}.jpg": jpeg[:n] for n in (2, 20, len(jpeg) // 2, len(jpeg) - 2)}
    bad["a/empty.png"] = b""
    bad["b c é/page.jpg"] = b"<!DOCTYPE html><html></html>"
    bad["b c é/huge.png"] = huge_png()
    bad["b c é/icon.jpg"] = encoded("ICO")
    for name, data in bad.items():
        (root / name).write_bytes(data)
    return root, bad


def huge_png(side=20_000):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def state(folder):
    files = sorted(p for p in folder.rglob("*"))
    return [(str(p), p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else None) for p in files]


def test_every_bad_file_is_named(nasty, tmp_path):
    root, bad = nasty
    with pytest.raises(InputError) as error:
        load(f"folder:{root}", cache_dir=tmp_path / "cache")
    first, *lines = str(error.value).split("\n")
    assert first.startswith("8 of 18 image files cannot be used")
    assert [line.strip().rpartition(": ")[0].split(": ")[0] for line in lines] == sorted(bad)
    reasons = dict(line.strip().split(": ", 1) for line in lines)
    assert reasons["a/empty.png"] == "empty (0 bytes)"
    assert reasons["b c é/huge.png"].startswith("oversized")
    assert "<!DOCTYPE" in reasons["b c é/page.jpg"]


def test_skip_leaves_them_out(nasty, tmp_path):
    root, bad = nasty
    dataset = load(f"folder:{root}", corrupt="skip", cache_dir=tmp_path / "cache", validation=0.2, test=0.2)
    assert [s["id"] for s in dataset.findings["skipped"]] == sorted(bad)
    ids = {i for split in (dataset.train, dataset.validation, dataset.test) for i in split.ids}
    assert ids == {f"{title}/größe {i}.jpg" for title in ("a", "b c é") for i in range(5)}
    json.dumps(dataset.findings)


def test_the_users_files_are_not_touched(nasty, tmp_path):
    root, _ = nasty
    before = state(root)
    for _ in range(2):
        load(f"folder:{root}", corrupt="skip", cache_dir=tmp_path / "cache")
    assert state(root) == before


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "BMP", "WEBP"])
def test_cut_anywhere(tmp_path, image_format):
    data = encoded(image_format)
    assert problem(tmp_path, "whole", data) is None
    cuts = [*range(1, 12), *range(12, len(data), max(1, len(data) // 60)), *range(len(data) - 12, len(data))]
    for length in cuts:
        assert problem(tmp_path, f"cut{length}", data[:length]), f"{image_format} cut at {length} of {len(data)}"


def test_cut_progressive_jpeg_and_one_with_a_preview(tmp_path):
    exif = Image.Exif()
    exif[0x927C] = encoded("JPEG", 3)  # a maker note that holds a whole JPEG, end marker and all
    for name, options in (("p", {"progressive": True}), ("e", {"exif": exif})):
        data = encoded("JPEG", **options)
        assert problem(tmp_path, f"{name}-whole", data) is None
        for length in range(len(data) // 2, len(data), 7):
            assert problem(tmp_path, f"{name}{length}", data[:length])


def test_trailing_bytes_are_forgiven(tmp_path):
    assert problem(tmp_path, "x.jpg", encoded("JPEG") + bytes(100)) is None


def test_first_frame_of_a_gif(tmp_path):
    buffer = io.BytesIO()
    picture(1).save(buffer, "GIF", save_all=True, append_images=[picture(2), picture(3)])
    data = buffer.getvalue()
    assert problem(tmp_path, "x.gif", data) is None
    for length in range(1, len(data) // 4, 50):
        assert problem(tmp_path, f"{length}.gif", data[:length])


def test_flipped_bit_in_a_png(tmp_path):
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 4
    assert "corrupt" in problem(tmp_path, "x.png", bytes(data))


def test_not_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    _, problems = audit(tmp_path, ["pipe.jpg", "gone.jpg", "self.jpg"], tmp_path / "cache")
    assert problems["pipe.jpg"] == "not a regular file"
    assert problems["gone.jpg"] == "a link to a file that does not exist"
    assert "symbolic links" in problems["self.jpg"]


def test_permission(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(decoding, "open", refuse, raising=False)
    assert audit(tmp_path, ["x.png"], tmp_path / "cache")[1] == {"x.png": "may not be read: permission denied"}


def test_facts(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    picture().convert("L").save(tmp_path / "x.jpeg", exif=exif)
    checked = audit(tmp_path, ["x.jpeg"], tmp_path / "cache")[0]["x.jpeg"]
    assert (checked.file.format, checked.file.mode) == ("JPEG", "L")
    assert (checked.file.width, checked.file.height, checked.file.orientation) == (40, 30, 6)
    assert checked.file.path == tmp_path / "x.jpeg"
    assert (len(checked.pixel_hash), len(checked.thumbnail)) == (16, 72)


def test_same_pixels_same_hash(tmp_path):
    image = picture()
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    image.convert("RGBA").save(tmp_path / "c.webp", lossless=True)
    exif = Image.Exif()
    exif[274] = 3
    image.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "d.png", exif=exif)
    picture(1).save(tmp_path / "e.png")
    passed, _ = audit(tmp_path, ["a.png", "b.bmp", "c.webp", "d.png", "e.png"], tmp_path / "cache")
    hashes = [passed[name].pixel_hash for name in sorted(passed)]
    assert len(set(hashes[:4])) == 1
    assert hashes[4] != hashes[0]
    upright = np.asarray(image)
    assert hashes[0] == hashlib.sha256(b"30x40" + upright.tobytes()).digest()[:16]


def test_cache_is_used_and_checked(tmp_path, monkeypatch):
    names = [f"{i}.png" for i in range(3)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(encoded("PNG", i))
    looked_at = []
    inspect = module._inspect

    def inspected(path, data):
        looked_at.append(os.path.basename(path))
        return inspect(path, data)

    monkeypatch.setattr(module, "_inspect", inspected)
    first = audit(tmp_path, names, tmp_path / "cache")
    assert sorted(looked_at) == names
    assert audit(tmp_path, names, tmp_path / "cache") == first
    assert len(looked_at) == 3
    (tmp_path / "1.png").write_bytes(encoded("PNG", 9)[:50])
    assert list(audit(tmp_path, names, tmp_path / "cache")[1]) == ["1.png"]
    assert looked_at[3:] == ["1.png"]


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 20}])
def test_a_jpeg_without_its_last_bytes_is_named_by_its_lost_marker(tmp_path, lost, options):
    data = encoded("JPEG", **options)
    assert data.endswith(b"\xff\xd9")
    assert problem(tmp_path, "x.jpg", data[:-lost]) == "truncated: the end-of-image marker is missing"


@pytest.mark.parametrize("change", ["time", "size", "version", "name", "folder"])
def test_the_cache_serves_only_the_same_version_folder_name_size_and_time(tmp_path, change):
    """A row of the cache is edited; it must be seen again only where nothing else has changed."""
    folder, names = tmp_path / "a", ["x.png"]
    folder.mkdir()
    (folder / "x.png").write_bytes(encoded("PNG", 1))
    audit(folder, names, tmp_path / "cache")
    (cache,) = (tmp_path / "cache").rglob("*.json")
    content = json.loads(cache.read_text())
    content["files"]["x.png"][7] = "ab" * 16  # the hash of the pixels
    cache.write_text(json.dumps(content))
    assert audit(folder, names, tmp_path / "cache")[0]["x.png"].pixel_hash == b"\xab" * 16
    status = (folder / "x.png").stat()
    if change == "time":
        os.utime(folder / "x.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    if change == "size":
        (folder / "x.png").write_bytes(encoded("PNG", 1) + b"x")
        os.utime(folder / "x.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    if change == "version":
        cache.write_text(json.dumps(content | {"version": content["version"] + "0"}))
    if change == "name":
        names = ["y.png"]
        os.rename(folder / "x.png", folder / "y.png")
    if change == "folder":
        folder = folder.rename(tmp_path / "b")
    assert audit(folder, names, tmp_path / "cache")[0][names[0]].pixel_hash != b"\xab" * 16


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 0}', b"\xff\xfe", None])
def test_a_broken_cache_is_ignored(tmp_path, content):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    first = audit(tmp_path, ["x.png"], tmp_path / "cache")
    (cache,) = (tmp_path / "cache").rglob("*.json")
    if content is None:
        rows = json.loads(cache.read_text())
        rows["files"]["x.png"][5] = "wide"
        content = json.dumps(rows).encode()
    cache.write_bytes(content)
    assert audit(tmp_path, ["x.png"], tmp_path / "cache") == first
    assert "x.png" in json.loads(cache.read_text())["files"]
    assert len(list((tmp_path / "cache").rglob("*"))) == 2  # the folder and the file: nothing half-written is left


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert list(audit(tmp_path, ["x.png"], tmp_path / "cache")[0]) == ["x.png"]


def test_cache_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.default_cache_dir() == tmp_path / "keras_cnn"
