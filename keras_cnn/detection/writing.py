"""The annotated video and the records of what was found, written as frames come: nothing is kept in memory."""

import csv
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TextIO

import av
import numpy as np

from keras_cnn.detection.sources import Sound
from keras_cnn.errors import Stopped

TICKS = 90_000  # of the clock of written videos in a second, as MPEG's: frames keep their times, at any rate
COPIED = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}  # what every MP4 player knows; other sound becomes AAC
COLUMNS = ("source", "frame", "time", "track", "class", "confidence", "x0", "y0", "x1", "y1")


class VideoWriter:
    """An MP4 of H.264 with the frames put in, at their own times, and the sound of the source beside them.

    It is written to `path`; errors, which are Stopped, call it `name`.
    """

    def __init__(self, path: Path, name: Path, rate: float, sound: av.AudioStream | None):
        self._name, self._rate, self._last = name, rate, -1
        self._container = av.open(str(path), "w", format="mp4")
        self._video: av.VideoStream | None = None
        self._source_sound, self._sound, self._encoder = sound, None, None
        self._early: list[Sound] = []  # before the first frame, whose size the file begins with

    def __enter__(self) -> "VideoWriter":
        return self

    def frame(self, image: np.ndarray, seconds: float) -> None:
        """Adds an (H, W, 3) uint8 RGB frame; all have the size of the first."""
        try:
            if self._video is None:
                self._begin(image.shape)
            picture = av.VideoFrame.from_ndarray(self._even(image), format="rgb24")
            self._last = max(self._last + 1, round(seconds * TICKS))
            picture.pts, picture.time_base = self._last, Fraction(1, TICKS)
            self._container.mux(self._video.encode(picture))
        except (av.FFmpegError, ValueError) as error:  # ValueError: this FFmpeg has no such encoder
            raise self._failed(error) from error

    def sound(self, sound: Sound) -> None:
        """Adds a packet of the source's sound."""
        if self._video is None:
            self._early.append(sound)
            return
        try:
            if self._encoder is None:
                sound.packet.stream = self._sound
                self._container.mux(sound.packet)
            else:
                for frame in sound.packet.decode():
                    self._container.mux(self._sound.encode(frame))
        except av.FFmpegError as error:
            raise self._failed(error) from error

    def __exit__(self, kind, *_: object) -> None:
        try:
            if kind is None and self._video is not None:
                self._container.mux(self._video.encode(None))
                if self._encoder:
                    self._container.mux(self._sound.encode(None))
            self._container.close()
        except (av.FFmpegError, ValueError) as error:
            if kind is None:
                raise self._failed(error) from error

    def _begin(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        rate = Fraction(self._rate).limit_denominator(1001)
        self._video = self._container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        self._video.height, self._video.width = (length + length % 2 for length in shape[:2])
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = Fraction(1, TICKS)
        if self._source_sound is None:
            return
        if self._source_sound.codec_context.name in COPIED:
            self._sound = self._container.add_stream_from_template(self._source_sound)
        else:
            self._sound = self._encoder = self._container.add_stream("aac", rate=self._source_sound.rate)
        for sound in self._early:
            self.sound(sound)
        self._early.clear()

    def _even(self, image: np.ndarray) -> np.ndarray:
        """H.264 with halved colour takes even sizes: an odd edge is doubled. Stopped if frames change their size."""
        if image.shape != self._shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (self._shape, image.shape)]
            raise Stopped(f"{self._name}: the frames change their size from {sizes[0]} to {sizes[1]}")
        height, width = image.shape[:2]
        return np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], "edge") if height % 2 or width % 2 else image

    def _failed(self, error: av.FFmpegError | ValueError) -> Stopped:
        return Stopped(
            f"{self._name}: the video cannot be written: {getattr(error, 'strerror', error)}; nothing is kept"
        )


class Records:
    """`detections.csv`, a row a detection, and `detections.json`, an object a frame: a list with one line each."""

    def __init__(self, table: TextIO, objects: TextIO):
        self._table = csv.writer(table, lineterminator="\n")
        self._table.writerow(COLUMNS)
        self._objects, self._first = objects, True
        objects.write("[")

    def add(self, source: str, frame: int, seconds: float | None, found: Sequence[dict]) -> None:
        """One frame's detections: {"track": int or None, "class": str, "confidence": float, "box": 4 pixels}."""
        time = None if seconds is None else round(seconds, 4)
        for one in found:
            box = [f"{edge:.2f}" for edge in one["box"]]
            track = "" if one["track"] is None else one["track"]
            moment = "" if time is None else f"{time:.4f}"
            self._table.writerow([source, frame, moment, track, one["class"], f"{one['confidence']:.6f}", *box])
        values = [
            one | {"confidence": round(one["confidence"], 6), "box": [round(edge, 2) for edge in one["box"]]}
            for one in found
        ]
        line = json.dumps({"source": source, "frame": frame, "time": time, "detections": values}, ensure_ascii=False)
        self._objects.write(("\n" if self._first else ",\n") + line)
        self._first = False

    def end(self) -> None:
        self._objects.write("\n]\n")
