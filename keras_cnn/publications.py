"""What the publications print, as it stands in `report/published/*.yaml`, and how a run differs from them.

A file is one report: its data set, what weakens every number of it (`caveats`), and its experiments.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from keras_cnn import config as config_module
from keras_cnn.run_folder.record import Record

# Any of these makes a run train on less than its data set, which no publication here did unless its conditions say so.
_PARTS = ("data.subset", "data.per_class", "data.train", "train.overfit_batch")


@dataclass(frozen=True)
class Dataset:
    """What a publication says of its images; a run's are the same if classes, or else name and class count, agree."""

    name: str
    source: str  # letters and digits that the run's data.source must contain
    classes: tuple[str, ...] = ()  # () where they are not printed
    train: int | None = None
    test: int | None = None


@dataclass(frozen=True)
class Ablation:
    """A printed table of class accuracies before and after some filters were set to zero; accuracies in [0, 1]."""

    name: str  # REPORT/EXPERIMENT of the network
    convolutions: int  # the first so many, and of each
    filters: int  # the first so many
    split: str
    classes: Mapping[str, tuple[float, float]]  # name -> before, after
    overall: tuple[float, float]
    decimals: int  # places printed after the point, of the classes
    overall_decimals: int
    table: str  # where in the report
    conditions: Mapping[str, Any]  # of the network's training
    caveats: tuple[str, ...]
    dataset: Dataset

    @property
    def source(self) -> str:
        return f"{self.name.partition('/')[0].upper()}, {self.table}"


def experiment(name: str) -> tuple[str, dict, dict]:
    """(report, publication, experiment) of a name such as "cs7015/net1", as they stand in the file.

    InputError, with the nearest name, if there is none.
    """
    report, _, key = config_module.published_name(name, "published").partition("/")
    publication = yaml.safe_load((config_module.PUBLISHED / f"{report}.yaml").read_text(encoding="utf-8"))
    return report, publication, publication["experiments"][key]


def dataset_of(publication: dict) -> Dataset:
    """The images of a publication, as `experiment` gives it."""
    entry = publication["dataset"]
    return Dataset(**entry | {"classes": tuple(entry.get("classes", ()))})


def ablation_of(name: str) -> Ablation | None:
    """The ablation that was published of the network of an experiment such as "cs7015/net4"; None if there is none.

    InputError, with the nearest name, for an experiment that is not known.
    """
    report, publication, _ = experiment(name)
    for key, found in publication["experiments"].items():
        if f"{report}/{found.get('ablation', {}).get('of')}" == name:
            return ablation_in(f"{report}/{key}")
    return None


def ablation_in(name: str) -> Ablation:
    """The ablation of an experiment that has one, such as "cs7015/net4-ablation"."""
    report, publication, found = experiment(name)
    table = found["ablation"]
    network = publication["experiments"][table["of"]]
    return Ablation(
        name=f"{report}/{table['of']}",
        convolutions=table["convolutions"],
        filters=table["filters"],
        split=table["split"],
        classes={key: tuple(pair) for key, pair in table["classes"].items()},
        overall=tuple(table["overall"]),
        decimals=table["decimals"],
        overall_decimals=table["overall_decimals"],
        table=table["source"],
        conditions=network["conditions"],
        caveats=(*publication["caveats"], *found.get("caveats", ())),
        dataset=dataset_of(publication),
    )


def other_conditions(record: Record, conditions: Mapping[str, Any], parameters: bool = False) -> Iterator[str]:
    """Fields that the run has otherwise than published; with `parameters` those of the model alone."""
    model = record.config.get("model.name")
    other_model = model != conditions.get("model.name", model)
    for name, value in conditions.items():
        of_model, found = name.startswith("model."), record.config.get(name)
        if found == value or (parameters and not of_model) or (other_model and of_model and name != "model.name"):
            continue  # another model has other options, which say no more than its name
        yield f"{name} is {found}, not {value}"


def parts_of_images(record: Record, conditions: Mapping[str, Any]) -> Iterator[str]:
    """That the run trained on less than its data set, unless `conditions` say so too."""
    for name in _PARTS:
        if record.config.get(name) and name not in conditions:
            yield f"the run trained on a part of the images ({name} is {record.config[name]})"


def other_images(record: Record, dataset: Dataset) -> str | None:
    """That the run's images are not the published ones; None where they are."""
    source, classes = str(record.config.get("data.source")), record.split.get("classes")
    if dataset.classes and classes and sorted(dataset.classes) == sorted(name.lower() for name in classes):
        return None
    named = re.search(rf"{dataset.source}(?!\d)", re.sub(r"[^a-z0-9]", "", source.lower()))  # not cifar100
    as_many = not dataset.classes or not classes or len(classes) == len(dataset.classes)
    return None if named and as_many else f"it was measured on {dataset.name}, and the run's images are {source}"


def other_counts(record: Record, dataset: Dataset) -> Iterator[str]:
    """The splits with more or fewer images than published."""
    for split, published in (("train", dataset.train), ("test", dataset.test)):
        found = images_in(record, split)
        if published and found and found != published:
            yield f"{found:,} {split} images here, {published:,} there"


def images_in(record: Record, split: str) -> int | None:
    """How many images a split of the run has; None if its folder does not tell."""
    counts = record.split.get("counts")
    found = counts.get(split) if isinstance(counts, dict) else None
    return found if type(found) is int else None
