"""YOLOv3-tiny at 416 on a photo: our Detector against Debian's Darknet and OpenCV's DNN module, on the same machine.

python -m benchmarks.detection

Each goes from the photo's pixels in memory to its boxes: letterbox or resize, network, decoding, suppression. The
benchmark needs yolov3-tiny.cfg and yolov3-tiny.weights in the folder that KERAS_CNN_WEIGHTS names. Debian's package
darknet and OpenCV take part if they are installed.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.interleave import interleave, table
from keras_cnn.detection.network import open_network
from keras_cnn.detection.yolo import OVERLAP, THRESHOLD, Detector

LIBRARY = Path("/usr/lib/darknet/libdarknet.so")
SHAPE, FRAMES, SLOW_FRAMES = (576, 768), 20, 2
OURS, HALF, DARKNET, OPENCV = "keras_cnn", "keras_cnn in bfloat16", "Debian's darknet", "OpenCV DNN"


def photo() -> np.ndarray:
    """Darknet's photo of a dog, or coarse noise of the same size."""
    file = Path("/usr/share/darknet/data/dog.jpg")
    if file.is_file():
        from PIL import Image

        return np.asarray(Image.open(file).convert("RGB"))
    coarse = np.random.default_rng(0).integers(0, 256, (SHAPE[0] // 32, SHAPE[1] // 32, 3), np.uint8)
    return np.kron(coarse, np.ones((32, 32, 1), np.uint8))


def ours(detector: Detector, image: np.ndarray) -> Callable[[], int]:
    def work() -> int:
        for _ in range(FRAMES):
            detector(image)
        return FRAMES

    return work


def opencv(cfg: Path, weights: Path, image: np.ndarray) -> Callable[[], int]:
    """As in OpenCV's own example: blob, forward pass, decoding of rows above the threshold, NMSBoxes by class."""
    import cv2

    network = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    outputs = network.getUnconnectedOutLayersNames()
    scale = np.tile(image.shape[1::-1], 2)

    def work() -> int:
        for _ in range(FRAMES):
            network.setInput(cv2.dnn.blobFromImage(image, 1 / 255, (416, 416)))
            rows = np.concatenate(network.forward(outputs))
            rows = rows[rows[:, 5:].max(axis=1) > THRESHOLD]
            boxes = (rows[:, :4] * scale).tolist()
            cv2.dnn.NMSBoxesBatched(
                boxes, rows[:, 5:].max(1).tolist(), rows[:, 5:].argmax(1).tolist(), THRESHOLD, OVERLAP
            )
        return FRAMES

    return work


def darknet(cfg: Path, weights: Path, image: np.ndarray) -> Callable[[], int]:
    """Debian's library, which letterboxes the photo and runs the network; decoding would take almost no time."""

    class Image(ctypes.Structure):
        _fields_ = [(name, ctypes.c_int) for name in "whc"] + [("data", ctypes.POINTER(ctypes.c_float))]

    library = ctypes.CDLL(str(LIBRARY))
    library.load_network.restype = ctypes.c_void_p
    library.network_predict_image.argtypes = [ctypes.c_void_p, Image]
    with quiet():
        network = library.load_network(str(cfg).encode(), str(weights).encode(), 0)
    values = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255
    given = Image(*image.shape[1::-1], 3, values.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))

    def work() -> int:
        for _ in range(SLOW_FRAMES):
            library.network_predict_image(network, given)
        return SLOW_FRAMES + 0 * values.size  # which keeps the pixels alive

    return work


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what C code prints on standard error."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def decoding_share(detector: Detector, image: np.ndarray) -> float:
    """The share of a frame's time for decoding and suppression."""
    seconds = {"network": [], "decoding": []}
    for _ in range(FRAMES):
        begin = perf_counter()
        maps = detector.maps(image)
        middle = perf_counter()
        detector.read(maps, image.shape[:2])
        seconds["network"].append(middle - begin)
        seconds["decoding"].append(perf_counter() - middle)
    network, decoding = (median(values) for values in seconds.values())
    return decoding / (network + decoding)


def main() -> None:
    folder = Path(os.environ.get("KERAS_CNN_WEIGHTS", ""))
    cfg, weights = folder / "yolov3-tiny.cfg", folder / "yolov3-tiny.weights"
    if not (cfg.is_file() and weights.is_file()):
        print("detection: left out, KERAS_CNN_WEIGHTS names no folder with yolov3-tiny.cfg and yolov3-tiny.weights")
        return
    image, network = photo(), open_network(str(cfg), weights)
    detector = Detector(network.model, network.heads)
    contestants = {
        OURS: ours(detector, image),
        HALF: ours(Detector(network.model, network.heads, precision="bfloat16"), image),
    }
    if LIBRARY.exists():
        contestants[DARKNET] = darknet(cfg, weights, image)
    try:
        contestants[OPENCV] = opencv(cfg, weights, image)
    except (ImportError, AttributeError) as error:
        print(f"without OpenCV: {error}")
    rates = interleave(contestants)
    print(f"YOLOv3-tiny at 416, one photo of {image.shape[1]}x{image.shape[0]} after the other")
    print(table(rates, OURS, {}))
    for name, target in ((DARKNET, 10), (OPENCV, 0.9)):
        if name in rates:
            print(f"against {name}: {median(rates[OURS]) / median(rates[name]):.2f}x   target {target}x")
    print(f"decoding and suppression: {decoding_share(detector, image):.1%} of a frame's time   target 5 %")


if __name__ == "__main__":
    main()
