"""Measured beside published: the numbers that a report printed, and whether a run's own agree with them.

The printed numbers of five student reports stand in `published/*.yaml`, one file a report: its data set, what weakens
every number of it (`caveats`), and its experiments with their conditions, caveats and figures. A figure that no run
folder holds has `needs` with what it would take; tables of a grid's means are read by `published_means`.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import yaml

from keras_cnn import config as config_module
from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.publications import (
    Ablation,
    Dataset,
    ablation_in,
    dataset_of,
    experiment,
    images_in,
    other_conditions,
    other_counts,
    other_images,
    parts_of_images,
)
from keras_cnn.report.scores import Scores, number, read_scores
from keras_cnn.run_folder.record import Record

Verdict = Literal["agrees", "differs", "cannot be compared"]
Interval = tuple[float, float]

COUNTED = ("trainable_parameters", "support", "epochs")  # exact: sampling does not move them


@dataclass(frozen=True)
class Figure:
    """A printed number with all that is known of how it was made."""

    figure: str
    value: float
    source: str
    decimals: int  # places printed after the point
    class_name: str | None = None
    tolerance: float = 0.0
    conditions: Mapping[str, Any] = field(default_factory=dict)  # fields of a config and the values they had
    caveats: tuple[str, ...] = ()
    dataset: Dataset | None = None
    needs: str | None = None

    @property
    def label(self) -> str:
        return self.figure.replace("_", " ") + (f" of {self.class_name}" if self.class_name else "")

    @property
    def margin(self) -> float:
        """How far the printed value may lie from what it stands for: half its last place, and the tolerance."""
        rounding = 0.0 if self.figure in COUNTED else 0.5 * 10.0**-self.decimals
        return rounding + self.tolerance


@dataclass(frozen=True)
class Beside:
    """One row of the table: what was printed, what was measured, and what follows."""

    figure: str
    published: float
    decimals: int  # places printed after the point
    measured: float | None
    interval: Interval | None  # at 95 %, over the images; None where one run gives none
    verdict: Verdict
    finding: str  # how far; or why not
    source: str
    caveats: tuple[str, ...] = ()  # what weakens the verdict
    obstacles: tuple[str, ...] = ()  # why it cannot be compared

    @property
    def reason(self) -> str:
        return self.finding + "".join(f"; caveat: {caveat}" for caveat in self.caveats)


@functools.cache  # reading the files takes 0.6 s on two busy cores, and all runs of a sweep name the same experiment
def read_published(name: str) -> tuple[Figure, ...]:
    """The figures of an experiment that comes with the package, such as "cs7015/net1", in the order of the print.

    InputError, with the nearest name, if there is none.
    """
    report, publication, found = experiment(name)
    shared = {
        "dataset": dataset_of(publication),
        "conditions": found.get("conditions", {}),
        "needs": found.get("needs"),
    }
    weak = (*publication["caveats"], *found.get("caveats", ()))
    entries = found.get("figures") or _of_ablation(ablation_in(name))
    return tuple(_figure(report.upper(), shared, weak, dict(entry)) for entry in entries)


def _of_ablation(table: Ablation) -> Iterator[dict]:
    every = [*((name, table.decimals, pair) for name, pair in table.classes.items())]
    every.append(("all images", table.overall_decimals, table.overall))
    for name, decimals, pair in every:
        for when, value in zip(("before", "after"), pair, strict=True):
            told = {"value": value, "decimals": decimals, "source": table.table}
            yield {"figure": f"accuracy of {name}, {when}", **told}


def of_the_same_recipe(record: Record) -> dict[str, tuple[Figure, ...]]:
    """REPORT/EXPERIMENT -> figures of the fine-tunings that were of the record's images, backbone and weights.

    Those are experiments with a condition on model.weights, all conditions of which the record's config meets. Their
    figures are to be shown and not judged: what else they `need` is not printed.
    """
    found = {}
    for file in sorted(config_module.PUBLISHED.glob("*.yaml")):
        for name, entry in yaml.safe_load(file.read_text(encoding="utf-8"))["experiments"].items():
            conditions = entry.get("conditions", {})
            if "model.weights" not in conditions:
                continue
            figures = read_published(f"{file.stem}/{name}")
            same_recipe = not any(other_conditions(record, conditions))
            if same_recipe and other_images(record, figures[0].dataset) is None:
                found[f"{file.stem}/{name}"] = figures
    return found


def figures_of(record: Record) -> tuple[Figure, ...]:
    """The measurable figures that the run's `published:` names; () if it names none.

    InputError for a reference that this version does not know, or an entry that is none.
    """
    named = record.config.get("published")
    if named is None:
        return ()
    place = f"{record.path / 'config.yaml'}: published"
    if isinstance(named, str):
        try:
            return tuple(figure for figure in read_published(named) if figure.needs is None)
        except InputError as error:
            raise InputError(f"{record.path / 'config.yaml'}: {error}") from None
    try:
        given = [config_module.PublishedNumber(**entry) for entry in named]
    except TypeError as error:
        raise InputError(f"{place}: {error}; expected a list of figures") from None
    for entry in given:
        if entry.figure not in _MEASURES:
            raise InputError(f"{place}: figure {entry.figure!r} is unknown; expected one of {', '.join(_MEASURES)}")
        if number(entry.value) is None:
            raise InputError(f"{place}: {entry.figure}: value {entry.value!r}; expected a number")
    return tuple(_own(entry) for entry in given)


def beside(record: Record, figures: Sequence[Figure]) -> list[Beside]:
    """Each figure beside the run's own number.

    "agrees": the published value, within its rounding and tolerance, lies in the measured 95 % interval; a count is
    equal; a number without an interval (an epoch; a loss of an older version) lies within rounding and tolerance.
    "differs": else, with the distance in points and in half-widths of the interval. "cannot be compared": the run has
    other images, other conditions, is not finished or holds no such number. The interval is of the sampling of images
    alone: another seed moves the number further. Whatever else weakens a verdict stands among its `caveats`.
    """
    return [_beside(record, figure) for figure in figures]


# --- reading ----------------------------------------------------------------------------------------------------------


def _figure(report: str, shared: dict, weak: tuple[str, ...], entry: dict) -> Figure:
    """`weak` are the caveats of the whole experiment, which do not touch what is counted."""
    entry["decimals"] = entry.get("decimals", _decimals(entry["value"]))
    entry["caveats"] = (*(() if entry["figure"] in COUNTED else weak), *entry.get("caveats", ()))
    entry["source"] = f"{report}, {entry['source']}"
    return Figure(**shared, **entry)


def _own(given: config_module.PublishedNumber) -> Figure:
    return Figure(
        figure=given.figure,
        value=given.value,
        source=given.source,
        decimals=_decimals(given.value) if given.decimals is None else given.decimals,
        class_name=given.class_name,
        tolerance=given.tolerance,
        conditions=given.conditions or {},
        caveats=(given.note,) if given.note else (),
    )


def _decimals(value: float) -> int:
    """Places after the point of the shortest text that gives the number: 4 of 0.6704, 0 of 173026.0, 5 of 3e-05."""
    return max(0, -Decimal(repr(value)).normalize().as_tuple().exponent)


# --- comparing --------------------------------------------------------------------------------------------------------


def _beside(record: Record, figure: Figure) -> Beside:
    obstacles = list(_obstacles(record, figure))
    measured, interval = _NOTHING if figure.needs else _MEASURES[figure.figure](record, figure)
    if not obstacles and measured is None:
        obstacles = [f"the run holds no {figure.label}"]
    if obstacles:
        verdict, finding, caveats = "cannot be compared", f"because {'; '.join(obstacles)}", ()
    else:
        verdict, finding = _judge(figure, measured, interval)
        caveats = (*figure.caveats, *_caveats(record, figure))
    return Beside(
        figure=figure.label,
        published=figure.value,
        decimals=figure.decimals,
        measured=measured,
        interval=interval,
        verdict=verdict,
        finding=finding,
        source=figure.source,
        caveats=caveats,
        obstacles=tuple(obstacles),
    )


def _obstacles(record: Record, figure: Figure) -> Iterator[str]:
    """Why the two numbers are not of the same experiment. The number of parameters knows no data but their shape."""
    if figure.needs:
        yield f"it needs {figure.needs}"
        return
    parameters = figure.figure == "trainable_parameters"
    if not parameters and not record.finished:
        yield "the run is not finished"
    if figure.dataset and (other := other_images(record, figure.dataset)):
        yield other
        return
    yield from other_conditions(record, figure.conditions, parameters)
    if not parameters and figure.dataset:
        yield from parts_of_images(record, figure.conditions)


def _caveats(record: Record, figure: Figure) -> Iterator[str]:
    """What else is not the same, as far as the run folder tells."""
    if figure.figure not in COUNTED and figure.dataset is not None:
        yield from other_counts(record, figure.dataset)


def _judge(figure: Figure, measured: float, interval: Interval | None) -> tuple[Verdict, str]:
    low, high = interval or (measured, measured)
    slack = 1e-12 * max(1.0, abs(figure.value))  # 0.6704 and 0.67035 have no exact binary form
    if low - figure.margin - slack <= figure.value <= high + figure.margin + slack:
        return "agrees", "within the measured interval" if interval else "equal as printed"
    by = measured - figure.value
    size = f"{100 * abs(by):.2f} points" if _is_share(figure) else f"{abs(by):,.{figure.decimals}f}"
    text = f"measured {size} {'higher' if by > 0 else 'lower'}"
    if high > low:
        return "differs", f"{text}, {abs(by) / ((high - low) / 2):.1f} half-widths of the interval"
    return "differs", text if figure.figure in COUNTED else f"{text}; one run gives no interval of it"


def _is_share(figure: Figure) -> bool:
    return figure.figure.endswith("accuracy") or figure.figure in ("precision", "recall", "f1")


# --- measuring --------------------------------------------------------------------------------------------------------

Measured = tuple[float | None, Interval | None]
_NOTHING: Measured = (None, None)


def _scores(record: Record, split: str) -> Scores:
    metrics = record.metrics if split == "test" else record.metrics.get(split)
    return read_scores(metrics, "")[0] if isinstance(metrics, dict) else Scores()


def _accuracy(split: str) -> Callable[[Record, Figure], Measured]:
    def measure(record: Record, figure: Figure) -> Measured:
        scores = _scores(record, split)
        return scores.accuracy, scores.interval

    return measure


def _loss(split: str) -> Callable[[Record, Figure], Measured]:
    def measure(record: Record, figure: Figure) -> Measured:
        scores = _scores(record, split)
        return scores.loss, scores.loss_interval

    return measure


def _of_class(name: str) -> Callable[[Record, Figure], Measured]:
    def measure(record: Record, figure: Figure) -> Measured:
        scores = _scores(record, "test")
        row = next((row for row in scores.classes if row.name.lower() == str(figure.class_name).lower()), None)
        return _NOTHING if row is None else (getattr(row, name), getattr(row, _INTERVALS.get(name, ""), None))

    return measure


_INTERVALS = {"precision": "precision_interval", "recall": "interval", "f1": "f1_interval"}  # of a class


def _of_history(column: str, pick: Callable[[list[float]], int], epoch: bool = False) -> Callable:
    """The value of a column, or with `epoch` the epoch, in the row that `pick` chooses."""

    def measure(record: Record, figure: Figure) -> Measured:
        rows = [row for row in record.history if number(row.get(column)) is not None]
        if not rows:
            return _NOTHING
        chosen = rows[pick([row[column] for row in rows])]
        if epoch:
            return number(chosen.get("epoch")), None
        images = images_in(record, "validation") if column == "val_accuracy" and 0 <= chosen[column] <= 1 else None
        return chosen[column], wilson(round(chosen[column] * images), images) if images else None

    return measure


def _parameters(record: Record, figure: Figure) -> Measured:
    totals = record.model.get("totals")
    return (number(totals.get("trainable")), None) if isinstance(totals, dict) else _NOTHING


def _last(values: list[float]) -> int:
    return len(values) - 1


def _largest(values: list[float]) -> int:
    return values.index(max(values))


def _smallest(values: list[float]) -> int:
    return values.index(min(values))


_MEASURES: dict[str, Callable[[Record, Figure], Measured]] = {
    "test_accuracy": _accuracy("test"),
    "test_loss": _loss("test"),
    "validation_accuracy": _accuracy("validation"),
    "validation_loss": _loss("validation"),
    "train_accuracy": _accuracy("train"),
    "train_loss": _loss("train"),
    "best_epoch": lambda record, figure: (number(record.metrics.get("best_epoch")), None),
    "epochs": lambda record, figure: (len(record.history) or None, None),
    "best_validation_accuracy": _of_history("val_accuracy", _largest),
    "best_validation_accuracy_epoch": _of_history("val_accuracy", _largest, epoch=True),
    "best_validation_loss": _of_history("val_loss", _smallest),
    "best_validation_loss_epoch": _of_history("val_loss", _smallest, epoch=True),
    "final_validation_accuracy": _of_history("val_accuracy", _last),
    "final_validation_loss": _of_history("val_loss", _last),
    "final_train_accuracy": _of_history("accuracy", _last),
    "final_train_loss": _of_history("loss", _last),
    "precision": _of_class("precision"),
    "recall": _of_class("recall"),
    "f1": _of_class("f1"),
    "support": _of_class("support"),
    "trainable_parameters": _parameters,
}
