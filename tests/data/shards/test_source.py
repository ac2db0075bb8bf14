import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.cli import commands
from keras_cnn.data import contents, load, sources, split_record
from keras_cnn.data.pipeline import batches, decoded
from keras_cnn.data.shards import remote
from keras_cnn.errors import InputError, Stopped
from tests.data.shards.photos import fill, picture
from tests.data.shards.range_server import RangeServer

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """photos/, with splits and images of several kinds, and the same in shards/."""
    folder = tmp_path_factory.mktemp("made")
    fill(folder / "photos", {"train/cat": 25, "train/dog": 25, "test/cat": 5, "test/dog": 5})
    odd = folder / "photos" / "train" / "dog"
    clear = picture(np.random.default_rng(1), 40, 40)
    clear.putalpha(128)
    clear.save(odd / "clear.png")  # read by Pillow
    turned = Image.Exif()
    turned[274] = 6
    picture(np.random.default_rng(2), 50, 100).save(odd / "a.turned.jpg", exif=turned)
    options = ["--size", "40KB", "--workers", "1", "--data.cache_dir", str(folder / "cache")]
    assert commands.main(["shards", str(folder / "photos"), str(folder / "shards"), *options]) == 0
    return folder


def shards_of(folder: Path, cache: Path, pattern: str = "shards", **options):
    where = pattern if "://" in pattern else f"{folder}/{pattern}"
    return load(f"shards:{where}", cache_dir=cache, image_size=32, **options)


def test_shards_are_the_folder(made, tmp_path):
    """The same ids, labels, keys, splits and pixels, in the same order."""
    folder = load(f"folder:{made}/photos", cache_dir=tmp_path, image_size=32)
    for _ in range(2):  # a cold audit and a warm one
        data = shards_of(made, tmp_path)
        assert split_record(data)["sha256"] == split_record(folder)["sha256"]
        assert data.classes == folder.classes
        for name, split in data.splits.items():
            assert list(split.ids) == list(folder.splits[name].ids)
            np.testing.assert_array_equal(split.keys, folder.splits[name].keys)
    for name, split in data.splits.items():
        np.testing.assert_array_equal(decoded(split, SHAPE), decoded(folder.splits[name], SHAPE))
    settings = {"seed": 5, "start": (1, 3), "epochs": 2}
    ours, theirs = (batches(d.train, SHAPE, 8, **settings) for d in (data, folder))
    count = 0
    for a, b in zip(ours, theirs, strict=True):
        count += 1
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    assert count == 6 - 3  # 47 images in batches of 8
    only = shards_of(made, tmp_path, "shards/test-{000000..000000}.tar", uncut=True)
    assert list(only.train.ids) == [i for i in folder.test.ids if i in set(only.train.ids)]
    assert (len(only.train) > 0, len(only.test)) == (True, 0)


def test_a_warm_audit_reads_no_image_and_a_changed_shard_alone_is_read_again(made, tmp_path, monkeypatch):
    shutil.copytree(made / "shards", tmp_path / "shards")
    (tmp_path / "shards" / "manifest.json").unlink()
    shards_of(tmp_path, tmp_path, verify="none")
    read = []
    original = sources.read_shards.__globals__["audit_shards"].__globals__["check_shard"]
    place = "keras_cnn.data.shards.shard_audit.check_shard"
    monkeypatch.setattr(place, lambda shard, *rest: (read.append(Path(shard).name), original(shard, *rest)))
    shards_of(tmp_path, tmp_path, verify="none")
    assert read == []
    data = shards_of(tmp_path, tmp_path, verify="sample")  # more are looked at than there are
    assert data.findings["verified"]["decoded"] == 62
    read.clear()
    (tmp_path / "audit").rename(tmp_path / "kept")
    monkeypatch.setattr("keras_cnn.data.shards.shard_audit.SAMPLE", 3)
    shards = len(list((tmp_path / "shards").glob("*.tar")))
    data = shards_of(tmp_path, tmp_path, verify="sample")
    assert data.findings["verified"]["decoded"] == shards * -(-3 // shards)
    read.clear()
    data = shards_of(tmp_path, tmp_path)
    names = sorted(path.name for path in (tmp_path / "shards").glob("*.tar"))
    assert sorted(read) == names  # now every image is decoded
    assert data.findings["verified"]["decoded"] == 62
    changed = tmp_path / "shards" / names[2]
    changed.write_bytes(changed.read_bytes())
    shards_of(tmp_path, tmp_path)
    assert read[len(names) :] == [names[2]]


def test_remote_shards_are_the_local_ones(made, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK", 1 << 14)
    monkeypatch.setattr(remote, "PAUSES", (0, 0, 0))
    local = shards_of(made, tmp_path)
    with RangeServer(made / "shards").running() as server:
        server.failures = ["cut", "busy"]
        for pattern in (server.url, f"{server.url}/train-{{000000..000001}}.tar"):
            data = shards_of(made, tmp_path / "cache", pattern, uncut=True)
        whole = shards_of(made, tmp_path / "cache", server.url)
        assert list(whole.train.ids) == list(local.train.ids)
        reads = len(server.reads)
        np.testing.assert_array_equal(decoded(whole.train, SHAPE), decoded(local.train, SHAPE))
        assert len(server.reads) == reads  # from the cache
        shutil.rmtree(tmp_path / "cache" / "remote")
        server.failures = ["busy"] * 4
        with pytest.raises(Stopped, match=r"\.tar: not read in 4 attempts \(.*, the same command goes on$"):
            list(batches(data.train, SHAPE, 8))


def retarred(path: Path, change) -> None:
    """Writes a tar again with changed members: `change` gets {name: content} and returns another."""
    with tarfile.open(path) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}
    with tarfile.open(path, "w") as archive:
        for name, content in change(members).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def without(name: str):
    return lambda members: {key: value for key, value in members.items() if key != name}


@pytest.fixture
def copied(made, tmp_path) -> Path:
    """A copy of the shards without a manifest, whose classes stand in classes.txt."""
    shutil.copytree(made / "shards", tmp_path / "shards")
    (tmp_path / "shards" / "manifest.json").unlink()
    (tmp_path / "shards" / "classes.txt").write_text("cat\ndog\n")
    return tmp_path / "shards"


def refused(folder: Path, tmp_path: Path, **options) -> str:
    with pytest.raises(InputError) as error:
        load(f"shards:{folder}", cache_dir=tmp_path / "cache", image_size=32, **options)
    return str(error.value)


def test_samples_that_cannot_be_used_are_named_or_left_out(copied, tmp_path):
    with tarfile.open(copied / "train-000000.tar") as archive:
        keys = [name.removesuffix(".cls") for name in archive.getnames() if name.endswith(".cls")]
    unlabelled, damaged = keys[:2]
    retarred(copied / "train-000000.tar", without(f"{unlabelled}.cls"))
    retarred(copied / "train-000000.tar", lambda m: m | {f"{damaged}.jpg": m[f"{damaged}.jpg"][:300]})
    message = refused(copied, tmp_path)
    assert message.count("\n") == 1
    assert f"\n  {copied}/train-000000.tar: {unlabelled}: no label; found .jpg, expected .cls, or .json" in message
    data = load(f"shards:{copied}", cache_dir=tmp_path / "cache", image_size=32, corrupt="skip")
    assert len(data.train) + len(data.validation) + len(data.test) == 60
    assert {item["id"] for item in data.findings["skipped"]} == {
        f"{copied}/train-000000.tar: {unlabelled}",
        f"{damaged}.jpg",
    }
    assert data.notes[0].startswith("1 sample left out, the first: ")


def test_a_key_in_two_shards_is_named(copied, tmp_path):
    shutil.copy(copied / "test-000000.tar", copied / "test-000099.tar")
    message = refused(copied, tmp_path).split("\n")
    assert message[1].startswith(f"  {copied}/test-000099.tar: test/")
    assert message[1].endswith(f"the key is in {copied}/test-000000.tar too; expected one sample for each key")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "train-000000.tar").write_bytes((f / "train-000000.tar").read_bytes()[:5000]), "truncated: "),
        (lambda f: (f / "classes.txt").write_text("cat\n"), "lists 1 classes, but the shards have 1; expected 0 to 0"),
        (lambda f: retarred(f / "train-000000.tar", lambda m: m | {next(k for k in m if k.endswith("cls")): b"-1"}),
         "has the label -1; expected whole numbers from 0, or names of classes"),
        (lambda f: retarred(f / "train-000000.tar", lambda m: m | {next(k for k in m if k.endswith("cls")): b"dgo"}),
         "does not list the class 'dgo', which is in the shards; did you mean dog?"),
    ],
)  # fmt: skip
def test_bad_shards_are_one_line(copied, tmp_path, spoil, message):
    spoil(copied)
    text = refused(copied, tmp_path)
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: (f / "test-000000.tar").unlink(),
            "lists test-000000.tar, which is missing; expected all its shards",
        ),
        (lambda f: shutil.copy(f / "test-000000.tar", f / "test-000099.tar"), "test-000099.tar is not listed"),
        (lambda f: (f / "test-000000.tar").write_bytes(b""), "test-000000.tar has 0 bytes, expected "),
    ],
)
def test_shards_that_are_not_as_their_manifest_has_them_are_one_line(made, tmp_path, spoil, message):
    shutil.copytree(made / "shards", tmp_path / "shards")
    spoil(tmp_path / "shards")
    text = refused(tmp_path / "shards", tmp_path)
    assert message in text
    assert "\n" not in text


def test_a_shard_of_other_bytes_is_named_with_both_digests(made, tmp_path):
    shutil.copytree(made / "shards", tmp_path / "shards")
    shard = tmp_path / "shards" / "test-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[::-1])
    found, listed = (hashlib.sha256(given).hexdigest()[:16] for given in (content[::-1], content))
    message = f"{shard}: SHA-256 {found}..., its manifest lists {listed}...: damaged or replaced"
    assert refused(tmp_path / "shards", tmp_path) == message


def test_a_shard_that_changes_during_a_run_stops_it(made, tmp_path):
    shutil.copytree(made / "shards", tmp_path / "shards")
    data = shards_of(tmp_path, tmp_path)
    shard = tmp_path / "shards" / "train-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content)
    with pytest.raises(Stopped, match=r"train-000000.tar: has changed since it was checked; restore it"):
        list(batches(data.train, SHAPE, 8))
    shard.unlink()
    with pytest.raises(Stopped, match=r"train-000000.tar"):
        list(batches(data.train, SHAPE, 8))


def test_an_image_that_differs_from_what_was_checked_is_named_wherever_it_is(made, tmp_path, monkeypatch):
    shutil.copytree(made / "shards", tmp_path / "shards")
    monkeypatch.setattr(contents, "_AT_A_TIME", 7)
    files = shards_of(tmp_path, tmp_path).train.files
    assert contents.difference_in_shards(files) is None
    for place in (0, 7, len(files) - 1):
        shard, name = files[place].path, files.names[files.rows[place]]
        whole, changed = shard.stat().st_mtime_ns, bytearray(before := shard.read_bytes())
        changed[files[place].offset : files[place].offset + files[place].size] = bytes(files[place].size)
        for content in (changed, before):
            shard.write_bytes(content)
            os.utime(shard, ns=(whole, whole))
            found = contents.difference_in_shards(files)
            assert found.startswith(f"{shard}: {name}: ") if content is changed else found is None


def test_labels_without_a_list_name_the_classes(copied, tmp_path):
    (copied / "classes.txt").unlink()
    assert load(f"shards:{copied}", cache_dir=tmp_path, image_size=32).classes == ("0", "1")
    names = {b"0": b"10", b"1": b"9"}
    for path in copied.glob("*.tar"):
        retarred(path, lambda m: {k: names[v] if k.endswith("cls") else v for k, v in m.items()})
    assert load(f"shards:{copied}", cache_dir=tmp_path, image_size=32).classes == ("9", "10")
