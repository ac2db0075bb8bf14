"""Several labels of an image in a table or in arrays: both forms, what is refused, and how such images are cut."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_cnn
from keras_cnn.checking import Value
from keras_cnn.config.overrides import override
from keras_cnn.config.schema import TableColumns
from keras_cnn.data import label_splits, load, split_record
from keras_cnn.data.label_arrays import are_sets
from keras_cnn.data.label_sets import class_counts, label_numbers, named
from keras_cnn.errors import InputError

CLASSES = ("cat", "dog", "eel")
SETS = [("cat",), ("cat", "dog"), (), ("eel", "cat"), ("dog",), ("eel",)] * 4
NAMES = [f"{number:03d}.png" for number in range(len(SETS))]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A photo for each of SETS; number 1 and 7, which have the same labels, have the same pixels."""
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(1 if number == 7 else number).integers(0, 256, (8, 9, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(header: str, rows) -> str:
    Path("t.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return "csv:t.csv"


def lists(separator: str = "|") -> list[str]:
    return [f"{name},{separator.join(labels)}" for name, labels in zip(NAMES, SETS, strict=True)]


def columns(cell=int) -> list[str]:
    rows = zip(NAMES, SETS, strict=True)
    return [f"{name},{','.join(str(cell(c in labels)) for c in CLASSES)},x" for name, labels in rows]


def read(source: str, **options):
    table = TableColumns(**options.pop("table"))
    return load(source, **{"validation": 6, "test": 6, "cache_dir": "cache", "table": table} | options)


def sets_of(dataset) -> dict[str, tuple[str, ...]]:
    return {
        image: tuple(sorted(name for name, has in zip(dataset.classes, row, strict=True) if has))
        for split in dataset.splits.values()
        for image, row in zip(split.ids, split.labels, strict=True)
    }


EXPECTED = {name: tuple(sorted(labels)) for name, labels in zip(NAMES, SETS, strict=True)}


@pytest.mark.parametrize(
    ("header", "rows", "table"),
    [
        ("image,labels", lists(), {"separator": "|"}),
        ("image,tags", lists(" "), {"separator": " ", "label": "tags"}),
        ("image,labels", lists(" | "), {"separator": "|", "classes": ("eel", "dog", "cat")}),
        ("image,cat,dog,eel,remark", columns(), {"classes": CLASSES}),
        ("image,cat,dog,eel,split", [row[:-1] + "train" for row in columns(bool)], {"classes": "all"}),
    ],
)
def test_a_list_in_a_cell_and_a_column_for_each_class_give_the_same_sets(place, header, rows, table):
    dataset = read(written(header, rows), table=table)
    assert dataset.several_labels
    assert sets_of(dataset) == EXPECTED
    assert dataset.classes == (table["classes"] if "eel" in table.get("classes", ())[:1] else CLASSES)
    assert [len(split) for split in dataset.splits.values()] == [12, 6, 6]
    assert all(class_counts(split.labels, 3).min() >= 1 for split in dataset.splits.values())
    assert "4 images have no label: none of the classes applies" in dataset.notes
    assert dataset.train.labels.dtype == np.uint8
    assert "3 classes, several an image" in repr(dataset)
    where = {image: name for name, split in dataset.splits.items() for image in split.ids}
    assert where[NAMES[1]] == where[NAMES[7]]  # the same pixels


def test_what_is_noted_about_the_columns(place):
    notes = read(written("image,cat,dog,eel,remark", columns()), table={"classes": CLASSES}).notes
    assert "labels are in 3 columns of 0 and 1, from 'cat' to 'eel'" in notes
    assert "columns not read: remark" in notes
    notes = read(written("image,labels", lists()), table={"separator": ";"}, validation=0, test=0).notes
    assert "no image has two labels: ';' may not be what separates them" in notes


@pytest.mark.parametrize(
    ("header", "change", "table", "message"),
    [
        ("image,labels", {3: "003.png,dgo"}, {"separator": "|", "classes": CLASSES}, "t.csv: line 5: column 'labels': "
         "the label 'dgo' is none of --data.table.classes; did you mean dog?"),
        ("image,labels", {3: "003.png,Cat"}, {"separator": "|"}, "several spellings of a class: 'cat' (11)"),
        ("image,labels", dict(enumerate(f"{n}," for n in NAMES)), {"separator": "|"}, "no labels in any row"),
        ("image,labels", {}, {"separator": "|", "classes": ("cat", "cat")}, "'cat' twice; expected at least two"),
        ("image,labels", {}, {"separator": "|", "classes": (*CLASSES, "fox")}, "has the label 'fox'"),
        ("image,labels", {8: "001.png,cat|eel"}, {"separator": "|"}, '001.png has two labels, \'["cat", "dog"]\''),
        ("image,cat,dog,eel,x", {2: "002.png,0,2,0,x"}, {"classes": CLASSES}, "t.csv: line 4: column 'dog' has '2'; "
         "expected 0 or 1, as in every column of --data.table.classes"),
        ("image,cat,dog,eel,x", {2: "002.png,0,,0,x"}, {"classes": CLASSES}, "line 4: column 'dog' is empty"),
        ("image,cat,dog,eel,x", {}, {"classes": "all"}, "line 2: column 'x' has 'x'; expected 0 or 1"),
        ("image,cat,dog,eel,x", {}, {"classes": ("cat", "dgo")}, "no column 'dgo'; did you mean dog?"),
        ("image,cat,dog,eel,x", {}, {"classes": ("cat", "image")}, "'image' is the column of the paths"),
        ("image,cat,dog,eel,x", {}, {"classes": ("cat",)}, "found cat; expected at least two different names"),
        ("image,cat,dog,eel,x", {}, {"classes": ()}, "found none; expected at least two different names"),
        ("image,cat,dog,eel,x", {}, {"classes": CLASSES, "label": "x"}, "--data.table.label x and --data"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(place, header, change, table, message):
    rows = columns() if "dog" in header else lists()
    with pytest.raises(InputError) as raised:
        read(written(header, [change.get(number, row) for number, row in enumerate(rows)]), table=table)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("limit", ["per_class", "subset"])
def test_limits_of_images_per_class_are_refused_by_name(place, limit):
    with pytest.raises(InputError, match=f"data.{limit}: found 3, but images of csv:t.csv may have several classes"):
        read(written("image,labels", lists()), table={"separator": "|"}, **{limit: 3})


def test_every_split_gets_its_share_of_each_class_and_groups_stay_together(tmp_path):
    """600 images, classes from 2 % to 60 %: a fifth of each is in validation, give or take two images."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (600, 4, 4, 3), np.uint8)
    labels = (random.random((600, 5)) < [0.6, 0.3, 0.1, 0.05, 0.02]).astype(np.uint8)
    data = keras_cnn.load_data((pixels, labels), validation=120, test=60, cache_dir=tmp_path)
    totals = labels.sum(axis=0)
    for split, share in ((data.validation, 0.2), (data.test, 0.1)):
        assert len(split) == 600 * share
        assert np.abs(split.labels.sum(axis=0) - share * totals).max() <= 2
    again = keras_cnn.load_data((pixels, labels), validation=120, test=60, cache_dir=tmp_path)
    assert again.test.ids == data.test.ids
    third = keras_cnn.load_data((pixels, labels), validation=120, test=60, train=300, cache_dir=tmp_path)
    assert len(third.train) == 300
    assert class_counts(third.train.labels, 5).min() >= 1


def test_the_neediest_split_and_the_shares_by_hand():
    neediest = label_splits._neediest
    assert neediest(np.array([1.0, 2.0, 2.0]), np.array([5.0, 4.0, 6.0])) == 2  # of equal ones that with more room
    assert neediest(np.array([1.0, 2.0, 2.0]), np.array([5.0, 6.0, 6.0])) == 1  # then the first
    assert neediest(np.array([1.0, 9.0, 2.0]), np.array([5.0, 0.0, 1.0])) == 2  # without room it takes no more
    assert neediest(np.array([1.0, 9.0, 2.0]), np.zeros(3)) == 1  # unless none has any
    totals = np.array([60, 3, 2])
    shares = label_splits._shares_of_classes(totals, {"test": 10, "validation": 20, "train": 70}, "train")
    # of three images each split gets one; of two there are not enough
    np.testing.assert_allclose(shares, [[6, 1, 0.2], [12, 1, 0.4], [42, 1, 1.4]])
    shares = label_splits._shares_of_classes(totals, {"test": 10, "validation": 0, "": 90}, "")
    np.testing.assert_allclose(shares, [[6, 1, 1], [0, 0, 0], [54, 2, 1]])
    counts, open_units = np.array([[3, 1, 0], [0, 1, 0], [2, 0, 0]]), np.ones(3, bool)
    order = label_splits._rarest_first(counts, open_units)
    assert next(order) == 1
    open_units[:2] = False
    assert next(order) == 0
    open_units[2] = False
    assert list(order) == []


def test_groups_are_not_divided(place):
    rows = [f"{row},p{number // 3}" for number, row in enumerate(lists())]
    dataset = read(written("image,labels,patient", rows), table={"separator": "|"})
    parts = [{int(image[:3]) // 3 for image in split.ids} for split in dataset.splits.values()]
    assert sum(map(len, parts)) == 8
    assert set.union(*parts) == set(range(8))


def test_a_class_with_too_few_images_is_named(place):
    rows = [row.replace("eel", "dog") if number not in (3, 5) else row for number, row in enumerate(lists())]
    rows = [row.replace("dog|cat", "dog") for row in rows]
    with pytest.raises(InputError, match="class 'eel' has 2 images, and none of them came into"):
        read(written("image,labels", rows), table={"separator": "|"})


def test_arrays_and_data_frames_give_sets(place):
    pandas = pytest.importorskip("pandas")
    pixels = np.stack([np.asarray(Image.open(name)) for name in NAMES])
    rows = np.array([[name in labels for name in CLASSES] for labels in SETS])
    options = {"validation": 6, "test": 6, "cache_dir": "cache"}
    arrays = keras_cnn.load_data((pixels, rows), classes=list(CLASSES), **options)
    assert arrays.classes == CLASSES
    assert sorted(sets_of(arrays).values()) == sorted(EXPECTED.values())
    frame = pandas.DataFrame({"filename": NAMES, "tags": [list(labels) for labels in SETS]})
    of_lists = keras_cnn.load_data(frame, table={"separator": "|", "label": "tags"}, **options)
    wide = pandas.DataFrame({"filename": NAMES} | {name: rows[:, i].astype(int) for i, name in enumerate(CLASSES)})
    of_columns = keras_cnn.load_data(wide, table={"classes": "all"}, **options)
    expected = [EXPECTED[name] for name in NAMES]
    for dataset in (of_lists, of_columns):
        found = {Path(image).name: labels for image, labels in sets_of(dataset).items()}
        assert [found[name] for name in NAMES] == expected


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.eye(3, dtype=int)[np.arange(24) % 3], {}, "y: every image has exactly one class; expected (N,) numbers, "
         "which y.argmax(axis=1) makes from one-hot rows"),
        (np.full((24, 3), 2), {}, "y[0, 0]: found 2, expected 0 or 1"),
        (np.ones((24, 3), int), {"classes": ["a", "b"]}, "classes: 2 class names for 3 columns"),
        (np.ones((24, 3), int), {"table": {"separator": ","}}, "table is for tables and data frames"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused(tmp_path, labels, options, message):
    with pytest.raises(InputError) as raised:
        keras_cnn.load_data((np.zeros((24, 4, 4), np.uint8), labels), cache_dir=tmp_path, **options)
    assert message in str(raised.value)


def test_the_record_of_the_splits_says_so_and_follows_the_labels(place):
    first = split_record(read(written("image,labels", lists()), table={"separator": "|"}))
    same = split_record(read(written("image,cat,dog,eel,x", columns()), table={"classes": CLASSES}))
    assert first["several_labels"] is True
    assert first["sha256"] == same["sha256"]
    changed = [lists()[0].replace("cat", "cat|eel"), *lists()[1:]]
    assert split_record(read(written("image,labels", changed), table={"separator": "|"}))["sha256"] != first["sha256"]


def test_numbers_and_names_of_sets():
    assert [are_sets(np.zeros(shape)) for shape in ((24,), (24, 1), (1, 2), (24, 3))] == [False, False, True, True]
    rows = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 0]], np.uint8)
    numbers = label_numbers(rows)
    assert numbers[1] == numbers[3]
    assert len(set(numbers.tolist())) == 3
    assert [named(row, CLASSES) for row in rows[:3]] == ["cat", "cat, dog", "none"]
    assert named(1, CLASSES) == "dog"
    assert class_counts(np.array([0, 2, 2]), 3).tolist() == [1, 0, 2]


def test_a_space_can_separate_labels_on_the_command_line():
    root = override(Value({}, "command line"), ["data", "table", "separator"], " ", {})
    assert root.value["data"].value["table"].value["separator"].text == " "
    assert root.value["data"].value["table"].value["separator"].value == " "
