"""The results of a finished training on boxes: network, final numbers, detections and figures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_cnn.charts import png
from keras_cnn.charts.evaluation import precision_over_recall
from keras_cnn.charts.training import detector_history
from keras_cnn.csv_tables import csv_text
from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.annotations.dataset import AnnotatedImage
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.network import save_network
from keras_cnn.detection.scoring import DetectionScores
from keras_cnn.detection.weights import write_weights
from keras_cnn.detection.yolo import THRESHOLD
from keras_cnn.figures import detectors
from keras_cnn.run_folder import RunFolder, record_test_reading, write_json, write_text
from keras_cnn.tasks.detection import validation
from keras_cnn.tasks.detection.augmentation import Sample, augmented
from keras_cnn.tasks.detection.setup import DetectionSetup
from keras_cnn.tracking import Tracker
from keras_cnn.training.run_figures import save_figure

SHOWN, PREVIEW_ROWS, PREVIEW_VIEWS = 12, 4, 4
COLUMNS = ("image", "path", "class", "confidence", "x0", "y0", "x1", "y1")
_NAMED_CLASSES = 12  # in the legend of precision and recall
_SIDE = 280  # pixels of a picture's longer side on a sheet, at which the labels of its boxes can be read


def finish(setup: DetectionSetup, folder: RunFolder, tracker: Tracker, best_epoch: int) -> dict:
    """Saves the network and measures it on validation and, once, on test; writes numbers, detections and figures."""
    network, convolutions = setup.network()
    save_network(network, folder / "model.keras")
    write_weights(folder / "model.weights", convolutions)  # of model.cfg; for Darknet and further training
    record_test_reading(folder)
    splits = setup.dataset.splits
    detections = {name: validation.detections(network, splits[name]) for name in ("validation", "test")}
    scores = {name: validation.score(splits[name], each, len(network.names)) for name, each in detections.items()}
    numbers = {name: summary(splits[name], each, network.names) for name, each in scores.items()}
    metrics = {"task": "detection", "split": "test", "best_epoch": best_epoch}
    metrics |= {"chosen_by": setup.config.train.monitor, "computed_in": "float32", "trained_in": setup.precision}
    metrics |= numbers["test"] | {"validation": numbers["validation"]}
    metrics |= {"anchors": np.round(setup.anchors.sizes, 2).tolist(), "anchors_mean_iou": setup.anchors.mean_iou}
    write_detections(folder, splits["test"], detections["test"], network.names)
    draw_figures(setup, folder, metrics, scores["test"], detections["test"])
    write_json(folder / "metrics.json", metrics)  # its presence says that the run is complete
    tracker.finish(metrics, sorted(folder.figures.glob("*.png")), {}, network.names, ("map50", "map", "boxes"))
    return metrics


def summary(pictures: Sequence[AnnotatedImage], scores: DetectionScores, names: Sequence[str]) -> dict:
    """Numbers of one split, with 95 % bootstrap intervals over its images; None if there is no true box."""
    intervals, by_class = scores.intervals(), scores.average_precisions
    return {
        "images": len(pictures),
        "boxes": sum(int(each.positives.sum()) for each in scores.classes),
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
    folder: RunFolder, pictures: Sequence[AnnotatedImage], detections: Sequence[Detections], names: Sequence[str]
) -> None:
    """Writes predictions.csv: one row per detection, image by image, the most confident first; boxes in pixels."""
    rows = []
    for picture, boxes in zip(pictures, detections, strict=True):
        for box, number, confidence in zip(boxes.boxes, boxes.classes, boxes.confidences, strict=True):
            digits = [f"{value:.9g}" for value in (confidence, *box)]  # all digits of a float32
            rows.append([picture.id, str(picture.path), names[int(number)], *digits])
    write_text(folder / "predictions.csv", csv_text(COLUMNS, rows))


def draw_figures(
    setup: DetectionSetup, folder: RunFolder, metrics: dict, scores: DetectionScores, detections: Sequence[Detections]
) -> None:
    """Draws learning curves, precision over recall, and test images with true and detected boxes."""
    name, classes = folder.path.name, setup.dataset.classes
    title = f"{name}: {setup.config.model.cfg}, best epoch {metrics['best_epoch']}"
    plots = detector_history(folder.history(), metrics["best_epoch"])
    save_figure(png.figure(list(plots.values()), title), folder, "curves")
    precisions = metrics["precision50"]
    labels = [f"{n}: AP {metrics['per_class'][n]['map50']:.3f}" for n in precisions]
    labels[_NAMED_CLASSES:] = [""] * len(labels[_NAMED_CLASSES:])
    title = f"{name}: precision and recall on {metrics['images']:,} test images, IoU 0.5"
    save_figure(png.figure([precision_over_recall(precisions, labels)], title), folder, "precision_recall")
    pictures = setup.dataset.test
    chosen = evenly_spaced(len(pictures), SHOWN)
    pairs = [_truth_and_detections(pictures[i], detections[i], classes) for i in chosen]
    title = f"{name}: {len(pairs)} of {len(pictures):,} test images, true boxes and those found"
    save_figure(detectors.pairs(pairs, title), folder, "detections")


def _truth_and_detections(
    picture: AnnotatedImage, detections: Detections, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, str]:
    """The image with its true boxes, the image with its detections, and its name."""
    image = read_image(picture.path)
    true_boxes = [
        _labelled_box(box, classes[int(number)], None)
        for box, number in zip(picture.boxes, picture.classes, strict=True)
    ]
    shown = detections[detections.confidences > THRESHOLD]
    detected = [
        _labelled_box(box, classes[int(number)], float(confidence))
        for box, number, confidence in zip(shown.boxes, shown.classes, shown.confidences, strict=True)
    ]
    return drawn(image, true_boxes, classes), drawn(image, detected, classes), picture.id.rpartition("/")[2]


def _labelled_box(box: np.ndarray, name: str, confidence: float | None) -> dict:
    return {"track": None, "class": name, "confidence": confidence, "box": [float(edge) for edge in box]}


def drawn(image: np.ndarray, boxes: list[dict], classes: Sequence[str]) -> np.ndarray:
    """A copy of an image with its boxes, resized for a sheet."""
    factor = _SIDE / max(image.shape[:2])
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    scaled = [box | {"box": [factor * edge for edge in box["box"]]} for box in boxes]
    return annotated(resized, scaled, list(classes))


def draw_augmentation(setup: DetectionSetup, folder: RunFolder) -> None:
    """Draws a few training images with their boxes, original and augmented."""
    images, config = setup.images("train"), setup.config
    chosen = evenly_spaced(len(images), PREVIEW_ROWS)
    rows = []
    for index in chosen:
        pixels, boxes = images.letterboxed(index)
        samples = [Sample(pixels, boxes, images.classes(index))]
        samples += [augmented(images, index, epoch, config.seed, config.augment) for epoch in range(PREVIEW_VIEWS)]
        rows.append(([_seen(sample, setup.dataset.classes) for sample in samples], images.pictures[index].id))
    title = f"{folder.path.name}: training images as they are, and in the first {PREVIEW_VIEWS} epochs"
    save_figure(detectors.augmentation(rows, title), folder, "augmentation")


def _seen(sample: Sample, classes: Sequence[str]) -> np.ndarray:
    boxes = [
        _labelled_box(box, classes[int(number)], None)
        for box, number in zip(sample.boxes, sample.classes, strict=True)
        if number >= 0  # the others are ignored
    ]
    return drawn(sample.pixels, boxes, classes)
