"""Prepares a training on boxes for its first step: pictures, anchors and network."""

import hashlib
import json
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
from keras_cnn.detection.weights import Convolution
from keras_cnn.distribution.ranks import ALONE, Ranks
from keras_cnn.distribution.replicas import SINGLE, Replicas, open_replicas
from keras_cnn.messages import log_sentence, logger
from keras_cnn.tasks.detection.anchors import kmeans, shape_iou
from keras_cnn.tasks.detection.images import BoxImages
from keras_cnn.tasks.detection.network_cfg import anchor_count, find_cfg, rewritten
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tasks.detection.starting_weights import ModelWeights, StartingWeights, trainable_model
from keras_cnn.training import precision


@dataclass(frozen=True)
class Anchors:
    """The network's anchors, (A, 2) in pixels, and the mean IoU of the training boxes with their best anchors."""

    sizes: np.ndarray
    mean_iou: float


@dataclass(frozen=True)
class DetectionSetup:
    """A training on boxes before its first step."""

    config: BoxConfig
    hardware: dict
    precision: str
    dataset: BoxDataset
    split: dict  # what split.json holds
    cfg: Cfg  # rewritten for the classes
    anchors: Anchors
    model: keras.Model
    loaded: StartingWeights | None
    replicas: Replicas = SINGLE

    @cached_property
    def heads(self) -> list[YoloHead]:
        return read_heads(self.cfg)

    @property
    def size(self) -> int:
        """Side of the network's images in pixels."""
        return self.config.data.image_size

    def images(self, split: str) -> BoxImages:
        return BoxImages(self.dataset.splits[split], self.size, self.config.data.cache)

    def network(self) -> tuple[Network, list[Convolution]]:
        """The model with its current weights as `detect.py` opens it: in float32, with folded batch norms; and the
        weights of each convolution in Darknet's format."""
        weights = ModelWeights(self.model)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            model = build(self.cfg, weights, fold=True)
        finally:
            keras.config.set_dtype_policy(policy)
        return Network(model, self.cfg, self.heads, list(self.dataset.classes)), weights.convolutions


def prepare_setup(config: BoxConfig, chosen_precision: str | None, ranks: Ranks = ALONE) -> DetectionSetup:
    """Reads the boxes and builds the network; sets seeds, number format and determinism of this process.

    `ranks` are the processes that train together.
    """
    replicas = open_replicas(config.devices, ranks)
    hardware = precision.hardware()
    number_format = chosen_precision or precision.choose_precision(config.precision, hardware)
    precision.apply(config.seed, number_format, config.deterministic)
    settings = config.data
    base_cfg = find_cfg(config.model.cfg)
    dataset = load_boxes(config)
    sizes = box_sizes(dataset, settings.image_size)
    clusters = kmeans(sizes, anchor_count(base_cfg), config.seed)[0] if config.model.anchors == "kmeans" else None
    cfg = rewritten(base_cfg, len(dataset.classes), settings.image_size, clusters)
    used = np.concatenate([head.anchors for head in read_heads(cfg)]).astype(np.float64)
    weights = None if config.model.weights == "none" else config.model.weights
    with replicas.scope():
        model, loaded = trainable_model(cfg, config.seed, weights)
    return DetectionSetup(
        config=config,
        hardware=hardware,
        precision=number_format,
        dataset=dataset,
        split=split_record(dataset),
        cfg=cfg,
        anchors=Anchors(used, float(shape_iou(sizes, used).max(axis=1).mean())),
        model=model,
        loaded=loaded,
        replicas=replicas,
    )


def load_boxes(config: BoxConfig) -> BoxDataset:
    """The annotated images of the config."""
    settings = config.data
    return load(
        settings.source,
        classes=settings.classes,
        validation=settings.validation,
        test=settings.test,
        seed=config.seed,
        group=settings.group,
        fold=settings.fold,
        bad_boxes=settings.bad_boxes,
    )


def box_sizes(dataset: BoxDataset, size: int) -> np.ndarray:
    """(N, 2) widths and heights of the training boxes in pixels of images with a longer side of `size`."""
    scaled = [
        (picture.boxes[:, 2:] - picture.boxes[:, :2])[~picture.ignored] * (size / max(picture.size))
        for picture in dataset.train
    ]
    return np.concatenate(scaled)


def split_record(dataset: BoxDataset) -> dict:
    """The content of split.json: ids of each split, counts, and a hash of ids, sizes, boxes and image files."""
    content = {
        name: [(p.id, p.size, p.boxes.tolist(), p.classes.tolist(), p.ignored.tolist()) for p in pictures]
        for name, pictures in dataset.splits.items()
    }
    text = json.dumps([dataset.classes, content, dataset.files_sha256], separators=(",", ":")).encode()
    split_of = {picture.id: name for name, pictures in dataset.splits.items() for picture in pictures}
    across = sum(len({split_of[identity] for identity in group}) > 1 for group in dataset.duplicates)
    return {
        "source": dataset.source,
        "classes": list(dataset.classes),
        "sha256": hashlib.sha256(text).hexdigest(),
        "counts": {name: len(dataset.splits[name]) for name in SPLITS},
        "boxes": {name: _box_counts(dataset, name) for name in SPLITS},
        "own_splits": list(dataset.own_splits),
        "disjoint_by_bytes": across == 0,
        "duplicates": [list(group) for group in dataset.duplicates],
        **({"groups": dataset.groups} if dataset.groups else {}),
        "ids": {name: [picture.id for picture in dataset.splits[name]] for name in SPLITS},
    }


def _box_counts(dataset: BoxDataset, split: str) -> dict[str, int]:
    numbers = np.concatenate([p.classes[~p.ignored] for p in dataset.splits[split]])
    return dict(zip(dataset.classes, np.bincount(numbers, minlength=len(dataset.classes)).tolist(), strict=True))


def log_summary(setup: DetectionSetup) -> None:
    """Logs a summary of the data, network, starting weights and anchors."""
    dataset, config = setup.dataset, setup.config
    counts = ", ".join(f"{len(pictures):,} {name}" for name, pictures in dataset.splits.items())
    boxes = {name: sum(_box_counts(dataset, name).values()) for name in SPLITS}
    logger.info(f"data      {dataset.source}: {counts}; {len(dataset.classes)} classes; {setup.size}x{setup.size}")
    totals = ", ".join(f"{count:,}" for count in boxes.values())
    log_sentence("", f"{totals} boxes: {_listed(_box_counts(dataset, 'train'))}")
    for note in dataset.notes:
        log_sentence("", note)
    parameters = sum(int(np.prod(v.shape)) for v in setup.model.trainable_variables)
    logger.info(f"model     {config.model.cfg}: {parameters:,} trainable parameters")
    precision.log_hardware(config.precision, setup.precision, setup.hardware)
    logger.info(f"weights   {config.model.weights}: {setup.loaded or 'every layer as initialised'}")
    sizes = " ".join(f"{w:.0f}x{h:.0f}" for w, h in setup.anchors.sizes)
    log_sentence(
        "anchors", f"{config.model.anchors}: {sizes}; mean IoU with the training boxes {setup.anchors.mean_iou:.3f}"
    )


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:8]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more classes" if more > 0 else "") + " to train on"
