"""Suspected label errors by confident learning, from the probabilities of networks that have not seen the images.

Source: C. G. Northcutt, L. Jiang and I. L. Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels,
Journal of Artificial Intelligence Research 70 (2021): thresholds of self-confidence, the calibrated confident joint,
and pruning by noise rate.
"""

from dataclasses import dataclass

import numpy as np

from keras_cnn.evaluation.checks import blocks, checked_labels, checked_scores


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label is suspected, the least probable label first.

    indices: (S,) int64, of the images.
    suggested: (S,) int64, the most probable class.
    joint: (C, C) int64, the estimated number of images with the label of the row that are of the class of the column;
        rows add up to the images of the label.
    """

    indices: np.ndarray
    suggested: np.ndarray
    joint: np.ndarray


def find_label_errors(labels, probabilities) -> LabelErrors:
    """The suspected label errors among N images.

    labels: (N,) whole numbers, the classes given.
    probabilities: (N, C) in [0, 1], of networks that were not trained on the image.

    As many images of label i are suspected to be of class j as the confident joint says; they are those with the
    largest margin p_j - p_i. An image whose label is its most probable class is not suspected.

    Raises InputError for arrays of other shapes or values.
    """
    probabilities = checked_scores("probabilities", probabilities)
    labels = checked_labels(labels, probabilities).astype(np.int64)
    joint = confident_joint(labels, probabilities)
    suspected = np.zeros(len(labels), bool)
    for label, estimated in zip(*np.nonzero(joint - np.diag(joint.diagonal())), strict=True):
        members = np.flatnonzero(labels == label)
        margins = probabilities[members, estimated] - probabilities[members, label]
        suspected[members[np.argsort(-margins, kind="stable")[: joint[label, estimated]]]] = True
    indices = np.flatnonzero(suspected)
    best = np.asarray(probabilities[indices]).argmax(axis=1)
    indices, best = indices[best != labels[indices]], best[best != labels[indices]]
    order = np.argsort(probabilities[indices, labels[indices]], kind="stable")
    return LabelErrors(indices[order], best[order].astype(np.int64), joint)


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(C, C) int64: the estimated number of images by label and true class; rows add up to the images of the label.

    An image counts for the most probable of the classes that it reaches with confidence: with at least the mean
    probability that the images of the class have for it. The counts of a label are scaled to all its images.
    """
    classes = probabilities.shape[1]
    sizes = np.bincount(labels, minlength=classes)
    sums = np.zeros(classes)
    np.add.at(sums, labels, probabilities[np.arange(len(labels)), labels])
    thresholds = np.divide(sums, sizes, out=np.full(classes, np.inf), where=sizes > 0)
    counts = np.zeros((classes, classes), np.int64)
    for rows in blocks(len(labels)):
        block = np.asarray(probabilities[rows], np.float64)
        confident = np.where(block >= thresholds - 1e-6, block, -1.0)
        is_confident = confident.max(axis=1) >= 0
        np.add.at(counts, (labels[rows][is_confident], confident.argmax(axis=1)[is_confident]), 1)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    scaled = [_scaled(row, int(size)) for row, size in zip(counts, sizes, strict=True)]
    return np.array(scaled, np.int64)


def _scaled(counts: np.ndarray, total: int) -> list[int]:
    """The counts scaled to `total`, in whole numbers by the largest-remainder method."""
    shares = total * counts // counts.sum()
    remainders = total * counts % counts.sum()
    shares[np.argsort(-remainders, kind="stable")[: total - int(shares.sum())]] += 1
    return shares.tolist()
