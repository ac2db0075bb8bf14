"""Export of a model: each format is written, compared with Keras on real images, and timed."""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_cnn import run_folder
from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.comparison import Change
from keras_cnn.evaluation.multilabel.metrics import sigmoid
from keras_cnn.evaluation.results_folder import check_writable, replacing_folder
from keras_cnn.export import keras_file, litert, litert_int8, onnx, savedmodel
from keras_cnn.export.endpoint import INPUT, OUTPUT, classify, in_float32, signature
from keras_cnn.export.programs import write_program
from keras_cnn.export.quantisation import Quantisation, compared
from keras_cnn.extras import require_extra
from keras_cnn.messages import wrapped
from keras_cnn.models.class_names import SIGMOID, mark_several_labels
from keras_cnn.operating_system import cores

FORMATS = {"keras": keras_file, "savedmodel": savedmodel, "litert": litert, "onnx": onnx}
QUANTISED = {"litert-int8": litert_int8}  # whose logits differ; written if named

# Fraction of the largest absolute logit. A different order of float32 sums changes logits by about 1e-6 in a network of
# fifty layers; different padding, preprocessing or statistics change them by more than 1e-2.
TOLERANCE = 1e-4

CALLS = {1: 20, 32: 5}  # batch size -> timed calls
_WARM_UP = 2
_DISTURBED = 1.5  # a median above this multiple of the fastest call means that other programs used the cores
_BATCH = 32


ALL = FORMATS | QUANTISED
Run = Callable[[np.ndarray], np.ndarray]  # uint8 images (N, H, W, C) -> float32 logits (N, classes)


@dataclass(frozen=True)
class Latency:
    """Milliseconds per image over `calls` calls with `batch` images each."""

    batch: int
    calls: int
    median: float
    fastest: float
    slowest: float


@dataclass(frozen=True)
class ExportedModel:
    """A model in one format: its differences from Keras in float32, its size and its latencies."""

    format: str
    path: Path
    bytes: int
    images: int  # compared images
    max_abs_difference: float  # of any logit
    max_relative_difference: float  # divided by the largest absolute logit of Keras
    same_predictions: int  # images with the same predicted class, or classes
    latencies: tuple[Latency, ...]
    runtime: str  # name and version of the package that ran it
    accuracy: Change | None = None  # from Keras to a quantised format, on the labelled images

    @property
    def milliseconds(self) -> dict[int, float]:
        """Median milliseconds per image by batch size."""
        return {latency.batch: latency.median for latency in self.latencies}


def export(
    model: keras.Model,
    images: np.ndarray,
    folder: Path,
    formats: Sequence[str],
    classes: Sequence[str],
    *,
    fit: str = "crop",
    temperature: Mapping[str, float] | None = None,
    quantisation: Quantisation | None = None,
    thresholds: Sequence[float] | None = None,
) -> list[ExportedModel]:
    """Writes a classifier of 0-255 images in each of `formats` into `folder`, with classes.json and export.json.

    The exported model maps uint8 images (N, H, W, C) of the model's size, for any N, to float32 logits (N, classes),
    computed in float32 whatever type the model computes in. Each file has the class names in order, and so has
    classes.json. Beside each file lies a program that classifies images with it: it brings them to the model's size
    as `fit` says, and divides the logits by the `value` of the `temperature`; both are also in export.json. With
    `thresholds` (classes,), an image may have several classes: the probability of each is the sigmoid of its logit,
    and it counts from its threshold; export.json and the program say so. Each file is
    loaded again and compared with Keras on `images` (N, H, W, C) uint8. The new folder replaces an older one after all
    formats have passed; after an error the older one is unchanged. `model` is not changed.

    A format of QUANTISED needs `quantisation`: sample images, and labelled images on which its accuracy is compared
    with that of Keras by McNemar's test. The formats are timed in turn, call by call, so that each meets the same load.

    Raises InputError for an unknown format, a missing package, images or class names that do not fit the model, and an
    exact format whose logits differ from those of Keras by more than TOLERANCE times the largest absolute logit.
    """
    require_available(formats)
    check_writable(folder.parent)
    if quantisation is None and (needs := [name for name in formats if name in QUANTISED]):
        raise InputError(f"formats: {needs[0]}: found no sample images; expected them as `quantisation`")
    samples = None if quantisation is None else quantisation.samples
    _check(model, images, classes)
    model = in_float32(model)
    infer = tf.function(classify(model), signature(model), autograph=False).get_concrete_function()

    def keras_logits(batch: np.ndarray) -> np.ndarray:
        return infer(tf.constant(batch))[OUTPUT].numpy()

    expected = _in_batches(keras_logits, images)
    count = int((~np.isfinite(expected).all(axis=1)).sum())
    actual = f"found logits that are not finite for {count} of {len(images)} images"
    require(count == 0, f"{model.name}: export", actual, "numbers")
    with _replacing(folder) as staged:
        written, runs = [], {}
        for name in dict.fromkeys(formats):
            one, runs[name] = _export(
                model,
                name,
                classes,
                images=images,
                expected=expected,
                staged=staged,
                folder=folder,
                samples=samples,
                thresholds=thresholds,
            )
            if name in QUANTISED and quantisation is not None:
                one = replace(one, accuracy=compared(keras_logits, runs[name], quantisation, classes))
            written.append(one)
        latencies = _latencies(runs, images)
        exported = [replace(one, latencies=latencies[one.format]) for one in written]
        for one in exported:
            shape, divisor = tuple(images.shape[1:]), temperature["value"] if temperature else 1.0
            several = thresholds is not None
            write_program(
                staged, one.format, one.path.name, shape, fit=fit, temperature=divisor, several_labels=several
            )
        run_folder.write_json(staged / "classes.json", list(classes))
        described = _record(model, exported, classes) | {"fit": fit, "temperature": dict(temperature or {}) or None}
        if thresholds is not None:
            described["thresholds"] = dict(zip(classes, map(float, thresholds), strict=True))
            described["output"] |= {"activation": SIGMOID}
        run_folder.write_json(staged / "export.json", described)
    return exported


def require_available(formats: Sequence[str]) -> None:
    """Raises InputError for an unknown format or a format whose package is not installed."""
    require(len(formats) > 0, "formats", "none given", f"some of {', '.join(ALL)}")
    for name in formats:
        if name not in ALL:
            raise InputError(f"formats: unknown format {name!r}{nearest(name, ALL)}")
    for name in formats:
        require_extra("export", f"formats: {name}", ALL[name].MODULES)


def table(exported: Sequence[ExportedModel]) -> Iterator[str]:
    """Lines for a terminal: a header, one per format, and a note on latencies disturbed by other programs."""
    batches = list(exported[0].milliseconds)
    head = "".join(f"{f'ms, batch {batch}':>13}" for batch in batches)
    yield f"{'format':11}{'MB':>7}{head}{'difference':>11}{'same class':>11}  file"
    for model in exported:
        times = "".join(f"{model.milliseconds[batch]:13.2f}" for batch in batches)
        same = f"{model.same_predictions}/{model.images}"
        difference = f"{model.max_relative_difference:11.1e}"
        yield f"{model.format:11}{model.bytes / 1e6:7.2f}{times}{difference}{same:>11}  {model.path.name}"
    for model in exported:
        if model.accuracy is not None:
            yield from wrapped(f"{model.format}: {accuracy_in_words(model.accuracy)}", "accuracy    ", 12)
    disturbed = [
        f"{model.format} {latency.fastest:.2f} to {latency.slowest:.2f} ms at batch {latency.batch}"
        for model in exported
        for latency in model.latencies
        if latency.median > _DISTURBED * latency.fastest
    ]
    if disturbed:
        text = f"the machine was not idle, so these times an image are too long: {', '.join(disturbed)}"
        yield from wrapped(text, "note        ", 12)


def accuracy_in_words(change: Change) -> str:
    """The accuracy of Keras and of a quantised format on the same images, with their difference and its evidence."""
    low, high = (100 * end for end in change.difference_interval or (0, 0))
    return (
        f"{change.before:.4f} in float32, {change.after:.4f} quantised, on {change.images:,} validation images:"
        f" {100 * (change.difference or 0):+.2f} points [{low:+.2f}, {high:+.2f}], McNemar p {change.p:.2g}"
    )


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yields an empty folder, which replaces `folder` on success and is removed on an error."""
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # left by a killed export
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
    require(len(classes) == outputs[-1], where, f"found {len(classes)} class names", f"one per logit: {outputs[-1]}")


def _export(
    model: keras.Model,
    name: str,
    classes: Sequence[str],
    *,
    images: np.ndarray,
    expected: np.ndarray,
    staged: Path,
    folder: Path,
    samples: np.ndarray | None,
    thresholds: Sequence[float] | None,
) -> tuple[ExportedModel, Run]:
    module = ALL[name]
    path = staged / module.FILE
    if name in QUANTISED:
        QUANTISED[name].write(model, path, classes, samples)
    else:
        module.write(model, path, classes)
    if thresholds is not None and module is keras_file:
        mark_several_labels(path)
    run = module.load(path)
    logits = _in_batches(run, images)
    difference = float(np.abs(logits - expected).max())
    relative = difference / (float(np.abs(expected).max()) or 1.0)
    if name in FORMATS and not relative <= TOLERANCE:  # also true for NaN
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise InputError(
            f"{name}: the logits of {len(images)} images differ from those of Keras by {relative:.2g} of the largest"
            f" logit ({difference:.2g}); expected at most {TOLERANCE:g}; the file is removed"
        )
    described = ExportedModel(
        format=name,
        path=folder / module.FILE,
        bytes=_size(path),
        images=len(images),
        max_abs_difference=difference,
        max_relative_difference=relative,
        same_predictions=int((_predicted(logits, thresholds) == _predicted(expected, thresholds)).all(axis=1).sum()),
        latencies=(),
        runtime=_runtime(name),
    )
    return described, run


def _predicted(logits: np.ndarray, thresholds: Sequence[float] | None) -> np.ndarray:
    """(N, 1) the predicted class of each image, or (N, classes) those that reach their thresholds."""
    return logits.argmax(axis=1)[:, None] if thresholds is None else sigmoid(logits) >= np.asarray(thresholds)


def _in_batches(run: Run, images: np.ndarray) -> np.ndarray:
    return np.concatenate([run(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)])


def _latencies(runs: Mapping[str, Run], images: np.ndarray) -> dict[str, tuple[Latency, ...]]:
    """The latencies of each format, whose calls take turns."""
    found = {name: [] for name in runs}
    for batch, calls in CALLS.items():
        several = np.resize(images, (batch, *images.shape[1:]))  # repeats images if there are fewer
        times = {name: [] for name in runs}
        for call in range(_WARM_UP + calls):
            for name, run in runs.items():
                start = time.perf_counter()
                run(several)
                if call >= _WARM_UP:
                    times[name].append((time.perf_counter() - start) * 1e3 / batch)
        for name, values in times.items():
            found[name].append(Latency(batch, calls, statistics.median(values), min(values), max(values)))
    return {name: tuple(latencies) for name, latencies in found.items()}


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _runtime(name: str) -> str:
    package = ALL[name].RUNTIME
    return f"{package} {metadata.version(package)}"


def _record(model: keras.Model, exported: Sequence[ExportedModel], classes: Sequence[str]) -> dict:
    shape = list(model.inputs[0].shape[1:])
    return {
        "input": {"name": INPUT, "dtype": "uint8", "shape": ["N", *shape], "values": "0 to 255"},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": ["N", len(classes)], "values": "logits"},
        "computed_in": "float32",
        "tolerance": TOLERANCE,
        "threads": len(cores()),
        "load_average": os.getloadavg()[0],  # of the last minute; far above the number of threads if other programs ran
        "gpus": [gpu.name for gpu in tf.config.list_physical_devices("GPU")],  # used by TensorFlow and Keras
        "environment": run_folder.environment(),
        "formats": [asdict(model_file) | {"path": model_file.path.name} for model_file in exported],
    }
