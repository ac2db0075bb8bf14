"""What is written and said about detections, to the digit; names of files; limits of videos and of the cache."""

import io
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_cnn.detection import named_models, session, window
from keras_cnn.detection.counting import Crossing, CrossingCounter, read_gate
from keras_cnn.detection.sources import VideoFile, _upright, find_images
from keras_cnn.detection.writers import DetectionRecords
from keras_cnn.errors import InputError

FOUND = {"track": 3, "class": "car", "confidence": 0.12345678, "box": [1.23456, -0.005, 30, 1e3 / 3]}


def test_records_have_times_to_a_tenth_of_a_millisecond_confidences_to_a_millionth_and_boxes_to_a_hundredth():
    table, objects = io.StringIO(), io.StringIO()
    records = DetectionRecords(table, objects)
    records.add("road.mp4", 0, 1 / 3, [FOUND, FOUND | {"track": None}])
    records.add("road.mp4", 1, 2 / 3, [])
    records.add("é.png", 2, None, [FOUND])
    records.end()
    assert table.getvalue().split() == [
        "source,frame,time,track,class,confidence,x0,y0,x1,y1",
        "road.mp4,0,0.3333,3,car,0.123457,1.23,-0.01,30.00,333.33",
        "road.mp4,0,0.3333,,car,0.123457,1.23,-0.01,30.00,333.33",
        "é.png,2,,3,car,0.123457,1.23,-0.01,30.00,333.33",
    ]
    first, second, third = lines = json.loads(objects.getvalue())
    car = {"track": 3, "class": "car", "confidence": 0.123457, "box": [1.23, -0.01, 30, 333.33]}
    assert first == {"source": "road.mp4", "frame": 0, "time": 0.3333, "detections": [car, car | {"track": None}]}
    assert second == {"source": "road.mp4", "frame": 1, "time": 0.6667, "detections": []}
    assert third == {"source": "é.png", "frame": 2, "time": None, "detections": [car]}
    assert objects.getvalue() == "[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n]\n"


def test_a_detection_in_words():
    assert session._in_words(FOUND) == "car            0.1235   box 1.2, -0.0, 30.0, 333.3"


def test_crossings_are_written_and_said(tmp_path, messages, monkeypatch):
    drawn = []
    monkeypatch.setattr(session, "crossings_figure", lambda *arguments: drawn.append(arguments))
    monkeypatch.setattr(session, "save", lambda figure, path: None)
    counter = CrossingCounter([read_gate("0.5,1,9,1", "line 1", 2), read_gate("0,0,9,0,9,9", "zone 1", 3)])
    crossings = [Crossing(7, 1 / 3, "line 1", "down", 4, "car"), Crossing(8, 2.0, "line 1", "down", 5, "bus")]
    counter.totals["line 1"] = Counter({("down", "car"): 1, ("down", "bus"): 1})
    detection = SimpleNamespace(
        _counter=counter,
        _crossings=crossings,
        _folder=tmp_path,
        _progress=SimpleNamespace(done=12),
        _source=SimpleNamespace(source="videos/road.mp4"),
    )
    session._VideoDetection._write_counts(detection, 9.5)
    assert (tmp_path / "crossings.csv").read_text().split("\n")[:3] == [
        "frame,time,gate,direction,track,class",
        "7,0.3333,line 1,down,4,car",
        "8,2.0000,line 1,down,5,bus",
    ]
    assert json.loads((tmp_path / "counts.json").read_text()) == {
        "frames": 12,
        "points": {"line 1": [[0.5, 1], [9, 1]], "zone 1": [[0, 0], [9, 0], [9, 9]]},
        "crossings": {"line 1": {"down": {"bus": 1, "car": 1}, "up": {}}, "zone 1": {"in": {}, "out": {}}},
    }
    times = {"line 1": {("down", "car"): [1 / 3], ("down", "bus"): [2.0]}, "zone 1": {}}
    assert drawn == [(times, 9.5, "Crossings in road.mp4")]
    assert messages == [
        "line 1      down      2   bus 1, car 1",
        "line 1      up        0   ",
        "zone 1      in        0   ",
        "zone 1      out       0   ",
    ]


def test_without_a_terminal_a_line_says_the_progress_every_ten_seconds(monkeypatch, messages):
    times = iter([100.0, 105.0, 109.5, 110.0, 119.5, 120.5])
    monkeypatch.setattr(session, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    monkeypatch.setattr(session, "ProgressBar", lambda _, total: SimpleNamespace(total=total, disable=True, show=print))
    progress = session._DetectionProgress("frame", 40)
    for objects in (1, 0, 3, 0, 2):
        progress.step(objects)
    assert messages == ["frame 3 of 40   0.4 frames/s   4 objects", "frame 5 of 40   0.3 frames/s   6 objects"]
    assert (progress.done, progress._objects) == (5, 6)


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        *(("0", "camera0"), ("12", "camera12"), ("rtsp://host/a.b", "stream"), ("a/road 1.tar.mp4", "road_1.tar")),
        *(("a/*.png", "_"), ("a-b_c", "a-b_c"), ("/", "images")),
    ],
)
def test_the_folder_of_the_results_is_called_after_the_source(source, stem):
    assert session._stem(source) == stem


def test_classes_are_those_asked_for_or_vehicles_where_something_is_counted():
    names = ["person", "car", "dog", "motorcycle", "motorbike", "bicycle", "bus", "truck"]
    gate = read_gate("0,0,9,9", "line 1", 2)
    options = session.DetectOptions
    assert session._chosen_classes(names, options()) is None
    assert session._chosen_classes(names, options(("dog", "car"), (gate,))).tolist() == [2, 1]
    assert session._chosen_classes(names, options(gates=(gate,))).tolist() == [1, 3, 4, 5, 6, 7]
    message = "--classes: not given, and the network knows no bicycle, car, .*, expected the classes to count"
    with pytest.raises(InputError, match=message):
        session._chosen_classes(["dog"], options(gates=(gate,)))


@pytest.mark.parametrize(
    ("frames", "seconds", "sound", "rate", "number", "last", "cut_off"),
    [
        *((100, 4.0, None, 25, 95, 0, False), (100, 4.0, None, 25, 94, 9, True), (100, 4.0, "aac", 25, 94, 9, True)),
        *((None, 9.0, None, 25, 1, 7.0, False), (None, 9.0, None, 25, 1, 6.9, True), (None, 9, "aac", 25, 1, 1, False)),
        *((None, 9.0, None, 1, 1, 6.0, False), (None, 9.0, None, 1, 1, 5.9, True), (None, None, None, 1, 1, 0, False)),
    ],
)
def test_a_video_is_cut_off_where_much_of_it_is_missing(frames, seconds, sound, rate, number, last, cut_off):
    """A twentieth of the frames; without their number two seconds, or three frames where these take longer."""
    video = SimpleNamespace(frames=frames, seconds=seconds, sound=sound, rate=rate)
    assert VideoFile._is_cut_off(video, number, last) == cut_off


@pytest.mark.parametrize(
    ("aspect", "rotation", "turns", "wide"),
    [
        *((Fraction(1), 0, 0, 3), (Fraction(0), 0, 0, 3), (Fraction(3, 2), 0, 0, 4), (Fraction(1, 9), 0, 0, 1)),
        *((Fraction(1), 90, 1, 3), (Fraction(2), -90, 3, 6), (Fraction(1), 180, 2, 3), (Fraction(1), 134, 1, 3)),
    ],
)
def test_a_frame_has_square_pixels_and_stands_upright(aspect, rotation, turns, wide):
    image = np.arange(2 * 6 * 3, dtype=np.uint8).reshape(2, 6, 3)

    class OneFrame:
        width, height = 3, 2

        def __init__(self, width=3):
            self.rotation, self.width = rotation, width

        def reformat(self, width, height, format):
            assert (height, format) == (2, "rgb24")
            return OneFrame(width)

        def to_ndarray(self, format):
            return image[:, : self.width]

    np.testing.assert_array_equal(_upright(OneFrame(), aspect), np.rot90(image[:, :wide], turns))


def test_images_of_a_folder_and_of_a_glob_are_sorted(tmp_path):
    for name in ("b.png", "a.jpg", "deep/c.png", "note.txt", "[x].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(str(tmp_path), ignored := Counter())
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["[x].png", "a.jpg", "b.png", "deep/c.png"]
    assert sum(ignored.values()) == 1
    assert find_images(f"{tmp_path}/*.png", Counter()) == [tmp_path / "[x].png", tmp_path / "b.png"]
    assert find_images(f"{tmp_path}/[[]x].png", Counter()) == [tmp_path / "[x].png"]
    assert find_images(f"{tmp_path}/[x].png", Counter()) == [tmp_path / "[x].png"]
    assert find_images(f"{tmp_path}/none.png", Counter()) == [tmp_path / "none.png"]
    assert find_images("http://host/*.png", Counter()) == [Path("http://host/*.png")]
    assert find_images("road.mp4", Counter()) is None
    with pytest.raises(InputError, match=r"/\*\.bmp: no image matches, expected a glob of images, in quotes"):
        find_images(f"{tmp_path}/*.bmp", Counter())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no image in this folder, expected files ending in \.\w+ "):
        find_images(f"{tmp_path}/empty", Counter())


def test_a_window_waits_for_a_key_only_if_asked_and_closes_at_q(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    shown, waits, keys = [], [], [ord("q") | 0x100, ord("a"), -1]
    monkeypatch.setattr("cv2.imshow", lambda title, image: shown.append((title, image.tolist())))
    monkeypatch.setattr("cv2.waitKey", lambda wait: waits.append(wait) or keys.pop())
    screen = window.Window()
    assert [screen.show(np.array([[[1, 2, 3]]], np.uint8), wait=wait) for wait in (False, True)] == [True, True]
    assert not screen.show(np.array([[[1, 2, 3]]], np.uint8))
    assert (waits, shown) == ([1, 0, 1], [("keras_cnn: q closes", [[[3, 2, 1]]])] * 3)


def test_the_cache_of_named_networks_is_where_the_environment_says(monkeypatch, tmp_path):
    for name in ("KERAS_CNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_models.cache_folder() == tmp_path / ".cache" / "keras_cnn" / "darknet"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert named_models.cache_folder() == tmp_path / "xdg" / "keras_cnn" / "darknet"
    monkeypatch.setenv("KERAS_CNN_CACHE", str(tmp_path / "own"))
    folder = tmp_path / "own" / "darknet"
    assert named_models.cache_folder() == folder
    assert named_models.named_cfg("yolov3") is None
    assert named_models.named_cfg("yolov3-tiny").parent == named_models.PACKAGED_CFGS
    folder.mkdir(parents=True)
    for name in ("yolov3.cfg", "yolov3-tiny.cfg", "yolov3.weights"):
        (folder / name).touch()
    assert named_models.named_cfg("yolov3-tiny") == folder / "yolov3-tiny.cfg"
    assert named_models.named_files("yolov3", None) == (folder / "yolov3.cfg", folder / "yolov3.weights")
    (folder / "yolov3.cfg").unlink()
    with pytest.raises(InputError) as caught:
        named_models.named_files("yolov3", None)
    assert str(caught.value) == (
        f"--model yolov3: not found: {folder}/yolov3.cfg; put yolov3.cfg, yolov3.weights and coco.names into {folder}"
        " (cfg: github.com/pjreddie/darknet, or Debian's package darknet; weights:"
        " pjreddie.com/media/files/yolov3.weights), or give --model FILE.cfg --weights FILE"
    )


def test_what_is_a_detector_is_seen_by_its_name_or_its_file(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK no archive")
    assert [named_models.is_detector(name) for name in ("yolov3", "a.cfg", "a.png", "yolov4", tmp_path)] == [
        *(True, True, False, False, False)
    ]
