"""Detection on a source, as `detect.py` runs it: all results are written to one folder."""

import contextlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from keras_cnn.checking import nearest
from keras_cnn.csv_tables import csv_text
from keras_cnn.data.decoding import read_image
from keras_cnn.data.walking import ignored_text
from keras_cnn.detection.background import BackgroundWorker, prefetched
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.counting import Crossing, CrossingCounter, Gate
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.network import Network
from keras_cnn.detection.object_tracker import LOW, ObjectTracker
from keras_cnn.detection.sources import Frame, SoundPacket, VideoFile, VideoSource, find_images, open_moving
from keras_cnn.detection.window import Window
from keras_cnn.detection.writers import DetectionRecords, VideoWriter
from keras_cnn.detection.yolo import THRESHOLD, Detector
from keras_cnn.errors import InputError, Interrupted, Stopped, require
from keras_cnn.figures.detections import crossings as crossings_figure
from keras_cnn.figures.style import save
from keras_cnn.messages import counted, logger
from keras_cnn.progress_bar import ProgressBar
from keras_cnn.run_folder import replacing, write_json, write_text

VEHICLES = ("bicycle", "car", "motorbike", "motorcycle", "bus", "truck")  # counted by default
REPORT_SECONDS = 10.0  # between two progress lines, if there is no terminal


@dataclass(frozen=True)
class DetectOptions:
    """The command-line options other than source and network."""

    classes: tuple[str, ...] = ()  # if empty: all classes, or vehicles if there are gates
    gates: tuple[Gate, ...] = ()
    precision: str = "float32"
    show: bool = False


def detect(source: str, network: Network, options: DetectOptions, out: Path | None) -> Path:
    """Writes the detections in `source` to the folder `out` (default detections/NAME), which it returns."""
    chosen = _chosen_classes(network.names, options)
    images = find_images(source, ignored := Counter())
    if images is not None and options.gates:
        raise InputError(f"{source}: counting follows objects through a video; an image has nothing to follow")
    window = Window() if options.show else None
    video = open_moving(source) if images is None else None
    folder = out or Path("detections") / _stem(source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot make the folder: {error.strerror}") from None
    require(os.access(folder, os.W_OK | os.X_OK), str(folder), "not writable", "a folder to write to")
    threshold = THRESHOLD if video is None else LOW
    compiled = Detector(network.model, network.heads, threshold=threshold, precision=options.precision)
    detector = _ClassDetector(compiled, network.names, chosen)
    try:
        if video is not None:
            _VideoDetection(video, detector, options.gates, folder, window).run()
        elif images is not None:
            if ignored:
                logger.info(f"images      {len(images):,} in {source}; left out: {ignored_text(ignored)}")
            _detect_images(images, detector, folder, window)
    finally:
        if window:
            window.close()
    return folder


def _chosen_classes(names: Sequence[str], options: DetectOptions) -> np.ndarray | None:
    """The numbers of the classes to detect; None for all."""
    if options.classes:
        for name in options.classes:
            if name not in names:
                raise InputError(f"--classes: unknown class {name}{nearest(name, names)}")
        return np.array([names.index(name) for name in options.classes])
    if not options.gates:
        return None
    vehicles = [number for number, name in enumerate(names) if name in VEHICLES]
    require(
        bool(vehicles),
        "--classes",
        f"not given, and the network knows no {', '.join(VEHICLES)}",
        "the classes to count",
    )
    return np.array(vehicles)


def _stem(source: str) -> str:
    if source.isdecimal():
        return f"camera{source}"
    stem = "stream" if "://" in source else Path(source).resolve().stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem) or "images"


class _ClassDetector:
    """A detector limited to the chosen classes, with the names of the classes."""

    def __init__(self, detector: Detector, names: list[str], chosen: np.ndarray | None):
        self.detector, self.names, self._chosen = detector, names, chosen

    def __call__(self, image: np.ndarray) -> Detections:
        detections = self.detector(image)
        return detections if self._chosen is None else detections[np.isin(detections.classes, self._chosen)]

    def described(self, detections: Detections, tracks: np.ndarray | None = None) -> list[dict]:
        """Each detection in the form of `DetectionRecords.add`."""
        return [
            {
                "track": None if tracks is None or tracks[i] < 0 else int(tracks[i]),
                "class": self.names[detections.classes[i]],
                "confidence": float(detections.confidences[i]),
                "box": [float(edge) for edge in detections.boxes[i]],
            }
            for i in range(len(detections))
        ]


@contextlib.contextmanager
def _records(folder: Path) -> Iterator[DetectionRecords]:
    """The two files of records in `folder`; they appear complete at the end, or not at all."""
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(replacing(folder / f"detections.{kind}")) for kind in ("csv", "json")]
        with paths[0].open("w", encoding="utf-8", newline="") as table, paths[1].open("w", encoding="utf-8") as objects:
            records = DetectionRecords(table, objects)
            yield records
            records.end()


def _detect_images(files: list[Path], detector: _ClassDetector, folder: Path, window: Window | None) -> None:
    damaged, progress = [], _DetectionProgress("image", len(files))
    with _records(folder) as records:
        for number, (file, output) in enumerate(zip(files, _output_names(files), strict=True)):
            try:
                image = read_image(file)
            except InputError as error:
                damaged.append(str(error))
                continue
            detections = detector.described(detector(image))
            records.add(str(file), number, None, detections)
            drawn = annotated(image, detections, detector.names)
            _save_image(drawn, file, folder / output)
            progress.step(len(detections))
            if len(files) == 1:
                for detection in detections:
                    logger.info(_in_words(detection))
            if window and not window.show(drawn, wait=True):
                break
        if len(damaged) == len(files):
            raise InputError(*damaged)
    progress.conclude(folder)
    if damaged:
        damaged.append(f"{len(damaged)} of {len(files)} images cannot be read; the others are done")
        raise InputError(*damaged)


def _in_words(detection: dict) -> str:
    """The detection as text: "car 0.6176   box 464.9, 71.2, 679.2, 169.8"."""
    box = ", ".join(f"{edge:.1f}" for edge in detection["box"])
    return f"{detection['class']:14} {detection['confidence']:.4f}   box {box}"


def _output_names(files: Sequence[Path]) -> list[Path]:
    """The paths of the annotated images: the paths of the files below their common folder, ending in .png or .jpg.

    If a name is taken, as x.jpg may be for x.jpeg, the ending is added to the whole name: x.jpeg.jpg.
    """
    absolute = [Path(os.path.abspath(file)) for file in files]
    base = os.path.commonpath([file.parent for file in absolute])
    relative = [file.relative_to(base) for file in absolute]
    taken = {str(path).lower() for path in relative if path == path.with_suffix(_ending(path))}
    names = []
    for path in relative:
        name, longer = path.with_suffix(_ending(path)), path.name
        while name != path and str(name).lower() in taken:
            longer += _ending(path)
            name = path.with_name(longer)
        taken.add(str(name).lower())
        names.append(name)
    return names


def _ending(path: Path) -> str:
    return ".png" if path.suffix.lower() == ".png" else ".jpg"


def _save_image(image: np.ndarray, source: Path, path: Path) -> None:
    if path.resolve() == source.resolve():
        raise InputError(f"{path}: the annotated image would replace its source; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, quality=92)


class _VideoDetection:
    """The detection on one video, camera or stream, from its first frame to its last."""

    def __init__(
        self,
        source: VideoSource,
        detector: _ClassDetector,
        gates: Sequence[Gate],
        folder: Path,
        window: Window | None,
    ):
        self._source, self._detector, self._folder, self._window = source, detector, folder, window
        self._tracker = ObjectTracker(source.rate, THRESHOLD)
        self._counter = CrossingCounter(gates)
        self._crossings: list[Crossing] = []
        self._progress = _DetectionProgress("frame", source.frames)
        self._frame: Frame | None = None  # the last one
        self._video = folder / f"{_stem(source.source)}.mp4"
        if self._video.exists() and Path(source.source).exists() and self._video.samefile(source.source):
            raise InputError(f"{self._video}: the annotated video would replace its source; give another --out")

    def run(self) -> None:
        """Raises InputError if no frame comes; no file is left. Errors that end the source are raised after saving."""
        with contextlib.ExitStack() as stack:
            if isinstance(self._source, VideoFile):
                stack.callback(self._source.close)
            records = stack.enter_context(_records(self._folder))
            path = stack.enter_context(replacing(self._video))
            writer = stack.enter_context(VideoWriter(path, self._video, self._source.rate, self._source.sound))
            ending = self._watch(records, writer)
            if self._frame is None:
                raise ending or InputError(f"{self._source.source}: no frame came")
        self._write_counts(self._frame.time)
        self._progress.conclude(self._folder)
        if ending:
            saved = f"{self._progress.done} frames are saved in {self._folder}"
            stopped = isinstance(ending, KeyboardInterrupt)
            raise Interrupted(f"stopped by a signal; {saved}") if stopped else Stopped(f"{ending}; {saved}")

    def _watch(self, records: DetectionRecords, writer: VideoWriter) -> BaseException | None:
        """Goes through the frames; returns the exception that ended the source early, if there was one."""
        endings: list[BaseException] = []

        def write(item: SoundPacket | tuple) -> None:
            if isinstance(item, SoundPacket):
                writer.sound(item)
            else:
                frame, shown, totals = item
                writer.frame(self._drawn(frame, shown, totals), frame.time)

        with BackgroundWorker(write) as background:
            try:
                with contextlib.closing(prefetched(_noting(self._source, endings), skip=self._source.live)) as items:
                    for item in items:
                        if isinstance(item, SoundPacket):
                            background.put(item)
                        elif not self._process(item, records, background):
                            break
            except KeyboardInterrupt as signal:
                endings.append(signal)
        return endings[0] if endings else None

    def _process(self, frame: Frame, records: DetectionRecords, background: BackgroundWorker) -> bool:
        """Detects, tracks, counts and records one frame; returns whether to go on."""
        detections = self._detector(frame.image)
        tracks, first = self._tracker.update(detections)
        reported = (detections.confidences > THRESHOLD) | (tracks >= 0)
        described = self._detector.described(detections, tracks)
        tracked = [(d["track"], d["class"], d["confidence"], np.array(d["box"])) for d in described]
        self._crossings += self._counter.update(frame.number, frame.time, [t for t in tracked if t[0] is not None])
        rows = [d for d, wanted in zip(described, reported, strict=True) if wanted]
        records.add(self._source.source, frame.number, frame.time, rows)
        shown = [d for d, wanted in zip(described, reported & first, strict=True) if wanted]
        totals = {gate: counts.copy() for gate, counts in self._counter.totals.items()}
        background.put((frame, shown, totals))
        self._frame = frame
        self._progress.step(len(rows))
        if not self._window:
            return True
        return self._window.show(self._drawn(frame, shown, totals))

    def _drawn(self, frame: Frame, shown: list[dict], totals: dict) -> np.ndarray:
        return annotated(frame.image, shown, self._detector.names, self._counter.gates, totals)

    def _write_counts(self, last_time: float) -> None:
        """Writes and prints the crossings, if there are gates."""
        gates = self._counter.gates
        if not gates:
            return
        rows = [(c.frame, f"{c.time:.4f}", c.gate, c.direction, c.track, c.name) for c in self._crossings]
        columns = ("frame", "time", "gate", "direction", "track", "class")
        write_text(self._folder / "crossings.csv", csv_text(columns, rows))
        totals = {gate.name: _nested(gate, self._counter.totals[gate.name]) for gate in gates}
        points = {gate.name: gate.points.tolist() for gate in gates}
        write_json(self._folder / "counts.json", {"frames": self._progress.done, "points": points, "crossings": totals})
        times: dict = {gate.name: defaultdict(list) for gate in gates}
        for crossing in self._crossings:
            times[crossing.gate][crossing.direction, crossing.name].append(crossing.time)
        figure = crossings_figure(times, last_time, f"Crossings in {Path(self._source.source).name}")
        save(figure, self._folder / "crossings.png")
        for gate, ways in totals.items():
            for way, classes in ways.items():
                listed = ", ".join(f"{name} {count}" for name, count in classes.items())
                logger.info(f"{gate:11} {way:6} {sum(classes.values()):4}   {listed}")


def _nested(gate: Gate, counts: dict) -> dict:
    """Direction -> class -> crossings, for both directions."""
    return {way: {name: count for (w, name), count in sorted(counts.items()) if w == way} for way in gate.directions}


def _noting(items, endings: list[BaseException]) -> Iterator:
    """Yields the items until Stopped, which is added to `endings`, because the items before it are worth saving."""
    try:
        yield from items
    except Stopped as stopped:
        endings.append(stopped)


class _DetectionProgress:
    """Shows progress and speed: a bar on a terminal, else a line every REPORT_SECONDS."""

    def __init__(self, noun: str, total: int | None):
        self._noun, self._bar = noun, ProgressBar(f"{noun}s", total)
        self.done, self._objects, self._begun, self._last = 0, 0, 0.0, 0.0
        self._reported = time.perf_counter()

    def step(self, objects: int) -> None:
        """Counts one more item as done. The speed is measured from the end of the first, which compiles."""
        now = time.perf_counter()
        self._begun = self._begun or now
        self.done, self._objects, self._last = self.done + 1, self._objects + objects, now
        self._bar.show(self.done, self._text)
        if self._bar.disable and now - self._reported >= REPORT_SECONDS:
            self._reported = now
            of = f" of {self._bar.total}" if self._bar.total else ""
            logger.info(f"{self._noun} {self.done}{of}   {self._text()}")

    def conclude(self, folder: Path) -> None:
        """Logs the last line: totals, speed and folder."""
        self._bar.close()
        done, detections = counted(self.done, self._noun), counted(self._objects, "detection")
        speed = f", {self._rate()}" if self.done > 1 else ""
        logger.info(f"{done}, {detections}{speed}   saved in {folder}")

    def _text(self) -> str:
        return f"{self._rate()}   {counted(self._objects, 'object')}"

    def _rate(self) -> str:
        seconds = self._last - self._begun
        return f"{(self.done - 1) / seconds:.1f} {self._noun}s/s" if seconds > 0 else "-"
