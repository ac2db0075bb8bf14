"""Exporting a model: every format written, checked against Keras on real images, and measured."""

import os
import shlex
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_cnn import run_folder
from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.evaluations import replacing_folder
from keras_cnn.export import keras_file, litert, onnx, savedmodel
from keras_cnn.export.endpoint import INPUT, OUTPUT, classify, in_float32, signature

FORMATS = {"keras": keras_file, "savedmodel": savedmodel, "litert": litert, "onnx": onnx}

# Of the largest absolute logit. Float32 sums in another order end about 1e-6 apart in a network of fifty layers; a
# padding, a preprocessing or a statistic that is another one ends above 1e-2.
TOLERANCE = 1e-4

CALLS = {1: 20, 32: 5}  # images in a batch -> timed calls
_WARM_UP = 2
_DISTURBED = 1.5  # times the fastest call: a median above it means that most calls shared the cores with others
_BATCH = 32


@dataclass(frozen=True)
class Latency:
    """Milliseconds an image, over `calls` calls with `batch` images each."""

    batch: int
    calls: int
    median: float
    fastest: float
    slowest: float


@dataclass(frozen=True)
class Exported:
    """One format of a model, with its answers beside those of Keras in float32 and what it costs."""

    format: str
    path: Path
    bytes: int
    images: int  # that were compared
    max_abs_difference: float  # of any logit
    max_relative_difference: float  # the same, over the largest absolute logit of Keras
    same_predictions: int  # images with the same class of highest logit
    latencies: tuple[Latency, ...]
    runtime: str  # what ran it, with its version

    @property
    def milliseconds(self) -> dict[int, float]:
        """Images in a batch -> median milliseconds an image."""
        return {latency.batch: latency.median for latency in self.latencies}


def export(
    model: keras.Model, images: np.ndarray, folder: Path, formats: Sequence[str], classes: Sequence[str]
) -> list[Exported]:
    """Writes a classifier of 0-255 images in each of `formats` below `folder`, with classes.json and export.json.

    What is exported takes uint8 images (N, H, W, C) of the model's size, any N, and gives float32 logits (N, classes),
    computed in float32 whatever the model computes in; classes.json has their names in order. Every format is loaded
    again and answers `images` (N, H, W, C) uint8. The folder takes the place of an older one once all formats have
    passed; after an error the older one is untouched. `model` is not changed.

    Raises InputError for an unknown format, a package that is missing, images or class names that do not fit, and for a
    format whose logits are further than TOLERANCE times the largest absolute logit from Keras's.
    """
    require_available(formats)
    _check(model, images, classes)
    model = in_float32(model)
    answer = tf.function(classify(model), signature(model), autograph=False).get_concrete_function()
    expected = _in_batches(lambda batch: answer(tf.constant(batch))[OUTPUT].numpy(), images)
    count = int((~np.isfinite(expected).all(axis=1)).sum())
    found = f"found logits that are not finite for {count} of {len(images)} images"
    require(count == 0, f"{model.name}: export", found, "numbers")
    with _replacing(folder) as staged:
        exported = [_export(model, name, images, expected, staged, folder) for name in dict.fromkeys(formats)]
        run_folder.write_json(staged / "classes.json", list(classes))
        run_folder.write_json(staged / "export.json", _record(model, exported, classes))
    return exported


def require_available(formats: Sequence[str]) -> None:
    """Raises InputError for a format that does not exist, or one with a package that is not installed."""
    require(len(formats) > 0, "formats", "none given", f"some of {', '.join(FORMATS)}")
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"formats: unknown format {name!r}{nearest(name, FORMATS)}")
    needed = {module: wanted for name in formats for module, wanted in FORMATS[name].PACKAGES.items()}
    missing = {module: wanted for module, wanted in needed.items() if util.find_spec(module) is None}
    if missing:
        names = [name for name in dict.fromkeys(formats) if missing.keys() & FORMATS[name].PACKAGES.keys()]
        raise InputError(
            f"formats: {' and '.join(names)}: {', '.join(missing)} not found, expected after:"
            f" pip install {' '.join(map(shlex.quote, missing.values()))}"
        )


def table(exported: Sequence[Exported]) -> Iterator[str]:
    """A line a format, for a terminal, and one for every latency that cannot be trusted."""
    batches = list(exported[0].milliseconds)
    head = "".join(f"{f'ms/image, batch {batch}':>20}" for batch in batches)
    yield f"{'format':12}{'MB':>9}{head}{'difference':>13}{'same class':>13}   file"
    for one in exported:
        times = "".join(f"{one.milliseconds[batch]:20.2f}" for batch in batches)
        same = f"{one.same_predictions}/{one.images}"
        yield (
            f"{one.format:12}{one.bytes / 1e6:9.2f}{times}{one.max_relative_difference:13.1e}{same:>13}   {one.path}"
        )
    for one in exported:
        for latency in one.latencies:
            if latency.median > _DISTURBED * latency.fastest:
                span = f"{latency.fastest:.2f} to {latency.slowest:.2f} ms/image at batch {latency.batch}"
                yield f"note        {one.format}: {span}: the machine was not idle; export again when it is"


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `folder` on success and goes on an error."""
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # left by an export that was killed
    staging.mkdir(parents=True)
    try:
        with replacing_folder(folder, staging) as staged:
            yield staged
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check(model: keras.Model, images: np.ndarray, classes: Sequence[str]) -> None:
    shape, outputs = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape
    where = f"{model.name}: export"
    require(None not in shape, where, f"found images of {shape}", "a fixed height, width and number of channels")
    fits = images.dtype == np.uint8 and images.shape[1:] == shape and len(images) > 0
    require(fits, where, f"found {images.dtype} images of {images.shape}", f"uint8 of {('N', *shape)}".replace("'", ""))
    require(len(classes) == outputs[-1], where, f"found {len(classes)} class names", f"one a logit: {outputs[-1]}")


def _export(
    model: keras.Model, name: str, images: np.ndarray, expected: np.ndarray, staged: Path, folder: Path
) -> Exported:
    form = FORMATS[name]
    path = staged / form.FILE
    form.write(model, path)
    run = form.load(path)
    found = _in_batches(run, images)
    difference = float(np.abs(found - expected).max())
    relative = difference / (float(np.abs(expected).max()) or 1.0)
    if not relative <= TOLERANCE:  # so that NaN is refused too
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise InputError(
            f"{name}: answers {len(images)} images otherwise than Keras: logits {relative:.2g} of the largest apart"
            f" ({difference:.2g}); expected at most {TOLERANCE:g}; the file is removed"
        )
    return Exported(
        format=name,
        path=folder / form.FILE,
        bytes=_size(path),
        images=len(images),
        max_abs_difference=difference,
        max_relative_difference=relative,
        same_predictions=int((found.argmax(axis=1) == expected.argmax(axis=1)).sum()),
        latencies=tuple(_latency(run, images, batch, calls) for batch, calls in CALLS.items()),
        runtime=_runtime(name),
    )


def _in_batches(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    return np.concatenate([run(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)])


def _latency(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, batch: int, calls: int) -> Latency:
    several = np.resize(images, (batch, *images.shape[1:]))  # repeats them where there are fewer
    for _ in range(_WARM_UP):
        run(several)
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        run(several)
        taken.append((time.perf_counter() - start) * 1e3 / batch)
    return Latency(batch, calls, statistics.median(taken), min(taken), max(taken))


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _runtime(name: str) -> str:
    package = FORMATS[name].RUNTIME
    return f"{package} {metadata.version(package)}"


def _record(model: keras.Model, exported: Sequence[Exported], classes: Sequence[str]) -> dict:
    shape = list(model.inputs[0].shape[1:])
    return {
        "input": {"name": INPUT, "dtype": "uint8", "shape": ["N", *shape], "values": "0 to 255"},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": ["N", len(classes)], "values": "logits"},
        "computed_in": "float32",
        "tolerance": TOLERANCE,
        "threads": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],  # of the last minute; far above what the threads make, others computed too
        "gpus": [gpu.name for gpu in tf.config.list_physical_devices("GPU")],  # TensorFlow and Keras use them if any
        "environment": run_folder.environment(),
        "formats": [asdict(one) | {"path": one.path.name} for one in exported],
    }
