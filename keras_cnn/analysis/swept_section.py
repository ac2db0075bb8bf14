"""The section about a sweep: what was swept, and what became of its trials."""

import json
from collections.abc import Sequence
from pathlib import Path

from keras_cnn.analysis.factors import show
from keras_cnn.analysis.recipes import FOLDER
from keras_cnn.analysis.run_tables import Swept
from keras_cnn.analysis.sections import PageSection
from keras_cnn.charts import TextTable
from keras_cnn.charts.text import count
from keras_cnn.messages import counted
from keras_cnn.run_folder import is_config_of_boxes, shell_command
from keras_cnn.sweeps.distributions import Distribution
from keras_cnn.sweeps.space import fields_of
from keras_cnn.sweeps.study import Trial

_STATES = {"early": "ended early"}


def swept_section(swept: Swept) -> PageSection:
    sweep = swept.sweep
    head = ("parameter", "field", "distribution", "values")
    rows = tuple(
        (name, ", ".join(fields_of(sweep, name)), distribution.kind, _settings(distribution))
        for name, distribution in sweep.parameters.items()
    )
    failed = [trial for trial in swept.trials if trial.state == "failed"]
    early = [trial for trial in swept.trials if trial.state == "early"]
    tables = [("", TextTable(("what", "as"), tuple(_facts(swept)))), ("Parameters", TextTable(head, rows))]
    if failed:
        tables.append(("Failed trials", _ends(failed)))
    command = _command(swept)
    files = [(f"{name} of the sweep", _text_of(swept.folder / name)) for name in ("sweep.yaml", "base.yaml")]
    return PageSection(
        "sweep",
        "What was swept",
        "Sweep",
        notes=tuple(sweep.notes),
        tables=tuple(tables),
        folded=((f"{counted(len(early), 'trial')} ended early", _ends(early)),) if early else (),
        code=(("The command that makes it again", command), *((name, text) for name, text in files if text)),
    )


def _command(swept: Swept) -> str:
    base = swept.folder / "base.yaml"
    if count := swept.sweep.folds:
        program = ("detect", "--train") if is_config_of_boxes(base) else ("train",)
        return shell_command(*program, base, "--folds", str(count))
    program = ("finetune", "--compare") if (swept.folder / FOLDER).is_dir() else ("train", "--sweep")
    return shell_command(*program, swept.folder / "sweep.yaml")


def _facts(swept: Swept) -> list[tuple[str, str]]:
    sweep = swept.sweep
    trials = ", ".join(f"{n:,} {_STATES.get(state, state)}" for state, n in swept.counts.items())
    facts = [
        ("method", sweep.method),
        ("metric", f"{swept.metric}, to {sweep.goal}"),
        ("trials", trials or "none yet"),
    ]
    if sweep.run_cap is not None:
        facts.append(("trials at most", count(sweep.run_cap)))
    if sweep.repeats > 1:
        facts.append(("seeds a trial", f"{sweep.repeats}; every run is kept, the trial's value is their mean"))
    if sweep.early_terminate is not None:
        given = {name: v for name, v in vars(sweep.early_terminate).items() if v is not None and name != "type"}
        facts.append(("ended early by", "hyperband: " + ", ".join(f"{name} {value}" for name, value in given.items())))
    if sweep.description:
        facts.append(("description", sweep.description))
    return facts


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="backslashreplace") if path.is_file() else ""


def _ends(trials: Sequence[Trial]) -> TextTable:
    rows = ((t.label, ", ".join(f"{n} {show(v)}" for n, v in t.assignment.items()), t.reason) for t in trials)
    return TextTable(("trial", "settings", "reason"), tuple(rows))


def _settings(distribution: Distribution) -> str:
    settings = distribution.settings
    values = settings.get("values") or ([settings["value"]] if "value" in settings else None)
    if values is None:
        return ", ".join(f"{name} {show(value)}" for name, value in settings.items())
    texts = [json.dumps(v) if isinstance(v, list | dict | bool) or v is None else show(v) for v in values]
    if chances := settings.get("probabilities"):
        texts = [f"{text} ({chance:g})" for text, chance in zip(texts, chances, strict=True)]
    return ", ".join(texts)
