"""Opens a classifier for prediction: a run, a Keras model file, or an export."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from keras_cnn.data.decoding import FITS
from keras_cnn.data.user_files import read_text, user_path
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.evaluation.metrics import softmax
from keras_cnn.evaluation.multilabel.metrics import sigmoid
from keras_cnn.evaluation.multilabel.recorded import recorded_thresholds
from keras_cnn.evaluation.multilabel.thresholds import DEFAULT, read_thresholds
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.evaluation.recorded_temperature import Temperature, recorded_temperature, temperature_in
from keras_cnn.export import exports
from keras_cnn.extras import require_extra
from keras_cnn.models.class_names import FILE as CLASSES
from keras_cnn.models.class_names import classes_in, has_several_labels, parsed_classes
from keras_cnn.models.inputs import with_image_shape, with_input_range
from keras_cnn.models.model_files import load_model
from keras_cnn.prediction.sources import DETECTOR, EXPORT, MODEL_FILE, RUN, kind_of
from keras_cnn.run_folder import RunFolder, read_json
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.visualization.probe import Probe

_MODEL = "model.keras"


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of C classes with all that a prediction needs."""

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # (H, W, C)
    fit: str  # how images are brought to that shape, see `data.decoding.decode`
    scores: Callable[[Iterable], np.ndarray]  # batches that start with images (B, H, W, C) uint8 -> (N, units) float32
    to_probabilities: Callable[[np.ndarray], np.ndarray]  # scores (N, units) -> (N, C) float64
    temperature: Temperature | None = None
    model: keras.Model | None = None  # None for an export
    thresholds: tuple[float, ...] | None = None  # (C,) of images that may have several classes; None: one class each
    separator: str = ","  # between the classes of an image in one cell of a table
    notes: tuple[str, ...] = field(default=())  # sentences that the user must read
    random_networks: dict = field(default_factory=dict, repr=False, compare=False)  # kept for the next explanation

    @cached_property
    def probe(self) -> Probe:
        """The network with its layers. InputError for an export, which has none."""
        if self.model is None:
            raise InputError(f"{self.name}: has no layers that can be read")
        return Probe(self.model, several_labels=self.thresholds is not None)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(N, C) float64 in [0, 1] from scores (N, units), calibrated if there is a temperature."""
        return self.to_probabilities(scores / self.temperature.value if self.temperature else scores)


def open_classifier(
    source: str | Path,
    *,
    classes: Sequence[str] = (),
    image_size: int | None = None,
    input_range: tuple[float, float] | None = None,
    calibrated: bool = True,
) -> Classifier:
    """The classifier that `source` names. Raises InputError, in one line, if it cannot be opened.

    classes: the names of the classes of a model file that has none inside or beside it.
    image_size: the side of the images of a model file that takes any size.
    input_range: the range that a model file without rescaling takes for 0-255.
    calibrated: whether a temperature that the run has is used.
    """
    kind, path = kind_of(source), user_path(source)
    if kind == DETECTOR:
        raise UsageError(f"{source}: a detector, which gives boxes; expected a classifier, or detect.py for boxes")
    if kind is None:
        raise InputError(f"{source}: no run folder, model file (.keras, .h5) or export (.onnx, .tflite, SavedModel)")
    if kind != MODEL_FILE and (classes or image_size or input_range):
        option = "classes" if classes else "images"
        raise UsageError(f"{source}: has its own {option}; only a Keras model file is given one")
    if kind == RUN:
        return _open_run(path, calibrated)
    if kind == EXPORT:
        return _open_export(path, calibrated)
    return _open_file(path, tuple(classes), image_size=image_size, input_range=input_range, calibrated=calibrated)


def _open_run(path: Path, calibrated: bool) -> Classifier:
    record = read_record(RunFolder.open(path).path)
    if not (path / _MODEL).is_file():
        raise InputError(f"{path}: its {_MODEL} is gone; expected the run's model, or one of its exports instead")
    notes = [] if record.finished else ["the run is not finished; this is its best model so far"]
    model, classes = load_model(path / _MODEL), run_classes(record)
    _require_same(path / _MODEL, classes_in(path / _MODEL), classes, path / "split.json")
    temperature = recorded_temperature(record) if calibrated else None
    thresholds, more = _run_thresholds(record, len(classes))
    notes += more
    opened = _of_keras(
        model, record.name, classes, fit=fit_of(record), temperature=temperature, notes=notes, thresholds=thresholds
    )
    return replace(opened, separator=str(record.config.get("data.table.separator") or opened.separator))


def _run_thresholds(record: Record, classes: int) -> tuple[tuple[float, ...] | None, list[str]]:
    """The thresholds of a run with several labels an image, and a note if it has chosen none yet; None for others."""
    if not record.several_labels:
        return None, []
    found = recorded_thresholds(record)
    return (tuple(map(float, found)), []) if found is not None else _half(classes)


def _half(classes: int) -> tuple[tuple[float, ...], list[str]]:
    return (DEFAULT,) * classes, [f"no thresholds were chosen on validation images: every class counts from {DEFAULT}"]


def run_classes(record: Record) -> tuple[str, ...]:
    """The names of a run's classes, in the order of its logits. InputError if they are not recorded."""
    classes = tuple(record.split.get("classes") or ())
    if not classes:
        raise InputError(f"{record.path / 'split.json'}: missing or damaged; expected the names of the run's classes")
    return classes


def fit_of(record: Record) -> str:
    """How the images of a run are brought to its size."""
    fit = record.config.get("data.fit", "crop")
    require(fit in FITS, f"{record.path / 'config.yaml'}: data.fit", f"found {fit!r}", f"one of {', '.join(FITS)}")
    return fit


def _open_file(
    path: Path,
    names: tuple[str, ...],
    *,
    image_size: int | None,
    input_range: tuple[float, float] | None,
    calibrated: bool,
) -> Classifier:
    model, notes, record = load_model(path), [], None
    if (path.parent / "config.yaml").is_file():
        record = read_record(path.parent)
    own = classes_in(path) if path.suffix == ".keras" else ()
    if names and (record or own):
        raise UsageError(f"{path}: {'the run' if record else 'it'} has the names of its classes; expected none")
    if record:
        classes = run_classes(record)
        _require_same(path, own, classes, path.with_name("split.json"))
    else:
        classes = names or own or _beside(path)
    height, width, channels = Probe(model).input_shape
    require(channels in (1, 3), f"{path}: images", f"found {(height, width, channels)}", "1 or 3 channels")
    if height is None or width is None:
        require(image_size is not None, f"{path}: takes images of any size", "none given", "--image-size PIXELS")
        model = with_image_shape(model, (height or image_size, width or image_size, channels))
    elif image_size is not None:
        raise UsageError(f"{path}: takes images of {height}×{width}; expected no image size")
    if input_range:
        model = with_input_range(model, *input_range)
    elif not Probe(model).scales_images:
        notes.append("no rescaling in the network: it gets 0-255; if it needs another range: --input-range -1 1")
    thresholds = None
    if record:
        thresholds, more = _run_thresholds(record, len(classes))
    elif path.suffix == ".keras" and has_several_labels(path):
        thresholds, more = _file_thresholds(path, classes)
    else:
        more = []
    notes += more
    fit = fit_of(record) if record else _export_fit(path)
    # The temperature was fitted to the best model of the run, not to last.keras.
    temperature = recorded_temperature(record) if record and path.name == _MODEL and calibrated else None
    return _of_keras(model, path.stem, classes, fit=fit, temperature=temperature, notes=notes, thresholds=thresholds)


def _file_thresholds(path: Path, classes: Sequence[str]) -> tuple[tuple[float, ...] | None, list[str]]:
    """The thresholds of a file with several labels an image: those of the export.json beside it, else 0.5."""
    if path.with_name("export.json").is_file() and (found := _described_thresholds(_description(path), path, classes)):
        return found, []
    return _half(len(classes) or Probe(load_model(path)).head().classes)


def _described_thresholds(described: dict, path: Path, classes: Sequence[str]) -> tuple[float, ...] | None:
    """The thresholds that an export.json has; None if each image has one class."""
    if described.get("thresholds") is None:
        return None
    return tuple(map(float, read_thresholds(described["thresholds"], classes, str(path.with_name("export.json")))))


def _of_keras(
    model: keras.Model,
    name: str,
    classes: tuple[str, ...],
    *,
    fit: str,
    temperature: Temperature | None,
    notes: list[str],
    thresholds: tuple[float, ...] | None = None,
) -> Classifier:
    head = Probe(model, several_labels=thresholds is not None).head()
    if not classes:
        classes = tuple(f"class {number}" for number in range(head.classes))
        notes = [
            *notes,
            "the names of the classes are not known; --classes NAME ... gives them",
        ]
    require(len(classes) == head.classes, name, f"{len(classes)} class names", f"{head.classes}, one for each class")
    height, width, channels = Probe(model).image_shape
    predictor = Predictor(model, output=head.point)
    return Classifier(
        name,
        classes,
        (height, width, channels),
        fit,
        predictor.logits,
        head.probabilities,
        temperature,
        model,
        thresholds,
        notes=tuple(notes),
    )


def _open_export(path: Path, calibrated: bool) -> Classifier:
    name = next((n for n, module in exports.FORMATS.items() if path.name == module.FILE), None)
    if name is None:
        endings = {Path(module.FILE).suffix: n for n, module in exports.FORMATS.items()}
        name = endings.get(path.suffix, "savedmodel")
    described = _description(path)
    beside = _beside(path)
    _require_order_of_run(path, path.with_name(CLASSES), beside)
    runtimes = {"onnx": ("onnxruntime",), "litert": ("ai_edge_litert",)}
    require_extra("export", str(path), runtimes.get(name, ()))
    try:
        run, own = exports.FORMATS[name].load(path), exports.FORMATS[name].classes_in(path)
    except InputError:
        raise
    except Exception as error:  # each runtime has its own exceptions for damaged files
        raise InputError(f"{path}: cannot be opened: {' '.join(str(error).split())[:200]}") from None
    classes = beside or own
    _require_same(path, own, classes, path.with_name(CLASSES))
    _require_order_of_run(path, path, own)
    require(bool(classes), str(path), "no class names inside, and no classes.json beside it", "one of the two")

    def scores(batches: Iterable) -> np.ndarray:
        parts = [run(np.asarray(images)) for images, *_ in batches]
        return np.concatenate(parts) if parts else np.zeros((0, len(classes)), np.float32)

    height, width, channels = described["input"]["shape"][1:]
    temperature = temperature_in(described, path.with_name("export.json")) if calibrated else None
    fit = described.get("fit", "crop")
    thresholds = _described_thresholds(described, path, classes)
    to_probabilities = softmax if thresholds is None else sigmoid
    shape = (height, width, channels)
    return Classifier(path.name, classes, shape, fit, scores, to_probabilities, temperature, thresholds=thresholds)


def _description(path: Path) -> dict:
    """The content of the export.json beside an export. InputError if it is missing or describes another form."""
    file = path.with_name("export.json")
    try:
        content = read_json(file, {"input": dict, "output": dict})
    except FileNotFoundError:
        raise InputError(f"{path}: no export.json beside it; expected an export of finetune.py") from None
    shape = content["input"].get("shape")
    sizes = shape[1:] if isinstance(shape, list) else ()
    fits = len(sizes) == 3 and all(isinstance(size, int) and size > 0 for size in sizes)
    require(fits and content.get("fit", "crop") in FITS, str(file), f"input of shape {shape}", "[N, H, W, C]")
    return content


def _export_fit(path: Path) -> str:
    return _description(path).get("fit", "crop") if path.with_name("export.json").is_file() else "crop"


def _beside(path: Path) -> tuple[str, ...]:
    """The names of the classes.json beside a model; () without one."""
    file = path.with_name(CLASSES)
    return parsed_classes(read_text(file, "class names"), str(file)) if file.is_file() else ()


def _require_order_of_run(path: Path, where: Path, classes: tuple[str, ...]) -> None:
    """Raises InputError if the run above an export has other classes than the file `where`, or in another order."""
    run = path.resolve().parent.parent
    if classes and path.resolve().parent.name == "export" and (run / "config.yaml").is_file():
        _require_same(where, classes, run_classes(read_record(run)), run / "split.json", "; export the run again")


def _require_same(
    path: Path, found: tuple[str, ...], expected: tuple[str, ...], source: Path, remedy: str = ""
) -> None:
    """Raises InputError, naming the first that differs, unless a file has these names in this order, or none."""
    if found and found != expected:
        pairs = list(itertools.zip_longest(found, expected))
        place = next(number for number, (a, b) in enumerate(pairs) if a != b)
        theirs, ours = pairs[place]
        raise InputError(f"{path}: class {place} is {theirs!r}, but {ours!r} in {source}{remedy}")
