"""Published results from `report/published/*.yaml`, and the differences between their conditions and a run's.

A file is one report: its data set, the limitations of its numbers (`caveats`) and its experiments.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from keras_cnn import config as config_module
from keras_cnn.run_folder.record import Record

# Settings by which a run trains on a part of its data set, which publications state among their conditions.
_PARTIAL_DATA = ("data.subset", "data.per_class", "data.train", "train.overfit_batch")


@dataclass(frozen=True)
class PublishedDataset:
    """The images of a publication; a run has the same if classes, or name and number of classes, agree."""

    name: str
    source: str  # letters and digits that the data.source of a run must contain
    classes: tuple[str, ...] = ()  # () if they are not printed
    train: int | None = None
    test: int | None = None


@dataclass(frozen=True)
class PublishedAblation:
    """A published table of class accuracies, in [0, 1], before and after some filters were set to zero."""

    name: str  # REPORT/EXPERIMENT of the network
    convolutions: int  # number of leading convolutions that were changed
    filters: int  # number of leading filters set to zero in each of them
    split: str
    classes: Mapping[str, tuple[float, float]]  # name -> before, after
    overall: tuple[float, float]
    decimals: int  # printed decimal places of the class accuracies
    overall_decimals: int
    table: str  # its place in the report
    conditions: Mapping[str, Any]  # settings of the network's training
    caveats: tuple[str, ...]
    dataset: PublishedDataset

    @property
    def source(self) -> str:
        return f"{self.name.partition('/')[0].upper()}, {self.table}"


def experiment(name: str) -> tuple[str, dict, dict]:
    """(report, publication, experiment) of a name such as "cs7015/net1", as in the file.

    Raises InputError, with the nearest name, for an unknown experiment.
    """
    report, _, key = config_module.published_name(name, "published").partition("/")
    publication = yaml.safe_load((config_module.PUBLISHED / f"{report}.yaml").read_text(encoding="utf-8"))
    return report, publication, publication["experiments"][key]


def dataset_of(publication: dict) -> PublishedDataset:
    """The images of a publication, from the mapping that `experiment` returns."""
    entry = publication["dataset"]
    return PublishedDataset(**entry | {"classes": tuple(entry.get("classes", ()))})


def ablation_of(name: str) -> PublishedAblation | None:
    """The published ablation of the network of an experiment such as "cs7015/net4"; None if there is none.

    Raises InputError, with the nearest name, for an unknown experiment.
    """
    report, publication, _ = experiment(name)
    for key, entry in publication["experiments"].items():
        if f"{report}/{entry.get('ablation', {}).get('of')}" == name:
            return ablation_in(f"{report}/{key}")
    return None


def ablation_in(name: str) -> PublishedAblation:
    """The ablation of an experiment such as "cs7015/net4-ablation"."""
    report, publication, entry = experiment(name)
    table = entry["ablation"]
    network = publication["experiments"][table["of"]]
    return PublishedAblation(
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
        caveats=(*publication["caveats"], *entry.get("caveats", ())),
        dataset=dataset_of(publication),
    )


def other_conditions(record: Record, conditions: Mapping[str, Any], parameters: bool = False) -> Iterator[str]:
    """The settings that differ from the published conditions; with `parameters`, only the model's settings."""
    model = record.config.get("model.name")
    other_model = model != conditions.get("model.name", model)
    for name, value in conditions.items():
        of_model, actual = name.startswith("model."), record.config.get(name)
        if actual == value or (parameters and not of_model) or (other_model and of_model and name != "model.name"):
            continue  # if the model differs, its options are not listed too
        yield f"{name} is {actual}, not {value}"


def parts_of_images(record: Record, conditions: Mapping[str, Any]) -> Iterator[str]:
    """The settings by which the run trained on a part of its data set, unless `conditions` have them too."""
    for name in _PARTIAL_DATA:
        if record.config.get(name) and name not in conditions:
            yield f"the run trained on a part of the images ({name} is {record.config[name]})"


def other_images(record: Record, dataset: PublishedDataset) -> str | None:
    """A sentence if the run's images are not the published ones, otherwise None."""
    source, classes = str(record.config.get("data.source")), record.split.get("classes")
    if dataset.classes and classes and sorted(dataset.classes) == sorted(name.lower() for name in classes):
        return None
    named = re.search(rf"{dataset.source}(?!\d)", re.sub(r"[^a-z0-9]", "", source.lower()))  # not cifar100
    same_number = not dataset.classes or not classes or len(classes) == len(dataset.classes)
    return None if named and same_number else f"it was measured on {dataset.name}, and the run's images are {source}"


def other_counts(record: Record, dataset: PublishedDataset) -> Iterator[str]:
    """The splits whose number of images differs from the published one."""
    for split, published in (("train", dataset.train), ("test", dataset.test)):
        images = images_in(record, split)
        if published and images and images != published:
            yield f"{images:,} {split} images here, {published:,} there"


def images_in(record: Record, split: str) -> int | None:
    """Number of images in a split of the run; None if it is not on record."""
    counts = record.split.get("counts")
    count = counts.get(split) if isinstance(counts, dict) else None
    return count if type(count) is int else None
