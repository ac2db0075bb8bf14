"""The real YOLOv3-tiny on Darknet's photos: detections equal Debian's Darknet, probabilities OpenCV's."""

import numpy as np
import pytest
from PIL import Image

from keras_cnn.detection.boxes import Letterbox
from keras_cnn.detection.network import open_network
from keras_cnn.detection.yolo import Detector, letterbox


@pytest.fixture(scope="module")
def network(tiny):
    return open_network(str(tiny[0]), tiny[1], tiny[2])


@pytest.fixture(scope="module")
def detector(network) -> Detector:
    return Detector(network.model, network.heads)


def read(photo) -> np.ndarray:
    return np.asarray(Image.open(photo).convert("RGB"))


def test_detections_equal_darknets(tiny, detector, photos, darknet):
    job = {"cfg": str(tiny[0]), "weights": str(tiny[1]), "images": [str(photo) for photo in photos]}
    total = 0
    for photo, rows in zip(photos, darknet([job])[0], strict=True):
        found, expected = detector(read(photo)), np.array(rows).reshape(-1, 6)
        assert found.classes.tolist() == expected[:, 0].tolist(), photo
        np.testing.assert_allclose(found.confidences, expected[:, 1], atol=1e-3)
        np.testing.assert_allclose(found.boxes, expected[:, 2:], atol=0.5)
        total += len(found)
    assert total >= 20


def test_maps_equal_opencvs(tiny, detector, network, photos):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        pytest.skip(f"OpenCV {cv2.__version__} reads no Darknet files any more")
    other = cv2.dnn.readNetFromDarknet(str(tiny[0]), str(tiny[1]))
    for photo in photos[:3]:
        image = read(photo)
        box = Letterbox(image.shape[:2], detector.size)
        numbers = [np.array(n, kind) for n, kind in ((box.inner, "i4"), (box.corner, "i4"), (box.last_row, "f4"))]
        boxed = letterbox(image, *numbers, detector.size).numpy()
        other.setInput((boxed / 255).transpose(0, 3, 1, 2))
        for values, theirs, head in zip(
            detector.maps(image), other.forward(other.getUnconnectedOutLayersNames()), network.heads, strict=True
        ):
            cells = values.reshape(-1, 5 + head.classes)
            objectness = 1 / (1 + np.exp(-cells[:, 4]))
            scores = objectness[:, None] / (1 + np.exp(-cells[:, 5:]))
            np.testing.assert_allclose(theirs[:, 4], objectness, atol=1e-4)
            clear = np.abs(scores - 0.2) > 1e-3  # OpenCV has 0 for probabilities up to 0.2
            np.testing.assert_allclose(theirs[:, 5:][clear], np.where(scores > 0.2, scores, 0)[clear], atol=1e-3)


def test_bfloat16_finds_the_same_objects(network, detector, photos):
    half = Detector(network.model, network.heads, precision="bfloat16")
    for photo in photos[:3]:
        image = read(photo)
        exact, found = detector(image), half(image)
        sure = exact[exact.confidences > 0.35]
        for box, number in zip(sure.boxes, sure.classes, strict=True):
            near = found.boxes[found.classes == number]
            assert np.abs(near - box).max(axis=1).min() < 0.06 * (box[2:] - box[:2]).max()
