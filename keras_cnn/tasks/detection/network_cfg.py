"""A Darknet cfg rewritten for the user's classes, anchors and image size; the result is again a valid cfg."""

import numpy as np

from keras_cnn.detection.cfg import Cfg, Section, parse_cfg, read_cfg
from keras_cnn.detection.heads import YoloHead, read_heads
from keras_cnn.detection.named_models import NAMED, cache_folder, named_cfg
from keras_cnn.errors import InputError, require


def find_cfg(name: str) -> Cfg:
    """The cfg of a file, or of one of NAMED from the cache folder or the package. InputError if there is none."""
    if name not in NAMED:
        return read_cfg(name)
    if (cfg := named_cfg(name)) is not None:
        return read_cfg(cfg)
    raise InputError(
        f"model.cfg: {name}: not found: {cache_folder() / name}.cfg; put {name}.cfg there (github.com/pjreddie/darknet,"
        " or Debian's package darknet), or give --model.cfg FILE.cfg"
    )


def anchor_count(network: Cfg) -> int:
    """Number of anchors of all heads together."""
    return sum(head.anchors_count for head in read_heads(network))


def rewritten(network: Cfg, classes: int, size: int, anchors: np.ndarray | None) -> Cfg:
    """The cfg for `classes` classes and images of `size` pixels, with `anchors` (A, 2) in pixels, smallest first.

    The head that had the smallest anchors gets the smallest new ones. Without `anchors` the cfg's own anchors stay,
    scaled from its image size to `size`.
    """
    heads, edits = read_heads(network), _CfgEdits(network)
    height, width, _ = network.size
    edits.set(network.net, "width", str(size))
    edits.set(network.net, "height", str(size))
    masks = _masks(heads)
    yolos = [section for section in network.layers if section.kind == "yolo"]
    for section, head, mask in zip(yolos, heads, masks, strict=True):
        edits.set(section, "classes", str(classes))
        if anchors is not None:
            edits.set(section, "anchors", _text(anchors))
            edits.set(section, "num", str(len(anchors)))
            edits.set(section, "mask", ",".join(map(str, mask)))
        else:
            own = np.array(section.reals("anchors")).reshape(-1, 2) * [size / width, size / height]
            edits.set(section, "anchors", _text(own))
        edits.set(convolution_before(network, section), "filters", str(head.anchors_count * (5 + classes)))
    return parse_cfg(edits.text(), network.file)


def convolution_before(network: Cfg, section: Section) -> Section:
    """The convolution that computes the map of a [yolo] section; InputError if another layer does."""
    previous = network.layers[section.index - 1] if section.index else network.net
    linear = previous.kind == "convolutional" and previous.text("activation", "logistic") == "linear"
    require(linear, previous.where, f"before {section.where}", "a [convolutional] with activation=linear there")
    return previous


def _masks(heads: list[YoloHead]) -> list[list[int]]:
    """Anchor indices of each head, by size: the head whose own anchors are smallest takes the first ones."""
    masks: dict[int, list[int]] = {}
    taken = 0
    for index in sorted(range(len(heads)), key=lambda index: heads[index].anchors.prod(axis=1).mean()):
        masks[index] = list(range(taken, taken + heads[index].anchors_count))
        taken += heads[index].anchors_count
    return [masks[index] for index in range(len(heads))]


def _text(anchors: np.ndarray) -> str:
    return ", ".join(f"{number:.2f}".rstrip("0").rstrip(".") for number in anchors.ravel())


class _CfgEdits:
    """Edits of a cfg: lines to replace, and lines to add after a section's name."""

    def __init__(self, network: Cfg):
        self._lines = network.text.splitlines()
        self._replaced: dict[int, str] = {}
        self._added: dict[int, list[str]] = {}

    def set(self, section: Section, key: str, value: str) -> None:
        if key in section.values:
            self._replaced[section.values[key][1]] = f"{key}={value}"
        else:
            self._added.setdefault(section.line, []).append(f"{key}={value}")

    def text(self) -> str:
        lines = []
        for number, line in enumerate(self._lines, 1):
            lines += [self._replaced.get(number, line), *self._added.get(number, [])]
        return "\n".join(lines) + "\n"
