"""`receptive-field`: which pixels a unit of each layer sees, by arithmetic and as the gradient shows it."""

from pathlib import Path

import numpy as np

from keras_cnn.figures.receptive_fields import Field, receptive_fields
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization.receptive_field import Reach, fields, reach

_SHOWN = 10


def draw(subject: OpenedModel, out: Path, *, layer: tuple[str, ...] = ()) -> list[Drawn]:
    """The field of the middle unit of some layers; the arrays have size, stride and offset of every layer.

    Options:
        layer: layers with a map; by default ten convolutions from the first to the last
    """
    known = fields(subject.model)
    chosen = list(layer) or _spread([block.name for block in subject.probe.convolutions if block.name in known])
    found = [reach(subject.probe, name) for name in chosen]
    panels = [Field(_caption(one, known), tuple(one.box), one.strength) for one in found]
    title = f"{subject.name}: what the middle unit of a layer sees"
    figure = receptive_fields(panels, title)
    arrays = {"layers": list(known), "shown": chosen, "units": [one.unit for one in found]}
    for part in ("size", "stride", "offset"):
        arrays[part] = [[getattr(axis, part) for axis in field] for field in known.values()]
    arrays["boxes"] = [one.box for one in found]
    arrays["strength"] = np.stack([one.strength for one in found])
    line = ", ".join(f"{one.layer} {known[one.layer].height.size} ({_verdict(one)})" for one in found)
    return [keep(out, "receptive-field", figure, arrays, f"pixels seen: {line}")]


def _spread(names: list[str]) -> list[str]:
    places = np.unique(np.linspace(0, len(names) - 1, min(_SHOWN, len(names))).astype(int))
    return [names[place] for place in places]


def _caption(found: Reach, known: dict) -> str:
    height, width = known[found.layer]
    size = f"{height.size}" if height.size == width.size else f"{height.size}×{width.size}"
    return f"{found.layer}\n{size} px, stride {height.stride}\n{_verdict(found)}"


def _verdict(found: Reach) -> str:
    if not found.contained:
        return "gradient: goes beyond"
    return "gradient: exact" if found.exact else "gradient: within"
