"""Writers of the annotated video and of the detections: they write frame by frame and keep nothing in memory."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TextIO

import av
import numpy as np
from av.error import FFmpegError

from keras_cnn.csv_tables import CsvWriter
from keras_cnn.detection.sources import SoundPacket
from keras_cnn.errors import Stopped

TICKS = 90_000  # per second in written videos, as in MPEG: fine enough for the frame times of any rate
COPIED = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}  # every MP4 player knows these; other sound becomes AAC
COLUMNS = ("source", "frame", "time", "track", "class", "confidence", "x0", "y0", "x1", "y1")


class VideoWriter:
    """Writes an H.264 MP4 with the given frames, at their own times, and the sound of the source.

    The file is written to `path`. Errors are raised as Stopped; their messages call the file `name`.
    """

    def __init__(self, path: Path, name: Path, rate: float, sound: av.AudioStream | None):
        self._name, self._rate, self._last = name, rate, -1
        self._container = av.open(str(path), "w", format="mp4")
        self._video: av.VideoStream | None = None
        self._shape: tuple[int, ...] = ()
        self._source_sound = sound
        self._sound: av.AudioStream | None = None
        self._encoder: av.AudioStream | None = None  # if the sound is not copied
        self._early: list[SoundPacket] = []  # packets before the first frame, which sets the video's size

    def __enter__(self) -> "VideoWriter":
        return self

    def frame(self, image: np.ndarray, seconds: float) -> None:
        """Adds an (H, W, 3) uint8 RGB frame; all must have the size of the first."""
        try:
            video = self._video or self._begin(image.shape)
            frame = av.VideoFrame.from_ndarray(self._even(image), format="rgb24")
            self._last = max(self._last + 1, round(seconds * TICKS))
            frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
            self._container.mux(video.encode(frame))
        except (FFmpegError, ValueError) as error:  # ValueError: this FFmpeg has no such encoder
            raise self._failed(error) from error

    def sound(self, sound: SoundPacket) -> None:
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
                    self._container.mux(self._encoder.encode(frame))
        except FFmpegError as error:
            raise self._failed(error) from error

    def __exit__(self, kind, *_: object) -> None:
        try:
            if kind is None and self._video is not None:
                self._container.mux(self._video.encode(None))
                if self._encoder:
                    self._container.mux(self._encoder.encode(None))
            self._container.close()
        except (FFmpegError, ValueError) as error:
            if kind is None:
                raise self._failed(error) from error

    def _begin(self, shape: tuple[int, ...]) -> av.VideoStream:
        self._shape = shape
        rate = Fraction(self._rate).limit_denominator(1001)
        video = self._container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        video.height, video.width = (length + length % 2 for length in shape[:2])
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, TICKS)
        self._video = video
        if self._source_sound is None:
            return video
        if self._source_sound.codec_context.name in COPIED:
            self._sound = self._container.add_stream_from_template(self._source_sound)
        else:
            self._sound = self._encoder = self._container.add_stream("aac", rate=self._source_sound.rate)
        for sound in self._early:
            self.sound(sound)
        self._early.clear()
        return video

    def _even(self, image: np.ndarray) -> np.ndarray:
        """The image with the last row or column of an odd side doubled: H.264 with 4:2:0 colour needs even sizes.

        Raises Stopped if the frames change their size.
        """
        if image.shape != self._shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (self._shape, image.shape)]
            raise Stopped(f"{self._name}: the frames change their size from {sizes[0]} to {sizes[1]}")
        height, width = image.shape[:2]
        return np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], "edge") if height % 2 or width % 2 else image

    def _failed(self, error: FFmpegError | ValueError) -> Stopped:
        return Stopped(
            f"{self._name}: the video cannot be written: {getattr(error, 'strerror', error)}; nothing is kept"
        )


class DetectionRecords:
    """Writes `detections.csv`, with a row per detection, and `detections.json`, a list with an object per frame."""

    def __init__(self, table: TextIO, objects: TextIO):
        self._table = CsvWriter(table)
        self._table.writerow(COLUMNS)
        self._objects, self._first = objects, True
        objects.write("[")

    def add(self, source: str, frame: int, seconds: float | None, detections: Sequence[dict]) -> None:
        """Adds a frame's detections: {"track": int or None, "class": str, "confidence": float, "box": 4 pixels}."""
        time = None if seconds is None else round(seconds, 4)
        for detection in detections:
            box = [f"{edge:.2f}" for edge in detection["box"]]
            track = "" if detection["track"] is None else detection["track"]
            moment = "" if time is None else f"{time:.4f}"
            confidence = f"{detection['confidence']:.6f}"
            self._table.writerow([source, frame, moment, track, detection["class"], confidence, *box])
        values = [
            detection
            | {"confidence": round(detection["confidence"], 6), "box": [round(edge, 2) for edge in detection["box"]]}
            for detection in detections
        ]
        line = json.dumps({"source": source, "frame": frame, "time": time, "detections": values}, ensure_ascii=False)
        self._objects.write(("\n" if self._first else ",\n") + line)
        self._first = False

    def end(self) -> None:
        """Closes the JSON list."""
        self._objects.write("\n]\n")
