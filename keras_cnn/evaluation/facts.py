"""Facts about how a result was obtained, from a run folder, a measured model or a published report."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from keras_cnn.data.duplicates import LISTED_WITHIN
from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions
from keras_cnn.run_folder.record import Record

SPLITS = ("train", "validation", "test")
CHOSEN_ON = (*SPLITS, "nothing")  # "nothing": not chosen by a result, for example the last epoch


@dataclass(frozen=True)
class ClassAccuracies:
    """A table of class accuracies (recalls) with the overall accuracy printed with it, all in [0, 1].

    A unit is the value of the last printed digit: 0.01 for "86 %", 0.0001 for "89.86 %", 0 for an unrounded number.
    """

    name: str  # of the table, such as "before the ablation"
    accuracies: tuple[float, ...]
    overall: float
    images: tuple[int, ...] | None = None  # of each class; None if not known
    unit: float = 0.0
    overall_unit: float = 0.0

    def __post_init__(self):
        if self.images is not None and (len(self.images) != len(self.accuracies) or sum(self.images) < 1):
            raise InputError(
                f"{self.name}: images {self.images} for {len(self.accuracies)} class accuracies; expected one count"
                " per class and at least one image"
            )


@dataclass(frozen=True)
class Quoted:
    """A quoted number, and the same number computed from the data printed with it, in the same unit."""

    what: str  # such as "training time with every layer trained, as a multiple of the head alone"
    quoted: float
    recomputed: float
    unit: float = 0.0  # value of the last quoted digit; 0 for counts and unrounded numbers
    because: str = ""  # reason for the difference if known, such as "the last layer's 10 biases are left out"


@dataclass(frozen=True)
class Protocol:
    """The known facts about how a result was obtained; None means not known.

    Raises InputError for an impossible fact: a negative count, an accuracy outside [0, 1], an unknown split.
    """

    train_images: int | None = None
    validation_images: int | None = None
    test_images: int | None = None
    ids_disjoint: bool | None = None  # no image id is in two splits
    exact_duplicates: int | None = None  # sets of pixel-identical images that span more than one split
    exact_duplicates_in_test: int | None = None  # test images in these sets
    near_duplicates: int | None = None  # pairs of nearly identical images in two different splits
    near_duplicates_in_test: int | None = None  # test images in these pairs
    groups: int | None = None  # groups of images, such as those of a patient, that should stay in one split
    groups_across: int | None = None  # those in more than one split
    groups_in_test: int | None = None  # test images of a group that is in another split too
    epochs: int | None = None  # trained epochs, from which one was chosen
    epoch_chosen_on: str | None = None  # one of CHOSEN_ON
    configurations: int | None = None  # tried configurations, from which one was chosen
    configuration_chosen_on: str | None = None  # one of CHOSEN_ON
    result_split: str | None = None  # split of the quoted accuracy: train, validation or test
    accuracy: float | None = None  # the quoted accuracy
    has_interval: bool | None = None  # whether the accuracy is printed with an interval
    seeds: int | None = None  # number of seeds with which the quoted configuration was trained
    test_readings: int | None = None  # number of times the network was measured or inspected on the test split
    tested: int | None = None  # configurations measured on the same test images and shown together
    highest_on_test: bool | None = None  # whether its test accuracy is the highest of these, possibly tied
    highest_on_validation: bool | None = None  # likewise for the validation accuracy
    test_augmentation: str | None = None  # random change of the evaluated images; "none" without
    dropout_active: bool | None = None  # whether dropout or another random layer was active while evaluating
    batch_norm_training: bool | None = None  # whether batch norm used the statistics of the evaluated batch
    fixed_training_mode: str | None = None  # layers that a plain model(images) leaves in training mode, or "none"
    output_activation: str | None = None  # activation on the logits; "linear" for none
    class_accuracies: tuple[ClassAccuracies, ...] | None = None
    quoted: tuple[Quoted, ...] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)  # field -> origin of the fact, with its numbers

    def __post_init__(self):
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if isinstance(value, int) and value < 0:
                raise InputError(f"protocol: {name} is {value}; expected a number of at least 0")
            if name.endswith("_chosen_on") and value not in (None, *CHOSEN_ON):
                raise InputError(f"protocol: {name} is {value!r}; expected one of {', '.join(CHOSEN_ON)}")
        if self.result_split not in (None, *SPLITS):
            raise InputError(f"protocol: result_split is {self.result_split!r}; expected train, validation or test")
        if self.accuracy is not None and not 0 <= self.accuracy <= 1:
            raise InputError(f"protocol: accuracy is {self.accuracy}; expected a fraction from 0 to 1")
        if strange := sorted(set(self.sources) - {f.name for f in fields(self)}):
            raise InputError(f"protocol: a source for {strange[0]!r}; expected the name of a fact")


def combined(*parts: Protocol) -> Protocol:
    """All known facts of `parts`; if several parts know a fact, the last value is kept with its source."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for part in parts:
        facts = known(part)
        sources = {name: text for name, text in sources.items() if name not in facts}
        sources |= {name: text for name, text in part.sources.items() if name in facts}
        values |= {name: getattr(part, name) for name in facts if name != "sources"}
    return Protocol(**values, sources=sources)


def known(facts: Protocol) -> dict[str, Any]:
    """The known facts as plain values for JSON."""
    return {name: value for name, value in asdict(facts).items() if value is not None}


def facts_of(record: Record, seeds: Sequence[int] | None = None) -> Protocol:
    """The facts recorded in a run folder. Facts in files that are missing, damaged or older stay unknown.

    `seeds` belong to all runs with the same settings; without them, only the run's own seed counts. A folder does not
    record on which images the configuration was chosen.
    """
    return combined(
        _of_split(record),
        _of_training(record, seeds),
        _of_result(record),
        _of_layers(record),
        *(_of_model_checks(record, name) for name in record.evaluations),
    )


def _of_split(record: Record) -> Protocol:
    split = record.split
    counts = {f"{name}_images": _read(split, f"counts.{name}", int) for name in SPLITS}
    exact, near = _read(split, "duplicates", dict) or {}, _read(split, "near_duplicates", dict) or {}
    groups = _read(split, "groups", dict) or {}
    sets, pairs = _read(exact, "sets_across_splits", int), _read(near, "pairs_across_splits", int)
    crossing_sets, crossing_pairs = _crossing(exact), _crossing(near)
    of = {name: f"split.json: counts.{name.removesuffix('_images')}" for name in counts}
    return Protocol(
        **counts,
        ids_disjoint=_read(split, "disjoint_by_id", bool),
        exact_duplicates=sets,
        exact_duplicates_in_test=_test_images(crossing_sets, sets),
        near_duplicates=pairs,
        near_duplicates_in_test=_test_images(crossing_pairs, pairs),
        groups=_read(groups, "groups", int),
        groups_across=_read(groups, "across_splits", int),
        groups_in_test=_read(groups, "test_images_of_groups_elsewhere", int),
        sources=of
        | {
            "ids_disjoint": "split.json: disjoint_by_id",
            "exact_duplicates": f"split.json: duplicates.sets_across_splits{_example(crossing_sets)}",
            "exact_duplicates_in_test": "split.json: duplicates.listed",
            "near_duplicates": f"split.json: near_duplicates.pairs_across_splits{_example(crossing_pairs)}"
            + (f"; rule: {near['rule']}" if _read(near, "rule", str) else ""),
            "near_duplicates_in_test": "split.json: near_duplicates.listed",
            "groups": "split.json: groups.groups",
            "groups_across": "split.json: groups.across_splits",
            "groups_in_test": "split.json: groups.test_images_of_groups_elsewhere",
        },
    )


Member = tuple[str, str]  # split, id


def _crossing(duplicates: dict) -> list[list[Member]]:
    """The listed sets or pairs that span more than one split; in a pair, the number of differing bits is left out."""
    groups = [group for group in _read(duplicates, "listed", list) or [] if isinstance(group, list)]
    listed = [[tuple(member) for member in group if _is_member(member)] for group in groups]
    return [group for group in listed if len({split for split, _ in group}) > 1]


def _is_member(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _test_images(crossing: list[list[Member]], total: int | None) -> int | None:
    """Number of test images in these sets or pairs; None if the list of sets or a list of members was truncated."""
    if total is None or len(crossing) < total or any(len(group) >= LISTED_WITHIN for group in crossing):
        return None
    return len({name for group in crossing for split, name in group if split == "test"})


def _example(crossing: list[list[Member]]) -> str:
    """The first set as text, preferably one with a test image; empty without sets."""
    with_test = [group for group in crossing if any(split == "test" for split, _ in group)]
    return "".join(
        "; e.g. " + " = ".join(f"{name} ({split})" for split, name in group[:3])
        for group in (with_test or crossing)[:1]
    )


def _of_training(record: Record, seeds: Sequence[int] | None) -> Protocol:
    monitor, where = _read(record.metrics, "chosen_by", str), "metrics.json: chosen_by"
    if monitor is None:
        monitor, where = record.config.get("train.monitor"), "config.yaml: train.monitor"
    seed = record.config.get("seed")
    every = sorted(set(seeds)) if seeds else [seed] if isinstance(seed, int) else []
    return Protocol(
        epochs=len(record.history) or None,
        epoch_chosen_on="validation" if str(monitor).startswith(("val_", "auto")) else None,
        seeds=len(every) or None,
        test_readings=len(record.test_readings) or (None if _is_tested(record) else 0),
        sources={
            "epochs": "history.csv: rows",
            "epoch_chosen_on": f"{where} = {monitor}",
            "seeds": f"config.yaml: seed = {', '.join(map(str, every))}",
            "test_readings": "test_readings.csv: " + ", ".join(map(_reading, record.test_readings)),
        },
    )


def _reading(row: dict[str, str]) -> str:
    """Date of a reading of the test split, and its purpose if it was not an evaluation."""
    return (row.get("date") or "?") + (row.get("images") or "").removeprefix("test split")


def _is_tested(record: Record) -> bool:
    """Whether the run's metrics were measured on test images; a trial of a sweep only has validation metrics."""
    measured = "accuracy" in record.metrics or "map" in record.metrics
    return record.finished and (measured or not _read(record.metrics, "validation", dict))


def _of_result(record: Record) -> Protocol:
    metrics, recipe = record.metrics, record.config.get("data.augment.name")
    if record.finished and not _is_tested(record):
        result, split, where = metrics["validation"], "validation", "metrics.json: validation"
    else:
        result, split, where = metrics, _read(metrics, "split", str), "metrics.json"
    accuracy = _read(result, "accuracy", float)
    sections = [("test split, metrics.json", metrics)]
    sections += [(f"{name} split, metrics.json", _read(metrics, name, dict) or {}) for name in ("validation", "train")]
    sections += [(f"evaluations/{name}/metrics.json", scores) for name, scores in record.evaluations.items()]
    tables = tuple(table for where, scores in sections if (table := _class_table(where, scores)))
    quoted = tuple(number for where, scores in sections if (number := _accuracy(where, scores)))
    quoted += tuple(_best_of_history(record))
    return Protocol(
        result_split=split if split in SPLITS else None,
        accuracy=accuracy if accuracy is not None and 0 <= accuracy <= 1 else None,
        has_interval="accuracy_interval" in result or "map_interval" in result if result else None,
        test_augmentation="none" if record.finished else None,
        class_accuracies=tables or None,
        quoted=quoted or None,
        sources={
            "result_split": f"{where}: split" if result is metrics else where,
            "accuracy": f"{where}: accuracy",
            "has_interval": f"{where}: accuracy_interval",
            "test_augmentation": "metrics.json: measured by the training program, which augments"
            f" (data.augment.name = {recipe}) in training steps alone",
        },
    )


def _class_table(where: str, scores: dict) -> ClassAccuracies | None:
    rows = list((_read(scores, "per_class", dict) or {}).values())
    recalls = tuple(_read(row, "recall", float) for row in rows)
    images = tuple(_read(row, "support", int) for row in rows)
    overall = _read(scores, "accuracy", float)
    if None in (*recalls, *images, overall) or not sum(images):
        return None
    return ClassAccuracies(where, recalls, overall, images)


def _accuracy(where: str, scores: dict) -> Quoted | None:
    confusion, accuracy = _counts(scores.get("confusion")), _read(scores, "accuracy", float)
    images = int(confusion.sum())
    if accuracy is None or not images:
        return None
    correct = int(np.trace(confusion))
    return Quoted(f"the accuracy ({where}) against its confusion matrix", accuracy, correct / images)


def _counts(value: Any) -> np.ndarray:
    """The confusion matrix (C, C) if `value` is one of counts, otherwise an empty one."""
    try:
        matrix = confusions.from_json(value)
    except (TypeError, ValueError, KeyError, OverflowError):
        return np.zeros((0, 0), np.int64)
    return matrix if matrix.min() >= 0 else np.zeros((0, 0), np.int64)


def _best_of_history(record: Record) -> Iterator[Quoted]:
    """The monitored value of the epoch recorded as the best, and the best value of all epochs."""
    monitor, best = _read(record.metrics, "chosen_by", str), _read(record.metrics, "best_epoch", int)
    if monitor is None or best is None:
        return
    values = {row.get("epoch"): row.get(monitor, math.nan) for row in record.history}
    finite = [value for value in values.values() if math.isfinite(value)]
    if best in values and finite:
        limit = min(finite) if monitor == "val_loss" else max(finite)
        yield Quoted(f"the best {monitor} of history.csv, in epoch {best} (metrics.json)", values[best], limit)


def _of_layers(record: Record) -> Protocol:
    """Facts from the layer types: without layers that behave differently in training, no mode can be wrong."""
    rows = _read(record.model, "layers", list)
    types = [_read(row, "type", str) for row in rows or []]
    if not types or None in types:
        return Protocol()
    where = f"model.json: none of {len(types)} layers"
    return Protocol(
        dropout_active=None if any(w in t for t in types for w in ("Dropout", "Noise", "Random")) else False,
        batch_norm_training=None if any("BatchNorm" in t for t in types) else False,
        sources={"dropout_active": f"{where} is random", "batch_norm_training": f"{where} is a batch norm"},
    )


_MODEL_FACTS = {
    "test_augmentation": str,
    "dropout_active": bool,
    "batch_norm_training": bool,
    "fixed_training_mode": str,
    "output_activation": str,
}


def _of_model_checks(record: Record, name: str) -> Protocol:
    """The facts that `model_checks.model_facts` measured in an evaluation, stored in its metrics as "protocol"."""
    stored = _read(record.evaluations[name], "protocol", dict) or {}
    values = {fact: _read(stored, fact, kind) for fact, kind in _MODEL_FACTS.items()}
    where = f"evaluations/{name}/metrics.json: protocol"
    texts = {fact: _read(stored, f"sources.{fact}", str) for fact in _MODEL_FACTS}
    return Protocol(**values, sources={fact: f"{where}; {text}" if text else where for fact, text in texts.items()})


def _read(values: Any, path: str, kind: type) -> Any:
    """The value at a dotted path in nested dicts; None where there is no valid value of this type.

    Whole numbers are counts, so negative ones are invalid. Floats that are not finite are invalid too.
    """
    value = values
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return value if kind is bool else None
    if kind is float:
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    if kind is int:
        return value if isinstance(value, int) and value >= 0 else None
    return value if isinstance(value, kind) else None
