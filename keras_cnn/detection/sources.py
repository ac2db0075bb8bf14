"""Sources of images to detect objects in: files, videos, cameras and streams. Frames are upright RGB, with a time."""

import glob
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from keras_cnn.data.walking import IMAGE_EXTENSIONS, is_image, walk
from keras_cnn.errors import InputError, Stopped, require

RETRIES = 5  # consecutive attempts to reopen a dropped stream or camera, after 1, 2, 4, ... seconds
TIMEOUT = 10.0  # seconds without an answer after which a stream counts as dropped


@dataclass(frozen=True)
class Frame:
    """A frame: (H, W, 3) uint8 RGB, its number from 0 and its time in seconds."""

    image: np.ndarray
    number: int
    time: float


@dataclass(frozen=True)
class SoundPacket:
    """A packet of a video's compressed sound."""

    packet: av.Packet


def find_images(source: str, ignored: Counter) -> list[Path] | None:
    """The images of an image file, a folder (searched recursively) or a glob; None if `source` is something else.

    `ignored` counts the other files of a folder. Raises InputError for a folder or a glob without an image.
    """
    path = Path(source)
    if path.is_dir():
        images = [path / name for name in walk(path, ignored)]
        endings = " ".join(sorted(IMAGE_EXTENSIONS))
        require(bool(images), source, "no image in this folder", f"files ending in {endings}")
        return images
    if glob.has_magic(source) and "://" not in source and not path.exists():
        images = sorted(Path(name) for name in glob.glob(source, recursive=True) if is_image(name))
        require(bool(images), source, "no image matches", "a glob of images, in quotes")
        return images
    return [path] if is_image(source) else None


class VideoFile:
    """A video file. Iteration gives its frames and, between them, the packets of its sound."""

    live = False

    def __init__(self, source: str, timeout: float | None = None):
        self.source = source
        try:
            self._container = av.open(source, timeout=timeout)
        except (FFmpegError, OSError) as error:
            raise InputError(f"{source}: cannot open the video: {error.strerror}") from None
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{source}: no video in this file; expected an image, a folder or a video")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._aspect = self._stream.sample_aspect_ratio or Fraction(1)  # width of a pixel over its height
        self.sound = next(iter(self._container.streams.audio), None)
        self.frames = self._stream.frames or None  # None if the file does not say
        self.seconds = self._container.duration / av.time_base if self._container.duration else None
        self.rate = float(self._stream.average_rate or 25)

    def __iter__(self) -> Iterator[Frame | SoundPacket]:
        """Raises InputError if nothing can be decoded, Stopped if the file breaks off in the middle."""
        number, first, last = 0, 0.0, 0.0
        try:
            for packet in self._container.demux([s for s in (self._stream, self.sound) if s]):
                if packet.stream is not self._stream:
                    if packet.dts is not None:
                        yield SoundPacket(packet)
                    continue
                for frame in packet.decode():
                    last = self._time(frame, number)
                    first = last if number == 0 else first
                    yield Frame(_upright(frame, self._aspect), number, last)
                    number += 1
        except FFmpegError as error:
            if number == 0:
                raise InputError(f"{self.source}: no frame can be decoded: {error.strerror}") from None
            raise Stopped(f"{self.source}: broken after {number} frames: {error.strerror}") from None
        if number == 0:
            raise InputError(f"{self.source}: it opens as a video, but no frame can be decoded; is it cut off?")
        if self._is_cut_off(number, last - first):
            of = f"{self.frames} frames" if self.frames else f"{self.seconds:.1f} seconds"
            raise Stopped(f"{self.source}: cut off: it ends after {number} frames, {last - first:.1f} seconds, of {of}")

    def close(self) -> None:
        """Closes the file. Its sound must be written before, because the packets belong to the open file."""
        self._container.close()

    def _is_cut_off(self, number: int, seconds: float) -> bool:
        """Whether the file gave much less than it declares: decoders do not report a missing end.

        Without a declared number of frames, the duration decides, unless there is sound, which may be the longer part.
        The margin allows for a last frame that is shown for long.
        """
        if self.frames:
            return number < 0.95 * self.frames
        return bool(self.seconds and not self.sound and seconds < self.seconds - max(2.0, 3 / self.rate))

    def _time(self, frame: Any, number: int) -> float:
        return frame.time if frame.time is not None else number / self.rate


def _upright(frame: Any, aspect: Fraction) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a frame, with square pixels and rotated as the file declares."""
    if aspect > 0 and aspect != 1:  # pixels are made square by widening the frame, as players do
        frame = frame.reformat(width=max(1, round(frame.width * aspect)), height=frame.height, format="rgb24")
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90))) if frame.rotation else image


class VideoStream:
    """A stream by its address. A dropped stream is reopened, at most RETRIES times in a row; then Stopped is raised.

    A reopened stream without a known length continues at the clock's time. One with a length is a remote file: the
    frames that have been read are skipped.
    """

    frames, sound = None, None

    def __init__(self, address: str):
        self.source = address
        self._video = VideoFile(address, TIMEOUT)  # InputError if it cannot be opened at all
        self.live, self.rate = self._video.seconds is None, self._video.rate

    def __iter__(self) -> Iterator[Frame]:
        number, last, begun, failures = 0, -1.0, time.monotonic(), 0
        video: VideoFile | None = self._video
        while True:
            shift = max(time.monotonic() - begun, last + 1 / self.rate) if number else 0.0
            try:
                video = video or VideoFile(self.source, TIMEOUT)
                first = None
                for item in video:
                    if isinstance(item, SoundPacket):
                        continue
                    first = item.time if first is None else first
                    moment = item.time - first + shift if self.live else item.time
                    if moment <= last:
                        continue
                    number, last, failures = number + 1, moment, 0
                    yield Frame(item.image, number - 1, moment)
                if video.seconds is not None and last > video.seconds - 1:
                    return
                reason = "the stream ended"
            except (InputError, Stopped) as error:
                reason = str(error)
            finally:
                if video:
                    video.close()
            video, failures = None, failures + 1
            if failures > RETRIES:
                tried = f"{RETRIES} attempts to go on failed: {reason}"
                raise Stopped(f"{self.source}: dropped after {number} frames, {tried}")
            time.sleep(2 ** (failures - 1))


class Camera:
    """A camera of this machine by its number. OpenCV opens it, because PyAV's wheels cannot open cameras."""

    live, frames, sound = True, None, None

    def __init__(self, index: int):
        self.source, self._index = f"camera {index}", index
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # the line below says it
        self._capture = self._open()
        if not self._capture.isOpened():
            raise InputError(f"{self.source}: cannot be opened; is it connected, and not in use?")
        import cv2

        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 25.0

    def _open(self):
        import cv2  # takes a while, and only cameras need it

        return cv2.VideoCapture(self._index)

    def __iter__(self) -> Iterator[Frame]:
        number, begun, failures = 0, time.monotonic(), 0
        try:
            while failures <= RETRIES:
                worked, image = self._capture.read()
                if worked:
                    yield Frame(np.ascontiguousarray(image[..., ::-1]), number, time.monotonic() - begun)
                    number, failures = number + 1, 0
                    continue
                failures += 1
                time.sleep(2 ** (failures - 1))
                self._capture.release()
                self._capture = self._open()
            raise Stopped(f"{self.source}: gives no image any more after {number} frames")
        finally:
            self._capture.release()


VideoSource = VideoFile | VideoStream | Camera


def open_moving(source: str) -> VideoSource:
    """The video file, camera (a number) or stream (an address) that `source` names."""
    if source.isdecimal() and not Path(source).exists():
        return Camera(int(source))
    if "://" in source:
        return VideoStream(source)
    require(Path(source).is_file(), source, "no such file", "an image, folder, glob, video, camera or address")
    return VideoFile(source)
