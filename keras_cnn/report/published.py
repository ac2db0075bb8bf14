"""Comparison of a run's numbers with published ones.

The published numbers of five student reports are in `published/*.yaml`. A file is one report: its data set, the
limitations of its numbers (`caveats`) and its experiments with their conditions, caveats and figures. A figure that no
run folder contains has `needs`: what measuring it requires. `analysis.published_means` reads the means over a grid.
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
    PublishedAblation,
    PublishedDataset,
    ablation_in,
    dataset_of,
    experiment,
    images_in,
    other_conditions,
    other_counts,
    other_images,
    parts_of_images,
)
from keras_cnn.report.scores import SplitScores, number, read_scores
from keras_cnn.run_folder.record import Record

Verdict = Literal["agrees", "differs", "cannot be compared"]
Interval = tuple[float, float]

COUNTED = ("trainable_parameters", "support", "epochs")  # exact numbers, which do not depend on the sampled images


@dataclass(frozen=True)
class PublishedFigure:
    """A published number and the known conditions under which it was obtained."""

    figure: str
    value: float
    source: str
    decimals: int  # printed decimal places
    class_name: str | None = None
    tolerance: float = 0.0
    conditions: Mapping[str, Any] = field(default_factory=dict)  # fields of a config and their values
    caveats: tuple[str, ...] = ()
    dataset: PublishedDataset | None = None
    needs: str | None = None  # what measuring it requires, if no run folder has it

    @property
    def label(self) -> str:
        return self.figure.replace("_", " ") + (f" of {self.class_name}" if self.class_name else "")

    @property
    def margin(self) -> float:
        """The largest error of the printed value: half of its last decimal place, plus the tolerance."""
        rounding = 0.0 if self.figure in COUNTED else 0.5 * 10.0**-self.decimals
        return rounding + self.tolerance


@dataclass(frozen=True)
class PublishedComparison:
    """A published number, the run's own number and the verdict."""

    figure: str
    published: float
    decimals: int  # printed decimal places
    measured: float | None
    interval: Interval | None  # at 95 % over the images; None if a run has none
    verdict: Verdict
    finding: str  # the difference, or the reason why it cannot be compared
    source: str
    caveats: tuple[str, ...] = ()  # limitations of the verdict
    obstacles: tuple[str, ...] = ()  # reasons why it cannot be compared

    @property
    def reason(self) -> str:
        return self.finding + "".join(f"; caveat: {caveat}" for caveat in self.caveats)


@functools.cache  # reading the files takes 0.6 s, and all runs of a sweep refer to the same experiment
def read_published(name: str) -> tuple[PublishedFigure, ...]:
    """The figures of an experiment of the package, such as "cs7015/net1", in their published order.

    Raises InputError, with the nearest name, for an unknown experiment.
    """
    report, publication, entry = experiment(name)
    shared = {
        "dataset": dataset_of(publication),
        "conditions": entry.get("conditions", {}),
        "needs": entry.get("needs"),
    }
    caveats = (*publication["caveats"], *entry.get("caveats", ()))
    figures = _figures_of_ablation(ablation_in(name)) if "ablation" in entry else entry["figures"]
    return tuple(_figure(report.upper(), shared, caveats, dict(figure)) for figure in figures)


def _figures_of_ablation(table: PublishedAblation) -> Iterator[dict]:
    rows = [*((name, table.decimals, pair) for name, pair in table.classes.items())]
    rows.append(("all images", table.overall_decimals, table.overall))
    for name, decimals, pair in rows:
        for when, value in zip(("before", "after"), pair, strict=True):
            printed = {"value": value, "decimals": decimals, "source": table.table}
            yield {"figure": f"accuracy of {name}, {when}", **printed}


def of_the_same_recipe(record: Record) -> dict[str, tuple[PublishedFigure, ...]]:
    """REPORT/EXPERIMENT -> figures of published fine-tunings with the record's images, backbone and weights.

    These are experiments with a condition on model.weights whose conditions the record's config meets. Their figures
    are shown without a verdict, because their other conditions are not published.
    """
    published = {}
    for file in sorted(config_module.PUBLISHED.glob("*.yaml")):
        for name, entry in yaml.safe_load(file.read_text(encoding="utf-8"))["experiments"].items():
            conditions = entry.get("conditions", {})
            if "model.weights" not in conditions:
                continue
            figures = read_published(f"{file.stem}/{name}")
            dataset, same_recipe = figures[0].dataset, not any(other_conditions(record, conditions))
            if same_recipe and dataset is not None and other_images(record, dataset) is None:
                published[f"{file.stem}/{name}"] = figures
    return published


def figures_of(record: Record) -> tuple[PublishedFigure, ...]:
    """The measurable figures in the run's field `published:`; () without it.

    Raises InputError for an unknown reference or an invalid entry.
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
        entries = [config_module.PublishedNumber(**entry) for entry in named]
    except TypeError as error:
        raise InputError(f"{place}: {error}; expected a list of figures") from None
    for entry in entries:
        if entry.figure not in _MEASURES:
            raise InputError(f"{place}: figure {entry.figure!r} is unknown; expected one of {', '.join(_MEASURES)}")
        if number(entry.value) is None:
            raise InputError(f"{place}: {entry.figure}: value {entry.value!r}; expected a number")
    return tuple(_own_figure(entry) for entry in entries)


def compare_with_published(record: Record, figures: Sequence[PublishedFigure]) -> list[PublishedComparison]:
    """Compares each published figure with the run's own number.

    "agrees": the published value, within its rounding and tolerance, lies in the measured 95 % interval. A count must
    be equal; a number without an interval (an epoch, a loss of an older version) must agree within rounding and
    tolerance. "differs": otherwise, with the difference in points and in half-widths of the interval. "cannot be
    compared": the run has other images or other conditions, is not finished, or lacks the number. The interval only
    covers the sampling of images; another seed changes the number further. Other limitations are in `caveats`.
    """
    return [_compared(record, figure) for figure in figures]


# --- reading ----------------------------------------------------------------------------------------------------------


def _figure(report: str, shared: dict, caveats: tuple[str, ...], entry: dict) -> PublishedFigure:
    """A figure; `caveats` concern the whole experiment, except exact counts."""
    entry["decimals"] = entry.get("decimals", _decimals(entry["value"]))
    entry["caveats"] = (*(() if entry["figure"] in COUNTED else caveats), *entry.get("caveats", ()))
    entry["source"] = f"{report}, {entry['source']}"
    return PublishedFigure(**shared, **entry)


def _own_figure(entry: config_module.PublishedNumber) -> PublishedFigure:
    return PublishedFigure(
        figure=entry.figure,
        value=entry.value,
        source=entry.source,
        decimals=_decimals(entry.value) if entry.decimals is None else entry.decimals,
        class_name=entry.class_name,
        tolerance=entry.tolerance,
        conditions=entry.conditions or {},
        caveats=(entry.note,) if entry.note else (),
    )


def _decimals(value: float) -> int:
    """Decimal places of the shortest text of a number: 4 for 0.6704, 0 for 173026.0, 5 for 3e-05."""
    return max(0, -int(Decimal(repr(value)).normalize().as_tuple().exponent))


# --- comparing --------------------------------------------------------------------------------------------------------


def _compared(record: Record, figure: PublishedFigure) -> PublishedComparison:
    obstacles = list(_obstacles(record, figure))
    measured, interval = _NOTHING if figure.needs else _MEASURES[figure.figure](record, figure)
    if not obstacles and measured is None:
        obstacles = [f"the run has no {figure.label}"]
    if obstacles or measured is None:
        verdict, finding, caveats = "cannot be compared", f"because {'; '.join(obstacles)}", ()
    else:
        verdict, finding = _verdict(figure, measured, interval)
        caveats = (*figure.caveats, *_caveats(record, figure))
    return PublishedComparison(
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


def _obstacles(record: Record, figure: PublishedFigure) -> Iterator[str]:
    """Reasons why two numbers belong to different experiments. Parameter counts only depend on the image shape."""
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


def _caveats(record: Record, figure: PublishedFigure) -> Iterator[str]:
    """Further differences that are recorded in the run folder."""
    if figure.figure not in COUNTED and figure.dataset is not None:
        yield from other_counts(record, figure.dataset)


def _verdict(figure: PublishedFigure, measured: float, interval: Interval | None) -> tuple[Verdict, str]:
    low, high = interval or (measured, measured)
    slack = 1e-12 * max(1.0, abs(figure.value))  # 0.6704 and 0.67035 have no exact binary form
    if low - figure.margin - slack <= figure.value <= high + figure.margin + slack:
        return "agrees", "within the measured interval" if interval else "equal as printed"
    by = measured - figure.value
    size = f"{100 * abs(by):.2f} points" if _is_share(figure) else f"{abs(by):,.{figure.decimals}f}"
    text = f"measured {size} {'higher' if by > 0 else 'lower'}"
    if high > low:
        return "differs", f"{text}, {abs(by) / ((high - low) / 2):.1f} half-widths of the interval"
    return "differs", text if figure.figure in COUNTED else f"{text}; a single run has no interval of it"


def _is_share(figure: PublishedFigure) -> bool:
    return figure.figure.endswith("accuracy") or figure.figure in ("precision", "recall", "f1")


# --- measuring --------------------------------------------------------------------------------------------------------

Measured = tuple[float | None, Interval | None]
_NOTHING: Measured = (None, None)


def _scores(record: Record, split: str) -> SplitScores:
    metrics = record.metrics if split == "test" else record.metrics.get(split)
    return read_scores(metrics, "")[0] if isinstance(metrics, dict) else SplitScores()


def _accuracy(split: str) -> Callable[[Record, PublishedFigure], Measured]:
    def measure(record: Record, figure: PublishedFigure) -> Measured:
        scores = _scores(record, split)
        return scores.accuracy, scores.interval

    return measure


def _loss(split: str) -> Callable[[Record, PublishedFigure], Measured]:
    def measure(record: Record, figure: PublishedFigure) -> Measured:
        scores = _scores(record, split)
        return scores.loss, scores.loss_interval

    return measure


def _class_score(name: str) -> Callable[[Record, PublishedFigure], Measured]:
    def measure(record: Record, figure: PublishedFigure) -> Measured:
        scores = _scores(record, "test")
        row = next((row for row in scores.classes if row.name.lower() == str(figure.class_name).lower()), None)
        return _NOTHING if row is None else (getattr(row, name), getattr(row, f"{name}_interval", None))

    return measure


def _history_value(column: str, pick: Callable[[list[float]], int], epoch: bool = False) -> Callable:
    """The value of a column, or with `epoch` its epoch, in the row that `pick` chooses."""

    def measure(record: Record, figure: PublishedFigure) -> Measured:
        rows = [row for row in record.history if number(row.get(column)) is not None]
        if not rows:
            return _NOTHING
        chosen = rows[pick([row[column] for row in rows])]
        if epoch:
            return number(chosen.get("epoch")), None
        images = images_in(record, "validation") if column == "val_accuracy" and 0 <= chosen[column] <= 1 else None
        return chosen[column], wilson(round(chosen[column] * images), images) if images else None

    return measure


def _parameters(record: Record, figure: PublishedFigure) -> Measured:
    totals = record.model.get("totals")
    return (number(totals.get("trainable")), None) if isinstance(totals, dict) else _NOTHING


def _last(values: list[float]) -> int:
    return len(values) - 1


def _largest(values: list[float]) -> int:
    return values.index(max(values))


def _smallest(values: list[float]) -> int:
    return values.index(min(values))


_MEASURES: dict[str, Callable[[Record, PublishedFigure], Measured]] = {
    "test_accuracy": _accuracy("test"),
    "test_loss": _loss("test"),
    "validation_accuracy": _accuracy("validation"),
    "validation_loss": _loss("validation"),
    "train_accuracy": _accuracy("train"),
    "train_loss": _loss("train"),
    "best_epoch": lambda record, figure: (number(record.metrics.get("best_epoch")), None),
    "epochs": lambda record, figure: (len(record.history) or None, None),
    "best_validation_accuracy": _history_value("val_accuracy", _largest),
    "best_validation_accuracy_epoch": _history_value("val_accuracy", _largest, epoch=True),
    "best_validation_loss": _history_value("val_loss", _smallest),
    "best_validation_loss_epoch": _history_value("val_loss", _smallest, epoch=True),
    "final_validation_accuracy": _history_value("val_accuracy", _last),
    "final_validation_loss": _history_value("val_loss", _last),
    "final_train_accuracy": _history_value("accuracy", _last),
    "final_train_loss": _history_value("loss", _last),
    "precision": _class_score("precision"),
    "recall": _class_score("recall"),
    "f1": _class_score("f1"),
    "support": _class_score("support"),
    "trainable_parameters": _parameters,
}
