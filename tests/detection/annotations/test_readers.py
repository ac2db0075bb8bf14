"""Small sources written by hand, in each of the three formats, and what is wrong with broken ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.detection.annotations import coco as coco_reader
from keras_cnn.detection.annotations import load
from keras_cnn.detection.annotations.dataset import Reading
from keras_cnn.detection.annotations.yolo_description import read_description
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
    (tmp_path / "images" / "2.png").write_bytes((tmp_path / "images" / "1.png").read_bytes())
    for seed in range(5):  # a pair and two single images, one for each split
        dataset = load(f"coco:{file}", seed=seed, **SHARES)
        members = sorted(sorted(p.id for p in pictures) for pictures in dataset.splits.values())
        assert members == [["0.png"], ["1.png", "2.png"], ["3.png"]]
        assert dataset.duplicates == (("1.png", "2.png"),)
        assert dataset.notes == ()
    for number in (2, 3):
        (tmp_path / "images" / f"{number}.png").write_bytes((tmp_path / "images" / "1.png").read_bytes())
    for seed in range(5):
        with pytest.raises(InputError, match="leave none for the"):
            load(f"coco:{file}", seed=seed, **SHARES)


def grouped_coco(folder: Path, **of_image) -> str:
    """Twelve images with a box each, two of each of six cameras, as `location` and as a folder say."""
    images = [{"id": i, "file_name": f"cam{i // 2}/{i}.png", "location": i // 2} | of_image for i in range(12)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 5, 5]} for i in range(12)]
    for i in range(12):
        image(folder / f"cam{i // 2}" / f"{i}.png", value=i)
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "deer"}]}))
    return f"coco:{file}"


@pytest.mark.parametrize("group", ["location", 1, r"(cam\d)"])
def test_images_of_one_camera_stay_in_one_split(tmp_path, group):
    dataset = load(grouped_coco(tmp_path), group=group, validation=3, test=3)
    cameras = [{picture.id.split("/")[0] for picture in pictures} for pictures in dataset.splits.values()]
    assert [len(pictures) for pictures in dataset.splits.values()] == [4, 4, 4]
    assert len(set.union(*cameras)) == sum(map(len, cameras)) == 6
    assert dataset.groups["groups"] == 6
    assert not dataset.groups["across_splits"]


@pytest.mark.parametrize(("seed", "fold"), [(1, "1/2"), (1, "2/2"), (5, "1/4")])
def test_a_fold_has_its_share_of_each_images_rarest_class(tmp_path, seed, fold):
    """Twelve images with a deer, four of them also with a boar, which is rarer, and four with nothing."""
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(16)]
    for i in range(16):
        image(tmp_path / f"{i}.png", value=i)
    kinds = [(i, 1) for i in range(12)] + [(i, 2) for i in range(4)]
    boxes = [{"id": n, "image_id": i, "category_id": c, "bbox": [1, 1, 5, 5]} for n, (i, c) in enumerate(kinds)]
    categories = [{"id": 1, "name": "deer"}, {"id": 2, "name": "boar"}]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (tmp_path / "animals.json").write_text(json.dumps(content))
    count = int(fold[-1])
    dataset = load(f"coco:{tmp_path / 'animals.json'}", seed=seed, fold=fold, validation=2)
    held = [int(picture.id.removesuffix(".png")) for picture in dataset.test]
    assert sorted(["boar", "deer", "deer", "none"][i // 4] for i in held) == sorted(
        ["boar", "deer", "deer", "none"] * (4 // count)
    )
    assert (len(dataset.validation), len(dataset.train)) == (2, 14 - 16 // count)
    assert len(everything(dataset)) == 16
    assert dataset.notes == (f"fold {fold}: {16 // count} of 16 images are held out as the test split",)
    assert dataset.own_splits == ()


def test_groups_across_the_sources_own_splits_are_said(tmp_path):
    """Cameras 0 to 2 are in the training split, 2 and 3 in the test split: five images of camera 2."""
    folder = tmp_path / "set"
    for split, cameras in (("train", (0, 0, 1, 2, 2, 2)), ("test", (2, 2, 3))):
        images = [{"id": n, "file_name": f"{split}/{n}.png", "location": c} for n, c in enumerate(cameras)]
        for n in range(len(cameras)):
            image(folder / split / f"{n}.png", value=n if split == "train" else 50 + n)
        boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 5, 5]} for n in range(len(cameras))]
        content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "deer"}]}
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
    dataset = load(f"coco:{folder / 'instances_train.json'}", group="location", validation=1)
    assert dataset.own_splits == ("train", "test")
    assert dataset.groups["across_splits"] >= 1
    assert dataset.groups["test_images_of_groups_elsewhere"] == 2
    assert dict(dataset.groups["listed"])["2"]["test"] == 2
    assert [note for note in dataset.notes if "several of the source's own splits" in note]
    fold = load(f"coco:{folder / 'instances_train.json'}", fold="1/3", validation=1)
    assert fold.notes[:2] == (
        "fold 1/3: 2 of 6 images are held out as the test split",
        "the source's own test split of 3 images is left out of the folds",
    )
    assert {picture.id.split("/")[0] for picture in fold.test} == {"train"}


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("locaton", r"data\.group locaton: .*images\[0\]: no such field; expected .*; did you mean location\?"),
        ("seq", r"data\.group seq: .*images\[0\]: found None; expected a number or text in each image"),
    ],
)
def test_a_field_that_names_no_group_is_told(tmp_path, group, words):
    with pytest.raises(InputError, match=words):
        load(grouped_coco(tmp_path, seq=None), group=group)
    with pytest.raises(InputError, match=r"data\.group location: yolo:.* has no fields of images, expected a level"):
        load(f"yolo:{yolo(tmp_path / 'other')}", group="location", validation=1, test=1)


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
    if kind == "crowd":
        return f"coco:{coco(folder, annotations=[good | {'iscrowd': '0'}])}"
    if kind == "no categories":
        return f"coco:{coco(folder, categories=[], annotations=[])}"
    if kind == "description":
        return f"yolo:{yolo(folder, 'data.yaml') / 'data.yaml'}"
    if kind == "page":
        (voc(folder) / "Annotations" / "a.xml").write_text("<html><body>404</body></html>")
        return f"voc:{folder}"
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
        ("crowd", ["annotations[0]: iscrowd: found '0'", "0 or 1"]),
        ("no categories", ["boxes.json: categories: found none"]),
        ("description", ["data.yaml", "a file, did you mean yolo:"]),
        ("page", ["a.xml: found <html>", "<annotation>"]),
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


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc"])
def test_damaged_images_are_named_before_training(tmp_path, kind):
    source, files = {
        "coco": lambda: (coco(tmp_path), ["images/1.png", "images/3.png"]),
        "yolo": lambda: (yolo(tmp_path), ["images/train/1.png", "images/val/0.png"]),
        "voc": lambda: (voc(tmp_path), ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]),
    }[kind]()
    for name in files:  # the header is intact
        noise = np.random.default_rng(0).integers(0, 256, (20, 40, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / name, "JPEG", quality=95)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-400])
    with pytest.raises(InputError) as caught:
        load(f"{kind}:{source}", **SHARES)
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(tmp_path / name) for name in files]
    assert all("truncated" in line for line in lines)


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


def described(folder: Path, text: str, places=("train", "val", "test")) -> str:
    """A YOLO source whose data.yaml holds `text`, with 3, 2 and 1 images in the three places."""
    for place, count in zip(places, (3, 2, 1), strict=True):
        for number in range(count):
            image(folder / "images" / place / f"{number}.png", value=40 * number + sum(map(ord, place)) % 37)
            label = folder / "labels" / place / f"{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(f"{number % 2} 0.5 0.5 0.25 0.5\n")
    (folder / "data.yaml").write_text(text)
    return f"yolo:{folder}"


def counts(dataset) -> list[int]:
    return [len(dataset.splits[name]) for name in ("train", "validation", "test")]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("{1: bus, 0: car}", ("car", "bus")),
        ("[yes, no]", ("yes", "no")),
        ("[1, 2.0]", ("1", "2.0")),
        ("[car, null]\nnc: 2", ("car", "")),
        ("\n  0: on\n  1: 1e3", ("on", "1e3")),
    ],
)
def test_yolo_names_are_text_and_keys_are_numbers_of_classes(tmp_path, names, classes):
    assert load(described(tmp_path, f"names: {names}\n")).classes == classes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: car\n", "names: found 'car', expected a list"),
        ("names: [car, car]\n", "names: classes 0 and 1 are both 'car'"),
        ("names: {0: car, 2: bus}\n", "names: no class 1, expected the classes 0 to 1"),
        ("names: {1: car, 2: bus}\n", "names: no class 0"),
        ("names: {car: 0}\n", "names: the key 'car', expected numbers of classes"),
        ("names: {0: car, 0: bus}\n", "names: class 0 twice"),
        ("names: [[car], bus]\n", "names: a list or mapping, expected text"),
        ("names: [car, bus]\nnc: 3\n", "nc: found 3, expected 2"),
        ("names: [car\n", "data.yaml:2: not valid YAML"),
        ("- car\n", "no mapping"),
        ("names: [car, bus]\nnames: [bus, car]\n", "names twice"),
        ("names: [car, bus]\ntrain: images/none\n", "train: found 'images/none', where there are none"),
        ("names: [car, bus]\nval: images/val\n", "splits validation, expected train as well"),
        ("names: [car, bus]\ntrain: images\nval: images/val\n", "is in the train split and in the validation split"),
        ("names: [car, bus]\nval: images/val\nvalid: images/val\n", "a second validation split"),
        ("names: [car, bus]\nkpt_shape: 17\n", "kpt_shape: found ['17'], expected two whole numbers"),
    ],
)
def test_a_description_that_cannot_be_understood_is_named(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        load(described(tmp_path, text))
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{tmp_path}/data.yaml")
    assert message in line


@pytest.mark.parametrize(
    "lines",
    [
        "train: images/alpha\nval: images/beta\ntest: images/gamma\n",
        "train: [images/alpha]\nval: ./images/beta/\ntest: images/gam*/*.png\n",
        "train: ../set/images/alpha\nvalid: ../images/beta\ntest: /home/else/images/gamma\n",
        "path: .\ntrain: alpha.txt\nval: beta.txt\ntest: images/gamma\n",
    ],
    ids=["folders", "list and glob", "of another machine", "lists"],
)
def test_the_splits_of_data_yaml_are_kept(tmp_path, lines):
    source = described(tmp_path / "set", f"{lines}names: [car, bus]\n", ("alpha", "beta", "gamma"))
    (tmp_path / "set" / "alpha.txt").write_text("".join(f"./images/alpha/{n}.png\n" for n in range(3)))
    (tmp_path / "set" / "beta.txt").write_text("/data/set/images/beta/0.png\n\nimages/beta/1.png\n")
    dataset = load(source)
    assert counts(dataset) == [3, 2, 1]
    assert {p.id.split("/")[1] for p in dataset.train} == {"alpha"}
    assert dataset.own_splits == ("train", "validation", "test")


def test_folders_of_a_year_and_lists_without_a_description_are_splits(tmp_path):
    """One YAML file of any name is the description; of two, nobody knows which."""
    described(tmp_path / "years", "names: [car, bus]\n", ("train2017", "val2017", "test2017"))
    (tmp_path / "years" / "data.yaml").rename(tmp_path / "years" / "own.yml")
    years = load(f"yolo:{tmp_path / 'years'}")
    assert (counts(years), years.classes) == ([3, 2, 1], ("car", "bus"))
    described(tmp_path / "lists", "names: [car, bus]\n", ("a", "b", "c"))
    for name, place, count in (("train", "a", 3), ("val", "b", 2)):
        text = "".join(f"images/{place}/{n}.png\n" for n in range(count))
        (tmp_path / "lists" / f"{name}.txt").write_text(text)
    (tmp_path / "lists" / "data.yaml").rename(tmp_path / "lists" / "one.yaml")
    (tmp_path / "lists" / "two.yaml").write_text("names: [bus, car]\n")
    (tmp_path / "lists" / "classes.txt").write_text("car\nbus\n")
    dataset = load(f"yolo:{tmp_path / 'lists'}", test=1)
    assert counts(dataset) == [2, 2, 1]
    assert dataset.notes == (f"1 of 6 images below {tmp_path}/lists are in no split of {tmp_path}/lists/train.txt",)
    name = "images/a/" + 100 * "x"
    (tmp_path / "lists" / "val.txt").write_text(f"images/b/0.png\n\n  {name}  \n")
    with pytest.raises(InputError, match=rf"val\.txt:3: found '{name[:80]}', expected an image below {tmp_path}/lists"):
        load(f"yolo:{tmp_path / 'lists'}", test=1)


def test_what_is_left_out_or_taken_for_training_is_said(tmp_path):
    source = described(tmp_path, "names: [car, bus]\n")
    image(tmp_path / "images" / "extra" / "0.png", value=200)
    dataset = load(source)
    assert counts(dataset) == [4, 2, 1]
    assert dataset.notes == (
        "trained on, as their folders are called neither train, val nor test: images/extra",
        "1 of 7 images have no label file: taken as images without objects",
    )


def test_label_files_without_an_image_are_counted(tmp_path):
    folder = yolo(tmp_path)
    (folder / "labels" / "train" / "lost.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "labels" / "classes.txt").write_text("cat\ndog\n")
    notes = load(f"yolo:{folder}").notes
    assert "1 label files have no image of their name, as labels/train/lost.txt" in notes


def test_empty_lists_of_voc_are_said(tmp_path):
    (voc(tmp_path) / "ImageSets" / "Main" / "test.txt").write_text("\n")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("")
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("")
    notes = load(f"voc:{tmp_path}", **SHARES).notes
    assert f"in {tmp_path / 'ImageSets' / 'Main'}, empty and not used: train.txt, val.txt, test.txt" in notes


def test_paths_of_windows_are_found(tmp_path):
    entries = [{"id": n, "file_name": f"images\\{n}.png", "width": 40, "height": 20} for n in range(4)]
    assert sorted(everything(load(f"coco:{coco(tmp_path, images=entries)}", **SHARES))) == [
        f"images\\{n}.png" for n in range(4)
    ]


def test_keypoints_follow_a_box_and_are_no_polygon(tmp_path):
    source = described(tmp_path, "names: [car, bus]\nkpt_shape: [2, 3]\n")
    label = tmp_path / "labels" / "train" / "0.txt"
    label.write_text("1 0.5 0.5 0.25 0.5 0.9 0.9 2 0.1 0.1 2\n")
    np.testing.assert_allclose(load(source).train[0].boxes, [[15, 5, 25, 15]])
    label.write_text("1 0.5 0.5 0.25 0.5 0.9 0.9\n")
    with pytest.raises(InputError, match=r"0\.txt:1: .*expected class x y width height and 6 numbers of keypoints"):
        load(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [("cat\n\ndog\n", "classes.txt:2: found an empty line"), ("cat\ndog\ncat\n", "classes 0 and 2 are both 'cat'")],
)
def test_a_class_list_has_no_gap_and_no_name_twice(tmp_path, text, message):
    (yolo(tmp_path) / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        load(f"yolo:{tmp_path}")


def test_byte_order_marks_are_no_part_of_names_numbers_and_json(tmp_path):
    folder = yolo(tmp_path / "yolo")
    (folder / "classes.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    (folder / "labels" / "train" / "0.txt").write_text("1 0.5 0.5 1 1\n", encoding="utf-8-sig")
    assert load(f"yolo:{folder}").classes == ("cat", "dog")
    file = coco(tmp_path / "coco")
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert load(f"coco:{file}", **SHARES).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"id": 3, "name": "cat"}, {"id": 7, "name": "cat"}], "categories: ids 3 and 7 are both 'cat'"),
        ([{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}], "categories[1]: id 3 is also of categories[0]"),
        ([{"id": 3, "name": None}], "categories[0]: name: found None, expected text"),
    ],
)
def test_categories_have_one_id_and_one_name_each(tmp_path, categories, message):
    with pytest.raises(InputError) as error:
        load(f"coco:{coco(tmp_path, categories=categories)}", **SHARES)
    assert message in str(error.value)


def test_every_wrong_entry_of_coco_is_listed(tmp_path):
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 20} for n in range(4)]
    images[1]["width"], images[2]["id"] = "wide", 0
    good = {"image_id": 0, "category_id": 3, "bbox": [1, 1, 3, 3]}
    bad = [good | {"bbox": None}, good | {"image_id": [1]}, good | {"bbox": [1, 2, 3]}, good | {"bbox": [10**400] * 4}]
    with pytest.raises(InputError) as error:
        load(f"coco:{coco(tmp_path, images=images, annotations=[*bad, good])}", **SHARES)
    lines = [line.removeprefix(f"{tmp_path}/boxes.json: ") for line in str(error.value).splitlines()]
    assert [line.split(":")[0] for line in lines] == [
        *("images[2]", "annotations[0]", "annotations[1]", "annotations[2]", "annotations[3]", "images[1]")
    ]


@pytest.mark.parametrize("name", ["a" * 5000 + ".png", "a\0b.png", "../" * 2000 + "x.png"])
def test_names_that_no_file_can_have_are_missing_images(tmp_path, name):
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 20} for n in range(4)]
    images[2]["file_name"] = name
    with pytest.raises(InputError, match=r"images\[2\]: ") as error:
        load(f"coco:{coco(tmp_path, images=images)}", **SHARES)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("width", [None, 0, "40", 40.0, "left out"])
def test_a_width_that_tools_write_in_other_ways_is_understood(tmp_path, width):
    images = [{"id": n, "file_name": f"{n}.png", "width": width, "height": 20} for n in range(4)]
    for entry in images:
        if width == "left out":
            del entry["width"]
    assert load(f"coco:{coco(tmp_path, images=images)}", **SHARES).train[0].size == (20, 40)


def test_boxes_drawn_on_the_unturned_image_are_recognised(tmp_path):
    file = coco(tmp_path, images=[{"id": n, "file_name": f"{n}.jpg", "width": 40, "height": 20} for n in range(4)])
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(4):
        Image.new("RGB", (40, 20), (number * 20, 0, 0)).save(tmp_path / "images" / f"{number}.jpg", exif=exif)
    with pytest.raises(InputError, match=r"found 40x20, the image is 20x40 .*upright by its EXIF orientation"):
        load(f"coco:{file}", **SHARES)
    file.write_text(file.read_text().replace('"width": 40, "height": 20', '"width": 30, "height": 10'))
    with pytest.raises(InputError, match=r"found 30x10, the image is 20x40 .*were the boxes drawn on another image\?"):
        load(f"coco:{file}", **SHARES)


def test_boxes_that_are_not_four_numbers_are_all_named(tmp_path):
    wrong = [[0, 0, True, 5], ["1", "1", "3", "3"], [1, 2, 3], [1, 2, 3, 4, 5], [], {"x": 1}, None, [1, 1, 3, None]]
    boxes = [{"image_id": 0, "category_id": 3, "bbox": box} for box in wrong]
    boxes += [{"image_id": 1, "category_id": 3, "bbox": [1, 1, 3, 3], "iscrowd": crowd} for crowd in (2, "1", -1)]
    with pytest.raises(InputError) as caught:
        load(f"coco:{coco(tmp_path, annotations=boxes)}", **SHARES)
    lines = [line.partition("annotations")[2] for line in str(caught.value).splitlines()]
    assert lines == [
        *(f"[{n}]: bbox: found {box}, expected four numbers: x, y, width, height" for n, box in enumerate(wrong)),
        *(f"[{n}]: iscrowd: found {crowd!r}, expected 0 or 1" for n, crowd in enumerate((2, "1", -1), len(wrong))),
    ]


def sized(folder: Path, width: int, height: int) -> str:
    """A VOC source that declares a size for its images of 40x20."""
    voc(folder)
    for file in (folder / "Annotations").iterdir():
        size = f"<annotation><size><width>{width}</width><height>{height}</height></size>"
        file.write_text(file.read_text().replace("<annotation>", size))
    return f"voc:{folder}"


def test_the_size_that_voc_declares_is_compared_and_zero_is_unknown(tmp_path):
    assert counts(load(sized(tmp_path / "zero", 0, 0))) == [1, 1, 1]
    assert counts(load(sized(tmp_path / "right", 40, 20))) == [1, 1, 1]
    with pytest.raises(InputError, match=r"a\.xml: size: found 80x40, the image is 40x20"):
        load(sized(tmp_path / "wrong", 80, 40))


@pytest.mark.parametrize("encoding", ["gb2312", "latin-1", "utf-16", "utf-8-sig"])
def test_xml_is_read_in_the_encoding_that_it_declares(tmp_path, encoding):
    name = "汽车" if encoding != "latin-1" else "café"
    declared = {"utf-16": "utf-16", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    for file in (voc(tmp_path) / "Annotations").iterdir():
        text = f'<?xml version="1.0" encoding="{declared}"?>\n' + file.read_text().replace("cat", name)
        file.write_bytes(text.encode(encoding))
    assert load(f"voc:{tmp_path}").classes == ("dog", name) or load(f"voc:{tmp_path}").classes == (name, "dog")


def test_xml_in_an_unknown_encoding_is_named(tmp_path):
    (voc(tmp_path) / "Annotations" / "a.xml").write_text('<?xml version="1.0" encoding="klingon"?><annotation/>')
    with pytest.raises(InputError, match=r"a\.xml: not the text that its XML declaration says: unknown encoding"):
        load(f"voc:{tmp_path}")


def test_voc_trainval_is_cut_and_test_is_kept(tmp_path):
    lists = voc(tmp_path) / "ImageSets" / "Main"
    for name in ("train", "val", "test"):
        (lists / f"{name}.txt").unlink()
    (lists / "trainval.txt").write_text("a\nb\n")
    (lists / "test.txt").write_text("c\n")
    (lists / "cat_train.txt").write_text("a 1\n")
    (lists / "extra.txt").write_text("a\n")
    dataset = load(f"voc:{tmp_path}", validation=1)
    assert [p.id for p in dataset.test] == ["JPEGImages/c.jpg"]
    assert counts(dataset) == [1, 1, 1]
    assert dataset.notes == (f"in {lists}, not read: extra.txt",)
    (lists / "test.txt").write_text("c\nb\n")
    with pytest.raises(InputError, match=r"trainval\.txt|b is also in the train split"):
        load(f"voc:{tmp_path}", validation=1)


def test_a_source_that_is_not_there_is_told_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in ("coco:a.json", "yolo:a", "voc:a"):
        with pytest.raises(InputError, match=rf"\(in {tmp_path}\): no such f"):
            load(source)


def problems(source: str, **options) -> list[str]:
    """The lines of the error that a source gives."""
    with pytest.raises(InputError) as caught:
        load(source, **options)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("wrong", "lines"), [(20, 20), (21, 21), (1021, 21)])
def test_twenty_problems_are_listed_and_the_others_counted(tmp_path, wrong, lines):
    boxes = [{"image_id": 0, "category_id": 3, "bbox": [n, 30, 1, 1]} for n in range(wrong)]
    found = problems(f"coco:{coco(tmp_path, annotations=boxes)}", **SHARES)
    assert len(found) == lines
    assert [line.partition(": box")[0] for line in found[:20]] == [
        f"{tmp_path}/boxes.json: annotations[{n}]: 0.png" for n in range(20)
    ]
    more = {20: [], 21: ["1 more problem of this kind"], 1021: ["1,001 more problems of this kind"]}
    assert found[20:] == more[wrong]


def test_a_box_may_reach_a_pixel_beyond_its_image(tmp_path):
    good = [{"image_id": n, "category_id": 3, "bbox": [-1, -1, 42, 22]} for n in range(4)]
    picture = load(f"coco:{coco(tmp_path, annotations=good)}", **SHARES).train[0]
    np.testing.assert_array_equal(picture.boxes, [[0, 0, 40, 20]])
    boxes = [[-1.25, 0, 9, 9], [0, -1.25, 9, 9], [35, 0, 6.25, 9], [0, 15, 9, 6.25]]
    boxes += [[-1, 0, 1, 9], [0, -1, 9, 1], [40, 0, 1, 9], [0, 20, 9, 1], [5, 5, -1, 2], [5, 5, 2, -1]]
    boxes += [[5, 5, 2, 0], [5, 5, 1e999, 2]]
    bad = [{"image_id": 0, "category_id": 3, "bbox": box} for box in boxes]
    found = problems(f"coco:{coco(tmp_path, annotations=good + bad)}", **SHARES)
    faults = ["reaches out of the image, expected inside 40x20 (width x height)"] * 4
    faults += ["has no area, expected a width and height above 0"] * 7 + ["not all numbers are finite, expected pixels"]
    prefix = f"{tmp_path}/boxes.json: annotations"
    assert found == [
        f"{prefix}[{number}]: 0.png: box {text}: {fault}"
        for number, (text, fault) in enumerate(zip(map(str, boxes), faults, strict=True), 4)
    ]


def test_long_texts_in_messages_are_cut(tmp_path):
    long = list(range(100_000, 100_030))
    images = [{"id": n, "file_name": f"{n}.png", "width": "w" * 80, "height": 20} for n in range(4)]
    file = coco(tmp_path / "coco", annotations=[{"image_id": 0, "category_id": 3, "bbox": long}], images=images)
    found = problems(f"coco:{file}", **SHARES)
    expected = "expected four numbers: x, y, width, height"
    assert found[0] == f"{file}: annotations[0]: bbox: found {str(long)[:60]}, {expected}"
    assert found[1] == f"{file}: images[0]: width: found {repr('w' * 80)[:60]}, expected a whole number"
    words = " ".join(f"0.{n}" for n in range(100, 150))
    label = yolo(tmp_path / "yolo") / "labels" / "train" / "1.txt"
    label.write_text(f"  0 {words} \n1 {words} 0.5\n")
    assert (
        problems(f"yolo:{tmp_path / 'yolo'}")
        == [  # the first is a polygon of 25 points
            f"{label}:2: found {f'1 {words}'[:60]!r}, expected class x y width height (fractions of the image),"
            " or class and a polygon"
        ]
    )
    label.write_text(f"  0 {words} 2 2 \n")
    assert problems(f"yolo:{tmp_path / 'yolo'}") == [
        f"{label}:1: 1.png: box {f'0 {words}'[:120]}: reaches out of the image, expected inside 40x20 (width x height)"
    ]
    for text, kind in (("0 .5 .5 .5 .5 .5 .5", "box"), ("0 .5 .5 .5 .5 .5", "found"), ("0 .5 .5 .5", "found")):
        label.write_text(text)
        assert f":1: {kind}" in problems(f"yolo:{tmp_path / 'yolo'}")[0].replace(": 1.png", "")
    label.write_text("-1 .5 .5 .5 .5\n2 .5 .5 .5 .5\n")
    assert problems(f"yolo:{tmp_path / 'yolo'}") == [
        f"{label}:{line}: class {number} has no name, expected 0 to 1, as there are 2 names"
        for line, number in ((1, -1), (2, 2))
    ]


def test_entries_of_coco_that_repeat_others_are_named(tmp_path):
    names = [(5, "0.png"), (6, "1.png"), ("x", "2.png"), (6, "3.png"), (7, "1.png")]
    images = [{"id": identity, "file_name": name} for identity, name in names]
    boxes = [{"image_id": "x", "category_id": 3, "bbox": [1, 1, 3, 3]}, {"image_id": 8, "category_id": 3}]
    file = coco(tmp_path, images=images, annotations=boxes)
    assert problems(f"coco:{file}", **SHARES) == [
        f"{file}: images[3]: id 6 is also of {file}: images[1], expected each id once",
        f"{file}: images[4]: 1.png is also {file}: images[1], expected each file once",
        f"{file}: annotations[1]: image_id 8: no image has this id",
    ]
    file = coco(tmp_path, categories=[{"id": 3, "name": "cat"}, {"id": True, "name": "dog"}])
    assert problems(f"coco:{file}", **SHARES) == [f"{file}: categories[1]: id: found True, expected a whole number"]
    file = coco(tmp_path, annotations=[{"image_id": 0, "category_id": 4, "bbox": [1, 1, 3, 3]}])
    expected = "no category of this id, expected one of 3 (cat), 7 (dog)"
    assert problems(f"coco:{file}", **SHARES) == [f"{file}: annotations[0]: category_id 4: {expected}"]
    assert problems(f"coco:{coco(tmp_path, images={})}") == [
        f"{file}: no list images, expected COCO's images, annotations and categories"
    ]


def splits_of_coco(folder: Path, *files: str) -> None:
    """COCO files with one image and one box each; the images are called 0.png, 1.png and so on and differ."""
    for number, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image(folder / "images" / f"{number}.png", value=number)
        content = {
            "images": [{"id": 1, "file_name": f"{folder}/images/{number}.png"}],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3]}],
        }
        (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("files", "own", "notes"),
    [
        (("instances_train2017.json", "instances_val2017.json", "instances_test2017.json"), 3, None),
        (("a_TRAIN.json", "a_valid.json", "a_test.json", "b_val.json", "a_test-dev.json", "a_dev.json"), 3,
         "a_dev.json, a_test-dev.json"),
        (("train/_annotations.coco.json", "valid/_annotations.coco.json", "test/_annotations.coco.json"), 3, None),
        (("train/train.json", "validation/train.json", "train/test.json", "val/val.json"), 3, None),
        (("train/boxes.json", "train/val.json", "val/boxes.json", "test/boxes.json"), 3, None),
    ],
)  # fmt: skip
def test_the_splits_of_coco_are_files_or_folders_of_their_names(tmp_path, files, own, notes):
    splits_of_coco(tmp_path, *files)
    found, _ = coco_reader.read(tmp_path / files[0], reading := Reading(False))
    assert found == ["cat"]
    assert len(coco_reader.read(tmp_path / files[0], reading)[1]) == own
    assert reading.notes[:1] == ([f"beside {files[0]}, not read: {notes}"] if notes else [])


def test_other_categories_in_another_split_are_refused(tmp_path):
    splits_of_coco(tmp_path, "train.json", "val.json")
    (tmp_path / "val.json").write_text((tmp_path / "val.json").read_text().replace('"cat"', '"dog"'))
    expected = f"found {{1: 'dog'}}, expected {{1: 'cat'}}, as in {tmp_path}/train.json"
    assert problems(f"coco:{tmp_path / 'train.json'}") == [f"{tmp_path}/val.json: categories: {expected}"]


@pytest.mark.parametrize(
    "place",
    [
        *("set/annotations/a.png", "set/annotations/images/a.png", "set/images/a.png", "set/train2017/a.png"),
        *("set/images/train2017/a.png", "set/annotations/train2017/a.png", "set/a.png"),
    ],
)
def test_the_image_of_a_coco_file_is_found_where_tools_put_it(tmp_path, place):
    for name in ("instances_train2017.json", "annotations_train2017.json", "person_keypoints_train2017.json"):
        file = tmp_path / "set" / "annotations" / name
        assert coco_reader._find(file, "a.png") == file.parent / "a.png"
        path = image(tmp_path / place)
        assert coco_reader._find(file, "a.png").resolve() == path
        path.unlink()


def test_darknets_description_and_its_lists_are_read(tmp_path):
    yolo(tmp_path)
    (tmp_path / "classes.txt").rename(tmp_path / "own.list")
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.list.txt").write_text("".join(f"data/images/{split}/{n}.png\n" for n in range(2)))
    lines = ["classes = 2", "train = data/train.list.txt", "valid=val.list.txt", "names = data/own.list", "backup"]
    (tmp_path / "my.data").write_text("\n".join(lines))
    dataset = load(f"yolo:{tmp_path}", test=1)
    assert (dataset.classes, counts(dataset)) == (("cat", "dog"), [1, 2, 1])
    assert dataset.notes[0] == f"2 of 6 images below {tmp_path} are in no split of {tmp_path}/my.data"
    (tmp_path / "my.data").write_text("train = train.list.txt\nnames = none")
    (tmp_path / "b.names").write_text("b\nc")
    for place, names in (("a.names", "fox\nboar\n"), ("obj.names", "fox\nhare\n"), ("classes.txt", "fox\ndog\n")):
        (tmp_path / place).write_text(names)
        assert read_description(tmp_path).names == names.split()
        assert read_description(tmp_path).names_place == str(tmp_path / place)


def test_gaps_between_class_numbers_and_folders_beside_the_splits_are_listed_up_to_five(tmp_path):
    names = ", ".join(f"{n}: c{n}" for n in (1, 9, 10, 11, 12, 13, 14))
    line = f"{tmp_path}/data.yaml: names: no class 0, 2, 3, 4, 5, expected the classes 0 to 6"
    assert problems(described(tmp_path, f"names: {{{names}}}\n")) == [line]
    source = described(tmp_path, "names: [car, bus]\n")
    for number in range(6):
        image(tmp_path / "images" / f"extra{number}" / "0.png", value=100 + number)
    listed = ", ".join(f"images/extra{n}" for n in range(5))
    notes = load(source).notes
    assert notes[0] == f"trained on, as their folders are called neither train, val nor test: {listed}"


def test_images_of_voc_in_no_list_are_counted(tmp_path):
    lists = voc(tmp_path) / "ImageSets" / "Main"
    for name in ("b", "c"):
        (tmp_path / "Annotations" / f"{name}2.xml").write_bytes((tmp_path / "Annotations" / f"{name}.xml").read_bytes())
        image(tmp_path / "JPEGImages" / f"{name}2.jpg", value=80)
    assert load(f"voc:{tmp_path}").notes[0] == f"2 of 5 annotated images are in no list of {lists}"
    (lists / "train.txt").unlink()
    dataset = load(f"voc:{tmp_path}")
    assert counts(dataset) == [3, 1, 1]
    assert dataset.notes[0] == f"{lists} has val.txt and test.txt but no train.txt: all other images are trained on"
    (lists / "test.txt").write_text("c -1\nd 1\n")
    assert problems(f"voc:{tmp_path}") == [f"{lists}/test.txt: d: no Annotations/d.xml"]


@pytest.mark.parametrize(("share", "count"), [(0.25, 3), (0.26, 4), (3, 3), (0.01, 1)])
def test_a_share_of_the_images_is_rounded_up(tmp_path, share, count):
    assert counts(load(grouped_coco(tmp_path), validation=share, test=2)) == [10 - count, count, 2]


def test_classes_are_chosen_once_and_by_their_names(tmp_path):
    source = f"coco:{coco(tmp_path)}"
    dataset = load(source, classes=("dog", "cat"), **SHARES)
    assert dataset.classes == ("dog", "cat")
    assert [p.classes.tolist() for _, p in sorted(everything(dataset).items())] == [[0], [1], [0], [1]]
    assert problems(source, classes=("cat", "cat")) == ["data.classes: found ['cat', 'cat'], expected each class once"]
    assert problems(source, classes=("cta",)) == [f"data.classes: {source} has no class 'cta'; did you mean cat?"]
