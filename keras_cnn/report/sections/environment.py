"""The environment of the runs, and how to reproduce them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from keras_cnn.charts.text import count
from keras_cnn.report.runs import FEW, ReportedRun
from keras_cnn.report.scores import mapping, number

_LISTED = 4  # number of different values of a fact that are listed for many runs


@dataclass(frozen=True)
class Fact:
    """A row of the environment: one text for all runs, or one for each run."""

    name: str
    texts: tuple[str, ...]

    @property
    def shared(self) -> bool:
        return len(set(self.texts)) == 1


def environment(runs: Sequence[ReportedRun]) -> list[Fact]:
    """Data, versions, hardware and commit: a row for each fact on record for at least one run."""
    columns = [_environment(run) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    if len(runs) > FEW:
        return [Fact(name, (_spread([column.get(name, "–") for column in columns]),)) for name in names]
    return [Fact(name, tuple(column.get(name, "–") for column in columns)) for name in names]


def _spread(texts: Sequence[str]) -> str:
    """The common value, or the most frequent values with their numbers of runs."""
    counts = Counter(texts)
    if len(counts) == 1:
        return texts[0]
    listed = [f"{text} ({n:,} {'run' if n == 1 else 'runs'})" for text, n in counts.most_common(_LISTED)]
    more = f"; and {len(counts) - _LISTED:,} more" if len(counts) > _LISTED else ""
    return "; ".join(listed) + more


def _environment(run: ReportedRun) -> dict[str, str]:
    recorded, split, config = run.record.environment, run.record.split, run.record.config
    hardware, packages = mapping(recorded.get("hardware")), mapping(recorded.get("packages"))
    counts = mapping(split.get("counts"))
    gpus = hardware.get("gpus")
    facts = {
        "data": config.get("data.source") or split.get("source"),
        "images": ", ".join(f"{name} {count(number(n))}" for name, n in counts.items()),
        "split (SHA-256)": str(split.get("sha256") or "")[:16],
        "started": str(recorded.get("started") or "").replace("T", " ").replace("+00:00", " UTC"),
        "computed in": run.record.metrics.get("computed_in") or hardware.get("computed_in"),
        "processor": hardware.get("processor"),
        "cores": hardware.get("cores"),
        "GPUs": ", ".join(map(str, gpus)) or "none" if isinstance(gpus, list) else gpus,
        "platform": recorded.get("platform"),
        "Python": recorded.get("python"),
        **{name: version for name, version in packages.items() if version},
        "git commit": recorded.get("git"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


@dataclass(frozen=True)
class Reproduction:
    """How to reproduce a run."""

    run: ReportedRun
    command: str | None
    commit: str | None
    config: str


def reproduction(run: ReportedRun) -> Reproduction:
    """The command, the commit and the configuration of a run."""
    recorded = run.record.environment
    text = (run.record.path / "config.yaml").read_text(encoding="utf-8", errors="backslashreplace")
    command, commit = recorded.get("command"), recorded.get("git")
    return Reproduction(run, str(command) if command else None, str(commit) if commit else None, text)
