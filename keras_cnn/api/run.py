"""A run of the library: what a training has left, measured, looked at and used."""

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from keras_cnn.api.calls import messages, public
from keras_cnn.api.data import load_data
from keras_cnn.api.looking import CLASSES, Figures, Images, view
from keras_cnn.api.settings import chosen_names
from keras_cnn.data.dataset import Dataset
from keras_cnn.data.splits import NAMES
from keras_cnn.errors import InputError
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.session import evaluate_run
from keras_cnn.evaluation.target import EvaluateOptions
from keras_cnn.models.model_files import load_model
from keras_cnn.prediction.classifier import Classifier, open_classifier
from keras_cnn.prediction.predicting import predict
from keras_cnn.prediction.table import ImagePredictions
from keras_cnn.run_folder import RunFolder
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.views.support.opening import open_source


class Run:
    """The run in a folder, finished or not.

    >>> run = keras_cnn.open_run("runs/fashion")
    >>> run.metrics["accuracy"], run.metrics["accuracy_interval"]
    >>> run.evaluate("validation").per_class

    Raises InputError for a folder that is not that of a run.
    """

    def __init__(self, path: str | Path):
        self.path = RunFolder.open(Path(path)).path

    @cached_property
    def _record(self) -> Record:
        return read_record(self.path)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self._record.name

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self._record.finished

    @property
    def config(self) -> dict[str, Any]:
        """The options of the run by dotted name."""
        return dict(self._record.config)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs."""
        return tuple(self._record.split.get("classes") or ())

    @property
    def history(self) -> pd.DataFrame:
        """A row for each epoch: loss, accuracy, val_loss, val_accuracy, learning_rate and seconds."""
        rows = pd.DataFrame(list(self._record.history))
        return rows.set_index("epoch") if len(rows) else rows

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json: the test split's numbers with 95 % intervals; {} for an unfinished run."""
        return dict(self._record.metrics)

    @cached_property
    def model(self) -> keras.Model:
        """The best model: images `(N, H, W, C)` of 0 to 255 in, logits `(N, classes)` out."""
        model = load_model(self.path / "model.keras")
        CLASSES[model] = self.classes
        return model

    @cached_property
    def _opened(self) -> OpenedModel:
        return open_source(str(self.path), VisualizeOptions())

    @public
    def evaluate(
        self,
        split: str | int = "test",
        *,
        data: Any = None,
        views: int | str | None = None,
        temperature: bool = False,
        verbose: bool = False,
    ) -> Evaluation:
        """Measures the run on a split, as `evaluate.py` does; every reading of test images is counted.

        >>> run.evaluate("test").accuracy

        Args:
            split: test, validation or train, or its number: 0 for train, 1 for validation, 2 for test.
            data: other images of the same classes, as for `load_data`; all of them are measured.
            views: test-time augmentation: "flip", or a number of augmented views.
            temperature: whether probabilities are calibrated by the temperature of the validation images.
            verbose: whether the results are printed.

        Raises InputError for images that are not those of the run, and for other classes.
        """
        chosen = chosen_names(split, NAMES, "split")
        if data is None:
            options = EvaluateOptions(chosen, None, None if views is None else str(views), temperature)
        else:
            source = data if isinstance(data, str) else (data if isinstance(data, Dataset) else load_data(data)).source
            options = EvaluateOptions(None, source, None if views is None else str(views), temperature)
        with messages(verbose):
            evaluation = evaluate_run(self.path, options).evaluation
        self.__dict__.pop("_record", None)
        return evaluation

    @cached_property
    def _classifier(self) -> Classifier:
        return open_classifier(self.path)

    @public
    def predict(self, images: Any, *, top: int = 5) -> ImagePredictions:
        """The most probable classes of images, as `predict.py` gives them: calibrated if the run has a temperature.

        >>> run.predict("dog.jpg")[0].classes[0]
        'dog'

        Args:
            images: an image file, a folder, a glob, a `.csv` with a column of paths, or a list of these; or pixels of 0
                to 255, (H, W), (H, W, C) or (N, H, W, C) uint8.
            top: number of classes in each row; `probabilities` (N, C) has all.

        A file that cannot be read keeps its reason in the result. Raises InputError for what does not exist.
        """
        return predict(self._classifier, images, top=top)

    @public
    def view(self, name: str, images: Images = None, *, verbose: bool = False, **options: Any) -> Figures:
        """Any view of `visualize.py`, such as ablation, statistics or embedding, with its options as keywords.

        >>> run.view("receptive-field", layer="conv1")

        `images` are files or uint8 arrays; by default four of the validation split. Raises InputError for an unknown
        view or option, with the nearest one.
        """
        return view(self._opened, name, images, options, verbose)

    def activations(self, images: Images = None, layers: Any = (), **options: Any) -> Figures:
        """Feature maps of layers, by name or number: by default the first and the last convolution.

        >>> run.activations("dog.jpg", layers=["conv1"]).arrays()["activation"].shape
        """
        return self.view("activations", images, layer=layers, **options)

    def kernels(self, layers: Any = (), **options: Any) -> Figures:
        """The kernels of convolutions: by default of the first and the last.

        >>> run.kernels("conv1").arrays()["kernels"].shape
        """
        return self.view("kernels", layer=layers, **options)

    def filters(self, layers: Any = (), **options: Any) -> Figures:
        """The images and patches that filters respond to most, over a split; and the filters that are dead.

        >>> run.filters("conv1", filters=(0, 1), split="validation")
        """
        return self.view("filters", layer=layers, **options)

    def occlusion(self, images: Images = None, **options: Any) -> Figures:
        """The confidence in a class while a patch hides one part of the image after the other (Zeiler & Fergus 2014).

        >>> run.occlusion("dog.jpg", patch=(8,), target="dog")
        """
        return self.view("occlusion", images, **options)

    @public
    def export(
        self, formats: str | Sequence[str] = ("keras", "savedmodel"), *, verbose: bool = True
    ) -> dict[str, Path]:
        """Writes the model for other programs, each file compared with Keras on validation images.

        >>> run.export("savedmodel")

        `formats` are keras, savedmodel, litert and onnx. Returns the path of each format. Raises InputError for an
        unknown format, a missing package and an unfinished run.
        """
        from keras_cnn.export.run import export_run

        with messages(verbose):
            exported = export_run(self.path, [formats] if isinstance(formats, str) else list(formats))
        return {model.format: model.path for model in exported}

    def __repr__(self) -> str:
        return f"<Run {self.path}: {self._result()}; {len(self.classes)} classes>"

    def _result(self) -> str:
        metrics = self._record.metrics
        if "accuracy" not in metrics:
            epochs = len(self._record.history)
            state = "a trial" if metrics else "not finished"
            return f"{state}, {epochs} of {self.config.get('train.epochs')} epochs"
        low, high = metrics["accuracy_interval"]
        best = f"best epoch {metrics['best_epoch']} of {len(self._record.history)}"
        return f"test accuracy {metrics['accuracy']:.4f} [{low:.4f}, {high:.4f}], {best}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.history._repr_html_()}"  # pyright: ignore[reportCallIssue]


@public
def open_run(path: str | Path) -> Run:
    """The run in a folder, of `train` or of the command line.

    >>> keras_cnn.open_run("runs/fashion").history

    Raises InputError for a folder that is not that of a run.
    """
    if not str(path):
        raise InputError("open_run: found no path, expected a run folder, such as runs/fashion")
    return Run(path)
