"""The file that a course or a competition asks for: an id and a label for each image, or the columns of a sample."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from keras_cnn.checking import nearest
from keras_cnn.data.tables import PATH_COLUMNS, ImageTable, read_csv
from keras_cnn.data.walking import extension
from keras_cnn.errors import InputError
from keras_cnn.evaluation.predictions import open_csv
from keras_cnn.prediction.images import ListedImage
from keras_cnn.prediction.table import ImagePredictions
from keras_cnn.run_folder import replacing

HEADER = ("id", "label")


@dataclass(frozen=True)
class SubmissionPlan:
    """The header of a submission and, for each of its rows, the id and the index of the image.

    `columns` are the classes whose probabilities are written; if there are none, the predicted class is.
    """

    header: tuple[str, ...]
    id_place: int  # of the id in the header
    ids: tuple[str, ...]
    images: tuple[int, ...]
    columns: dict[int, str]  # place in the header -> class


def plan_submission(images: Sequence[ListedImage], classes: Sequence[str], template: Path | None) -> SubmissionPlan:
    """What will be written, which is checked before anything is predicted.

    Without a template, the id of an image is that of the table that lists it, else its name without folder and ending;
    names that are not unique keep their path. A template gives the columns, the rows and their order. Raises
    InputError for a template with other columns, and for its ids without an image.
    """
    if template is None:
        return SubmissionPlan(HEADER, 0, tuple(_ids(images)), tuple(range(len(images))), {})
    table = read_csv(template)
    id_column = table.find(PATH_COLUMNS) or table.columns[0]
    others = [column for column in table.columns if column != id_column]
    columns = _class_columns(table, others, classes)
    ids = table.column(id_column)
    return SubmissionPlan(table.columns, table.columns.index(id_column), ids, _matched(ids, images, template), columns)


def _class_columns(table: ImageTable, others: Sequence[str], classes: Sequence[str]) -> dict[int, str]:
    """Place -> class of the columns named after classes; none if one column takes the predicted class."""
    named = [column for column in others if column in classes]
    if not named and len(others) == 1:
        return {}
    unknown = [column for column in others if column not in classes]
    if unknown or not others:
        found = f"no class {unknown[0]!r}{nearest(unknown[0], classes)}" if unknown else "only one column"
        raise InputError(f"{table.file}: {found}; expected an id and a label, or an id and columns named after classes")
    return {table.columns.index(column): column for column in others}


def _ids(images: Sequence[ListedImage]) -> list[str]:
    stems = [image.id or _stem(image.path.name) for image in images]
    unique = len(set(stems)) == len(stems)
    return stems if unique else [image.id or image.name for image in images]


def _stem(name: str) -> str:
    return name[: len(name) - len(extension(name))]


def _matched(ids: Sequence[str], images: Sequence[ListedImage], template: Path) -> tuple[int, ...]:
    """The index of the image of each id: by its id in a table, its path, its name, or its name without ending."""
    places: dict[str, list[int]] = {}
    for index, image in enumerate(images):
        names = {image.id, image.name, image.path.name, _stem(image.path.name)} - {""}
        parts = PurePath(image.name).parts
        names |= {"/".join(parts[start:]) for start in range(len(parts))}
        for name in names:
            places.setdefault(name, []).append(index)
    missing = [i for i in ids if i not in places]
    if missing:
        more = ", ..." if len(missing) > 10 else ""
        named = ", ".join(missing[:10])
        raise InputError(f"{template}: {len(missing):,} of {len(ids):,} ids have no image: {named}{more}")
    several = next((i for i in ids if len(places[i]) > 1), None)
    if several is not None:
        first, second, *_ = (images[index].name for index in places[several])
        raise InputError(f"{template}: id {several} fits both {first} and {second}; expected one image for an id")
    return tuple(places[i][0] for i in ids)


def write_submission(path: Path, plan: SubmissionPlan, predictions: ImagePredictions) -> int:
    """Writes the file and returns the number of rows left without a label, whose images could not be read.

    Ids and labels are written as they are, because a competition compares them letter by letter.
    """
    predicted, place_of = predictions.predicted, {name: i for i, name in enumerate(predictions.classes)}
    empty = 0
    with replacing(path) as temporary, open_csv(temporary) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(plan.header)
        for name, image in zip(plan.ids, plan.images, strict=True):
            label = predicted[image]
            empty += label is None
            row = [label or ""] * len(plan.header)
            for place, title in plan.columns.items():
                row[place] = "" if label is None else f"{predictions.probabilities[image, place_of[title]]:.9g}"
            row[plan.id_place] = name
            rows.writerow(row)
    return empty
