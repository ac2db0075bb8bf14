"""CS7015's part 2 on a trained network 4: ablation, occlusion, responses, fields, accuracy in training mode."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.data.pipeline import decoded
from keras_cnn.evaluation.intervals import mean_interval, paired_bootstrap
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.models.model_files import load_model
from keras_cnn.run_folder import RunFolder
from keras_cnn.visualization.ablation import CONTROLS, ablate
from keras_cnn.visualization.filters import Responding, Responses
from keras_cnn.visualization.occlusion import Occluder
from keras_cnn.visualization.passes import one_pass
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.receptive_field import measured_field
from keras_cnn.visualization.statistics import NotPositive
from keras_cnn.visualization.targets import class_scores
from reproduction.compact import rounded
from reproduction.images import Material

CONVOLUTIONS, FILTERS = 5, 2  # that the report examines: the first filters of the first convolutions
TESTED = 200  # test images of each class
SIZES = (4, 8, 16, 24)  # sides of the occluding patch
OCCLUDED, DEER_IMAGES = 1, 10  # images of each class, and of deer, that the network classifies correctly
DEER = "deer"
BATCH, PADDING = 128, 4  # of the report's test images: cropped at random from a padded image
Numbers = dict[str, Any]


def measure(material: Material, folder: Path | None) -> tuple[Numbers, Numbers]:
    """What part 2 of the report asks of a trained network, on test images of its run."""
    assert folder is not None
    config = RunFolder.open(folder).config(BUILDERS)
    model = load_model(folder / "model.keras")
    probe, dataset = Probe(model), load_dataset(config)
    every = np.asarray(dataset.test.labels)
    chosen = np.sort(np.concatenate([np.flatnonzero(every == label)[:TESTED] for label in np.unique(every)]))
    images, labels = decoded(dataset.test.take(chosen), dataset.image_shape), every[chosen]
    batches = [(images[start : start + 250], labels[start : start + 250]) for start in range(0, len(images), 250)]
    logits = np.concatenate([class_scores(probe, part) for part, _ in batches])
    right = logits.argmax(axis=1) == labels
    points = [block.activated or block.before_activation for block in probe.convolutions]
    responses, shares = one_pass(probe, batches, [Responding(probe), NotPositive(probe, points)])
    findings = {
        "images": len(images),
        "accuracy": float(right.mean()),
        "ablation": _ablation(probe, batches, dataset.classes),
        "occlusion": _occlusion(probe, images, labels, right),
        "deer": _deer(probe, images, labels, right, dataset.classes.index(DEER)),
        "filters": [_filters(probe, layer, len(dataset.classes)) for layer in responses],
        "not_positive": [[sparsity.layer, sparsity.share] for sparsity in shares],
        "sparser": _difference(shares[CONVOLUTIONS - 1].shares - shares[0].shares),
        "fields": [_field(probe, block.name) for block in probe.convolutions[:CONVOLUTIONS]],
        "training_mode": _training_mode(model, images, labels, right),  # the last, for it moves batch norm's statistics
    }
    network = {"run": folder.name, "parameters": int(model.count_params())}
    return network, rounded(findings)


def _ablation(probe: Probe, batches: Sequence, classes: Sequence[str]) -> Numbers:
    found = ablate(probe, batches, classes, controls=CONTROLS)
    overall, controls = found.comparison.overall, [each.comparison.overall.difference for each in found.controls]
    by_class = {}
    for name, change in found.comparison.per_class.items():
        assert change.difference_interval is not None
        by_class[name] = [change.before, change.after, change.difference, *change.difference_interval]
    assert overall.difference_interval is not None
    return {
        "before": overall.before,
        "after": overall.after,
        "difference": [overall.difference, *overall.difference_interval],
        "by_class": by_class,
        "random_filters": controls,
    }


def _occlusion(probe: Probe, images: np.ndarray, labels: np.ndarray, right: np.ndarray) -> Numbers:
    """Sums and means of the confidence maps, (images, sizes), and the change from the smallest patch to the largest."""
    occluder, sums, means = Occluder(probe), [], []
    for label in range(labels.max() + 1):
        for number in np.flatnonzero(right & (labels == label))[:OCCLUDED]:
            maps = occluder.by_size(images[number].astype(np.float32), int(label), SIZES)
            sums.append([each.total for each in maps])
            means.append([each.mean for each in maps])
    totals, averages = np.array(sums), np.array(means)
    return {
        "sizes": list(SIZES),
        "images": len(totals),
        "sums": totals.mean(axis=0).tolist(),
        "means": averages.mean(axis=0).tolist(),
        "sum_falls": _difference(totals[:, 0] - totals[:, -1]),
        "mean_falls": _difference(averages[:, 0] - averages[:, -1]),
    }


def _deer(probe: Probe, images: np.ndarray, labels: np.ndarray, right: np.ndarray, deer: int) -> Numbers:
    """The lowest confidence in deer over all places of the patch, by size, as a mean over images with its interval."""
    occluder, chosen = Occluder(probe), np.flatnonzero(right & (labels == deer))[:DEER_IMAGES]
    lowest = []
    for number in chosen:
        maps = occluder.by_size(images[number].astype(np.float32), deer, SIZES, stride=2)
        lowest.append([float(each.confidence.min()) for each in maps])
    columns = np.array(lowest).T
    return {"images": len(chosen), "lowest": [_difference(column) for column in columns]}


def _filters(probe: Probe, layer: Responses, classes: int) -> Numbers:
    height, width, _ = probe.map_shape(layer.layer)
    first, counts = slice(FILTERS), layer.class_counts(classes)[:FILTERS]
    return {
        "layer": layer.layer,
        "filters": len(layer.dead),
        "dead": int(layer.dead.sum()),
        "negative_sums": int((layer.maximum < 0).sum()),
        "pixels": height * width,
        "top_mean": [float(layer.top_mean.mean()), *mean_interval(layer.top_mean)],
        "first_top_means": layer.top_mean[first].tolist(),
        "first_maxima": layer.maximum[first].tolist(),
        "first_classes": counts.tolist(),
        "spread": float(layer.top_mean.std(ddof=1)),
    }


def _field(probe: Probe, layer: str) -> int:
    """The side of the square of pixels that change a unit in the middle of the map."""
    reached = measured_field(probe, layer).reached
    assert reached is not None
    return max(reached.bottom - reached.top, reached.right - reached.left)


def _training_mode(model: keras.Model, images: np.ndarray, labels: np.ndarray, right: np.ndarray) -> Numbers:
    """Test accuracy as the report measured it: dropout active, batch norm by batches, images cropped at random."""
    generator = np.random.default_rng(0)
    predict = tf.function(lambda pixels: tf.argmax(model(pixels, training=True), axis=1), autograph=False)
    padded = np.pad(images, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    side, order = images.shape[1], generator.permutation(len(images))
    tops, lefts = generator.integers(0, 2 * PADDING + 1, (2, len(images)))
    cropped = np.stack(
        [padded[i, tops[i] : tops[i] + side, lefts[i] : lefts[i] + side] for i in range(len(images))]
    ).astype(np.float32)
    correct = np.zeros(len(images), bool)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        correct[rows] = predict(cropped[rows]).numpy() == labels[rows]
    return {"accuracy": float(correct.mean()), "gain_of_evaluation": _difference(right.astype(float) - correct)}


def _difference(values: np.ndarray) -> list[float]:
    """The mean over images with its bootstrap interval."""
    return [float(np.mean(values)), *paired_bootstrap(values)]
