"""Opens the network that the command line names: a run, a backbone, a model file or a detector."""

from pathlib import Path

from keras_cnn.checking import nearest
from keras_cnn.detection.named_models import NAMED, is_detector
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.evaluation.multilabel.recorded import recorded_thresholds
from keras_cnn.evaluation.multilabel.thresholds import DEFAULT
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.models import backbones
from keras_cnn.models.class_names import FILE as CLASSES
from keras_cnn.models.class_names import classes_in, has_several_labels
from keras_cnn.models.inputs import with_image_shape, with_input_range
from keras_cnn.models.model_files import HDF5, KERAS, load_model
from keras_cnn.run_folder import RunFolder
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.views.support.opened_detector import open_detector
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.visualization.probe import Probe


def open_source(source: str, options: VisualizeOptions) -> OpenedModel:
    """The network that `source` names. Raises a one-line InputError if it cannot be opened."""
    path = Path(source)
    if is_detector(source):
        return open_detector(source, options)
    if path.suffix in (*KERAS, *HDF5) or (path / "saved_model.pb").is_file():
        return _open_model_file(path, options)
    if path.is_dir():
        return _open_run(path, options)
    if source in backbones.names():
        return _open_backbone(source, options)
    is_name = path.name == source and not path.suffix
    hint = nearest(source, (*backbones.names(), *NAMED)) if is_name else ""
    raise InputError(f"{source}: neither a run folder, nor a .keras, .h5 or .cfg file, nor a backbone{hint}")


def _open_run(path: Path, options: VisualizeOptions) -> OpenedModel:
    options.refuse("a run", weights="imagenet", image_size=None, input_range=None, classes=(), output=None)
    folder, record = RunFolder.open(path), read_record(path)
    config = folder.config(BUILDERS)
    model = load_model(folder / "model.keras")
    notes, dataset, classes = [], None, tuple(record.split.get("classes") or ())
    try:
        dataset = load_dataset(config)
        classes = dataset.classes
    except InputError as error:  # the network can be visualized with other images
        notes.append(f"without the run's own images: {error}")
    return OpenedModel(
        record.name,
        model,
        Probe(model, several_labels=record.several_labels),
        options.out or path / "visualizations",
        classes or None,
        options,
        thresholds=_thresholds(record, len(classes)) if record.several_labels else None,
        config=config,
        dataset=dataset,
        notes=tuple(notes),
        run=folder,
    )


def _thresholds(record: Record, classes: int) -> tuple[float, ...]:
    """The thresholds of a run with several labels an image: those on record, else 0.5."""
    found = recorded_thresholds(record)
    return (DEFAULT,) * classes if found is None else tuple(map(float, found))


def _open_backbone(name: str, options: VisualizeOptions) -> OpenedModel:
    options.refuse("a backbone", input_range=None, classes=(), output=None)
    side = options.image_size or backbones.default_side(name)
    model = backbones.backbone(name, (side, side, 3), weights=options.weights)
    notes = ("its weights are untrained: --weights none",) if options.weights == "none" else ()
    out = options.out or Path("visualizations") / name
    return OpenedModel(name, model, Probe(model), out, None, options, notes=notes)


def _open_model_file(path: Path, options: VisualizeOptions) -> OpenedModel:
    options.refuse("a model file", weights="imagenet")
    model, notes = load_model(path), []
    height, width, channels = Probe(model).input_shape
    require(channels in (1, 3), f"{path}: images", f"found {(height, width, channels)}", "1 or 3 channels")
    if height is None or width is None:
        if options.image_size is None:
            raise InputError(f"{path}: images: found {(height, width, channels)}, expected --image-size PIXELS")
        require(options.image_size >= 1, "command line: --image-size", f"found {options.image_size}", "at least 1")
        model = with_image_shape(model, (height or options.image_size, width or options.image_size, channels))
    elif options.image_size is not None:
        found = f"found {options.image_size}, but {path.name} takes images of {height}×{width}"
        raise UsageError(f"command line: --image-size: {found}, expected no size")
    if options.input_range:
        model = with_input_range(model, *options.input_range)
    several = path.suffix in KERAS and has_several_labels(path)
    probe = Probe(model, options.output, several_labels=several)
    if not probe.scales_images:
        notes.append("no rescaling in the network: it gets 0-255; if it needs another range: --input-range -1 1")
    own = classes_in(path) if path.suffix in KERAS else ()
    if own and options.classes:
        raise UsageError(f"command line: --classes: {path} has the names of its classes; expected none")
    classes = options.classes or own or None
    if classes:
        count = probe.head().classes
        where = f"{path}: {CLASSES}" if own else "command line: --classes"
        require(len(classes) == count, where, f"{len(classes)} names", f"{count}, one for each class")
    out = options.out or Path("visualizations") / path.stem
    thresholds = (DEFAULT,) * probe.head().classes if several else None
    return OpenedModel(path.stem, model, probe, out, classes, options, thresholds=thresholds, notes=tuple(notes))
