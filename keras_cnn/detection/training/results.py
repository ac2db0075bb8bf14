"""What a finished training on boxes leaves: final numbers, detections and figures."""

import csv
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_cnn.data.decoding import read_image
from keras_cnn.detection.annotations.dataset import AnnotatedImage
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.network import save_network
from keras_cnn.detection.scoring import DetectionScores
from keras_cnn.detection.training import judge
from keras_cnn.detection.training.augmentation import Sample, augmented
from keras_cnn.detection.training.parts import Parts
from keras_cnn.detection.weights import write_weights
from keras_cnn.detection.yolo import THRESHOLD
from keras_cnn.figures import detectors, style
from keras_cnn.run_folder import RunFolder, naming_a_full_disk, record_test_reading, write_json, write_text
from keras_cnn.tracking import Tracker

SHOWN, PREVIEW_ROWS, PREVIEW_VIEWS = 12, 4, 4
COLUMNS = ("image", "path", "class", "confidence", "x0", "y0", "x1", "y1")
_SIDE = 280  # pixels of a picture's longer side on a sheet: drawn at this size, its boxes' labels can be read


def finish(parts: Parts, folder: RunFolder, tracker: Tracker, best_epoch: int) -> dict:
    """Saves the network and measures it on validation and, once, on test; writes numbers, detections and figures."""
    network, convolutions = parts.network()
    save_network(network, folder / "model.keras")
    write_weights(folder / "model.weights", convolutions)  # of model.cfg: for Darknet, and for trainings that go on
    record_test_reading(folder)
    splits = parts.dataset.splits
    found = {name: judge.detections(network, splits[name]) for name in ("validation", "test")}
    scores = {name: judge.score(splits[name], every, len(network.names)) for name, every in found.items()}
    numbers = {name: summary(splits[name], one, network.names) for name, one in scores.items()}
    whole = {"task": "detection", "split": "test", "best_epoch": best_epoch}
    whole |= {"chosen_by": parts.config.train.monitor, "computed_in": "float32", "trained_in": parts.precision}
    whole |= numbers["test"] | {"validation": numbers["validation"]}
    whole |= {"anchors": np.round(parts.anchors.sizes, 2).tolist(), "anchors_mean_iou": parts.anchors.mean_iou}
    write_detections(folder, splits["test"], found["test"], network.names)
    _draw(parts, folder, whole, scores["test"], found["test"])
    write_json(folder / "metrics.json", whole)  # its presence says that the run is complete
    tracker.finish(whole, sorted(folder.figures.glob("*.png")), {}, network.names, ("map50", "map", "boxes"))
    return whole


def summary(pictures: Sequence[AnnotatedImage], scores: DetectionScores, names: Sequence[str]) -> dict:
    """Numbers of one split, with 95 % bootstrap intervals over its images; None where there is no true box."""
    intervals, by_class = scores.intervals(), scores.average_precisions
    return {
        "images": len(pictures),
        "boxes": sum(int(one.positives.sum()) for one in scores.classes),
        "map": scores.map,
        "map_interval": list(intervals["map"]),
        "map50": scores.map50,
        "map50_interval": list(intervals["map50"]),
        "map75": scores.map75,
        "per_class": {
            name: {
                "boxes": int(scores.classes[i].positives.sum()),
                "map": _known(by_class[i].mean()),
                "map_interval": _listed(intervals["classes_map"][i]),
                "map50": _known(by_class[i, 0]),
                "map50_interval": _listed(intervals["classes_map50"][i]),
            }
            for i, name in enumerate(names)
        },
        "precision50": {  # at recalls of 0, 0.01, ... 1
            name: [round(float(value), 5) for value in scores.precisions[i, 0]]
            for i, name in enumerate(names)
            if scores.classes[i].positives.any()
        },
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _listed(interval) -> list[float] | None:
    return None if interval is None else list(interval)


def write_detections(
    folder: RunFolder, pictures: Sequence[AnnotatedImage], found: Sequence[Detections], names: Sequence[str]
) -> None:
    """predictions.csv: a row a detection, image by image, the most confident first; boxes in pixels of the image."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for picture, one in zip(pictures, found, strict=True):
        for box, number, confidence in zip(one.boxes, one.classes, one.confidences, strict=True):
            digits = [f"{value:.9g}" for value in (confidence, *box)]  # all that a float32 has
            writer.writerow([picture.id, str(picture.path), names[number], *digits])
    write_text(folder / "predictions.csv", table.getvalue())


def _draw(parts: Parts, folder: RunFolder, found: dict, scores: DetectionScores, every: Sequence[Detections]) -> None:
    name, classes = folder.path.name, parts.dataset.classes
    history = {key: [row[key] for row in folder.history()] for key in folder.history()[0]}
    _save(detectors.curves(history, found["best_epoch"], f"{name}: {parts.config.model.cfg}"), folder, "curves")
    curves = {n: np.array(values) for n, values in found["precision50"].items()}
    averages = {n: row["map50"] for n, row in found["per_class"].items() if row["map50"] is not None}
    title = f"{name}: precision and recall on {found['images']:,} test images, IoU 0.5"
    _save(detectors.precision_recall(curves, averages, title), folder, "precision_recall")
    pictures = parts.dataset.test
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(SHOWN, len(pictures))).astype(int))
    pairs = [_pair(pictures[i], every[i], classes) for i in chosen]
    title = f"{name}: {len(pairs)} of {len(pictures):,} test images, true boxes and those found"
    _save(detectors.pairs(pairs, title), folder, "detections")


def _pair(picture: AnnotatedImage, found: Detections, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, str]:
    image = read_image(picture.path)
    truth = [_one(box, classes[number], None) for box, number in zip(picture.boxes, picture.classes, strict=True)]
    shown = found[found.confidences > THRESHOLD]
    guesses = [
        _one(box, classes[number], float(confidence))
        for box, number, confidence in zip(shown.boxes, shown.classes, shown.confidences, strict=True)
    ]
    return drawn(image, truth, classes), drawn(image, guesses, classes), picture.id.rpartition("/")[2]


def _one(box: np.ndarray, name: str, confidence: float | None) -> dict:
    return {"track": None, "class": name, "confidence": confidence, "box": [float(edge) for edge in box]}


def drawn(image: np.ndarray, boxes: list[dict], classes: Sequence[str]) -> np.ndarray:
    """A copy of an image with its boxes, at the size that it has on a sheet."""
    factor = _SIDE / max(image.shape[:2])
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    scaled = [box | {"box": [factor * edge for edge in box["box"]]} for box in boxes]
    return annotated(resized, scaled, list(classes))


def draw_augmentation(parts: Parts, folder: RunFolder) -> None:
    """The augmentation preview: a few training images with their boxes, and what the network sees of them."""
    images, config = parts.images("train"), parts.config
    chosen = np.unique(np.linspace(0, len(images) - 1, min(PREVIEW_ROWS, len(images))).astype(int))
    rows = []
    for index in chosen:
        pixels, boxes = images.letterboxed(index)
        samples = [Sample(pixels, boxes, images.classes(index))]
        samples += [augmented(images, index, epoch, config.seed, config.augment) for epoch in range(PREVIEW_VIEWS)]
        rows.append(([_seen(sample, parts.dataset.classes) for sample in samples], images.pictures[index].id))
    title = f"{folder.path.name}: training images as they are, and in the first {PREVIEW_VIEWS} epochs"
    _save(detectors.augmentation(rows, title), folder, "augmentation")


def _seen(sample: Sample, classes: Sequence[str]) -> np.ndarray:
    boxes = [
        _one(box, classes[number], None)
        for box, number in zip(sample.boxes, sample.classes, strict=True)
        if number >= 0  # of the others too little is to be seen
    ]
    return drawn(sample.pixels, boxes, classes)


def _save(figure, folder: RunFolder, name: str) -> None:
    path = folder.figures / f"{name}.png"
    with naming_a_full_disk(path):
        style.save(figure, path)
