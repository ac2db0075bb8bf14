"""IN4310's statistics of feature maps, with the networks at hand: values that are not positive, and spectra."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from keras_cnn.evaluation.intervals import paired_bootstrap
from keras_cnn.models import backbones
from keras_cnn.visualization.passes import one_pass
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.statistics import Features, NotPositive, spectrum
from reproduction.compact import rounded
from reproduction.images import CLASSES, PHOTOS, Material, photo_names

SIDE = 224
LARGEST = 10  # eigenvalues that are kept
POINTS = {  # activations at the end of a stage each, and the means over the last map
    "xception": ("block1_conv2_act", "block3_sepconv2_act", "block4_sepconv2_act", "block13_sepconv2_act",
                 "block14_sepconv2_act", "avgpool"),
    "resnet18": ("maxpool", "layer1_1_relu", "layer2_1_relu", "layer3_1_relu", "layer4_1_relu", "avgpool"),
}  # fmt: skip
IMAGENET, CIFAR10 = "200 ImageNet photos", "200 CIFAR-10 images"
Numbers = dict[str, Any]


def measure(material: Material, folder: Path | None) -> tuple[Numbers, Numbers]:
    """Shares and spectra of two networks on two sets of 200 images, all scaled to 224 × 224 pixels."""
    assert material.weights is not None
    assert material.photos is not None
    sets = {IMAGENET: np.stack([*_photos(material.photos)]), CIFAR10: np.stack([*_small(material.cifar10)])}
    weights = {
        "xception": str(material.weights),
        "resnet18": "none",
    }
    findings: Numbers = {}
    for name, file in weights.items():
        keras.utils.set_random_seed(1)
        probe = Probe(backbones.backbone(name, (SIDE, SIDE, 3), weights=file))
        findings[name] = {what: _of_images(probe, POINTS[name], images) for what, images in sets.items()}
        keras.utils.clear_session()
    words = {
        "xception": "ImageNet weights",
        "resnet18": "random weights",
    }
    return words, rounded(findings)


def _of_images(probe: Probe, points: tuple[str, ...], images: np.ndarray) -> Numbers:
    batches = [(images[start : start + 25],) for start in range(0, len(images), 25)]
    shares, features = one_pass(probe, batches, [NotPositive(probe, points), Features(probe.last_map())])
    found = spectrum(features)
    return {
        "not_positive": [[each.layer, each.share, *each.interval] for each in shares],
        "sparser": [float(np.mean(gain := shares[-2].shares - shares[0].shares)), *paired_bootstrap(gain)],
        "effective_rank": [found.effective_rank, *found.effective_rank_interval],
        "variance": float(found.eigenvalues.sum()),
        "eigenvalues": found.eigenvalues[:LARGEST].tolist(),
    }


def _photos(path: Path) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        for name in photo_names(path):
            yield _scaled(Image.open(io.BytesIO(archive.read(name))))


def _small(folder: Path) -> Iterator[np.ndarray]:
    """The first test images of each class of CIFAR-10."""
    for name in CLASSES:
        for path in sorted((folder / "test" / name).glob("*.jpg"))[: PHOTOS // len(CLASSES)]:
            yield _scaled(Image.open(path))


def _scaled(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
