"""The differences between the settings of runs."""

import json
from collections.abc import Sequence
from typing import Any

from keras_cnn.analysis.run_tables import Swept
from keras_cnn.charts import TextTable
from keras_cnn.report.runs import FEW, ReportedRun

_ABSENT = "-"  # a missing field, as in changes.txt
_IGNORED = ("name", "tracking.")
_LAYERS = "model.table"  # the field that is a list of layers, shown as a table of its own


def differences(runs: Sequence[ReportedRun], swept: Swept | None = None) -> TextTable:
    """The fields in which the configurations differ; for a single run, its differences from the defaults.

    For a sweep, the differences from the defaults that all its runs share; its table of runs shows the others.
    """
    if swept:
        changes = [dict.fromkeys(run.record.changes) for run in runs if run.record.changes]
        kept = [_change(line) for line in (changes[0] if changes else ()) if all(line in other for other in changes)]
        return TextTable(
            ("field", "default", "all runs"), tuple(row for row in kept if row and not _is_ignored(row[0]))
        )
    if len(runs) == 1:
        rows = [_change(line) for line in runs[0].record.changes]
        return TextTable(("field", "default", "this run"), tuple(row for row in rows if row))
    configs = [run.record.config for run in runs]
    names = dict.fromkeys(name for config in configs for name in config)
    rows = [
        (name, *(_shown(config.get(name, _ABSENT)) for config in configs))
        for name in names
        if not _is_ignored(name) and len({repr(config.get(name, _ABSENT)) for config in configs if config}) > 1
    ]
    if len(runs) > FEW:  # a row for each run
        by_run = zip(*(row[1:] for row in rows), strict=True) if rows else ()
        named = ((run.label, *values) for run, values in zip(runs, by_run, strict=False))
        return TextTable(("run", *(row[0] for row in rows)), tuple(named))
    return TextTable(("field", *(run.label for run in runs)), tuple(rows))


def layer_tables(runs: Sequence[ReportedRun]) -> list[tuple[str, TextTable]]:
    """The different values of `model.table`, a row for each layer, each with the labels of its runs."""
    groups: dict[str, list[ReportedRun]] = {}
    for run in runs:
        if _is_layers(run.record.config.get(_LAYERS)):
            groups.setdefault(json.dumps(run.record.config[_LAYERS]), []).append(run)
    head = ("row", "layer", "its number", "other options")
    return [
        (
            ", ".join(run.label for run in group),
            TextTable(head, tuple(_layer(n, row) for n, row in enumerate(group[0].record.config[_LAYERS], 1))),
        )
        for group in groups.values()
    ]


def _is_layers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) and row for row in value)


def _layer(number: int, row: dict) -> tuple[str, ...]:
    """A row of `model.table`: its first key is the layer, as in the files that users write."""
    (kind, main), *options = row.items()
    words = ", ".join(f"{name} {value}" for name, value in options)
    return str(number), str(kind), "" if main is None else str(main), words


def _is_ignored(name: str) -> bool:
    return name.startswith(_IGNORED)


def _change(line: str) -> tuple[str, str, str] | None:
    name, colon, values = line.partition(": ")
    before, arrow, after = values.partition(" -> ")
    if name == _LAYERS:
        after = "see its layers below"
    return (name, before, after) if colon and arrow else None


def _shown(value: Any) -> str:
    if _is_layers(value):
        return f"{len(value)} layers, see below"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
