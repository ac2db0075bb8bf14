"""The networks by layer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from keras_cnn.charts.text import count
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import number


@dataclass(frozen=True)
class NetworkTable:
    """A network and its runs."""

    runs: tuple[ReportedRun, ...]
    name: str
    layers: tuple[dict, ...]
    totals: dict


def networks(runs: Sequence[ReportedRun]) -> list[NetworkTable]:
    """The different networks with their runs, without runs that have no readable model.json."""
    groups: dict[str, list[ReportedRun]] = {}
    for run in runs:
        layers = run.record.model.get("layers")
        if isinstance(layers, list) and layers and all(isinstance(layer, dict) for layer in layers):
            groups.setdefault(json.dumps(layers), []).append(run)
    return [
        NetworkTable(
            tuple(group),
            str(group[0].record.model.get("name", "")),
            tuple(_layer(layer) for layer in group[0].record.model["layers"]),
            {name: group[0].total(name) for name in ("trainable", "other", "multiply_adds")},
        )
        for group in groups.values()
    ]


def _layer(row: dict) -> dict:
    """A layer as text, with a dash for each value that an older or damaged file lacks."""
    shape, view = row.get("output_shape"), row.get("field")
    sides = [view.get(side) for side in ("height", "width")] if isinstance(view, dict) else []
    sides = [side for side in sides if isinstance(side, dict)]
    known = len(sides) == 2
    return {
        "layer": str(row.get("layer", "–")),
        "type": str(row.get("type", "–")),
        "output": "×".join("?" if n is None else str(n) for n in shape) if isinstance(shape, list) else "–",
        "trainable": count(number(row.get("trainable"))),
        "other": count(number(row.get("other"))),
        "multiply_adds": count(number(row.get("multiply_adds"))),
        "field": _both(sides, "size") if known else "–",
        "stride": _both(sides, "stride") if known else "–",
    }


def _both(sides: list[dict], name: str) -> str:
    height, width = (side.get(name, "?") for side in sides)
    return f"{height}" if height == width else f"{height}×{width}"
