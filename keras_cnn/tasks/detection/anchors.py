"""Anchors for a set of boxes: k-means on widths and heights, with 1 - IoU as the distance.

Redmon & Farhadi, YOLO9000: Better, Faster, Stronger, arXiv:1612.08242, section 2 (Dimension Clusters).
"""

import itertools

import numpy as np

ROUNDS = 300  # at most; far more than k-means has ever needed to converge


def shape_iou(sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) IoU of boxes by width and height alone, (N, 2) and (M, 2), as if all had the same centre."""
    shared = np.minimum(sizes[:, None], others[None]).prod(axis=2)
    return shared / (sizes.prod(axis=1)[:, None] + others.prod(axis=1)[None] - shared)


def kmeans(sizes: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, float]:
    """`count` anchors (count, 2), smallest first, and the mean IoU of the boxes `sizes` (N, 2) with their best ones.

    Starts from k-means++ (Arthur & Vassilvitskii 2007), whose draws depend on `seed` alone. A cluster's centre is the
    mean of its boxes; a cluster that has lost all its boxes gets the box that fits its own anchor worst. Anchors repeat
    if there are fewer different boxes than anchors.
    """
    sizes = np.asarray(sizes, np.float64)
    anchors = _start(sizes, count, np.random.Philox(key=np.array([seed, count], np.uint64)))
    assigned = np.full(len(sizes), -1)
    for _ in range(ROUNDS):
        overlaps = shape_iou(sizes, anchors)
        nearest = overlaps.argmax(axis=1)
        if (nearest == assigned).all():
            break
        assigned = nearest
        worst = itertools.cycle(np.argsort(overlaps.max(axis=1), kind="stable"))
        for number in range(count):
            members = sizes[assigned == number]
            anchors[number] = members.mean(axis=0) if len(members) else sizes[next(worst)]
    order = np.argsort(anchors.prod(axis=1), kind="stable")
    return anchors[order], float(shape_iou(sizes, anchors).max(axis=1).mean())


def _start(sizes: np.ndarray, count: int, bits: np.random.Philox) -> np.ndarray:
    """Draws each anchor with a probability proportional to its squared distance from the nearest earlier one."""
    uniform = (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53
    chosen = [int(uniform[0] * len(sizes))]
    for draw in uniform[1:]:
        far = (1 - shape_iou(sizes, sizes[chosen]).max(axis=1)) ** 2
        cumulated = np.cumsum(far)
        total = cumulated[-1]
        chosen.append(int(np.searchsorted(cumulated, draw * total, side="right")) if total > 0 else chosen[0])
    return sizes[np.minimum(chosen, len(sizes) - 1)]
