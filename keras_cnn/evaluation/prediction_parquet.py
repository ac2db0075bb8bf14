"""The table of very many predictions as Parquet, with pyarrow, which is an extra."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation import probability_files
from keras_cnn.extras import require_extra
from keras_cnn.run_folder import replacing

_NAMES = ("true", "predicted", *(f"class_{place}" for place in range(1, probability_files.LISTED + 1)))


@dataclass(frozen=True)
class Coded:
    """A column of N texts, few of them different: `names[codes[i]]` is the text of row i."""

    names: tuple[str, ...]
    codes: np.ndarray  # (N,) integers


def coded(texts: Iterable[str]) -> Coded:
    """The column of these texts."""
    places: dict[str, int] = {}
    codes = np.array([places.setdefault(text, len(places)) for text in texts], np.int64)
    return Coded(tuple(places), codes)


def write(path: Path, ids, paths, labels, probabilities: np.ndarray, *, classes: Sequence[str]) -> None:
    """Writes the table that `predictions.write_predictions` describes; probabilities are float32."""
    import pyarrow as pa
    from pyarrow import parquet

    names = pa.array([_text(name) for name in classes])

    def of_classes(indices: np.ndarray):
        return pa.DictionaryArray.from_arrays(pa.array(indices.astype(np.int32)), names)

    predicted = probabilities.argmax(axis=1)
    columns: dict[str, Any] = {
        "id": pa.array(_text(text) for text in ids),
        "path": pa.array(_text(text) for text in paths),
        "true": of_classes(np.asarray(labels)),
        "predicted": of_classes(predicted),
        "correct": (predicted == labels).astype(np.int8),
    }
    if probability_files.lists_few(classes):
        best = probability_files.most_probable(probabilities)
        for place in range(best.shape[1]):
            columns[f"class_{place + 1}"] = of_classes(best[:, place])
            columns[f"p_{place + 1}"] = probabilities[np.arange(len(best)), best[:, place]].astype(np.float32)
    else:
        columns |= {f"p_{name}": probabilities[:, i].astype(np.float32) for i, name in enumerate(classes)}
    with replacing(path) as temporary:
        parquet.write_table(pa.table(columns), temporary)


def read(path: Path) -> tuple[list[str], dict[str, Any]]:
    """The names of the columns, and the columns: texts as lists, names of classes as Coded, numbers as arrays.

    Raises InputError, naming the file, if pyarrow is missing and for a file that is no such table.
    """
    require_extra("parquet", str(path))
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot read the predictions: {' '.join(str(error).split())[:120]}") from None
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name in _NAMES:
            own = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            columns[name] = Coded(tuple(own.dictionary.to_pylist()), own.indices.to_numpy(zero_copy_only=False))
        elif name in ("id", "path"):
            columns[name] = column.to_pylist()
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
    return table.column_names, columns


def _text(value) -> str:
    """Text that Parquet can store: bytes of a file name that are not UTF-8 appear as `\\udcXX`, as in the CSV file."""
    return str(value).encode("utf-8", "backslashreplace").decode()
