"""Reads Darknet's cfg files: sections of `key=value` lines. Each value is checked; each error names its line.

The format is that of Darknet's `parser.c`: white space is ignored, `#` and `;` begin a comment line, and the first
value counts if a section repeats a key.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_cnn.checking import nearest
from keras_cnn.data.user_files import read_text
from keras_cnn.errors import InputError, require

# Keys that only training reads: they change nothing in a loaded network.
_TRAINING_NET = """
    batch subdivisions momentum decay learning_rate burn_in max_batches policy steps scales seq_scales gamma
    step scale power angle saturation exposure hue aspect max_crop min_crop flip random adam B1 B2 eps
    time_steps track mosaic mixup cutmix blur label_smooth_eps resize_step dynamic_minibatch optimized_memory
    workspace_size_limit_MB max_chart_loss learning_rate_min sgdr_cycle sgdr_mult augment_speed loss_scale
    try_fix_nan letter_box center mosaic_bound ema_alpha
"""
_TRAINING_YOLO = """
    jitter ignore_thresh truth_thresh random max iou_thresh iou_loss iou_normalizer cls_normalizer
    obj_normalizer label_smooth_eps focal_loss max_delta counters_per_class resize map nms_kind beta_nms
"""
KEYS = {  # of every section that can be built: the keys that are read, and those that are known to have no effect
    "net": {"width", "height", "channels"} | set(_TRAINING_NET.split()),
    "convolutional": {"batch_normalize", "filters", "size", "stride", "pad", "padding", "groups", "dilation"}
    | {"activation", "flipped"},
    "maxpool": {"size", "stride", "padding"},
    "upsample": {"stride"},
    "route": {"layers", "groups", "group_id"},
    "shortcut": {"from", "activation"},
    "yolo": {"mask", "anchors", "classes", "num", "scale_x_y"} | set(_TRAINING_YOLO.split()),
    "avgpool": set(),
    "connected": {"output", "activation", "batch_normalize", "flipped"},
    "softmax": {"groups", "noloss"},
    "dropout": {"probability", "dropblock", "dropblock_size_rel", "dropblock_size_abs"},
    "cost": {"type", "scale", "ratio"},
    "crop": {"crop_height", "crop_width", "flip", "angle", "saturation", "exposure", "shift", "noadjust"},
}
SAME = {"network": "net", "conv": "convolutional", "max": "maxpool", "conn": "connected", "soft": "softmax"} | {
    "avg": "avgpool"
}


MAX_CFG = 1 << 24  # bytes
MAX_LAYERS = 1000  # Keras recurses over the layers of a deep network; YOLOv4 has 162
MAX_INTEGER = 1 << 20  # the largest size or count in a cfg


@dataclass(frozen=True)
class Section:
    """A section of a cfg, with its values as text."""

    file: Path
    kind: str
    line: int  # of the section's name
    index: int  # of the layer, counted from 0 as Darknet does; -1 is [net]
    values: dict[str, tuple[str, int]]  # key -> value, line

    @property
    def where(self) -> str:
        """File, line, kind and number of the section, for errors."""
        number = "" if self.index < 0 else f", layer {self.index}"
        return f"{self.file}:{self.line}: [{self.kind}]{number}"

    def at(self, key: str) -> str:
        """File, line and section of a key, for errors."""
        line = self.values[key][1] if key in self.values else self.line
        return f"{self.file}:{line}: [{self.kind}] {key}"

    def integer(self, key: str, default: int, least: int | None = None) -> int:
        """The whole number of a key; with `least`, one from `least` to MAX_INTEGER. Raises InputError otherwise."""
        number = self._number(key, default, int, "a whole number")
        if least is not None:
            require(number >= least, self.at(key), f"found {number}", f"at least {least}")
            require(number <= MAX_INTEGER, self.at(key), f"found {number:,}", f"at most {MAX_INTEGER:,}")
        return number

    def real(self, key: str, default: float) -> float:
        """The number of a key. Raises InputError if it is not finite."""
        number = self._number(key, default, float, "a number")
        require(math.isfinite(number), self.at(key), f"found {number}", "a finite number")
        return number

    def text(self, key: str, default: str) -> str:
        """The text of a key."""
        return self.values.get(key, (default, 0))[0]

    def integers(self, key: str) -> list[int]:
        """The whole numbers of a key, which must be present."""
        return [int(number) for number in self._list(key, int, "whole numbers separated by commas")]

    def reals(self, key: str) -> list[float]:
        """The numbers of a key, which must be present. Raises InputError if one is not finite."""
        numbers = self._list(key, float, "numbers separated by commas")
        require(all(map(math.isfinite, numbers)), self.at(key), f"found {numbers}", "finite numbers")
        return numbers

    def _number(self, key: str, default: Any, kind: Callable, words: str) -> Any:
        if key not in self.values:
            return default
        try:
            return kind(self.values[key][0])
        except ValueError:
            raise InputError(f"{self.at(key)}: found {self.values[key][0]!r}, expected {words}") from None

    def _list(self, key: str, kind: Callable, words: str) -> list:
        require(key in self.values, self.where, f"{key} is missing", words)
        try:
            return [kind(word) for word in self.values[key][0].strip(",").split(",")]
        except ValueError:
            raise InputError(f"{self.at(key)}: found {self.values[key][0]!r}, expected {words}") from None


@dataclass(frozen=True)
class Cfg:
    """A network as a cfg file describes it; `text` is the content of the file."""

    file: Path
    text: str
    net: Section
    layers: list[Section]

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's images."""
        height, width, channels = (self.net.integer(key, 0, least=1) for key in ("height", "width", "channels"))
        return height, width, channels


def read_cfg(file: str | Path) -> Cfg:
    """Reads a Darknet cfg file. Raises InputError if it cannot be read or has an unknown section or key."""
    file = Path(file)
    return parse_cfg(read_text(file, "Darknet cfg", MAX_CFG), file)


def parse_cfg(text: str, file: Path) -> Cfg:
    """The network that a cfg's text describes; `file` names it in errors."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = "".join(line.split())
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            sections.append(_section(file, line, number, len(sections) - 1))
        else:
            require(bool(sections), f"{file}:{number}", f"found {line!r} before any section", "[net] first")
            _option(sections[-1], line, number)
    if not sections or sections[0].kind != "net":
        found = sections[0].where if sections else f"{file}: no section"
        raise InputError(f"{found}: expected a Darknet cfg, whose first section is [net]")
    require(len(sections) > 1, str(file), "no section after [net]", "the layers of a network")
    require(len(sections) <= MAX_LAYERS + 1, str(file), f"{len(sections) - 1:,} layers", f"at most {MAX_LAYERS:,}")
    return Cfg(file, text, sections[0], sections[1:])


def _section(file: Path, line: str, number: int, index: int) -> Section:
    name = line.strip("[]")
    kind = SAME.get(name, name)
    if kind not in KEYS or (kind == "net") != (index < 0):
        what = "unknown section" if kind not in KEYS else "a section at the wrong place:"
        raise InputError(f"{file}:{number}: {what} [{name}]{nearest(name, sorted(KEYS))}")
    return Section(file, kind, number, index, {})


def _option(section: Section, line: str, number: int) -> None:
    key, equals, value = line.partition("=")
    where = f"{section.file}:{number}: [{section.kind}]"
    require(bool(equals and value), where, f"found {line!r}", "key=value")
    if key not in KEYS[section.kind]:
        raise InputError(f"{where}: unknown key {key}{nearest(key, sorted(KEYS[section.kind]))}")
    section.values.setdefault(key, (value, number))
