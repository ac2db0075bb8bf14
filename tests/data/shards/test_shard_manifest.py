import hashlib
import json

import pytest

from keras_cnn.data.shards.class_titles import ClassList, read_class_list
from keras_cnn.data.shards.shard_manifest import (
    ShardManifest,
    ShardRecord,
    read_classes,
    read_manifest,
    verify,
)
from keras_cnn.errors import InputError


@pytest.fixture
def folder(tmp_path):
    records = {}
    for name, content in (("train-0.tar", b"a" * 50), ("test-0.tar", b"b" * 70)):
        (tmp_path / name).write_bytes(content)
        split = name.partition("-")[0]
        records[name] = ShardRecord(name, split, 5, len(content), hashlib.sha256(content).hexdigest())
    ShardManifest("", ("cat", "dog"), {"source": "folder:x"}, records).write(tmp_path)
    return tmp_path


def test_a_manifest_is_read_as_it_was_written(folder):
    manifest = read_manifest(str(folder))
    assert manifest.classes == ("cat", "dog")
    assert [record.bytes for record in manifest.shards.values()] == [50, 70]
    assert verify(folder) == "2 shards with 10 images: all as the manifest has them"
    manifest.check_listed({"train-0.tar": 50})
    manifest.check_complete(["test-0.tar", "train-0.tar"])


def test_every_wrong_shard_has_a_line(folder):
    (folder / "train-0.tar").write_bytes(b"a" * 49 + b"c")
    (folder / "test-0.tar").unlink()
    (folder / "test-1.tar").write_bytes(b"")
    found = hashlib.sha256(b"a" * 49 + b"c").hexdigest()[:16]
    with pytest.raises(InputError) as error:
        verify(folder)
    first, *lines = str(error.value).split("\n")
    assert first == f"{folder}/manifest.json: 3 faults in 2 shards:"
    expected = hashlib.sha256(b"a" * 50).hexdigest()[:16]
    assert lines == [
        f"  train-0.tar: SHA-256 {found}..., expected {expected}...",
        "  test-0.tar: missing",
        "  test-1.tar: not in the manifest",
    ]
    manifest = read_manifest(str(folder))
    with pytest.raises(InputError, match=r"lists test-0.tar, which is missing; expected all its shards beside it$"):
        manifest.check_complete(["train-0.tar"])
    with pytest.raises(InputError, match=r"is of other shards: test-1.tar is not listed"):
        manifest.check_listed({"test-1.tar": 0})
    with pytest.raises(InputError, match=r"train-0.tar has 49 bytes, expected 50: truncated or replaced$"):
        manifest.check_listed({"train-0.tar": 49})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "keras_cnn shards, 9"}, "the format is 'keras_cnn shards, 9', expected 'keras_cnn shards, 1'"),
        ({"shards": 3}, "classes, settings or shards are missing"),
        ({"classes": [1]}, "classes, settings or shards are missing"),
        ({"shards": [{"name": "a"}]}, "shard 0 has name; expected name, split, samples, bytes, sha256"),
    ],
)
def test_a_damaged_manifest_is_one_line(folder, change, message):
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError) as error:
        read_manifest(str(folder))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_files_beside_shards(tmp_path):
    assert read_manifest(str(tmp_path)) is None
    assert read_classes(str(tmp_path)) is None
    with pytest.raises(InputError, match=r"no manifest.json; expected a folder that keras-cnn shards has written"):
        verify(tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "of another program"}')
    assert read_manifest(str(tmp_path)) is None
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(str(tmp_path))
    (tmp_path / "classes.txt").write_text("cat\ntree frog\n\n")
    assert read_classes(str(tmp_path)) == ("cat", "tree frog")
    (tmp_path / "classes.txt").write_text("cat\ncat\n")
    with pytest.raises(InputError, match="empty or repeated lines"):
        read_classes(str(tmp_path))


def test_shards_of_several_folders_have_one_list_of_classes(tmp_path):
    for name, text in (("a", "cat\ntree frog\n"), ("b", "cat\n"), ("c", "")):
        (tmp_path / name).mkdir()
        if text:
            (tmp_path / name / "classes.txt").write_text(text)
    a, b, c = (str(tmp_path / name / "1.tar") for name in "abc")
    assert read_class_list([a, a]) == ClassList(("cat", "tree frog"), f"{tmp_path}/a/classes.txt")
    assert read_class_list([c]) is None
    with pytest.raises(
        InputError, match=r"/b/classes.txt: has other classes than /.*/a/classes.txt; expected the same"
    ):
        read_class_list([a, b])
    with pytest.raises(
        InputError, match=r"/b/classes.txt: has other classes than no list of classes beside the others"
    ):
        read_class_list([c, b])
