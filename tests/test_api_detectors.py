"""Detectors in the library: trained on boxes, opened, used on files and arrays, and refused in one line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import keras_cnn as kc
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.yolo import Detector
from tests.drawing import draw_nothing

COLOURS = {"red": (220, 30, 30), "blue": (40, 60, 230)}
BOX = (16.0, 20.0, 46.0, 44.0)  # x0, y0, x1, y1 of each image's object


@pytest.fixture(scope="module")
def boxes(tmp_path_factory) -> Path:
    """COCO JSON of twenty noisy images with one rectangle each."""
    folder = tmp_path_factory.mktemp("boxes")
    (folder / "images").mkdir()
    images, boxes = [], []
    x0, y0, x1, y1 = map(int, BOX)
    for number in range(20):
        pixels = np.random.default_rng(number).integers(90, 150, (64, 64, 3)).astype(np.uint8)
        pixels[y0:y1, x0:x1] = list(COLOURS.values())[number % 2]
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append({"id": number + 1, "file_name": f"images/{number}.png", "width": 64, "height": 64})
        box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "category_id": number % 2 + 1, "image_id": number + 1}
        boxes.append({"id": number + 1} | box)
    names = [{"id": number, "name": name} for number, name in enumerate(COLOURS, 1)]
    (folder / "boxes.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": names}))
    return folder


@pytest.fixture(scope="module")
def run(boxes, small_cfg, tmp_path_factory) -> kc.DetectorRun:
    settings = {"epochs": 1, "image_size": 64, "cfg": str(small_cfg), "validation": 4, "test": 4, "wandb": "off"}
    path = tmp_path_factory.mktemp("runs") / "boxes"
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        return kc.train_detector(f"coco:{boxes / 'boxes.json'}", path=path, **settings)


@pytest.fixture
def found(monkeypatch) -> None:
    """The detector finds one certain red and one uncertain blue object, whatever the image."""
    sure = Detections(np.array([[1, 2, 30, 40], BOX], np.float32), np.array([1, 0]), np.array([0.3, 0.9], np.float32))
    monkeypatch.setattr(Detector, "__call__", lambda self, image: sure)


def test_a_run_on_boxes_is_opened_with_its_numbers(run):
    opened = kc.open_run(run.path)
    assert isinstance(opened, kc.DetectorRun)
    assert (opened.classes, opened.finished, len(opened.history)) == (("red", "blue"), True, 1)
    low, high = opened.metrics["map50_interval"]
    number = f"{opened.metrics['map50']:.4f} [{low:.4f}, {high:.4f}]"
    assert repr(opened) == f"<DetectorRun {run.path}: test mAP@0.5 {number}, best epoch 1 of 1; 2 classes>"
    assert "val_map50" in opened.history.columns
    with pytest.raises(kc.InputError, match="a run of a detector; expected a classifier's: open_run opens both"):
        kc.Run(run.path)
    with pytest.raises(kc.InputError, match="this run is complete"):
        kc.resume(run)


def test_what_is_found_is_a_table_with_pictures(run, boxes, found, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"none")
    files = [boxes / "images" / "0.png", tmp_path / "broken.png", boxes / "images" / "1.png"]
    result = run.detect(files)
    assert (len(result), result.counts, list(result.errors)) == (3, {"red": 2, "blue": 2}, [1])
    expected = pd.DataFrame({"image": [str(files[0])] * 2, "class": ["red", "blue"]})
    pd.testing.assert_frame_equal(result[0][["image", "class"]], expected, check_dtype=False)
    np.testing.assert_allclose(result[0][["confidence", "x0", "y0", "x1", "y1"]], [[0.9, *BOX], [0.3, 1, 2, 30, 40]])
    assert (len(result.table), len(result[1])) == (4, 0)
    picture, pixels = result.picture(0), read_image(files[0])
    assert (picture.shape, picture.dtype) == (pixels.shape, np.uint8)
    changed = (picture != pixels).any(axis=2)
    assert changed[int(BOX[1]), int(BOX[0]) : int(BOX[2])].all()  # the upper edge of the red box
    assert f"{files[0]}: red 0.9000, blue 0.3000\n{files[1]}: not read: " in repr(result)
    assert result._repr_html_().count("data:image/jpeg;base64,") == 2
    result.to_csv(tmp_path / "found.csv")
    assert pd.read_csv(tmp_path / "found.csv")["class"].tolist() == ["red", "blue", "red", "blue"]


def test_classes_are_chosen_by_name_or_number_and_arrays_are_images(run, found):
    pixels = np.zeros((2, 40, 60, 3), np.uint8)
    detector = run.detector
    assert detector.detect(pixels, classes="blue").counts == {"blue": 2}
    assert detector.detect(pixels[0], classes=[0]).table["image"].tolist() == ["image 0"]
    for call, message in (
        (lambda: detector.detect(pixels, classes="bleu"), r"classes: found 'bleu', .*; did you mean blue\?"),
        (lambda: detector.detect(pixels / 255), r"images: found float64 \(2, 40, 60, 3\); expected files, or uint8"),
        (lambda: detector.detect("nothere.png"), r"nothere\.png: no such"),
        (lambda: kc.open_detector("yolov4"), "yolov4: no such file or name"),
        (lambda: kc.open_detector(run.path, precision="half"), "precision: found 'half', expected a name"),
    ):
        with pytest.raises(kc.InputError, match=message):
            call()


def test_the_saved_detector_finds_the_same(run, boxes, tmp_path):
    run.detector.save(tmp_path / "saved.keras")
    image, saved = str(boxes / "images" / "0.png"), kc.open_detector(tmp_path / "saved.keras")
    pixels = read_image(Path(image))
    for one, other in zip(run.detector._compiled.maps(pixels), saved._compiled.maps(pixels), strict=True):
        np.testing.assert_array_equal(one, other)
    assert repr(saved) == "<ObjectDetector saved: 2 classes, images of 64×64>"


def test_files_are_written_as_the_command_writes_them(run, boxes, tmp_path):
    folder = run.detector.process(boxes / "images" / "0.png", tmp_path / "found", verbose=False)
    assert {file.name for file in folder.iterdir()} == {"detections.csv", "detections.json", "0.png"}
    with pytest.raises(kc.InputError, match="line 1: 3 numbers, expected 4: x1,y1,x2,y2"):
        run.detector.process("road.mp4", lines=[(1, 2, 3)])


def test_wrong_input_of_a_training_on_boxes_leaves_no_folder(boxes, small_cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = f"coco:{boxes / 'boxes.json'}"
    cases = {
        r"train_detector: unknown keyword 'epoch'; did you mean epochs\?": {"epoch": 1},
        "data.image_size: found 65, expected a multiple of 32": {"image_size": 65},
        r"data.classes: coco:.*boxes\.json has no class 'green'; did you mean red\?": {"classes": ["green"]},
    }
    for message, settings in cases.items():
        with pytest.raises(kc.InputError, match=message):
            kc.train_detector(source, cfg=str(small_cfg), verbose=False, **settings)
    assert list(tmp_path.iterdir()) == []
