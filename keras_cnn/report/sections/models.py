"""The networks by layer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_cnn.charts.text import count
from keras_cnn.report.pictures import diagram_url
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import number

_LARGEST_DIAGRAM = 60_000  # bytes


@dataclass(frozen=True)
class NetworkTable:
    """A network and its runs."""

    runs: tuple[ReportedRun, ...]
    name: str
    layers: tuple[dict, ...]
    totals: dict
    diagram: tuple[str, tuple[int, int]] | None = None  # data: URL of model.svg, with its width and height in pixels
    without: str = ""  # why there is none


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
            *_diagram(group[0].record.path / "model.svg"),
        )
        for group in groups.values()
    ]


def _diagram(path: Path) -> tuple[tuple[str, tuple[int, int]] | None, str]:
    """The diagram of a run, and otherwise why it is not on the page; runs of older versions have none."""
    if not path.is_file():
        return None, ""
    if path.stat().st_size > _LARGEST_DIAGRAM:
        return None, f"The diagram is in {path}."
    try:
        return diagram_url(path), ""
    except (OSError, ValueError) as error:
        return None, f"{path} cannot be shown: {error}."


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
