"""Images from any source in three splits: names of sources, arrays, data frames and `tf.data` datasets."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from keras_cnn import data
from keras_cnn.api.calls import public
from keras_cnn.checking import check, nearest, placed
from keras_cnn.config.schema import TableColumns
from keras_cnn.data.arrays import keep_arrays
from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.cache import MEMORY_SHARE, checked_folder
from keras_cnn.data.dataset import Dataset
from keras_cnn.data.label_arrays import are_sets, checked_sets, column_names
from keras_cnn.data.label_lists import ALL, has_lists
from keras_cnn.data.splits import part_names
from keras_cnn.data.tables import GROUP_COLUMNS, LABEL_COLUMNS, PATH_COLUMNS, SPLIT_COLUMNS, ImageTable
from keras_cnn.errors import InputError
from keras_cnn.messages import listed
from keras_cnn.operating_system import available_memory
from keras_cnn.run_folder import write_text

Range = tuple[float, float]
_COLUMNS = {"path": PATH_COLUMNS, "label": LABEL_COLUMNS, "split": SPLIT_COLUMNS, "group": GROUP_COLUMNS}
_KINDS = (
    "the name of a source such as folder:photos, arrays (x, y), ((x, y), (x_test, y_test)), a dict of splits, or a"
    " tf.data.Dataset of (image, label), or a data frame with path and label"
)


@public
def load_data(
    source: Any,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    fit: str = "crop",
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.1,
    per_class: int | None = None,
    subset: int | None = None,
    seed: int = 1,
    group: int | str | Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    fold: str | None = None,
    corrupt: str = "fail",
    verify: str = "full",
    cache_dir: str | Path | None = None,
    table: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    value_range: Range | None = None,
) -> Dataset:
    """Images with labels in three disjoint splits.

    >>> keras_cnn.load_data("fashion-mini", subset=20)
    <Dataset fashion-mini: 200 train, 1,000 validation, 2,000 test; 10 classes; 28×28×1>
    >>> keras_cnn.load_data({"train": (images, labels), "test": (images[:6], labels[:6])}, classes=["cat", "dog"])
    <Dataset ...: 27 train, 3 validation, 6 test; 2 classes; 32×32×3>
    >>> keras_cnn.load_data("folder:photos", group=r"/(\\d)").findings["groups"]["across_splits"]
    0

    Args:
        source: `folder:PATH`, `csv:FILE`, `shards:PATTERN`, `npz:FILE`, `tfds:NAME`, ...; or arrays `(x, y)`; or
            `((x, y), (x_test, y_test))`, as `keras.datasets` returns them; or a finite `tf.data.Dataset` of images and
            labels; or a dict of these by split: `{"train": ..., "validation": ..., "test": ...}`; or a data frame of
            pandas with the columns path and label, optionally split and group, or with the other names that a table
            may have, such as image and class. Images are `(N, H, W)` or `(N, H, W, C)`
            with 1 or 3 channels, whole numbers from 0 to 255. Labels are `(N,)`: text, or numbers 0 to C-1; or
            `(N, C)` of 0 and 1, for images that may have several of C classes. Arrays and data frames are kept in
            `cache_dir`, so that a run can read them again.
        image_size: side in pixels; by default the size of the images if they agree, else 128.
        channels: 1 or 3; by default 1 if all images are grey.
        fit: how an image of another shape is brought to that size: "crop", "center", "stretch" or "pad".
        train, validation, test: a fraction below 1, or a number of images, to cut; the source's own splits are kept.
        per_class, subset: the most images of a class in each part of the source; in the training split alone.
        seed: decides the splits, and everything random in a training on this data.
        group: images that stay in one split, such as those of a patient: a column of a table or a data frame; 1 for the
            folder that holds the image, 2 for the one above; or a pattern of its path with the group in parentheses,
            such as "(P\\\\d+)_". For arrays, the group of each image, `(N,)`, or a dict of these by split.
        fold: the fold that is held out as the test split, as "2/5"; see `cross_validate`.
        corrupt: "fail" names every image that cannot be read; "skip" leaves them out and lists them.
        verify: which image files are decoded before training, and compared at each start: "full" all, "sample" 1,000,
            "none" none.
        cache_dir: where arrays and what is known of files are kept; by default `~/.cache/keras_cnn`.
        table: the columns of a table of labels where they are not recognised: path, label, split, group; and root. For
            images that may have several labels: separator, the text between those of a cell; or classes, the columns
            of 0 and 1, or "all".
        classes: names of the classes of arrays, in the order of their numbers.
        value_range: the values of black and white in arrays of floats, such as (0, 1); they are rounded to 256 levels.

    Raises:
        InputError: for anything else, naming what was found and what is expected.
    """
    cutting = {"train": train, "validation": validation, "test": test, "per_class": per_class, "subset": subset}
    options = {
        "image_size": image_size,
        "channels": channels,
        "fit": fit,
        "seed": seed,
        "fold": fold,
        "corrupt": corrupt,
        "verify": verify,
    }
    options |= cutting
    if isinstance(group, int | str | None):
        options["group"] = group
    if isinstance(source, str | Path):
        if "group" not in options:
            raise InputError(
                f"load_data: group: found a {type(group).__name__}; expected a column, a level or a pattern"
            )
        if classes is not None or value_range is not None:
            name = "classes" if classes is not None else "value_range"
            raise InputError(f"load_data: {name} is for arrays; {source} has its own")
        name = f"folder:{source}" if isinstance(source, Path) else source
        return data.load(name, cache_dir=cache_dir, table=_columns(table), **options)
    folder = checked_folder(cache_dir) if cache_dir else default_cache_dir()
    if hasattr(source, "columns") and hasattr(source, "to_csv"):
        file, kept = _kept_frame(source, folder, _columns(table) or TableColumns(), options.pop("group", group))
        return data.load(f"csv:{file}", cache_dir=cache_dir, table=kept, **options)
    if table is not None:
        raise InputError("load_data: table is for tables and data frames; arrays have no columns")
    arrays = _arrays(source, classes, value_range)
    if "group" not in options:
        arrays |= _groups(source, group)
    return data.load(keep_arrays(arrays, folder), cache_dir=cache_dir, **options)


def _columns(table: Mapping[str, Any] | None) -> TableColumns | None:
    if table is None:
        return None
    hints = get_type_hints(TableColumns, include_extras=True)
    for name in table:
        if name not in hints:
            raise InputError(f"load_data: table: unknown column {name!r}{nearest(name, hints)}")
    return TableColumns(
        **{name: check(placed(v, "load_data"), hints[name], f"table.{name}") for name, v in table.items()}
    )


def _kept_frame(frame: Any, cache: Path, table: TableColumns, group: Any = None) -> tuple[Path, TableColumns | None]:
    """The CSV file below `cache` with the rows of a data frame, and how it is read; its paths are absolute."""
    columns = tuple(str(name) for name in frame.columns)
    named = ImageTable(Path("data frame"), columns, (), ())
    if group is not None and group not in columns:
        raise InputError(f"data frame: group: no column {group!r}{nearest(str(group), columns)}")
    given = {name: getattr(table, name) for name in _COLUMNS} | ({} if group is None else {"group": group})
    found = {
        name: named.chosen(own, f"table[{name!r}]") if (own := given[name]) else named.find(names)
        for name, names in _COLUMNS.items()
    }
    others = [own for name, own in found.items() if own and name != "label"]
    classes: tuple[str, ...] = ()
    if has_lists(table) and table.separator is None:
        classes = tuple(c for c in columns if c not in others) if table.classes == ALL else tuple(table.classes or ())
        classes = tuple(named.chosen(name, "table['classes']") for name in classes)
        found["label"] = None
    if missing := [name for name in ("path", *(() if classes else ("label",))) if found[name] is None]:
        expected = "expected path (or image, filename) and label (or class), optionally split and group"
        raise InputError(f"data frame: no column {missing[0]} among {', '.join(columns) or 'none'}; {expected}")
    taken = {name: own for name, own in found.items() if own} | {name: name for name in classes}
    if clash := [name for name in classes if name in found]:
        raise InputError(f"data frame: a class is called {clash[0]!r}, as a column is; expected another name")
    kept = type(frame)({name: frame[frame.columns[columns.index(own)]] for name, own in taken.items()})
    kept = kept.assign(path=[os.path.abspath(os.path.expanduser(str(path))) for path in kept["path"]])
    if not classes:
        kept = kept.assign(label=[_as_cell(label, table.separator) for label in kept["label"]])
    text = kept.to_csv(index=False)
    file = cache / "frames" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    return file, TableColumns(separator=table.separator, classes=classes or table.classes) if has_lists(table) else None


def _as_cell(label: Any, separator: str | None) -> Any:
    """A label as the cell of a table has it: a list of several is joined by the separator."""
    if not isinstance(label, list | tuple | set | frozenset):
        return label
    if separator is None:
        raise InputError(
            f"data frame: column label: found the list {label!r}; expected one class an image, or table={{'separator':"
            " '|'}}, with which an image may have several"
        )
    names = sorted(map(str, label)) if isinstance(label, set | frozenset) else list(map(str, label))
    if wrong := [name for name in names if separator in name]:
        raise InputError(f"data frame: column label: {wrong[0]!r} has the separator {separator!r}; expected another")
    return separator.join(names)


def _arrays(source: Any, classes: Sequence[str] | None, value_range: Range | None) -> dict[str, np.ndarray]:
    """Images and labels by the names that `data.arrays.read_npz` reads."""
    pairs = {name: _pair(name, part) for name, part in _parts(source).items()}
    names: list[str] | None = None if classes is None else _checked_names(classes)
    arrays, sets = {}, _sets(pairs)
    if sets:
        names = list(column_names("classes", names, next(iter(sets.values())).shape[1]))
    for part, (images, labels) in pairs.items():
        ending = f"_{part}" if part else ""
        arrays[f"x{ending}"] = _pixels(f"x{ending}", images, value_range)
        if sets:
            arrays[f"y{ending}"] = sets[f"y{ending}"]
        else:
            arrays[f"y{ending}"], names = _labels(f"y{ending}", labels, names)
        if len(arrays[f"x{ending}"]) != len(arrays[f"y{ending}"]):
            counts = f"{len(arrays[f'x{ending}']):,} images, y{ending} has {len(arrays[f'y{ending}']):,} labels"
            raise InputError(f"x{ending} has {counts}; expected a label for each image")
    return arrays | {"classes": np.array(names)}


def _groups(source: Any, given: Any) -> dict[str, np.ndarray]:
    """The groups of arrays by the names that `data.arrays.read_npz` reads, as text."""
    parts = list(_parts(source))
    by_split = given if isinstance(given, Mapping) else {parts[0]: given}
    if len(by_split) < len(parts) or set(by_split) - set(parts):
        found, expected = ", ".join(map(repr, by_split)), ", ".join(map(repr, parts))
        raise InputError(f"load_data: group: found {found}; expected the groups of each split: a dict of {expected}")
    return {f"group_{name}" if name else "group": np.array(list(map(str, by_split[name]))) for name in parts}


def _sets(pairs: Mapping[str, tuple[Any, Any]]) -> dict[str, np.ndarray]:
    """The labels of all parts by their names if images may have several classes, else {}. InputError for others."""
    given = {f"y_{part}" if part else "y": np.asarray(labels) for part, (_, labels) in pairs.items()}
    first = next(iter(given.values()))
    return checked_sets("", given) if are_sets(first) and first.dtype.kind in "iub" else {}


def _parts(source: Any) -> dict[str, Any]:
    """The parts of a source by split, the training split first; "" if there is one part, which is cut later."""
    if isinstance(source, Mapping):
        meant = part_names("load_data", map(str, source))
        unknown = [name for name in source if name not in meant.values()]
        if unknown or "train" not in meant:
            found = ", ".join(map(repr, source)) or "nothing"
            raise InputError(f"load_data: a dict of {found}; expected the splits train, validation and test")
        return {part: source[meant[part]] for part in ("train", "validation", "test") if part in meant}
    if _is_pair(source) and all(_is_pair(part) for part in source):
        return {"train": source[0], "test": source[1]}
    return {"": source}


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def _pair(name: str, part: Any) -> tuple[Any, Any]:
    """Images and labels of a part."""
    if hasattr(part, "element_spec"):
        return _from_tf_data(name or "load_data", part)
    if isinstance(part, tuple | list) and len(part) == 2:
        return part[0], part[1]
    raise InputError(f"{name or 'load_data'}: found {_described(part)}; expected {_KINDS}")


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} without labels"
    if isinstance(value, tuple | list):
        return f"{len(value)} values"
    return f"a {type(value).__name__}"


def _from_tf_data(name: str, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of a `tf.data.Dataset`, batched or not."""
    spec = dataset.element_spec
    ranks = [getattr(part.shape, "rank", None) for part in spec] if isinstance(spec, tuple) else []
    if len(ranks) != 2 or ranks[0] not in (3, 4):
        raise InputError(f"{name}: a tf.data.Dataset of {spec}; expected pairs of images (H, W, C) and labels")
    if int(dataset.cardinality()) == -1:
        raise InputError(f"{name}: an endless tf.data.Dataset; expected a finite one, without repeat() or with take(N)")
    images, labels, size = [], [], 0
    limit = MEMORY_SHARE * available_memory()
    for image, label in dataset.as_numpy_iterator():
        images.append(image)
        labels.append(label)
        size += image.nbytes
        if limit and size > limit:
            so_far = f"{size / 2**30:.1f} GiB after {len(images):,} elements"
            raise InputError(f"{name}: a tf.data.Dataset of {so_far}; expected a finite one that fits into memory")
    if not images:
        raise InputError(f"{name}: a tf.data.Dataset without elements; expected images and labels")
    if ranks[0] == 4:
        return np.concatenate(images), np.concatenate(labels)
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        found = f"{shapes[0]} and {shapes[1]}"
        raise InputError(f"{name}: a tf.data.Dataset with images of {found}; expected one size, as of tf.image.resize")
    return np.stack(images), np.array(labels)


def _pixels(name: str, given: Any, value_range: Range | None) -> np.ndarray:
    """(N, H, W) or (N, H, W, C) uint8."""
    images = np.asarray(given)
    found, expected = f"{images.dtype} {images.shape}", "(N, H, W) or (N, H, W, 1 or 3), whole numbers from 0 to 255"
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)) or not images.size:
        raise InputError(f"{name}: found {found}; expected {expected}")
    if images.dtype.kind not in "iuf":
        raise InputError(f"{name}: found {found}; expected {expected}")
    low, high = float(images.min()), float(images.max())
    if images.dtype.kind in "iu":
        if value_range not in (None, (0, 255)) or low < 0 or high > 255:
            said = f", value_range {value_range}" if value_range else ""
            raise InputError(
                f"{name}: found {found} from {low:g} to {high:g}{said}; expected whole numbers of 0 to 255"
            )
        return images.astype(np.uint8)
    between = f"{found} from {low:.4g} to {high:.4g}"
    if value_range is None:
        said = "or value_range=(BLACK, WHITE), such as (0, 1), which says what the floats mean"
        raise InputError(f"{name}: found {between}; expected whole numbers from 0 to 255, {said}")
    black, white = map(float, value_range)
    if not (black < white and black <= low and high <= white):  # also for NaN
        raise InputError(f"{name}: found {between}; expected values inside value_range {value_range}")
    return np.rint((images - black) * (255 / (white - black))).astype(np.uint8)


def _checked_names(classes: Sequence[str]) -> list[str]:
    names = [str(name) for name in classes]
    if isinstance(classes, str) or len(set(names)) < len(names) or len(names) < 2:
        raise InputError(f"classes: found {classes!r}; expected at least two different names")
    return names


def _labels(name: str, given: Any, known: list[str] | None) -> tuple[np.ndarray, list[str]]:
    """(N,) int32 labels, and the names of the classes; `known` are names that were given or found before."""
    labels = np.asarray(given)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    if labels.dtype.kind == "O" and all(isinstance(label, str | bytes) for label in labels.flat):
        labels = np.array([label.decode() if isinstance(label, bytes) else label for label in labels.flat])
    if labels.ndim != 1 or labels.dtype.kind not in "iuU" or not len(labels):
        hint = "; labels.argmax(axis=1) makes them from one-hot rows" if labels.ndim == 2 else ""
        raise InputError(f"{name}: found {labels.dtype} {labels.shape}; expected (N,) whole numbers or text{hint}")
    present = np.unique(labels).tolist()
    if labels.dtype.kind == "U":
        names = known or [str(label) for label in present]
        if unknown := [label for label in present if label not in names]:
            raise InputError(f"{name}: the label {unknown[0]!r} is none of the classes {listed(names)}")
        index = {title: number for number, title in enumerate(names)}
        return np.array([index[label] for label in labels.tolist()], np.int32), names
    count = len(known) if known else present[-1] + 1
    if present[0] < 0 or present[-1] >= count or (known is None and len(present) < count):
        shown = ", ".join(map(str, present[:8])) + (", ..." if len(present) > 8 else "")
        expected = f"0 to {count - 1}" if known else "0 to C-1 without a gap, or classes=[...], or labels that are text"
        raise InputError(f"{name}: found the labels {shown}; expected {expected}")
    return labels.astype(np.int32), known or [str(number) for number in range(count)]
