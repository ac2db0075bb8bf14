"""What a training on boxes is made of before its first step: pictures, anchors, network, loss."""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np

from keras_cnn.detection.annotations import BoxDataset, load
from keras_cnn.detection.annotations.dataset import SPLITS
from keras_cnn.detection.cfg import Cfg
from keras_cnn.detection.darknet import build
from keras_cnn.detection.heads import YoloHead, read_heads
from keras_cnn.detection.network import Network
from keras_cnn.detection.training.anchors import kmeans, shape_iou
from keras_cnn.detection.training.images import Images
from keras_cnn.detection.training.networks import find_cfg, rewritten, slots
from keras_cnn.detection.training.settings import BoxConfig
from keras_cnn.detection.training.start import Loaded, Trained, trainable
from keras_cnn.detection.weights import Convolution
from keras_cnn.messages import logger
from keras_cnn.training import precision


@dataclass(frozen=True)
class Anchors:
    """Of the network, (A, 2) in pixels, and how well the training boxes' best ones fit: the mean IoU."""

    sizes: np.ndarray
    mean_iou: float


@dataclass(frozen=True)
class Parts:
    """A run before its first step."""

    config: BoxConfig
    hardware: dict
    precision: str
    dataset: BoxDataset
    split: dict  # what goes into split.json
    cfg: Cfg  # rewritten for the classes
    anchors: Anchors
    model: keras.Model
    loaded: Loaded | None

    @cached_property
    def heads(self) -> list[YoloHead]:
        return read_heads(self.cfg)

    @property
    def size(self) -> int:
        return self.config.data.image_size

    @property
    def steps(self) -> int:
        return math.ceil(len(self.dataset.train) / self.config.train.batch_size)

    def images(self, split: str) -> Images:
        return Images(self.dataset.splits[split], self.size, self.config.data.cache)

    def network(self) -> tuple[Network, list[Convolution]]:
        """The model with its present weights, as `detect.py` opens it: in float32, batch norms folded; and Darknet's
        numbers of each convolution."""
        trained = Trained(self.model)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            model = build(self.cfg, trained, fold=True)
        finally:
            keras.config.set_dtype_policy(policy)
        return Network(model, self.cfg, self.heads, list(self.dataset.classes)), trained.given


def prepare(config: BoxConfig, chosen_precision: str | None = None) -> Parts:
    """Reads the boxes and builds the network; sets seeds, number format and determinism of this process."""
    found = precision.hardware()
    chosen = chosen_precision or precision.choose_precision(config.precision, found)
    precision.apply(config.seed, chosen, config.deterministic)
    wanted = config.data
    network = find_cfg(config.model.cfg)
    dataset = load(
        wanted.source,
        classes=wanted.classes,
        validation=wanted.validation,
        test=wanted.test,
        seed=config.seed,
        bad_boxes=wanted.bad_boxes,
    )
    sizes = box_sizes(dataset, wanted.image_size)
    clusters = kmeans(sizes, slots(network), config.seed)[0] if config.model.anchors == "kmeans" else None
    cfg = rewritten(network, len(dataset.classes), wanted.image_size, clusters)
    used = np.concatenate([head.anchors for head in read_heads(cfg)]).astype(np.float64)
    anchors = Anchors(used, float(shape_iou(sizes, used).max(axis=1).mean()))
    weights = None if config.model.weights == "none" else config.model.weights
    model, loaded = trainable(cfg, config.seed, weights)
    return Parts(config, found, chosen, dataset, split_record(dataset), cfg, anchors, model, loaded)


def box_sizes(dataset: BoxDataset, size: int) -> np.ndarray:
    """(N, 2) widths and heights of the training boxes in pixels of the network's images."""
    scaled = [
        (picture.boxes[:, 2:] - picture.boxes[:, :2])[~picture.ignored] * (size / max(picture.size))
        for picture in dataset.train
    ]
    return np.concatenate(scaled)


def split_record(dataset: BoxDataset) -> dict:
    """What split.json holds: ids of each split, counts, and a hash over ids, sizes and boxes."""
    content = {
        name: [(p.id, p.size, p.boxes.tolist(), p.classes.tolist(), p.ignored.tolist()) for p in pictures]
        for name, pictures in dataset.splits.items()
    }
    text = json.dumps([dataset.classes, content], separators=(",", ":")).encode()
    homes = {picture.id: name for name, pictures in dataset.splits.items() for picture in pictures}
    across = sum(len({homes[identity] for identity in group}) > 1 for group in dataset.duplicates)
    return {
        "source": dataset.source,
        "classes": list(dataset.classes),
        "sha256": hashlib.sha256(text).hexdigest(),
        "counts": {name: len(dataset.splits[name]) for name in SPLITS},
        "boxes": {name: _box_counts(dataset, name) for name in SPLITS},
        "own_splits": list(dataset.own_splits),
        "disjoint_by_bytes": across == 0,
        "duplicates": [list(group) for group in dataset.duplicates],
        "ids": {name: [picture.id for picture in dataset.splits[name]] for name in SPLITS},
    }


def _box_counts(dataset: BoxDataset, split: str) -> dict[str, int]:
    numbers = np.concatenate([p.classes[~p.ignored] for p in dataset.splits[split]])
    return dict(zip(dataset.classes, np.bincount(numbers, minlength=len(dataset.classes)).tolist(), strict=True))


def introduce(parts: Parts) -> None:
    """Says what is trained on what."""
    dataset, config = parts.dataset, parts.config
    counts = ", ".join(f"{len(pictures):,} {name}" for name, pictures in dataset.splits.items())
    boxes = {name: sum(_box_counts(dataset, name).values()) for name in SPLITS}
    logger.info(f"data      {dataset.source}: {counts}; {len(dataset.classes)} classes; {parts.size}x{parts.size}")
    totals = ", ".join(f"{count:,}" for count in boxes.values())
    logger.info(f"          {totals} boxes: {_listed(_box_counts(dataset, 'train'))}")
    for note in dataset.notes:
        logger.info(f"          {note}")
    trainable_count = sum(int(np.prod(v.shape)) for v in parts.model.trainable_variables)
    logger.info(
        f"model     {config.model.cfg}: {trainable_count:,} trainable parameters; computed in {parts.precision}"
    )
    logger.info(f"weights   {config.model.weights}: {parts.loaded or 'every layer as initialised'}")
    sizes = " ".join(f"{w:.0f}x{h:.0f}" for w, h in parts.anchors.sizes)
    logger.info(
        f"anchors   {config.model.anchors}: {sizes}; mean IoU with the training boxes {parts.anchors.mean_iou:.3f}"
    )


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:8]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more classes" if more > 0 else "") + " to train on"
