"""The heads of a YOLO network: anchors and classes of its [yolo] sections."""

from dataclasses import dataclass

import numpy as np

from keras_cnn.detection.cfg import MAX_INTEGER, Cfg, Section
from keras_cnn.errors import require

MAX_CLASSES = 100_000


@dataclass(frozen=True)
class YoloHead:
    """One YOLO output. `anchors` (A, 2) are widths and heights in pixels of the network's input."""

    anchors: np.ndarray
    classes: int
    scale_x_y: float  # width of a centre's range, in cells; 1 in YOLOv3

    @property
    def anchors_count(self) -> int:
        return len(self.anchors)


def read_head(section: Section) -> YoloHead:
    """The head of a [yolo] section. Raises InputError if its mask, anchors and num do not agree."""
    total = section.integer("num", 1, least=1)
    classes = section.integer("classes", 20, least=1)
    require(classes <= MAX_CLASSES, section.at("classes"), f"found {classes:,}", f"at most {MAX_CLASSES:,}")
    numbers = section.reals("anchors")
    found = f"{len(numbers)} numbers"
    require(len(numbers) == 2 * total, section.at("anchors"), found, f"{2 * total}: two for each of num={total}")
    require(min(numbers) > 0, section.at("anchors"), f"found {min(numbers):g}", "widths and heights above 0")
    require(max(numbers) <= MAX_INTEGER, section.at("anchors"), f"found {max(numbers):g}", f"at most {MAX_INTEGER:,}")
    mask = section.integers("mask") if "mask" in section.values else list(range(total))
    inside = all(0 <= index < total for index in mask)
    require(inside, section.at("mask"), f"found {mask}", f"numbers from 0 to {total - 1}, as num={total}")
    anchors = np.array(numbers, np.float32).reshape(total, 2)[mask]
    return YoloHead(anchors, classes, section.real("scale_x_y", 1.0))


def read_heads(network: Cfg) -> list[YoloHead]:
    """The heads of a network, in output order. Raises InputError if there are none or their classes differ."""
    sections = [section for section in network.layers if section.kind == "yolo"]
    require(bool(sections), str(network.file), "no [yolo] section", "a network that detects")
    heads = [read_head(section) for section in sections]
    for section, head in zip(sections, heads, strict=True):
        expected = f"{heads[0].classes}, as in the first [yolo]"
        require(head.classes == heads[0].classes, section.at("classes"), f"found {head.classes}", expected)
    return heads
