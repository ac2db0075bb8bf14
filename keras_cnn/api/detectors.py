"""Detectors for the library: opened, used on images and videos, and trained on boxes."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack, cast

import keras
import numpy as np

from keras_cnn import config as config_module
from keras_cnn.api.calls import messages, own_settings, public
from keras_cnn.api.detections import ImageDetections, as_table
from keras_cnn.api.recorded_run import RecordedRun
from keras_cnn.api.settings import BoxSettings, chosen_names, dotted_settings, overrides, with_devices
from keras_cnn.config.shipped import find_config
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.network import Network, open_network, save_network
from keras_cnn.detection.yolo import Detector
from keras_cnn.errors import InputError
from keras_cnn.extras import require_extra
from keras_cnn.prediction.images import list_images
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tasks.detection.task import prepare
from keras_cnn.training import experiment
from keras_cnn.training.task import Prepare

_PRECISIONS = ("float32", "bfloat16")


class ObjectDetector:
    """A detector that is ready for images: it finds what Darknet would find (threshold 0.25, suppression 0.45).

    `open_detector` and `DetectorRun.detector` give one. Keep it for the next images: its first call compiles.
    """

    def __init__(self, name: str, network: Network, precision: str):
        self.name, self.precision, self._network = name, precision, network

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return tuple(self._network.names)

    @property
    def model(self) -> keras.Model:
        """The network: images `(N, H, W, 3)` of 0 to 255 in letterboxes in, the maps of its heads out."""
        return self._network.model

    @cached_property
    def _compiled(self) -> Detector:
        return Detector(self._network.model, self._network.heads, precision=self.precision)

    @public
    def detect(self, images: Any, *, classes: str | int | Sequence[str | int] = ()) -> ImageDetections:
        """The objects in images; nothing is written.

        >>> found = detector.detect("street.jpg", classes=["bag"])
        >>> found.table.columns.tolist()
        ['image', 'class', 'confidence', 'x0', 'y0', 'x1', 'y1']

        Args:
            images: an image file, a folder, a glob, a `.csv` with a column of paths, or a list of these; or pixels of 0
                to 255, `(H, W, 3)` or `(N, H, W, 3)` uint8.
            classes: only objects of these classes, by name or number; by default of all.

        An image file that cannot be read keeps its reason in the result. Raises InputError for what does not exist.
        """
        chosen = self._numbers(classes)
        names, sources = _sources(images)
        tables, errors = [], {}
        for number, source in enumerate(sources):
            try:
                found = self._compiled(source if isinstance(source, np.ndarray) else read_image(source))
            except InputError as error:
                errors[number] = str(error).removeprefix(f"{source}: ")
                found = None
            if found is not None and chosen is not None:
                found = found[np.isin(found.classes, chosen)]
            tables.append(as_table(names[number], found, self.classes))
        return ImageDetections(self.name, self.classes, names, tuple(tables), errors, sources)

    @public
    def process(
        self,
        source: str | Path,
        out: str | Path | None = None,
        *,
        classes: str | int | Sequence[str | int] = (),
        lines: Sequence[Sequence[float]] = (),
        zones: Sequence[Sequence[float]] = (),
        verbose: bool = True,
    ) -> Path:
        """Writes what `keras-cnn detect` writes for images or a video, and returns the folder; needs the extra `video`.

        >>> sorted(file.name for file in detector.process("street.jpg", "found", verbose=False).iterdir())
        ['detections.csv', 'detections.json', 'street.jpg']

        Args:
            source: an image, a folder, a glob, a video, the number of a camera or the address of a stream.
            out: the folder; by default detections/NAME.
            classes: only these classes, by name or number; by default all or, with lines and zones, vehicles.
            lines: lines (x1, y1, x2, y2) in pixels of a video, at which the objects that cross are counted.
            zones: polygons (x1, y1, x2, y2, x3, y3, ...), at which those that enter and leave are counted.
            verbose: whether progress and counts are printed.

        Raises InputError for a source that cannot be read, and Stopped for a video that breaks off.
        """
        require_extra("video", "process")
        from keras_cnn.detection.counting import read_gate
        from keras_cnn.detection.session import DetectOptions, detect

        gates = [read_gate(_points(line), f"line {number}", 2) for number, line in enumerate(lines, 1)]
        gates += [read_gate(_points(zone), f"zone {number}", 3) for number, zone in enumerate(zones, 1)]
        numbers = self._numbers(classes)
        named = () if numbers is None else tuple(self.classes[number] for number in numbers)
        options = DetectOptions(named, tuple(gates), self.precision)
        with messages(verbose):
            return detect(str(source), self._network, options, None if out is None else Path(out))

    @public
    def save(self, path: str | Path) -> None:
        """Writes a `.keras` file with the network, its cfg and the names of its classes; plain Keras loads it.

        >>> detector.save("shapes.keras")
        >>> keras_cnn.open_detector("shapes.keras").classes
        ('bag', 'shoe')
        """
        save_network(self._network, Path(path))

    def _numbers(self, classes: str | int | Sequence[str | int]) -> list[int] | None:
        """The numbers of these classes; None for all."""
        several = [classes] if isinstance(classes, str | int) else list(classes)
        names = [chosen_names(each, self.classes, "classes") for each in several]
        return [self.classes.index(name) for name in names] or None

    def __repr__(self) -> str:
        height, width = self.model.inputs[0].shape[1:3]
        return f"<ObjectDetector {self.name}: {len(self.classes)} classes, images of {height}×{width}>"


def _points(numbers: Sequence[float]) -> str:
    return numbers if isinstance(numbers, str) else ",".join(str(number) for number in np.ravel(numbers))


def _sources(images: Any) -> tuple[tuple[str, ...], tuple[np.ndarray | Path, ...]]:
    """The names of images and where their pixels come from."""
    if isinstance(images, np.ndarray):
        batch = images[None] if images.ndim == 3 else images
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[-1] != 3:
            found = f"{images.dtype} {images.shape}"
            raise InputError(f"images: found {found}; expected files, or uint8 arrays (H, W, 3) or (N, H, W, 3)")
        return tuple(f"image {number}" for number in range(len(batch))), tuple(batch)
    named = [images] if isinstance(images, str | Path) else list(images)
    listed = list_images([str(name) for name in named]).images
    return tuple(image.name for image in listed), tuple(image.path for image in listed)


@public
def open_detector(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    names: str | Path | None = None,
    size: int | tuple[int, int] | None = None,
    precision: str = "float32",
) -> ObjectDetector:
    """A detector by its name or from its files.

    >>> detector = keras_cnn.open_detector("runs/boxes")
    >>> detector.classes
    ('bag', 'shoe')

    Args:
        model: yolov3 or yolov3-tiny, a Darknet cfg, a `.keras` file of `save`, or the folder of a training on boxes.
        weights: the Darknet weights of a cfg.
        names: a file with the names of the classes, one per line; by default the .names file beside the cfg.
        size: side of the network's images in pixels, or (height, width), multiples of 32; by default the cfg's.
        precision: "float32" equals Darknet; "bfloat16" is nearly the same, and faster where the hardware has it.

    Raises InputError for files that are missing or damaged, with what to bring and where to put it.
    """
    name = chosen_names(precision, _PRECISIONS, "precision")
    sides = (size, size) if isinstance(size, int) else size
    weights_file, names_file = (None if file is None else Path(file) for file in (weights, names))
    return ObjectDetector(Path(model).stem, open_network(str(model), weights_file, names_file, sides), name)


class DetectorRun(RecordedRun):
    """The run of a training on boxes in a folder, finished or not.

    >>> run = keras_cnn.DetectorRun("runs/boxes")
    >>> sorted(run.metrics["per_class"])
    ['bag', 'shoe']

    Raises InputError for a folder that is not that of a run.
    """

    @cached_property
    def detector(self) -> ObjectDetector:
        """The trained detector. InputError for a run that is not finished."""
        return open_detector(self.path)

    def detect(self, images: Any, *, classes: str | int | Sequence[str | int] = ()) -> ImageDetections:
        """The objects in images, see `ObjectDetector.detect`.

        >>> len(keras_cnn.open_run("runs/boxes").detect(["street.jpg"]))
        1
        """
        return self.detector.detect(images, classes=classes)

    def _result(self) -> str:
        metrics = self._record.metrics
        if "map50" not in metrics:
            return f"not finished, {self._progress()}"
        low, high = metrics["map50_interval"]
        best = f"best epoch {metrics['best_epoch']} of {len(self._record.history)}"
        return f"test mAP@0.5 {metrics['map50']:.4f} [{low:.4f}, {high:.4f}], {best}"


@public
def train_detector(
    source: str | None = None,
    *,
    config: str | Path | Mapping[str, Any] = "boxes",
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[BoxSettings],
) -> DetectorRun:
    """Trains a YOLO network on images with boxes, as `keras-cnn detect --train` does.

    >>> run = keras_cnn.train_detector("yolo:boxes", epochs=1, image_size=64, verbose=False)  # doctest: +SKIP

    Args:
        source: coco:FILE.json, yolo:FOLDER or voc:FOLDER; by default the source of the config.
        config: a YAML file, the name of one that comes with the package, or its content as nested dicts.
        options: options by their dotted names: `{"augment.mosaic": 0.0, "model.weights": "yolov3-tiny.weights"}`.
        path: the run folder, new or empty; by default `runs/NAME`, `runs/NAME-2`, ...
        verbose: whether a summary, a line for each epoch and notes are printed.
        settings: options by their last names: epochs, image_size, batch_size, learning_rate, classes, weights, ...

    Raises:
        InputError: for wrong boxes or options, a line each; no run folder is left then.
        Stopped: on Ctrl-C or a full disk; `resume` goes on.
    """
    chosen = box_config(source, config, settings, options)
    with messages(verbose), own_settings():
        task = prepare(chosen)
        with RunFolder.create(chosen.name, path=None if path is None else Path(path)) as folder:
            experiment.train(chosen, folder, cast(Prepare, lambda config, precision: task))
    return DetectorRun(folder.path)


def box_config(
    source: str | None,
    config: str | Path | Mapping[str, Any],
    settings: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> BoxConfig:
    """The config of a training on boxes from the arguments of `train_detector`. InputError for an unknown option."""
    given = dotted_settings("train_detector", settings, options, BoxConfig)
    if source is not None:
        given = {"data.source": source} | given
    content = config if isinstance(config, Mapping) else find_config(Path(config))
    return config_module.load(content, overrides(given), kind=BoxConfig)


def resume_detector(folder: RunFolder, devices: int | str | None) -> DetectorRun:
    """Goes on with an unfinished training on boxes, whose folder is locked, on other `devices` unless None."""
    config: BoxConfig = with_devices(folder.config(kind=BoxConfig), devices)
    experiment.train(config, folder, cast(Prepare, prepare), other_devices=devices is not None)
    return DetectorRun(folder.path)
