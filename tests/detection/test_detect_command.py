"""`python detect.py` from its arguments to its files, with a network that finds red (car) and blue (bus) squares."""

import csv
import functools
import http.server
import json
import resource
import threading
import zipfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import keras
import numpy as np
import pytest
from PIL import Image

from keras_cnn.cli import detect, program
from keras_cnn.csv_tables import from_csv_cell
from keras_cnn.detection import session, sources
from keras_cnn.detection.background import DEPTH, BackgroundWorker, prefetched
from keras_cnn.detection.object_tracker import ObjectTracker

HEIGHT, WIDTH, SIDE = 64, 128, 16
LAYERS = """[convolutional]\nfilters=7\nsize=8\nstride=8\nactivation=linear
[yolo]\nmask=0\nanchors=40,40\nnum=1\nclasses=2\n"""


def square_numbers() -> np.ndarray:
    """Objectness where it is red or blue rather than green, class by which of them; the box is 40 x 40 in its cell."""
    biases, kernel = np.array([0, 0, 0, 0, -10, 0, 0.0]), np.zeros((7, 3, 8, 8))
    kernel[4] = np.array([40, -80, 40])[:, None, None] / 64
    kernel[5:] = np.array([[40, 0, -40], [-40, 0, 40]])[:, :, None, None] / 64
    return np.concatenate([biases, kernel.ravel()])


@pytest.fixture
def model(network, tmp_path) -> list[str]:
    cfg, weights = network(LAYERS, square_numbers(), (HEIGHT, WIDTH, 3))
    (tmp_path / "small.names").write_text("car\nbus\n")
    return ["--model", str(cfg), "--weights", str(weights)]


def picture(*squares: tuple[float, float, str]) -> np.ndarray:
    """Grey with squares at their centres x, y."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for x, y, colour in squares:
        top, left = round(y - SIDE / 2), round(x - SIDE / 2)
        place = image[max(0, top) : max(0, top + SIDE), max(0, left) : max(0, left + SIDE)]
        place[:] = {"red": (250, 0, 0), "blue": (0, 0, 250)}[colour]
    return image


def write_video(path: Path, frames, rate=10, sound=False, rotation=0, audio="aac", options=None) -> Path:
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        tone = container.add_stream(audio, rate=8000) if sound else None
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone:
            wave = np.sin(np.arange(8000 * len(frames) // rate) / 5).astype(np.float32)
            kind, values = ("fltp", wave) if audio == "aac" else ("s16", (wave * 30000).astype(np.int16))
            for start in range(0, len(wave), 1024):
                samples = av.AudioFrame.from_ndarray(values[None, start : start + 1024], format=kind, layout="mono")
                samples.sample_rate, samples.pts = 8000, start
                container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path


def passing(frames: int = 40) -> list[np.ndarray]:
    """A red square to the right above, then another; a blue one to the left below, all the time."""
    speed = (WIDTH + 2 * SIDE) / (frames / 2)
    return [
        picture((-SIDE + speed * (n % (frames // 2)), 16, "red"), (WIDTH + SIDE - speed / 2 * n, 48, "blue"))
        for n in range(frames)
    ]


def run(*arguments) -> int:
    return program.run(detect.main, [str(argument) for argument in arguments])


def rows(folder: Path) -> list[dict]:
    with (folder / "detections.csv").open() as file:
        return list(csv.DictReader(file))


def read_video(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as container:
        frames = [(frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(video=0)]
    return [image for image, _ in frames], [time for _, time in frames]


def test_a_video_is_counted_annotated_and_recorded(model, tmp_path, capsys):
    video = write_video(tmp_path / "road.mp4", passing(), sound=True)
    out = tmp_path / "out"
    zone = "30,30,90,30,90,64,30,64"
    assert run(video, *model, "--out", out, "--count-line", "64,0,64,64", "--count-zone", zone) == 0
    counts = json.loads((out / "counts.json").read_text())
    assert counts["crossings"]["line 1"] == {"left": {"bus": 1}, "right": {"car": 2}}
    assert counts["crossings"]["zone 1"] == {"in": {"bus": 1}, "out": {"bus": 1}}
    assert counts["frames"] == 40
    with (out / "crossings.csv").open() as file:
        crossings = list(csv.DictReader(file))
    assert [c["class"] for c in crossings if c["direction"] == "right"] == ["car", "car"]
    assert "line 1" in capsys.readouterr().out
    table = rows(out)
    frames = json.loads((out / "detections.json").read_text())
    assert [frame["frame"] for frame in frames] == list(range(40))
    assert sum(len(frame["detections"]) for frame in frames) == len(table) >= 60
    assert len({row["track"] for row in table if row["class"] == "bus"} - {""}) == 1
    for row in table:
        x = (float(row["x0"]) + float(row["x1"])) / 2
        step = int(row["frame"])
        expected = -SIDE + 8 * (step % 20) if row["class"] == "car" else WIDTH + SIDE - 4 * step
        assert abs(x - np.clip(expected, 4, 124)) <= 8  # a cell of the network
        assert float(row["time"]) == pytest.approx(step / 10, abs=1e-3)
    images, times = read_video(out / "road.mp4")
    assert (len(images), images[0].shape) == (40, (HEIGHT, WIDTH, 3))
    np.testing.assert_allclose(times, np.arange(40) / 10, atol=1e-3)
    with av.open(str(video)) as before, av.open(str(out / "road.mp4")) as after:
        packets = [[bytes(p) for p in c.demux(audio=0) if p.dts is not None] for c in (before, after)]
    assert packets[0] == packets[1]  # the sound, untouched
    assert (out / "crossings.png").stat().st_size > 1000


def test_sound_that_mp4_does_not_play_becomes_aac(model, tmp_path):
    video = write_video(tmp_path / "old.avi", passing(20), sound=True, audio="pcm_s16le")
    assert run(video, *model, "--out", tmp_path / "out") == 0
    with av.open(str(tmp_path / "out" / "old.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert abs(samples - 2 * 8000) < 2500


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_videos_come_out_upright(model, tmp_path, rotation):
    upright = picture((40, 16, "red"))
    lying = np.ascontiguousarray(np.rot90(upright, -rotation // 90))  # so that turning it by `rotation` rights it
    video = write_video(tmp_path / "phone.mp4", [lying] * 5, rotation=rotation)
    assert run(video, *model, "--out", tmp_path / "out") == 0
    images, _ = read_video(tmp_path / "out" / "phone.mp4")
    assert images[0].shape == upright.shape
    red = np.argwhere(images[0][..., 0].astype(int) - images[0][..., 2] > 120).mean(axis=0)
    np.testing.assert_allclose(red, [16, 40], atol=3)


def test_what_cannot_be_decoded_is_an_error_and_leaves_nothing(model, tmp_path, capsys):
    video = write_video(tmp_path / "whole.mkv", passing(20))
    head = tmp_path / "head.mkv"
    head.write_bytes(video.read_bytes()[:900])
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    for file, message in (
        (head, "frame can be decoded"),
        (text, "cannot open the video"),
        (sound, "no video in this file"),
    ):
        out = tmp_path / f"out_{file.stem}"
        assert run(file, *model, "--out", out) == 2
        assert message in capsys.readouterr().err
        assert not out.exists() or list(out.iterdir()) == []
    assert run(tmp_path / "none.mp4", *model) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(("suffix", "options"), [("mkv", {}), ("mp4", {"movflags": "faststart"})])
def test_a_video_that_is_cut_off_is_kept_as_far_as_it_goes_and_said(model, tmp_path, capsys, suffix, options):
    video = write_video(tmp_path / f"whole.{suffix}", passing(), options=options)
    assert run(video, *model, "--out", tmp_path / "whole") == 0
    part = tmp_path / f"part.{suffix}"
    part.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    capsys.readouterr()
    assert run(part, *model, "--out", tmp_path / "part") == 3
    frames = len(read_video(tmp_path / "part" / "part.mp4")[0])
    assert 0 < frames < 38
    assert f"{frames} frames are saved in" in capsys.readouterr().err


def test_named_networks_and_class_names_come_from_the_cache(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_CNN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "darknet"
    folder.mkdir(parents=True)
    for number, suffix in ((1, "cfg"), (3, "weights")):
        Path(model[number]).rename(folder / f"yolov3-tiny.{suffix}")
    image = tmp_path / "a.png"
    Image.fromarray(picture((40, 16, "red"))).save(image)
    assert run(image, "--model", "yolov3-tiny", "--out", tmp_path / "one") == 0
    assert "classes are called 0 to 1" in capsys.readouterr().out
    assert [row["class"] for row in rows(tmp_path / "one")] == ["0"]
    (folder / "coco.names").write_text("car\nbus\n")
    assert run(image, "--model", "yolov3-tiny", "--out", tmp_path / "two") == 0
    assert [row["class"] for row in rows(tmp_path / "two")] == ["car"]


def test_a_writer_that_fails_is_an_error_and_leaves_nothing(model, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (60, HEIGHT, WIDTH, 3), np.uint8)
    video = write_video(tmp_path / "noise.mp4", list(noise))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "out"
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # as a full disk: writing on fails
    try:
        assert run(video, *model, "--out", out) == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "noise.mp4: the video cannot be written: File too large" in capsys.readouterr().err
    assert list(out.iterdir()) == []


class _Dropping(http.server.BaseHTTPRequestHandler):
    """Promises the whole file and sends `part` of it, every time."""

    def __init__(self, *arguments, content: bytes, part: float, asked: list):
        self.content, self.part, self.asked = content, part, asked
        super().__init__(*arguments)

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: int(len(self.content) * self.part)])

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("part", "status"), [(1.0, 0), (0.6, 3)])
def test_a_stream_that_drops_is_opened_again_until_the_limit(model, tmp_path, capsys, monkeypatch, part, status):
    waits, asked = [], []
    monkeypatch.setattr(sources.time, "sleep", waits.append)
    content = write_video(tmp_path / "live.mkv", passing(40)).read_bytes()
    handler = functools.partial(_Dropping, content=content, part=part, asked=asked)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert run(f"http://127.0.0.1:{server.server_port}/live.mkv", *model, "--out", tmp_path / "out") == status
    finally:
        server.shutdown()
        server.server_close()
    frames = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [frame["frame"] for frame in frames] == list(range(len(frames)))
    assert len(read_video(tmp_path / "out" / "stream.mp4")[0]) == len(frames)
    if status:
        assert 0 < len(frames) < 40
        assert waits == [1, 2, 4, 8, 16]
        assert "5 attempts to go on failed" in capsys.readouterr().err
    else:
        assert (len(frames), waits) == (40, [])


class _Live(http.server.BaseHTTPRequestHandler):
    """Sends the file without its length, twice; then it is gone."""

    def __init__(self, *arguments, content: bytes, asked: list):
        self.content, self.asked = content, asked
        super().__init__(*arguments)

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200 if len(self.asked) < 3 else 404)
        self.end_headers()
        if len(self.asked) < 3:
            self.wfile.write(self.content)

    def log_message(self, *_):
        pass


def test_a_live_stream_goes_on_where_the_clock_is(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(session, "prefetched", lambda items, skip: iter_closing(items))  # skips none
    content, asked = write_video(tmp_path / "live.ts", passing(40)).read_bytes(), []
    handler = functools.partial(_Live, content=content, asked=asked)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert run(f"http://127.0.0.1:{server.server_port}/live.ts", *model, "--out", tmp_path / "out") == 3
    finally:
        server.shutdown()
        server.server_close()
    times = [frame["time"] for frame in json.loads((tmp_path / "out" / "detections.json").read_text())]
    assert f"dropped after {len(times)} frames, 5 attempts" in capsys.readouterr().err
    assert len(asked) == 2 + 5
    assert 50 < len(times) <= 80  # a connection without a length may lose its last frames
    assert np.diff(times).min() > 0.099
    assert times[-1] > 5


def test_a_signal_ends_a_video_with_what_was_done(model, tmp_path, capsys, monkeypatch):
    video = write_video(tmp_path / "road.mp4", passing())
    update, calls = ObjectTracker.update, []

    def interrupted(tracker, found):
        calls.append(found)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return update(tracker, found)

    monkeypatch.setattr(ObjectTracker, "update", interrupted)
    assert run(video, *model, "--out", tmp_path / "out", "--count-line", "64,0,64,64") == 3
    assert "stopped by a signal; 11 frames are saved in" in capsys.readouterr().err
    assert len(read_video(tmp_path / "out" / "road.mp4")[0]) == 11
    assert json.loads((tmp_path / "out" / "counts.json").read_text())["frames"] == 11


class _Cable:
    """A camera as OpenCV gives it, unplugged after each of its parts."""

    def __init__(self, parts: list[list[np.ndarray]]):
        self.parts, self.opened, self.now = parts, 0, []

    def __call__(self, _index: int) -> "_Cable":
        self.opened += 1
        self.now = self.parts.pop(0) if self.parts else []
        return self

    def isOpened(self) -> bool:  # noqa: N802, OpenCV's name
        return bool(self.now)

    def get(self, _property: int) -> float:
        return 10.0

    def read(self):
        return (True, self.now.pop(0)[..., ::-1]) if self.now else (False, None)

    def release(self) -> None:
        pass


def test_a_camera_that_comes_back_goes_on_and_one_that_does_not_stops(model, tmp_path, capsys, monkeypatch):
    waits = []
    monkeypatch.setattr(sources.time, "sleep", waits.append)
    monkeypatch.setattr(session, "prefetched", lambda items, skip: iter_closing(items))  # skips none
    cable = _Cable([[picture((40, 16, "red"))] * 3, [picture((88, 40, "blue"))] * 2])
    monkeypatch.setattr("cv2.VideoCapture", cable)
    assert run("0", *model, "--out", tmp_path / "out") == 3
    assert "camera 0: gives no image any more after 5 frames; 5 frames are saved" in capsys.readouterr().err
    assert waits == [1, 1, 2, 4, 8, 16, 32]
    assert [row["class"] for row in rows(tmp_path / "out")] == ["car"] * 3 + ["bus"] * 2
    monkeypatch.setattr("cv2.VideoCapture", _Cable([]))
    assert run("1", *model, "--out", tmp_path / "second") == 2
    assert "camera 1: cannot be opened" in capsys.readouterr().err


def iter_closing(items):
    yield from items


def test_images_of_a_folder_and_what_is_damaged_in_it(model, tmp_path, capsys):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(picture((40, 16, "red"))).save(folder / "a.png")
    Image.fromarray(picture((40, 16, "red"), (88, 40, "blue"))).save(folder / "more" / "b.jpg", quality=95)
    faint = np.where(picture((40, 16, "red")) == (250, 0, 0), (144, 90, 90), 90)  # logistic(40 * 54 / 255 - 10) = 0.18
    Image.fromarray(faint.astype(np.uint8)).save(folder / "faint.png")
    assert run(folder, *model, "--out", tmp_path / "out") == 0
    assert [row["class"] for row in rows(tmp_path / "out")] == ["car", "car", "bus"]
    images = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert images == {"a.png", "faint.png", "more/b.jpg", "detections.csv", "detections.json"}
    drawn = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    assert (drawn != picture((40, 16, "red"))).any()
    (folder / "c.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert run(folder, *model, "--out", tmp_path / "second", "--classes", "bus") == 2
    assert "1 of 4 images cannot be read; the others are done" in capsys.readouterr().err
    assert [row["class"] for row in rows(tmp_path / "second")] == ["bus"]
    assert run(str(folder / "*.jpg"), *model, "--out", tmp_path / "third") == 2
    assert not (tmp_path / "third" / "detections.csv").exists()


def test_a_window_shows_each_image_until_q_is_pressed(model, tmp_path, monkeypatch):
    shown, waits, closed = [], [], []

    def key(wait: int) -> int:
        waits.append(wait)
        return ord("xq"[len(shown) - 1])

    monkeypatch.setattr("cv2.imshow", lambda _title, image: shown.append(image))
    monkeypatch.setattr("cv2.waitKey", key)
    monkeypatch.setattr("cv2.destroyAllWindows", lambda: closed.append(True))
    monkeypatch.setenv("DISPLAY", ":0")
    (tmp_path / "photos").mkdir()
    for name in "abc":
        Image.fromarray(picture((40, 16, "red"))).save(tmp_path / "photos" / f"{name}.png")
    assert run(tmp_path / "photos", *model, "--out", tmp_path / "out", "--show") == 0
    assert (waits, closed) == ([0, 0], [True])
    assert [Path(row["source"]).name for row in rows(tmp_path / "out")] == ["a.png", "b.png"]
    np.testing.assert_array_equal(shown[1][..., ::-1], np.asarray(Image.open(tmp_path / "out" / "b.png")))


def test_annotated_images_of_one_stem_do_not_replace_each_other(model, tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep" / "same" / "z").mkdir(parents=True)
    (folder / "flat" / "same" / "z").mkdir(parents=True)
    names = ("x.jpg", "x.jpeg", "x.png", "x.bmp", "deep/same/z/y.png", "flat/same/z/y.png")
    for number, name in enumerate(names):
        Image.fromarray(picture((10 + 15 * number, 30, "red"))).save(folder / name)
    assert run(folder, *model, "--out", tmp_path / "out") == 0
    out = tmp_path / "out"
    written = {p.relative_to(out).as_posix() for p in out.rglob("*.*") if p.suffix in (".jpg", ".png")}
    assert written == {"x.jpg", "x.jpeg.jpg", "x.bmp.jpg", *names[2:3], *names[4:]}
    assert run(folder / "deep" / "same" / "z", *model, "--out", tmp_path / "second") == 0
    assert (tmp_path / "second" / "y.png").is_file()


def test_what_a_folder_holds_beside_images_is_said(model, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture((40, 16, "red"))).save(tmp_path / "photos" / "a.png")
    for name in ("notes.txt", "raw.heic", "._a.png"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    assert run(tmp_path / "photos", *model, "--out", tmp_path / "out") == 0
    assert "left out: 1 .heic, 1 .txt, 1 hidden or system files" in capsys.readouterr().out


def test_a_grey_image_of_sixteen_bits_gives_the_detections_of_eight(model, tmp_path):
    red = np.asarray(Image.fromarray(picture((40, 16, "red"))).convert("L"))
    (tmp_path / "photos").mkdir()
    Image.fromarray(red).save(tmp_path / "photos" / "eight.png")
    Image.fromarray(red.astype(np.uint16) * 257).save(tmp_path / "photos" / "sixteen.png")
    drawn = picture((40, 16, "red"), (88, 40, "blue"))
    alpha = np.where((drawn == 90).all(-1), 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([drawn, alpha])).save(tmp_path / "photos" / "alpha.png")
    white = np.where((drawn == 90).all(-1, keepdims=True), 255, drawn).astype(np.uint8)
    Image.fromarray(white).save(tmp_path / "photos" / "white.png")
    assert run(tmp_path / "photos", *model, "--out", tmp_path / "out") == 0
    by_file = {}
    for row in rows(tmp_path / "out"):
        by_file.setdefault(Path(row.pop("source")).stem, []).append(row | {"frame": 0})
    assert by_file.get("eight") == by_file.get("sixteen")
    assert by_file["alpha"] == by_file["white"]


def test_the_printed_number_of_detections_is_that_of_the_table(tmp_path, network, capsys):
    """A square that is red and blue is a car and a bus in one place: two rows of the table, one drawn box."""
    numbers = square_numbers()
    numbers[7 + 5 * 192 :] = 0  # both classes have a probability of a half
    cfg, weights = network(LAYERS, numbers, (HEIGHT, WIDTH, 3))
    (tmp_path / "small.names").write_text("car\nbus\n")
    video = write_video(tmp_path / "road.mp4", [picture((40, 16, "red"))] * 5)
    assert run(video, "--model", cfg, "--weights", weights, "--out", tmp_path / "out") == 0
    found = len(rows(tmp_path / "out"))
    assert found >= 9
    assert f"5 frames, {found} detections, " in capsys.readouterr().out
    Image.fromarray(picture((40, 16, "red"))).save(tmp_path / "one.png")  # has no speed: it compiles
    assert run(tmp_path / "one.png", "--model", cfg, "--weights", weights, "--out", tmp_path / "one") == 0
    found = len(rows(tmp_path / "one"))
    assert f"1 image, {found} detections   saved in {tmp_path / 'one'}" in capsys.readouterr().out


def test_pixels_are_made_square_frames_keep_their_times_and_odd_sides_are_doubled_to_even(model, tmp_path):
    aspect, ticks = Fraction(193, 128), (0, 1, 4, 9)
    with av.open(str(tmp_path / "wide.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(picture((24, 32, "red")), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = list(sources.VideoFile(str(tmp_path / "wide.mp4")))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.4, 0.9])
    assert frames[0].image.shape == (HEIGHT, 193, 3)
    assert run(tmp_path / "wide.mp4", *model, "--out", tmp_path / "out") == 0
    images, times = read_video(tmp_path / "out" / "wide.mp4")
    assert times == pytest.approx([0, 0.1, 0.4, 0.9], abs=1e-3)
    assert images[0].shape == (HEIGHT, 194, 3)
    np.testing.assert_allclose(images[0][:, -1].astype(int), images[0][:, -2], atol=8)
    red = (frames[0].image[..., 0] > 170) & (frames[0].image[..., 2] < 60)
    columns = np.flatnonzero(red.any(axis=0))
    np.testing.assert_allclose([columns.min(), columns.max() + 1], [float(aspect * x) for x in (16, 32)], atol=2)


def test_cells_that_spreadsheets_would_run_are_text(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture((40, 16, "red"))).save(tmp_path / "=[1].png")
    (tmp_path / "small.names").write_text("@car\n-bus\n")
    assert run("=[1].png", *model, "--out", "out") == 0
    (row,) = rows(tmp_path / "out")
    assert (row["source"], row["class"]) == ("'=[1].png", "'@car")
    assert (from_csv_cell(row["source"]), from_csv_cell(row["class"])) == ("=[1].png", "@car")


def repacked(file: Path, **members: bytes | None) -> Path:
    """A copy of a .keras file with other members; None leaves one out."""
    copy = file.with_name(f"other{len(list(file.parent.iterdir()))}.keras")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = members.get(name.replace(".", "_"), old.read(name))
            if content is not None:
                new.writestr(name, content)
    return copy


def test_a_saved_network_that_does_not_fit_is_named(model, tmp_path, capsys):
    image = tmp_path / "a.png"
    Image.fromarray(picture((40, 16, "red"))).save(image)
    kept = tmp_path / "kept" / "squares.keras"
    assert run(*model, "--save", kept) == 0
    cfg = zipfile.ZipFile(kept).read("darknet.cfg")
    deep = b"[" * 100_000
    layers = json.loads(zipfile.ZipFile(kept).read("config.json"))
    layers["config"]["layers"][2]["config"]["filters"] = 10**10
    for members, message in (
        ({"classes_txt": b"car\n"}, "1 names, expected 2, one for each class of the network"),
        ({"classes_txt": "voil\u00e0".encode("latin-1")}, "classes.txt: it is not UTF-8 text"),
        ({"classes_txt": None}, "it has no classes.txt"),
        ({"darknet_cfg": cfg.replace(b"classes=2", b"classes=3")}, "outputs of [7] channels, expected [8]"),
        ({"darknet_cfg": cfg.replace(b"anchors=40", b"anchors=nan")}, "anchors: found [nan, 40.0], expected finite"),
        ({"darknet_cfg": b"# " + bytes(1 << 25)}, "33,554,434 bytes, expected at most 16,777,216"),
        ({"config_json": deep}, "not a Keras model that can be loaded: "),
        ({"config_json": json.dumps(layers).encode()}, "declares a model of "),
    ):
        assert run(image, "--model", repacked(kept, **members), "--out", tmp_path / "out") == 2, message
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_saved_network_is_plain_keras_and_finds_the_same(model, tmp_path):
    image = tmp_path / "a.png"
    Image.fromarray(picture((40, 16, "red"), (88, 40, "blue"))).save(image)
    kept = tmp_path / "kept" / "squares.keras"
    assert run(image, *model, "--out", tmp_path / "one", "--save", kept) == 0
    assert run(image, "--model", kept, "--out", tmp_path / "two") == 0
    assert rows(tmp_path / "one") == rows(tmp_path / "two")
    loaded = keras.models.load_model(kept, compile=False, safe_mode=True)
    assert not any(type(layer).__module__.startswith("keras_cnn") for layer in loaded.layers)


def test_wrong_input_is_one_line(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_CNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    image = tmp_path / "a.png"
    Image.fromarray(picture()).save(image)
    alone = tmp_path / "alone.cfg"
    alone.write_bytes(Path(model[1]).read_bytes())
    (tmp_path / "three.names").write_text("a\nb\nc\n")
    for arguments, message in (
        ((image, "--model", "yolov3-tiny"), "put yolov3-tiny.weights and coco.names there"),
        ((image, "--model", "yolov3-tny"), "did you mean yolov3-tiny?"),
        ((image, "--model", alone), "alone.weights does not exist, expected that file, or --weights FILE"),
        ((image, *model, "--classes", "cra"), "--classes: unknown class cra; did you mean car?"),
        ((image, *model, "--names", tmp_path / "three.names"), "3 names, expected 2, one for each class"),
        ((image, *model, "--count-line", "0,0,9,9"), "counting follows objects through a video"),
        ((image, *model, "--size", "50"), "found 50x50, expected multiples of 32"),
        ((image, *model, "--size", "a"), "--size: found 'a'"),
        ((image, *model, "--show"), "there is no display here"),
        (model, "command line: no source given"),
    ):
        assert run(*arguments) == 2
        assert message in capsys.readouterr().err


def test_the_speed_is_that_of_all_but_the_first(monkeypatch, messages):
    """The first, which compiles, ends after 7 seconds; three more take 1.5 seconds."""
    times = iter([0.0, 7.0, 7.5, 8.0, 8.5])
    monkeypatch.setattr(session, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    progress = session._DetectionProgress("image", 4)
    for objects in (1, 0, 3, 1000):
        progress.step(objects)
    progress.conclude(Path("found"))
    assert messages == ["4 images, 1,004 detections, 2.0 images/s   saved in found"]


def test_work_ahead_is_bounded_and_errors_arrive():
    made = []

    def source():
        for number in range(100):
            made.append(number)
            yield number
        raise ValueError("at the end")

    items, seen = prefetched(source()), []
    for item in range(100):
        seen.append(next(items))
        assert len(made) <= item + DEPTH + 3
    assert seen == list(range(100))
    with pytest.raises(ValueError, match="at the end"):
        next(items)


def test_work_behind_keeps_its_order_and_its_error_stops_the_rest():
    done = []

    def work(item):
        if item == 3:
            raise ValueError("three")
        done.append(item)

    with BackgroundWorker(done.append) as behind:
        for item in range(20):
            behind.put(item)
    assert done == list(range(20))
    done.clear()
    behind = BackgroundWorker(work)

    def put_all():
        with behind:
            for item in range(20):
                behind.put(item)

    with pytest.raises(ValueError, match="three"):
        put_all()
    assert done == [0, 1, 2]


def test_vehicles_of_real_photos_are_counted_exactly(tiny, photos, tmp_path):
    """A pan over Darknet's street photo: its truck passes twice to the left and, mirrored, once to the right."""
    street = Image.open(next(photo for photo in photos if photo.stem == "dog")).convert("RGB")
    frames = []
    for direction in "LRL":
        photo = street if direction == "L" else street.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for step in range(18):
            x = 150 + step * 17 if direction == "L" else 768 - 320 - 150 - step * 17
            frames.append(np.asarray(photo.crop((x, 0, x + 320, 240))))
        frames += [np.full((240, 320, 3), 120, np.uint8)] * 9  # more than a second at 8 frames/s: tracks end
    video = write_video(tmp_path / "street.mp4", frames, rate=8)
    model = ["--model", tiny[0], "--weights", tiny[1], "--names", tiny[2]]
    counting = ["--count-line", "170,0,170,240", "--classes", "car,bus,truck"]
    assert run(video, *model, "--out", tmp_path / "out", *counting) == 0
    crossings = json.loads((tmp_path / "out" / "counts.json").read_text())["crossings"]["line 1"]
    assert {way: sum(classes.values()) for way, classes in crossings.items()} == {"left": 2, "right": 1}
