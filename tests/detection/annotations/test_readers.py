"""Small sources written by hand, in each of the three formats, and what is wrong with broken ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.detection.annotations import load
from keras_cnn.errors import InputError

SHARES = {"validation": 1, "test": 1}


def image(path: Path, width: int = 40, height: int = 20, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, 0, 0)).save(path)
    return path


def coco(folder: Path, boxes=None, **changes) -> Path:
    """Four images of 40x20 with a box each, classes 3 (cat) and 7 (dog)."""
    for number in range(4):
        image(folder / "images" / f"{number}.png", value=number)
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 20} for n in range(4)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 3 if n % 2 else 7, "bbox": [n, 2, 10, 5], "iscrowd": 0}
            for n in range(4)
        ],
    }
    file = folder / "boxes.json"
    file.write_text(json.dumps(content | changes))
    return file


def everything(dataset) -> dict:
    return {p.id: p for pictures in dataset.splits.values() for p in pictures}


def test_coco_boxes_are_corners_and_categories_are_numbered_in_their_order(tmp_path):
    dataset = load(f"coco:{coco(tmp_path)}", **SHARES)
    assert dataset.classes == ("cat", "dog")
    assert {name: len(pictures) for name, pictures in dataset.splits.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    found = everything(dataset)
    assert sorted(found) == ["0.png", "1.png", "2.png", "3.png"]
    np.testing.assert_array_equal(found["3.png"].boxes, [[3, 2, 13, 7]])
    assert found["3.png"].classes.tolist() == [0]
    assert found["2.png"].classes.tolist() == [1]
    assert found["2.png"].size == (20, 40)


def test_the_split_is_of_the_seed_and_the_same_again(tmp_path):
    source = f"coco:{coco(tmp_path)}"
    ids = [[p.id for p in load(source, seed=seed, **SHARES).test] for seed in (1, 1, 2, 3, 4, 5)]
    assert ids[0] == ids[1]
    assert len({tuple(one) for one in ids}) > 1


def test_coco_files_beside_one_called_train_are_the_other_splits(tmp_path):
    for split in ("train", "val", "test"):
        file = coco(tmp_path / split)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        content = json.loads(file.read_text())
        for entry in content["images"]:
            entry["file_name"] = f"{split}/images/{entry['file_name']}"
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    dataset = load(f"coco:{tmp_path / 'annotations' / 'instances_train.json'}")
    assert dataset.own_splits == ("train", "validation", "test")
    assert [p.id for p in dataset.validation] == [f"val/images/{n}.png" for n in range(4)]
    assert dataset.notes == ("4 sets of identical images lie across splits (see split.json)",)


def test_a_crowd_is_ignored_and_other_classes_are_left_out(tmp_path):
    annotations = [
        {"image_id": n, "category_id": 3 + 4 * k, "bbox": [0, 0, 5 + k, 5], "iscrowd": k}
        for n in range(4)
        for k in (0, 1)
    ] + [{"image_id": n, "category_id": 7, "bbox": [1, 1, 3, 3]} for n in range(4)]
    source = f"coco:{coco(tmp_path, annotations=annotations)}"
    picture = load(source, **SHARES).train[0]
    assert picture.crowd.tolist() == picture.ignored.tolist() == [False, True, False]
    picture = load(source, classes=("dog",), **SHARES).train[0]
    assert picture.classes.tolist() == [0, 0]
    np.testing.assert_array_equal(picture.boxes[1], [1, 1, 4, 4])


def test_identical_files_stay_in_one_split(tmp_path):
    file = coco(tmp_path)
    for number in (1, 2, 3):
        (tmp_path / "images" / f"{number}.png").write_bytes((tmp_path / "images" / "1.png").read_bytes())
    for seed in range(5):
        with pytest.raises(InputError, match="leave none for the"):
            load(f"coco:{file}", seed=seed, **SHARES)


def yolo(folder: Path, names: str = "classes.txt") -> Path:
    for split in ("train", "val", "test"):
        for number in range(2):
            image(folder / "images" / split / f"{number}.png", value=number)
            text = folder / "labels" / split / f"{number}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.9 0.2 0.9 0.6\n" if number else "1 0.5 0.5 1 1\n")
    text = "cat\ndog\n" if names.endswith(".txt") else "names: {0: cat, 1: dog}\n"
    (folder / names).write_text(text)
    return folder


@pytest.mark.parametrize("names", ["classes.txt", "data.yaml"])
def test_yolo_centres_become_corners_and_polygons_their_bounding_boxes(tmp_path, names):
    dataset = load(f"yolo:{yolo(tmp_path, names)}")
    assert dataset.classes == ("cat", "dog")
    assert [p.id for p in dataset.validation] == ["images/val/0.png", "images/val/1.png"]
    picture = dataset.train[1]
    np.testing.assert_allclose(picture.boxes, [[15, 5, 25, 15], [4, 4, 36, 12]])
    assert picture.classes.tolist() == [1, 0]


VOC = """<annotation><filename>x.jpg</filename>{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>
<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"""


def one(name="cat", hard=0, x0=1, y0=1, x1=10, y1=5) -> str:
    return OBJECT.format(name=name, hard=hard, x0=x0, y0=y0, x1=x1, y1=y1)


def voc(folder: Path, **objects: str) -> Path:
    for place, name in enumerate(("a", "b", "c")):
        image(folder / "JPEGImages" / f"{name}.jpg", value=20 * place)
        (folder / "Annotations").mkdir(exist_ok=True)
        text = VOC.format(objects=objects.get(name, one() + one("dog", 1, 3, 3, 40, 20)))
        (folder / "Annotations" / f"{name}.xml").write_text(text)
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "a"), ("val", "b"), ("test", "c")):
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{name}\n")
    return folder


def test_voc_counts_pixels_from_1_and_difficult_boxes_are_ignored(tmp_path):
    dataset = load(f"voc:{voc(tmp_path)}")
    assert dataset.classes == ("cat", "dog")
    (picture,) = dataset.validation
    assert picture.id == "JPEGImages/b.jpg"
    np.testing.assert_array_equal(picture.boxes, [[0, 0, 10, 5], [2, 2, 40, 20]])
    assert picture.ignored.tolist() == [False, True]
    assert not picture.crowd.any()


def broken(kind: str, folder: Path) -> str:
    """A source with one mistake."""
    good = {"image_id": 0, "category_id": 3, "bbox": [1, 1, 3, 3]}
    big = {"id": 0, "file_name": "0.png", "width": 80, "height": 40}
    if kind == "outside":
        return f"coco:{coco(folder, annotations=[good | {'bbox': [35, 1, 10, 5]}])}"
    if kind == "no area":
        return f"coco:{coco(folder, annotations=[good | {'bbox': [5, 1, 0, 5]}])}"
    if kind == "category":
        return f"coco:{coco(folder, annotations=[good | {'category_id': 9}])}"
    if kind == "no boxes":
        return f"coco:{coco(folder, annotations=[])}"
    if kind == "missing image":
        file = coco(folder)
        (folder / "images" / "2.png").unlink()
        return f"coco:{file}"
    if kind == "other size":
        return f"coco:{coco(folder, annotations=[good], images=[big])}"
    if kind == "json":
        file = folder / "boxes.json"
        file.write_text('{"images": [],\n "annotations": [\n')
        return f"coco:{file}"
    if kind == "yolo line":
        (yolo(folder) / "labels" / "train" / "1.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.5 half 0.2 0.2\n")
    if kind == "yolo class":
        (yolo(folder) / "labels" / "train" / "1.txt").write_text("5 0.5 0.5 0.2 0.2\n")
    if kind == "yolo names":
        (yolo(folder) / "classes.txt").unlink()
    if kind == "xml":
        (voc(folder) / "Annotations" / "a.xml").write_text("<annotation>\n<object>\n</annotation>")
        return f"voc:{folder}"
    if kind == "entities":
        (voc(folder) / "Annotations" / "a.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
        return f"voc:{folder}"
    if kind == "voc number":
        return f"voc:{voc(folder, a=one(x1='wide'))}"
    return f"yolo:{folder}"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("outside", ["boxes.json: annotations[0]: 0.png: box [35, 1, 10, 5]", "reaches out of the image", "40x20"]),
        ("no area", ["annotations[0]: 0.png: box [5, 1, 0, 5]", "no area"]),
        ("category", ["annotations[0]: category_id 9", "3 (cat), 7 (dog)"]),
        ("no boxes", ["no box in the", "at least one"]),
        ("missing image", ["images[2]", "2.png: no such image"]),
        ("other size", ["images[0]: 0.png: found 80x40, the image is 40x20"]),
        ("json", ["boxes.json:3: not valid JSON"]),
        ("yolo line", ["1.txt:2: found '1 0.5 half 0.2 0.2'", "class x y width height"]),
        ("yolo class", ["1.txt:1: class 5 has no name", "0 to 1"]),
        ("yolo names", ["the classes have no names", "classes.txt"]),
        ("xml", ["a.xml:3: not valid XML"]),
        ("entities", ["a.xml", "document type or entities"]),
        ("voc number", ["a.xml: object 1", "'xmax': 'wide'", "four numbers"]),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, kind, words):
    with pytest.raises(InputError) as caught:
        load(broken(kind, tmp_path), **SHARES)
    (line,) = str(caught.value).splitlines()
    for word in words:
        assert word in line


def test_all_wrong_boxes_are_named_at_once_or_left_out(tmp_path):
    good = [{"image_id": n, "category_id": 3, "bbox": [1, 1, 3, 3]} for n in range(4)]
    bad = [{"image_id": 1, "category_id": 3, "bbox": [50, 1, 3, 3]} for _ in range(2)]
    source = f"coco:{coco(tmp_path, annotations=good + bad)}"
    with pytest.raises(InputError) as caught:
        load(source, **SHARES)
    assert len(str(caught.value).splitlines()) == 2
    dataset = load(source, bad_boxes="skip", **SHARES)
    assert sum(len(p.boxes) for p in everything(dataset).values()) == 4
    assert dataset.notes[0].startswith("2 wrong boxes left out, the first:")


def test_a_box_may_cross_the_edge_by_the_rounding_of_its_numbers_and_is_cut_there(tmp_path):
    annotations = [{"image_id": n, "category_id": 3, "bbox": [-0.5, 0, 41, 20.9]} for n in range(4)]
    picture = load(f"coco:{coco(tmp_path, annotations=annotations)}", **SHARES).train[0]
    np.testing.assert_array_equal(picture.boxes, [[0, 0, 40, 20]])


@pytest.mark.parametrize("source", ["coco", "boxes:x", "coco:"])
def test_an_unknown_source_is_refused(source):
    with pytest.raises(InputError, match=r"expected coco:FILE\.json, yolo:FOLDER or voc:FOLDER"):
        load(source)


def test_an_upright_image_has_the_size_that_its_boxes_mean(tmp_path):
    file = coco(tmp_path, images=[{"id": n, "file_name": f"{n}.jpg", "width": 20, "height": 40} for n in range(4)])
    for number in range(4):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (40, 20), (number * 20, 0, 0)).save(tmp_path / "images" / f"{number}.jpg", exif=exif)
    assert load(f"coco:{file}", **SHARES).train[0].size == (40, 20)
