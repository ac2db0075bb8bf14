import hashlib
import io
import json
import os
import struct
import zlib

import numpy as np
import psutil
import pytest
from PIL import Image

from keras_cnn.data import decoding, image_check, load, worker_processes
from keras_cnn.data.audit import audit, default_cache_dir
from keras_cnn.data.columns import read_columns, write_columns
from keras_cnn.errors import InputError, Stopped


def picture(seed=0, size=(40, 30)):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encoded(image_format, seed=0, **options):
    buffer = io.BytesIO()
    picture(seed).save(buffer, image_format, **options)
    return buffer.getvalue()


def contents_of(found):
    return list(found.files), found.fingerprints.pixel_hashes.tolist(), found.fingerprints.thumbnails.tolist()


def problem(folder, name, data):
    (folder / name).write_bytes(data)
    return audit(folder, [name], folder / "cache").problems.get(0)


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
    problems = audit(tmp_path, ["pipe.jpg", "gone.jpg", "self.jpg"], tmp_path / "cache").problems
    assert problems[0] == "not a regular file"
    assert problems[1] == "a link to a file that does not exist"
    assert "symbolic links" in problems[2]


def test_permission(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(decoding, "open", refuse, raising=False)
    assert audit(tmp_path, ["x.png"], tmp_path / "cache").problems == {0: "may not be read: permission denied"}


def test_facts(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    picture().convert("L").save(tmp_path / "x.jpeg", exif=exif)
    found = audit(tmp_path, ["x.jpeg"], tmp_path / "cache")
    (file,) = found.files
    assert (file.format, file.mode, file.width, file.height, file.orientation) == ("JPEG", "L", 40, 30, 6)
    assert (file.path, file.size) == (tmp_path / "x.jpeg", (tmp_path / "x.jpeg").stat().st_size)
    assert (found.fingerprints.pixel_hashes.shape, found.fingerprints.thumbnails.shape) == ((1, 16), (1, 72))


def test_same_pixels_same_hash(tmp_path):
    image = picture()
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    image.convert("RGBA").save(tmp_path / "c.webp", lossless=True)
    exif = Image.Exif()
    exif[274] = 3
    image.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "d.png", exif=exif)
    picture(1).save(tmp_path / "e.png")
    found = audit(tmp_path, ["a.png", "b.bmp", "c.webp", "d.png", "e.png"], tmp_path / "cache")
    hashes = [row.tobytes() for row in found.fingerprints.pixel_hashes]
    assert len(set(hashes[:4])) == 1
    assert hashes[4] != hashes[0]
    upright = np.asarray(image)
    assert hashes[0] == hashlib.sha256(b"30x40" + upright.tobytes()).digest()[:16]


def test_cache_is_used_and_checked(tmp_path, monkeypatch):
    names = [f"{i}.png" for i in range(3)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(encoded("PNG", i))
    looked_at = []
    inspect = image_check.inspect

    def inspected(path, data):
        looked_at.append(os.path.basename(path))
        return inspect(path, data)

    monkeypatch.setattr(image_check, "inspect", inspected)
    first = audit(tmp_path, names, tmp_path / "cache")
    assert sorted(looked_at) == names
    assert contents_of(audit(tmp_path, names, tmp_path / "cache")) == contents_of(first)
    assert len(looked_at) == 3
    (tmp_path / "1.png").write_bytes(encoded("PNG", 9)[:50])
    assert list(audit(tmp_path, names, tmp_path / "cache").problems) == [1]
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
    (cache,) = (tmp_path / "cache").rglob("*.columns")
    columns, facts = read_columns(cache)
    columns = {name: np.array(column) for name, column in columns.items()}
    columns["pixel_hash"][:] = 0xAB
    write_columns(cache, columns, facts)
    assert audit(folder, names, tmp_path / "cache").fingerprints.pixel_hashes.tobytes() == b"\xab" * 16
    status = (folder / "x.png").stat()
    if change == "time":
        os.utime(folder / "x.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    if change == "size":
        (folder / "x.png").write_bytes(encoded("PNG", 1) + b"x")
        os.utime(folder / "x.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    if change == "version":
        write_columns(cache, columns, {"version": facts["version"] + "0"})
    if change == "name":
        names = ["y.png"]
        os.rename(folder / "x.png", folder / "y.png")
    if change == "folder":
        folder = folder.rename(tmp_path / "b")
    assert audit(folder, names, tmp_path / "cache").fingerprints.pixel_hashes.tobytes() != b"\xab" * 16


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "a column of another type", "a missing column", "no end"])
def test_a_broken_cache_is_ignored(tmp_path, damage):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    first = contents_of(audit(tmp_path, ["x.png"], tmp_path / "cache"))
    (cache,) = (tmp_path / "cache").rglob("*.columns")
    columns, facts = read_columns(cache)
    columns = {name: np.array(column) for name, column in columns.items()}
    if damage == "a column of another type":
        write_columns(cache, columns | {"width": np.array([40.0])}, facts)
    elif damage == "a missing column":
        write_columns(cache, {name: column for name, column in columns.items() if name != "width"}, facts)
    elif damage == "no end":
        write_columns(cache, columns | {"ends": np.array([0, 7])}, facts)
    else:
        cache.write_bytes({"empty": b"", "text": b"[]", "cut": cache.read_bytes()[:-1]}[damage])
    assert contents_of(audit(tmp_path, ["x.png"], tmp_path / "cache")) == first
    assert len(read_columns(cache)[0]["width"]) == 1
    assert len(list((tmp_path / "cache").rglob("*"))) == 3  # folder, file and lock: nothing half-written is left


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert [file.path.name for file in audit(tmp_path, ["x.png"], tmp_path / "cache").files] == ["x.png"]


def test_cache_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "keras_cnn"


def test_processes_find_what_threads_find(tmp_path, monkeypatch, nasty):
    root, bad = nasty
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    alone = audit(root, names, tmp_path / "alone")
    monkeypatch.setattr("keras_cnn.data.audit._FEW", 0)
    together = audit(root, names, tmp_path / "together")
    assert (together.problems, contents_of(together)) == (alone.problems, contents_of(alone))
    assert [names[place] for place in together.problems] == sorted(bad)


def test_what_was_checked_before_an_interruption_is_kept(tmp_path, monkeypatch):
    names = [f"{i:03}.png" for i in range(200)]  # four tasks
    for name in names:
        (tmp_path / name).write_bytes(encoded("PNG"))
    seen = []

    def interrupted(path, data, inspect=image_check.inspect):
        seen.append(path)
        if path.endswith("150.png"):
            raise KeyboardInterrupt
        return inspect(path, data)

    monkeypatch.setattr(image_check, "inspect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        audit(tmp_path, names, tmp_path / "cache")
    monkeypatch.undo()
    monkeypatch.setattr(image_check, "inspect", lambda *_: pytest.fail("checked again"))
    assert len(audit(tmp_path, names[:64], tmp_path / "cache").files) == 64


def test_a_process_that_is_killed_is_named_and_nothing_hangs(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    requests = ((str(tmp_path), ["x.png"] * 64, [True] * 64) for _ in range(10**6))
    found = worker_processes.answers(image_check.check_files, requests, 2)
    next(found)
    for child in psutil.Process().children():  # the test process has others
        if any("worker_processes" in word for word in child.cmdline()):
            child.kill()
    with pytest.raises(Stopped, match="a process that read images was ended"):
        for _ in found:
            pass


def test_what_is_not_verified_is_counted_and_found_when_it_is(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(encoded("PNG", i))
    damaged = bytearray(encoded("PNG", 5))
    damaged[len(damaged) // 2] ^= 4
    (tmp_path / "5.png").write_bytes(bytes(damaged))
    names = [f"{i}.png" for i in range(6)]
    unread = audit(tmp_path, names, tmp_path / "cache", "none")
    assert (len(unread.files), unread.files.column("decoded").sum(), unread.problems) == (6, 0, {})
    assert len({row.tobytes() for row in unread.fingerprints.pixel_hashes}) == 6
    (tmp_path / "0.png").write_bytes(encoded("PNG", 7)[:-20])  # changed, and damaged
    assert audit(tmp_path, names, tmp_path / "cache", "none").compared == 0
    full = audit(tmp_path, names, tmp_path / "cache", "full")
    assert (sorted(full.problems), full.files.column("decoded").sum(), full.compared) == ([0, 5], 4, 4)


def test_of_an_image_that_is_not_decoded_the_name_and_the_size_are_hashed():
    content = encoded("PNG")
    records, failed = image_check.check_contents(["a.png", "b.png"], [content, b"no"], [False, False])
    assert records[0]["pixel_hash"].tobytes() == hashlib.sha256(b"not decoded|%d|a.png" % len(content)).digest()[:16]
    assert records[0]["thumbnail"].tolist() == [0] * 72
    facts = ("format", "mode", "width", "height", "orientation", "size", "modified", "decoded")
    assert [records[0][name].item() for name in facts] == [b"PNG", b"RGB", 40, 30, 1, len(content), 0, False]
    assert (list(failed), records[1]["size"]) == ([1], 0)


def test_the_end_of_a_jpeg_is_looked_for_behind_the_begin_of_its_scan():
    preview, fill, scan = b"\xff\xe1\x00\x06\xff\xd9ab", b"\xff", b"\xff\xda\x00\x02pixels"
    for segments in (b"", preview, preview + preview, fill + preview, preview + fill + fill):
        assert not image_check._jpeg_has_end(b"\xff\xd8" + segments + scan)
        assert not image_check._jpeg_has_end(b"\xff\xd8" + segments + scan + b"\xff")
        assert image_check._jpeg_has_end(b"\xff\xd8" + segments + scan + b"\xff\xd9")
        assert image_check._jpeg_has_end(b"\xff\xd8" + segments + scan + b"\xff\xd9 and more")


def test_one_changed_file_of_the_sample_makes_all_be_compared(tmp_path, monkeypatch):
    names = [f"{i}.png" for i in range(9)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(encoded("PNG", i))
    audit(tmp_path, names, tmp_path / "cache")
    monkeypatch.setattr("keras_cnn.data.audit.SAMPLE", 3)  # the first, the middle and the last
    assert audit(tmp_path, names, tmp_path / "cache", "sample").compared == 3
    (tmp_path / "4.png").write_bytes(encoded("PNG", 40))
    (tmp_path / "5.png").write_bytes(encoded("PNG", 50))
    found = audit(tmp_path, names, tmp_path / "cache", "sample")
    assert found.compared == 9
    sizes = [(tmp_path / name).stat().st_size for name in names]
    assert found.files.column("size").tolist() == sizes
