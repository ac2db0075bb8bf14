import pytest

from keras_cnn.data.shards import pattern as pattern_module
from keras_cnn.data.shards.pattern import find_shards, folder_of, parts_of
from keras_cnn.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("train-000.tar", "train-001.tar", "val-000.tar", "m-test.array_record-00000-of-00002", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".train-002.partial.tar").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{folder}", ["m-test.array_record-00000-of-00002", "train-000.tar", "train-001.tar", "val-000.tar"]),
        ("{folder}/train-*.tar", ["train-000.tar", "train-001.tar"]),
        ("train-*.tar", ["train-000.tar", "train-001.tar"]),
        ("{folder}/{{train,val}}-{{000..000}}.tar", ["train-000.tar", "val-000.tar"]),
        ("{folder}/train-{{000..001}}.tar", ["train-000.tar", "train-001.tar"]),
        ("{folder}/val-000.tar", ["val-000.tar"]),
        ("https://host/a/x-{{08..10}}.tar", ["x-08.tar", "x-09.tar", "x-10.tar"]),
    ],
)
def test_patterns(folder, pattern, names):
    found = find_shards(pattern.format(folder=folder))
    assert [name.rpartition("/")[2] for name in found] == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{folder}/train-{{000..002}}.tar", "train-002.tar: no such shard"),
        ("{folder}/other-*.tar", "no such shards; expected .tar or ArrayRecord files"),
        ("{folder}/empty", "no shards in "),
        ("{folder}/notes.txt", "notes.txt is no shard; expected names that end in .tar or have .array_record"),
        ("{folder}/train-{{3}}.tar", "{3} in braces; expected a range such as {000000..000012}, or a list"),
        ("{folder}/train-{{5..3}}.tar", "the range {5..3}; expected it to rise"),
        ("{folder}/train-{{0..3.tar", "a brace without its other"),
        ("", "no pattern"),
    ],
)
def test_wrong_patterns_are_one_line(folder, pattern, message):
    with pytest.raises(InputError) as error:
        find_shards(pattern.format(folder=folder))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_longest_range(folder, monkeypatch):
    monkeypatch.setattr(pattern_module, "MOST", 3)
    assert len(find_shards("https://h/{7..9}.tar")) == 3
    with pytest.raises(InputError, match=r"the range \{7\.\.10\}; expected it to rise, with at most 3 shards"):
        find_shards("https://h/{7..10}.tar")
    assert find_shards("https://h/{7..7}.tar") == ["https://h/7.tar"]


def test_the_split_is_a_word_of_the_name():
    names = ["imagenet1k-train-0000.tar", "a/imagenet1k-validation-00.tar", "s3://b/Test_1.tar"]
    assert parts_of("shards:x", names) == ["train", "validation", "test"]
    assert parts_of("shards:x", ["00000.tar", "00001.tar"]) == ["train", "train"]
    assert parts_of("shards:x", ["val-0.tar", "val-1.tar"]) == ["train", "train"]
    records = ["test_set-train.array_record-00000-of-00001", "test_set-test.array_record-00000-of-00001"]
    assert parts_of("shards:x", records) == ["train", "test"]
    assert folder_of("s3://b/c/x.tar") == "s3://b/c"
    for wrong, message in (
        (["train-0.tar", "x.tar"], "train-0.tar names a split, but x.tar none"),
        (["val-0.tar", "test-0.tar"], "shards of test, validation, but none of train"),
        (["train-val-0.tar"], "train-val-0.tar has the names of several splits"),
    ):
        with pytest.raises(InputError, match=message):
            parts_of("shards:x", wrong)
