"""Groups of images by folder, pattern and array: never across our cut, found across a source's own splits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_cnn
from keras_cnn.data import load
from keras_cnn.data.groups import connected, group_findings, group_names, numbered
from keras_cnn.errors import InputError


def photos(root: Path, names) -> str:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return f"folder:{root}"


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (1, ["s1", "s2", "s1"]),
        (2, ["cat", "cat", "dog"]),
        (r"(p\d+)_", ["p1", "p2", "p1"]),
        (r"(s\d)/(p\d)", ["s1 / p1", "s2 / p2", "s1 / p1"]),
        (r"cat/(s\d)|dog/(s1)", ["s1 / ", "s2 / ", " / s1"]),
    ],
)
def test_names_by_level_and_pattern(group, expected):
    assert group_names(["cat/s1/p1_0.png", "cat/s2/p2_0.png", "dog/s1/p1_1.png"], group, "here") == expected


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (3, r"data\.group 3: here: 'a/b\.png' has no folder 3 levels up \(2 of 2 images\); expected a level"),
        (0, r"data\.group: found 0, expected a level of folders from 1"),
        (r"a/(x)", r"data\.group a/\(x\): here: 'a/b\.png' does not match \(1 of 2 images\); expected a pattern"),
        ("(", r"data\.group \(: not a regular expression: .*; expected one, as '\(P"),
        ("(?:x)", r"data\.group \(\?:x\): no parentheses that say which part is the group"),
    ],
)
def test_a_wrong_group_is_one_line(group, words):
    with pytest.raises(InputError, match=words) as caught:
        group_names(["a/b.png", "a/x.png"], group, "here")
    assert "\n" not in str(caught.value)


def test_images_are_connected_through_others_and_the_ungrouped_are_not():
    # 0-1 share pixels, 1-2 a group, 3 is alone although two images have no group, 4-5 share a group.
    assert connected(np.array([7, 7, 1, 2, 3, 4]), np.array([-1, 5, 5, -1, 0, 0])).tolist() == [0, 0, 0, 3, 4, 4]


def test_findings_count_groups_across_splits_by_hand():
    numbers, names = numbered(["a", "a", "b", "", "b", "c", "a", "c"])
    assert numbers.tolist() == [0, 0, 1, -1, 1, 2, 0, 2]
    splits = {"train": numbers[:4], "validation": numbers[4:6], "test": numbers[6:]}
    assert group_findings(splits, names) == {
        "groups": 3,
        "largest": 3,
        "across_splits": 3,
        "test_images_of_groups_elsewhere": 2,
        "listed": [
            ["a", {"train": 2, "test": 1}],
            ["b", {"train": 1, "validation": 1}],
            ["c", {"validation": 1, "test": 1}],
        ],
    }


def test_a_hundred_groups_across_splits_are_listed_and_all_are_counted():
    numbers = np.arange(101)
    found = group_findings({"train": numbers, "test": numbers}, [f"g{number}" for number in numbers])
    assert (found["groups"], found["across_splits"], found["largest"]) == (101, 101, 2)
    assert found["test_images_of_groups_elsewhere"] == 101
    assert found["listed"] == [[f"g{number}", {"train": 1, "test": 1}] for number in range(100)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("group", [1, r"(patient\d+)"])
def test_a_patient_with_photos_in_two_classes_never_crosses_the_cut(tmp_path, seed, group):
    """Thirty patients, each with photos in both class folders; without the group nearly all of them cross."""
    names = [f"{kind}/patient{p:02d}/{i}.png" for kind in ("ill", "well") for p in range(30) for i in range(2)]
    source = photos(tmp_path / "photos", names)
    options = {"seed": seed, "validation": 0.2, "test": 0.2, "cache_dir": tmp_path / "cache"}

    def patients(dataset) -> list[set[str]]:
        return [{image.split("/")[1] for image in split.ids} for split in dataset.splits.values()]

    train, validation, test = patients(load(source, group=group, **options))
    assert not train & validation
    assert not (train | validation) & test
    assert len(train | validation | test) == 30
    assert 3 <= len(test) <= 9
    train, validation, test = patients(load(source, **options))
    assert len((train | validation) & test) > 5


def test_leakage_on_a_constructed_set_is_found(tmp_path):
    """The makers of this set have put patient 1 into train and test, and patient 2 into train and val."""
    names = [f"{part}/{kind}/p{p}_{i}.png" for part, people in (("train", (1, 2, 3)), ("val", (2, 4)), ("test", (1, 5)))
             for kind in ("ill", "well") for p in people for i in range(2)]  # fmt: skip
    dataset = load(photos(tmp_path / "photos", names), group=r"(p\d+)_", cache_dir=tmp_path / "cache")
    found = dataset.findings["groups"]
    assert (found["groups"], found["across_splits"], found["test_images_of_groups_elsewhere"]) == (5, 2, 4)
    assert found["listed"] == [["p1", {"train": 4, "test": 4}], ["p2", {"train": 4, "validation": 4}]]


def test_groups_of_arrays_and_frames(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 6, 6, 3), np.uint8)
    labels, people = np.arange(24) % 2, np.arange(24) // 4
    options = {"validation": 4, "test": 4, "cache_dir": tmp_path}
    data = keras_cnn.load_data((images, labels), group=people, **options)
    homes = [{int(image.split("/")[1]) // 4 for image in split.ids} for split in data.splits.values()]
    assert [len(home) for home in homes] == [4, 1, 1]
    assert data.findings["groups"]["groups"] == 6
    with pytest.raises(InputError, match=r"group is <U\d+ \(3,\); expected \(24,\) whole numbers or strings"):
        keras_cnn.load_data((images, labels), group=people[:3], **options)
    parts = {"train": (images[:20], labels[:20]), "test": (images[20:], labels[20:])}
    leaky = keras_cnn.load_data(parts, group={"train": people[:20], "test": people[:4]}, **options)
    assert leaky.findings["groups"]["across_splits"] >= 1
    with pytest.raises(InputError, match=r"load_data: group: found 'train'; expected the groups of each split"):
        keras_cnn.load_data(parts, group={"train": people[:20]}, **options)


@pytest.mark.parametrize(
    ("source", "group", "words"),
    [
        ("fashion-mini", 1, "data.group 1: the images of fashion-mini have no paths; expected null"),
        (
            "folder:{}",
            "patient",
            "data.group patient: folder:{} has no columns; expected a level",
        ),
        ("folder:{}", 1, "class 'ill' has 4 images in 1 group (groups and identical images stay together), too few"),
    ],
)
def test_a_source_without_such_groups_is_named(tmp_path, source, group, words):
    root = tmp_path / "photos"
    photos(root, [f"{kind}/{i}.png" for kind in ("ill", "well") for i in range(4)])
    with pytest.raises(InputError) as caught:
        load(source.format(root), group=group, cache_dir=tmp_path / "cache")
    assert words.format(root) in str(caught.value)
