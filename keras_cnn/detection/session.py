"""What `detect.py` does: a source through the network, with everything written to one folder."""

import contextlib
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from PIL import Image

from keras_cnn.checking import nearest
from keras_cnn.data.decoding import read_image
from keras_cnn.data.walking import ignored_text
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.counting import Crossing, CrossingCounter, Gate
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.network import Network
from keras_cnn.detection.pipeline import Behind, ahead
from keras_cnn.detection.showing import Window
from keras_cnn.detection.sources import Frame, Sound, Video, find_images, open_moving
from keras_cnn.detection.tracks import LOW, Tracker
from keras_cnn.detection.writing import Records, VideoWriter
from keras_cnn.detection.yolo import THRESHOLD, Detector
from keras_cnn.errors import InputError, Interrupted, Stopped, require
from keras_cnn.figures.detections import crossings as crossings_figure
from keras_cnn.figures.style import save
from keras_cnn.messages import logger
from keras_cnn.run_folder import replacing, write_json, write_text

VEHICLES = ("bicycle", "car", "motorbike", "motorcycle", "bus", "truck")  # counted unless told otherwise
REPORT_SECONDS = 1.0  # between two progress reports


@dataclass(frozen=True)
class DetectOptions:
    """What the command line asks for beside source and network."""

    classes: tuple[str, ...] = ()  # all, if none; vehicles, if something is counted
    gates: tuple[Gate, ...] = ()
    precision: str = "float32"
    show: bool = False


def detect(source: str, network: Network, asked: DetectOptions, out: Path | None) -> None:
    """Looks at `source` and writes to `out` (default detections/NAME) what is found; says on the way how fast it is."""
    chosen = _chosen_classes(network.names, asked)
    images = find_images(source, ignored := Counter())
    if images is not None and asked.gates:
        raise InputError(f"{source}: counting follows objects through a video; an image has nothing to follow")
    window = Window() if asked.show else None
    moving = None if images is not None else open_moving(source)
    folder = out or Path("detections") / _stem(source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot make the folder: {error.strerror}") from None
    require(os.access(folder, os.W_OK | os.X_OK), str(folder), "not writable", "a folder to write to")
    threshold = THRESHOLD if moving is None else LOW
    detector = Detector(network.model, network.heads, threshold=threshold, precision=asked.precision)
    try:
        if images is not None:
            if ignored:
                logger.info(f"images      {len(images):,} in {source}; left out: {ignored_text(ignored)}")
            _detect_images(images, _Finder(detector, network.names, chosen), folder, window)
        else:
            _Watch(moving, _Finder(detector, network.names, chosen), asked.gates, folder, window).run()
    finally:
        if window:
            window.close()


def _chosen_classes(names: Sequence[str], asked: DetectOptions) -> np.ndarray | None:
    """Numbers of the classes to look for; None for all."""
    if asked.classes:
        for name in asked.classes:
            if name not in names:
                raise InputError(f"--classes: unknown class {name}{nearest(name, names)}")
        return np.array([names.index(name) for name in asked.classes])
    if not asked.gates:
        return None
    vehicles = [number for number, name in enumerate(names) if name in VEHICLES]
    require(bool(vehicles), "--classes", f"not given, and the network knows no {', '.join(VEHICLES)}", "what to count")
    return np.array(vehicles)


def _stem(source: str) -> str:
    if source.isdecimal():
        return f"camera{source}"
    stem = "stream" if "://" in source else Path(source).resolve().stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem) or "images"


class _Finder:
    """The detector with the classes that are asked for and their names."""

    def __init__(self, detector: Detector, names: list[str], chosen: np.ndarray | None):
        self.detector, self.names, self._chosen = detector, names, chosen

    def __call__(self, image: np.ndarray) -> Detections:
        found = self.detector(image)
        return found if self._chosen is None else found[np.isin(found.classes, self._chosen)]

    def described(self, found: Detections, tracks: np.ndarray | None = None) -> list[dict]:
        """Each detection as `Records.add` takes it."""
        return [
            {
                "track": None if tracks is None or tracks[i] < 0 else int(tracks[i]),
                "class": self.names[found.classes[i]],
                "confidence": float(found.confidences[i]),
                "box": [float(edge) for edge in found.boxes[i]],
            }
            for i in range(len(found))
        ]


@contextlib.contextmanager
def _records(folder: Path) -> Iterator[Records]:
    """The two files of records in `folder`; they appear whole at the end, or not at all."""
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(replacing(folder / f"detections.{kind}")) for kind in ("csv", "json")]
        with paths[0].open("w", encoding="utf-8", newline="") as table, paths[1].open("w", encoding="utf-8") as objects:
            records = Records(table, objects)
            yield records
            records.end()


def _detect_images(files: list[Path], finder: _Finder, folder: Path, window: Window | None) -> None:
    base = Path(files[0].parent if len(files) == 1 else _common_folder(files))
    damaged, progress = [], _Progress("image", len(files))
    with _records(folder) as records:
        for number, file in enumerate(files):
            try:
                image = read_image(file)
            except InputError as error:
                damaged.append(str(error))
                continue
            found = finder.described(finder(image))
            records.add(str(file), number, None, found)
            picture = annotated(image, found, finder.names)
            _save_image(picture, file, folder / file.resolve().relative_to(base.resolve()))
            progress.step(len(found))
            if len(files) == 1:
                print(*map(_in_words, found), sep="\n")
            if window and not window.show(picture, wait=True):
                break
        if len(damaged) == len(files):
            raise InputError(*damaged)
    print(progress.conclusion(folder))
    if damaged:
        damaged.append(f"{len(damaged)} of {len(files)} images cannot be read; the others are done")
        raise InputError(*damaged)


def _in_words(one: dict) -> str:
    """As "car 0.6176   box 464.9, 71.2, 679.2, 169.8"."""
    return f"{one['class']:14} {one['confidence']:.4f}   box {', '.join(f'{edge:.1f}' for edge in one['box'])}"


def _common_folder(files: list[Path]) -> Path:
    parents = [file.resolve().parent.parts for file in files]
    return Path(*[part[0] for part in zip(*parents, strict=False) if len(set(part)) == 1])


def _save_image(picture: np.ndarray, source: Path, path: Path) -> None:
    path = path.with_suffix(".png" if source.suffix.lower() == ".png" else ".jpg")
    if path.resolve() == source.resolve():
        raise InputError(f"{path}: the annotated image would replace its source; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, quality=92)


class _Watch:
    """One video, camera or stream from its first frame to its last."""

    def __init__(self, source, finder: _Finder, gates: Sequence[Gate], folder: Path, window: Window | None):
        self._source, self._finder, self._folder, self._window = source, finder, folder, window
        self._tracker = Tracker(source.rate, THRESHOLD)
        self._counter = CrossingCounter(gates)
        self._crossings: list[Crossing] = []
        self._progress = _Progress("frame", source.frames)
        self._frame: Frame | None = None  # the last one
        self._video = folder / f"{_stem(source.source)}.mp4"
        if self._video.exists() and Path(source.source).exists() and self._video.samefile(source.source):
            raise InputError(f"{self._video}: the annotated video would replace its source; give another --out")

    def run(self) -> None:
        """Raises InputError, leaving nothing, where no frame comes; what ends a source early is raised after saving."""
        with contextlib.ExitStack() as stack:
            if isinstance(self._source, Video):
                stack.callback(self._source.close)
            records = stack.enter_context(_records(self._folder))
            path = stack.enter_context(replacing(self._video))
            writer = stack.enter_context(VideoWriter(path, self._video, self._source.rate, self._source.sound))
            ending = self._watch(records, writer)
            if self._frame is None:
                raise ending or InputError(f"{self._source.source}: no frame came")
        self._write_counts()
        print(self._progress.conclusion(self._folder))
        if ending:
            saved = f"{self._progress.done} frames are saved in {self._folder}"
            stopped = isinstance(ending, KeyboardInterrupt)
            raise Interrupted(f"stopped by a signal; {saved}") if stopped else Stopped(f"{ending}; {saved}")

    def _watch(self, records: Records, writer: VideoWriter) -> BaseException | None:
        """Goes through the frames; returns what ended the source before its end."""
        endings: list[BaseException] = []

        def write(item: Sound | tuple) -> None:
            if isinstance(item, Sound):
                writer.sound(item)
            else:
                frame, shown, totals = item
                writer.frame(self._drawn(frame, shown, totals), frame.time)

        with Behind(write) as behind:
            try:
                with contextlib.closing(ahead(_noting(self._source, endings), skip=self._source.live)) as items:
                    for item in items:
                        if isinstance(item, Sound):
                            behind.put(item)
                        elif not self._look(item, records, behind):
                            break
            except KeyboardInterrupt as signal:
                endings.append(signal)
        return endings[0] if endings else None

    def _look(self, frame: Frame, records: Records, behind: Behind) -> bool:
        """One frame; whether to go on."""
        found = self._finder(frame.image)
        tracks, first = self._tracker.update(found)
        reported = (found.confidences > THRESHOLD) | (tracks >= 0)
        described = self._finder.described(found, tracks)
        tracked = [(one["track"], one["class"], one["confidence"], np.array(one["box"])) for one in described]
        seen = self._counter.update(frame.number, frame.time, [one for one in tracked if one[0] is not None])
        self._crossings += seen
        rows = [one for one, wanted in zip(described, reported, strict=True) if wanted]
        records.add(self._source.source, frame.number, frame.time, rows)
        shown = [one for one, wanted in zip(described, reported & first, strict=True) if wanted]
        totals = {gate: counts.copy() for gate, counts in self._counter.totals.items()}
        behind.put((frame, shown, totals))
        self._frame = frame
        self._progress.step(len(shown))
        if not self._window:
            return True
        return self._window.show(self._drawn(frame, shown, totals))

    def _drawn(self, frame: Frame, shown: list[dict], totals: dict) -> np.ndarray:
        return annotated(frame.image, shown, self._finder.names, self._counter.gates, totals)

    def _write_counts(self) -> None:
        gates = self._counter.gates
        if not gates:
            return
        table = StringIO()
        table.write("frame,time,gate,direction,track,class\n")
        for c in self._crossings:
            table.write(f"{c.frame},{c.time:.4f},{c.gate},{c.direction},{c.track},{c.name}\n")
        write_text(self._folder / "crossings.csv", table.getvalue())
        totals = {gate.name: _nested(gate, self._counter.totals[gate.name]) for gate in gates}
        points = {gate.name: gate.points.tolist() for gate in gates}
        write_json(self._folder / "counts.json", {"frames": self._progress.done, "points": points, "crossings": totals})
        times: dict = {gate.name: defaultdict(list) for gate in gates}
        for crossing in self._crossings:
            times[crossing.gate][crossing.direction, crossing.name].append(crossing.time)
        figure = crossings_figure(times, self._frame.time, f"Crossings in {Path(self._source.source).name}")
        save(figure, self._folder / "crossings.png")
        for gate, ways in totals.items():
            for way, classes in ways.items():
                listed = ", ".join(f"{name} {count}" for name, count in classes.items())
                print(f"{gate:11} {way:6} {sum(classes.values()):4}   {listed}")


def _nested(gate: Gate, counts: dict) -> dict:
    """direction -> class -> crossings, with both directions."""
    return {way: {name: count for (w, name), count in sorted(counts.items()) if w == way} for way in gate.directions}


def _noting(items, endings: list[BaseException]) -> Iterator:
    """The items until a Stopped of theirs, which is kept in `endings`: what came before it is worth saving."""
    try:
        yield from items
    except Stopped as stopped:
        endings.append(stopped)


class _Progress:
    """A line that says how far and how fast: written over itself on a terminal, else every tenth report."""

    def __init__(self, noun: str, total: int | None):
        self._noun, self._total = noun, total
        self.done, self._objects, self._begun = 0, 0, 0.0
        self._reported, self._reports = 0.0, 0

    def step(self, objects: int) -> None:
        """One more is done; speed counts from the end of the first, which compiles."""
        now = time.perf_counter()
        self._begun = self._begun or now
        self.done, self._objects, self._last = self.done + 1, self._objects + objects, now
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported, self._reports = now, self._reports + 1
        of = f" of {self._total}" if self._total else ""
        line = f"{self._noun} {self.done}{of}   {self._rate()}   {objects} objects"
        if sys.stdout.isatty():
            print(f"\r{line:60}", end="", flush=True)
        elif self._reports % 10 == 0:
            print(line, flush=True)

    def conclusion(self, folder: Path) -> str:
        first = "\r" if sys.stdout.isatty() else ""
        nouns = self._noun if self.done == 1 else f"{self._noun}s"
        return f"{first}{self.done} {nouns}, {self._objects} detections, {self._rate()}   saved in {folder}"

    def _rate(self) -> str:
        seconds = self._last - self._begun
        return f"{(self.done - 1) / seconds:.1f} {self._noun}s/s" if seconds > 0 else "-"
