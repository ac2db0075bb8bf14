"""Labels in a table: recognised columns, the files of its rows, groups, and every way in which a table can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.config.schema import TableColumns
from keras_cnn.data import load, split_record
from keras_cnn.data.tables import find_files, read_csv
from keras_cnn.errors import InputError

NAMES = [f"{number:04d}" for number in range(12)]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Twelve different photos in `images`, the working folder above it."""
    (tmp_path / "images").mkdir()
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (10, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(header: str, rows, name: str = "train.csv") -> str:
    Path(name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return f"csv:{name}"


def read(source: str, **options):
    options = {"validation": 4, "test": 4, "cache_dir": "cache"} | options
    return load(source, **options)


def labels_of(dataset) -> dict[str, str]:
    """id -> class of every image, whatever its split."""
    parts = (dataset.train, dataset.validation, dataset.test)
    return {i: dataset.classes[label] for part in parts for i, label in zip(part.ids, part.labels, strict=True)}


@pytest.mark.parametrize(
    ("header", "row", "options"),
    [
        ("Id,label", "{0},{1}", {}),  # Kaggle's kitchenware: ids without an ending, photos in a folder beside the table
        ("name,label", "images/{0}.png,{1}", {}),  # fastai
        ("\ufeffimage_id;target;size", "{0}.png;{1};3", {}),  # Excel: a byte-order mark, semicolons
        ("size\tFile Name\tclass", "3\timages\\{0}.png\t{1}", {}),  # Windows
        ("id,breed", "{0},{1}", {}),
        ("photo_of,what,size", "{0},{1},3", {"table": TableColumns(path="photo_of", label="what")}),
        ("id,kind", "{0},{1}", {"table": TableColumns(root="images")}),
    ],
)
def test_columns_and_files_are_recognised_or_given(place, header, row, options):
    dataset = read(written(header, [row.format(name, "cup" if int(name) % 2 else "fork") for name in NAMES]), **options)
    assert dataset.classes == ("cup", "fork")
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [4, 4, 4]
    prefix = "images/" if "images" in row else ""
    assert labels_of(dataset) == {f"{prefix}{name}.png": "cup" if int(name) % 2 else "fork" for name in NAMES}


def test_a_table_gives_splits_and_numbers_are_ordered_as_numbers(place):
    rows = [f"{name},{10 - int(name) % 3},{int(name) > 5}" for name in NAMES]
    dataset = read(written("fname,labels,is_valid", rows), test=3)
    assert dataset.classes == ("8", "9", "10")
    assert dataset.validation.ids == tuple(f"{name}.png" for name in NAMES[6:])
    assert dataset.findings["own_splits"] == ["train", "validation"]
    assert "splits are in the column 'is_valid'" in dataset.findings["notes"]


def test_parquet_is_read_alike(place):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = {"path": [f"images/{n}.png" for n in NAMES], "label": [int(n) % 2 for n in NAMES]}
    pandas.DataFrame(rows).to_parquet("train.parquet")
    dataset = read("parquet:train.parquet")
    assert labels_of(dataset) == {f"images/{name}.png": str(int(name) % 2) for name in NAMES}
    Path("wrong.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"wrong\.parquet: not a readable Parquet file"):
        read("parquet:wrong.parquet")


def test_groups_stay_together(place):
    """Four patients of three photos: whichever goes to a split goes there with all three."""
    rows = [f"{name},{'sick' if int(name) % 3 else 'well'},p{int(name) // 3}" for name in NAMES]
    dataset = read(written("image,label,patient_id", rows), validation=3, test=3)
    parts = [{int(i[:4]) // 3 for i in part.ids} for part in (dataset.train, dataset.validation, dataset.test)]
    assert [len(patients) for patients in parts] == [2, 1, 1]
    assert set.union(*parts) == {0, 1, 2, 3}
    assert "the 4 groups of the column 'patient_id' are kept together" in dataset.findings["notes"]
    alone = read("csv:train.csv", validation=3, test=3, table=TableColumns(group="none"))
    assert not any("groups" in note for note in alone.findings["notes"])


def test_groups_that_the_own_splits_divide_are_findings(place):
    """p0 to p3 have three photos each; p1 has a photo in each split; images of no group are none."""
    splits = (
        ["train"] * 3 + ["train", "validation", "test"] + ["train"] * 2 + ["test"] + ["validation", "test", "train"]
    )
    rows = [
        f"{name},{'cup' if int(name) % 2 else 'fork'},{split},{f'p{int(name) // 3}' if int(name) < 9 else ''}"
        for name, split in zip(NAMES, splits, strict=True)
    ]
    source = written("image,label,split,burst", rows)
    assert "groups" not in read(source).findings
    dataset = read(source, group="burst")
    assert dataset.findings["groups"] == {
        "groups": 3,
        "largest": 3,
        "across_splits": 2,
        "test_images_of_groups_elsewhere": 2,
        "listed": [["p1", {"train": 1, "validation": 1, "test": 1}], ["p2", {"train": 2, "test": 1}]],
    }
    words = "2 groups are in several of the source's own splits, the first 'p1': 1 train, 1 validation, 1 test images"
    assert words in dataset.notes
    assert "the 3 groups of the column 'burst' are kept together" in dataset.notes
    assert split_record(dataset)["groups"] == dataset.findings["groups"]


def test_a_group_of_a_table_is_a_column_or_in_the_path(place):
    rows = [f"images/{name}.png,{'cup' if int(name) % 2 else 'fork'},p{int(name) // 3}" for name in NAMES]
    source = written("path,label,patient", rows)
    assert read(source, group=r"/00(\d\d)").findings["groups"]["groups"] == 12  # not those of the column patient
    assert read(source, group="patient").findings["groups"]["groups"] == 4
    with pytest.raises(InputError, match=r"train\.csv: data\.group: no column 'patent'; did you mean patient\?"):
        read(source, group="patent")
    with pytest.raises(InputError, match=r"--data\.table\.group: no column 'patent'; did you mean patient\?"):
        read(source, table=TableColumns(group="patent"))
    both = {"group": "patient", "table": TableColumns(group="patient")}
    with pytest.raises(
        InputError, match=r"data\.group patient and data\.table\.group patient: expected one of the two"
    ):
        read(source, **both)


def test_spaces_around_labels_and_repeated_rows_are_noted(place):
    rows = [f"{name},{'cup ' if int(name) % 2 else 'fork'}" for name in NAMES]
    notes = read(written("Id,label", [*rows, rows[0]])).findings["notes"]
    assert "labels with spaces around them are read without: 'cup '" in notes
    assert "1 row repeats an earlier one" in notes
    assert "paths are relative to images" in notes


GOOD = [f"{name},{'cup' if int(name) % 2 else 'fork'}" for name in NAMES]


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (
            "a,b,c",
            ["x.png,cup,1", "y.png,fork,1"],
            "no column of image paths among 'a', 'b', 'c'; expected one called path",
        ),
        ("a,b,c", ["x.png,cup,1", "y.png,fork,1"], "or --data.table.path a"),
        ("Id,size,b", ["0001,3,cup", "0002,3,fork", "0003,4,cup"], "no column of labels among 'Id', 'size', 'b'"),
        ("Id,size,b", ["0001,3,cup", "0002,3,fork", "0003,4,cup"], "or --data.table.label b"),
        (
            "Id,label",
            [*GOOD, *(f"x{i}.png,cup" for i in range(12))],
            "12 of 24 images do not exist in images: 'x0.png', ",
        ),
        ("Id,label", [*GOOD, *(f"x{i}.png,cup" for i in range(12))], "'x9.png', ...; --data.table.root FOLDER names"),
        ("Id,label", ["no,cup", "none,fork"], "2 of 2 images do not exist in the current folder: 'no', 'none'"),
        ("Id,label", [*GOOD, "0001,", "0002, "], "2 rows (lines 14, 15) without a label"),
        ("Id,label", [*GOOD, ",cup"], "line 14 without an image"),
        ("Id,label", [*GOOD[:11], "0011,Fork"], "several spellings of a class: 'fork' (6) and 'Fork' (1)"),
        ("Id,label", [*GOOD, "0001.png,fork"], "lines 3 and 14: 0001 has two labels, 'cup' and 'fork'; expected one"),
        (
            "Id,label,split",
            [f"{row},train" for row in GOOD[:11]] + ["0011,spoon,valid"],
            "validation has the class 'spoon'",
        ),
        ("Id,label,split", [f"{row},fold1" for row in GOOD], "line 2: column 'split' has 'fold1'; expected train"),
        ("Id,label", [*GOOD, "0001,cup,3"], "line 14 has 3 cells, expected 2"),
        ("Id,label", [], "no rows; expected a header and a row for each image"),
        ("Id,Id", GOOD, "two columns are called 'Id'"),
    ],
)
def test_what_is_wrong_in_a_table_is_one_line(place, header, rows, words):
    with pytest.raises(InputError) as caught:
        read(written(header, rows))
    assert words in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_missing_images_are_left_out_on_request(place):
    dataset = read(written("Id,label", [*GOOD, "none,cup"]), corrupt="skip")
    assert len(labels_of(dataset)) == 12
    assert "1 of 13 images do not exist in images: 'none'; left out" in dataset.findings["notes"]


def test_subfolders_are_tried_only_if_the_folder_has_none_of_the_images(place):
    (place / "0001.png").write_bytes((place / "images" / "0001.png").read_bytes())
    found = find_files(["0000", "0001", "0002"], place, "--root")
    assert (found.root, found.paths) == (place, (None, place / "0001.png", None))


def test_two_folders_that_fit_equally_are_not_guessed(place):
    (place / "copies").mkdir()
    for name in NAMES:
        (place / "copies" / f"{name}.png").write_bytes((place / "images" / f"{name}.png").read_bytes())
    with pytest.raises(
        InputError, match=r"copies, images have the same number of the images; choose one: --data\.table\.root copies$"
    ):
        read(written("Id,label", GOOD))


def test_a_table_is_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\x00\xff")
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        read_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match="No such file"):
        read_csv(tmp_path / "b.csv")


def test_the_real_kitchenware_table_loads(published_weights):
    """Kaggle's 5,559 rows beside nine of its photos, and nine others."""
    source = f"csv:{published_weights / 'kitchenware' / 'train.csv'}"
    with pytest.raises(InputError, match=r"5,550 of 5,559 images do not exist in .*kitchenware: '0560', '4675'"):
        read(source, cache_dir=None)
    dataset = read(source, cache_dir=None, corrupt="skip", uncut=True)
    assert labels_of(dataset) == {
        **dict.fromkeys(("0009.jpg", "0020.jpg", "0299.jpg", "0403.jpg"), "cup"),
        **dict.fromkeys(("0004.jpg", "0026.jpg"), "plate"),
        "0013.jpg": "knife",
        "0207.jpg": "spoon",
        "0412.jpg": "fork",
    }
    assert "no image is left of 'glass'" in dataset.findings["notes"]
