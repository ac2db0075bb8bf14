import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.cli import commands
from keras_cnn.data.shards import resizing, writing_plan
from keras_cnn.data.shards.tar_index import index_tar

ROOT = Path(__file__).resolve().parents[3]
rng = np.random.default_rng(0)


def picture(height: int, width: int) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two classes with splits; names whose keys need care; sizes above and below 40 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 30), ("test", 4)):
        for title in ("cat", "tree frog"):
            (folder / split / title).mkdir(parents=True)
            for i in range(count):
                picture(60, 48 + i).save(folder / split / title / f"{i:03}.jpg", quality=95)
    odd = folder / "train" / "cat"
    picture(50, 90).save(odd / "000.png")  # the same key as 000.jpg
    picture(50, 90).save(odd / "a.b.JPEG")
    picture(30, 90).save(odd / "100%é.png")  # smaller than what others are resized to
    turned = Image.Exif()
    turned[274] = 6
    picture(50, 100).save(odd / "turned.jpg", exif=turned, quality=95)
    return folder


def ids_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def contents(shards: Path) -> dict[str, bytes]:
    """id -> bytes of the image, of all shards."""
    found = {}
    for path in sorted(shards.glob("*.tar")):
        data = path.read_bytes()
        index = index_tar(path.name, data)
        assert index.problems == {}
        places = zip(index.ids, index.offsets.tolist(), index.sizes.tolist(), strict=True)
        found |= {identity: data[offset : offset + size] for identity, offset, size in places}
    return found


def write(source: Path, out: Path, *options: str) -> int:
    cache = ["--data.cache_dir", str(out.parent / "cache")]
    return commands.main(["shards", str(source), str(out), *cache, "--workers", "2", *options])


def test_shards_hold_the_files_bytes_under_their_ids(photos, tmp_path, capsys):
    assert write(photos, tmp_path / "out", "--size", "60KB") == 0
    found = contents(tmp_path / "out")
    assert set(found) == ids_of(photos)
    assert all(content == (photos / identity).read_bytes() for identity, content in found.items())
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["classes"] == ["cat", "tree frog"]
    names = [shard["name"] for shard in manifest["shards"]]
    assert names[0] == "train-000000.tar"
    assert names[-1].startswith("test-")
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*names, "manifest.json"])
    for shard in manifest["shards"]:
        data = (tmp_path / "out" / shard["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard["bytes"], shard["sha256"])
        assert len(data) <= 60_000 + 10_240  # tar fills up its last 10 KiB
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
        labels = {m.name: archive.extractfile(m).read() for m in archive if m.name.endswith(".cls")}
    assert {name.split("/")[1]: label for name, label in labels.items()} == {"cat": b"0", "tree frog": b"1"}
    capsys.readouterr()
    assert commands.main(["shards", "--verify", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{len(names)} shards with 72 images: all as the manifest has them\n"
    assert write(photos, tmp_path / "out", "--size", "60KB") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert write(photos, tmp_path / "out", "--size", "50KB") == 2
    assert "has shards of another source or of other options; expected an empty folder" in capsys.readouterr().err


def test_resized_images_have_their_shorter_side_and_stand_upright(photos, tmp_path):
    assert write(photos, tmp_path / "out", "--resize", "40") == 0
    found = contents(tmp_path / "out")
    assert set(found) == ids_of(photos)
    small = "train/cat/100%é.png"
    assert found[small] == (photos / small).read_bytes()
    sizes = {}
    for identity in sorted(found.keys() - {small}):
        image = Image.open(io.BytesIO(found[identity]))
        assert image.format == "JPEG"
        sizes[identity] = image.size
        original = Image.open(photos / identity)
        if identity.endswith("turned.jpg"):
            original = original.transpose(Image.Transpose.ROTATE_270)
        exact = np.asarray(original.convert("RGB").resize(image.size, Image.Resampling.BICUBIC), float)
        assert np.abs(np.asarray(image, float) - exact).mean() < 6  # grey levels of 255: JPEG of quality 90
    assert all(min(size) == 40 for size in sizes.values())
    assert sizes["train/cat/turned.jpg"] == (40, 80)
    assert sizes["train/cat/000.jpg"] == (40, 50)  # 48 x 60


def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(photos, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["--size", "20KB", "--resize", "40"]
    assert write(photos, whole, *options) == 0
    command = [sys.executable, "-m", "keras_cnn", "shards", str(photos), str(killed), "--workers", "1", *options]
    command += ["--data.cache_dir", str(tmp_path / "cache")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("train-000000.tar")
        process.send_signal(signal.SIGKILL)
    before = {path.name: path.stat().st_mtime_ns for path in killed.glob("*.tar")}
    assert 1 <= len(before) < len(list(whole.glob("*.tar")))
    assert not (killed / "manifest.json").exists()
    (killed / ".train-000099.1.partial").write_bytes(b"half")
    time.sleep(0.01)
    assert write(photos, killed, *options) == 0
    assert {p.name: p.read_bytes() for p in killed.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}
    assert (killed / "train-000000.tar").stat().st_mtime_ns == before["train-000000.tar"]


def test_a_full_disk_stops_the_command_and_leaves_finished_shards_alone(photos, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    try:
        options = ["--size", "30KB", "--resize", "40", "--data.cache_dir", str(tmp_path / "cache")]
        assert commands.main(["shards", str(photos), str(disk / "out"), *options, "--workers", "1"]) == 3
        error = capsys.readouterr().err
        assert (
            "the disk is full; what was there before is unchanged; finished shards are kept; the same command" in error
        )
        assert error.count("\n") == 1
        kept = sorted(path.name for path in (disk / "out").iterdir())
        assert kept[0] == ".shards.progress"
        assert kept[1] == "train-000000.tar"
        assert not any(name.endswith(".partial") for name in kept)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_samples_fill_a_shard_up_to_its_size():
    rows = np.array([5, 3, 1, 0, 2])

    def runs(*sizes: int) -> list[list[int]]:
        return [part.tolist() for part in writing_plan._cut(rows[: len(sizes)], np.array(sizes), 10)]

    assert runs(4, 6, 1, 9, 1) == [[5, 3], [1, 0], [2]]
    assert runs(11, 10, 1) == [[5], [3], [1]]  # one that is too large has a shard of its own
    assert runs() == []


def test_names_that_do_not_fit_into_a_header_are_counted():
    names = ["a" * 90, "a" * 91, "ä"]
    assert [writing_plan._is_long(name) for name in names] == [False, True, True]
    for name, size in zip(names, (3 * 512, 7 * 512, 7 * 512), strict=True):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for ending in ("jpeg", "cls"):
                archive.addfile(tarfile.TarInfo(f"{name}.{ending}"))
        needed = file.getvalue().rstrip(b"\0")
        assert len(needed) <= size
    assert (writing_plan._HEADERS, writing_plan._LONG_NAME) == (3 * 512, 4 * 512)


@pytest.mark.parametrize(
    ("identity", "kind", "shrink", "extension", "plain"),
    [
        ("a/b.JPG", "JPEG", False, "JPG", True),
        ("a/b.png", "PNG", False, "png", True),
        ("a/b.png", "PNG", True, "jpg", False),
        ("a/b.jpe", "JPEG", True, "jpe", True),
        ("a/b.dat", "WEBP", False, "webp", False),
        ("a/b", "TIFF", False, "tif", False),
        ("a/b.c.jpg", "JPEG", False, "jpg", False),
        ("v.1/100%.jpg", "JPEG", False, "jpg", False),
        ("v.1/b.jpg", "JPEG", False, "jpg", True),
        ("a/.jpg", "JPEG", False, "jpg", False),
        ("twice.jpg", "JPEG", False, "jpg", False),
    ],
)
def test_the_extension_and_whether_the_rest_is_the_key(identity, kind, shrink, extension, plain):
    assert writing_plan._extension(identity, kind, shrink) == extension
    stems = Counter({identity.rpartition(".")[0]: 1} | {"twice": 2})
    assert writing_plan._is_plain(identity, kind, shrink, stems) == plain


@pytest.mark.parametrize(
    ("width", "height", "side", "expected"),
    [(60, 48, 40, (50, 40)), (48, 60, 40, (40, 50)), (7, 7, 3, (3, 3)), (5, 2, 3, (8, 3)), (2, 5, 1, (1, 3)),
     (1000, 3, 2, (667, 2)), (1001, 4, 2, (501, 2))],
)  # fmt: skip
def test_the_longer_side_is_rounded_half_up(width, height, side, expected):
    assert resizing._size(width, height, side) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photos}"], "expected keras-cnn shards SOURCE OUT"),
        (["{photos}", "{out}", "--size", "big"], "--size big: expected bytes such as 256MB or 1GB"),
        (["{photos}", "{out}", "--resize", "0"], "--resize 0: expected 1 to 65,535"),
        (["{photos}", "{photos}"], "is not empty; expected an empty or new folder for the shards"),
        (["fashion-mini", "{out}"], "fashion-mini: has arrays of pixels; expected image files"),
        (["--verify", "{photos}"], "no manifest.json; expected a folder that keras-cnn shards has written"),
    ],
)
def test_wrong_commands_are_one_line(photos, tmp_path, capsys, arguments, message):
    words = [word.format(photos=photos, out=tmp_path / "out") for word in arguments]
    assert commands.main(["shards", *words, "--data.cache_dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
