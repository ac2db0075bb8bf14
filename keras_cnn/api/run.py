"""A run of the library: what a training has left, measured, looked at and used."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from keras_cnn.api.calls import messages, public
from keras_cnn.api.data import load_data
from keras_cnn.api.detectors import DetectorRun
from keras_cnn.api.looking import Figures, Images
from keras_cnn.api.recorded_run import RecordedRun
from keras_cnn.api.settings import chosen_names
from keras_cnn.data.dataset import Dataset
from keras_cnn.data.splits import NAMES
from keras_cnn.errors import InputError
from keras_cnn.evaluation.coverage import LEVEL, check_level
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.multilabel.evaluations import MultilabelEvaluation
from keras_cnn.evaluation.outliers import OutlierDetection
from keras_cnn.evaluation.robustness import measure_corruptions
from keras_cnn.evaluation.session import evaluate_run
from keras_cnn.evaluation.target import EvaluateOptions
from keras_cnn.prediction.classifier import Classifier, open_classifier
from keras_cnn.prediction.images import list_images
from keras_cnn.prediction.outliers import measure_outliers
from keras_cnn.prediction.predicting import as_predictions, predict, predict_files
from keras_cnn.prediction.submission import plan_submission, write_submission
from keras_cnn.prediction.table import ImagePredictions
from keras_cnn.run_folder import is_detection_run


class Run(RecordedRun):
    """The run of a classifier in a folder, finished or not.

    >>> run = keras_cnn.open_run("runs/photos")
    >>> run.classes, run.finished
    (('cat', 'dog'), True)
    >>> low, high = run.metrics["accuracy_interval"]
    >>> low <= run.metrics["accuracy"] <= high
    True

    Raises InputError for a folder that is not that of a run.
    """

    def __init__(self, path: str | Path):
        super().__init__(path)
        if is_detection_run(self.path):
            raise InputError(f"{self.path}: a run of a detector; expected a classifier's: open_run opens both")

    @public
    def evaluate(
        self,
        split: str | int = "test",
        *,
        data: Any = None,
        views: int | str | None = None,
        temperature: bool = False,
        coverage: float = LEVEL,
        classes: str | int | Sequence[str | int] = (),
        corrupt: Literal["fail", "skip"] | None = None,
        devices: int | str = "auto",
        verbose: bool = False,
    ) -> Evaluation | MultilabelEvaluation:
        """Measures the run on a split, as `evaluate.py` does; every reading of test images is counted.

        >>> evaluation = run.evaluate("test")
        >>> evaluation.confusion.shape, list(evaluation.per_class.index)
        ((2, 2), ['cat', 'dog'])

        Args:
            split: test, validation or train, or its number: 0 for train, 1 for validation, 2 for test.
            data: other images of the same classes, as for `load_data`; all of them are measured.
            views: test-time augmentation: "flip", or a number of augmented views.
            temperature: whether probabilities are calibrated by the temperature of the validation images.
            coverage: share of the prediction sets that are to hold the true class, see `Evaluation.prediction_sets`.
            classes: classes, by name or number, whose highest and lowest scores are drawn among the figures.
            corrupt: with `data`, what happens to images that cannot be read; by default as in the run.
            devices: that share each batch, see `train`.
            verbose: whether the results are printed.

        Images that may have several labels have a `MultilabelEvaluation`. Raises InputError for images that are not
        those of the run, and for other classes.
        """
        check_level(coverage, "coverage")
        several = [classes] if isinstance(classes, str | int) else classes
        source = None
        if data is not None:
            source = data if isinstance(data, str) else (data if isinstance(data, Dataset) else load_data(data)).source
        options = EvaluateOptions(
            chosen_names(split, NAMES, "split") if source is None else None,
            source,
            None if views is None else str(views),
            temperature,
            tuple(chosen_names(each, self.classes, "classes") for each in several),
            corrupt,
            devices=str(devices),
            coverage=coverage,
        )
        with messages(verbose):
            evaluation = evaluate_run(self.path, options).evaluation
        self.__dict__.pop("_record", None)
        return evaluation

    @public
    def outliers(
        self, images: str | Path, *, split: str | int = "test", data: str | None = None, verbose: bool = False
    ) -> OutlierDetection:
        """How well scores tell the images of a split from images of none of the classes, as `evaluate.py --outliers`.

        >>> detection = run.outliers("new")
        >>> known, unknown = detection.scores("energy")
        >>> len(known), len(unknown)
        (8, 2)
        >>> sorted(detection.as_json()["scores"])
        ['energy', 'max_softmax']

        Args:
            images: a folder, a glob, a table or a file of images of none of the classes.
            split: test, validation or train, or its number: 0 for train, 1 for validation, 2 for test.
            data: another source of images of the classes, such as "folder:photos", in place of the split.
            verbose: whether the results are printed.

        Raises InputError for images that do not exist or cannot be read, and for what `evaluate` refuses.
        """
        options = EvaluateOptions(chosen_names(split, NAMES, "split") if data is None else None, data)
        with messages(verbose):
            measured = measure_outliers(self.path, str(images), options)
        self.__dict__.pop("_record", None)
        return measured.detection

    @public
    def corruptions(
        self,
        images: int = 1000,
        *,
        split: str | int = "test",
        data: str | None = None,
        against: "str | Path | Run | None" = None,
        verbose: bool = False,
    ) -> dict[str, Any]:
        """Errors under fifteen common corruptions at five strengths, as `evaluate.py --corruptions` measures them.

        >>> found = run.corruptions(images=4)
        >>> len(found["corruptions"]), len(found["corruptions"]["fog"]["errors"])
        (15, 5)
        >>> low, high = found["mean_error_interval"]
        >>> low <= found["mean_error"] <= high
        True

        Args:
            images: number of evenly spaced images of the split.
            split: test, validation or train, or its number: 0 for train, 1 for validation, 2 for test.
            data: another source of images of the classes, such as "folder:photos", in place of the split.
            against: a run that was measured so before, to which the errors are relative.
            verbose: whether the results are printed.

        Returns the content of corruptions.json, errors in [0, 1]. Raises InputError for images that are not those of
        the run, and for another run without these results or with other images.
        """
        options = EvaluateOptions(chosen_names(split, NAMES, "split") if data is None else None, data)
        other = against.path if isinstance(against, Run) else None if against is None else Path(against)
        with messages(verbose):
            found = measure_corruptions(self.path, options, images, other)
        self.__dict__.pop("_record", None)
        return found

    @cached_property
    def _classifier(self) -> Classifier:
        return open_classifier(self.path)

    @public
    def predict(self, images: Any, *, top: int = 5, temperature: bool = True) -> ImagePredictions:
        """The most probable classes of images, as `predict.py` gives them: calibrated if the run has a temperature.

        >>> predictions = run.predict(["dog.jpg", "new"])
        >>> len(predictions), predictions[0].classes[0] in run.classes
        (3, True)
        >>> predictions.probabilities.shape
        (3, 2)

        Args:
            images: an image file, a folder, a glob, a `.csv` with a column of paths, or a list of these; or pixels of 0
                to 255, (H, W), (H, W, C) or (N, H, W, C) uint8.
            top: number of classes in each row; `probabilities` (N, C) has all.
            temperature: whether the temperature that the run has is used.

        A file that cannot be read keeps its reason in the result. Raises InputError for what does not exist.
        """
        classifier = self._classifier if temperature else replace(self._classifier, temperature=None)
        return predict(classifier, images, top=top)

    def activations(self, images: Images = None, layers: Any = (), **options: Any) -> Figures:
        """Feature maps of layers, by name or number: by default the first and the last convolution.

        >>> run.activations("dog.jpg", layers=["conv1"]).arrays()["activation"].ndim
        3
        """
        return self.view("activations", images, layer=layers, **options)

    def kernels(self, layers: Any = (), **options: Any) -> Figures:
        """The kernels of convolutions: by default of the first and the last.

        >>> run.kernels("conv1").arrays()["kernels"].shape
        (5, 5, 3, 32)
        """
        return self.view("kernels", layer=layers, **options)

    def filters(self, layers: Any = (), **options: Any) -> Figures:
        """The images and patches that filters respond to most, over a split; and the filters that are dead.

        >>> run.filters("conv1", filters=(0, 1), split="validation")
        <Figures: ...>
        ...
        """
        return self.view("filters", layer=layers, **options)

    def occlusion(self, images: Images = None, **options: Any) -> Figures:
        """The confidence in a class while a patch hides one part of the image after the other (Zeiler & Fergus 2014).

        >>> len(run.occlusion("dog.jpg", patch=(8,), target="dog"))
        1
        """
        return self.view("occlusion", images, **options)

    @public
    def submission(self, images: Any, path: str | Path, *, template: str | Path | None = None) -> Path:
        """Writes the file that a competition asks for, and returns its path.

        >>> run.submission("new", "submission.csv").read_text().splitlines()[0]
        'id,label'

        Args:
            images: files, folders, globs, a `.csv` with a column of paths or ids, or a list of these.
            path: the file, which is replaced.
            template: a sample of the competition, whose columns, rows and order the file gets.

        Raises InputError for a template with other columns, and for its ids without an image.
        """
        named = [images] if isinstance(images, str | Path) else images
        listed = list_images([str(name) for name in named]).images
        classifier = self._classifier
        plan = plan_submission(listed, classifier.classes, None if template is None else Path(template))
        scores, errors = predict_files(classifier, listed)
        names = [image.name for image in listed]
        write_submission(Path(path), plan, as_predictions(classifier, names, scores, errors))
        return Path(path)

    @public
    def label_errors(self, split: str = "test") -> pd.DataFrame:
        """The labels of a split that are probably wrong, by confident learning; nothing is written or changed.

        >>> run.label_errors("validation").columns.tolist()
        ['id', 'path', 'label', 'suggested', 'p_label', 'p_suggested']

        A row for each image by its rank, the least probable label first; `split` is test or validation. Raises
        InputError for the training split, which the network knows.
        """
        from keras_cnn.evaluation.label_error_files import list_label_errors

        with messages(False):
            return list_label_errors(self.path, split).table

    @public
    def export(
        self, formats: str | Sequence[str] = ("keras", "savedmodel"), *, verbose: bool = True
    ) -> dict[str, Path]:
        """Writes the model for other programs, each file compared with Keras on validation images.

        >>> run.export("keras", verbose=False)["keras"].name
        'model.keras'

        `formats` are keras, savedmodel, litert, onnx and litert-int8. Returns the path of each format. Raises
        InputError for an unknown format, a missing package and an unfinished run.
        """
        from keras_cnn.export.run import export_run

        with messages(verbose):
            exported = export_run(self.path, [formats] if isinstance(formats, str) else list(formats))
        return {model.format: model.path for model in exported}

    def _result(self) -> str:
        metrics = self._record.metrics
        if self._record.several_labels and "map" in metrics:
            return f"{_map_in_words(metrics)}, {self._progress()}"
        if "accuracy" not in metrics:
            return f"{'a trial' if metrics else 'not finished'}, {self._progress()}"
        if metrics.get("split") == "train":
            return f"accuracy {metrics['accuracy']:.4f} on the one batch that it trained on, {self._progress()}"
        low, high = metrics["accuracy_interval"]
        best = f"best epoch {metrics['best_epoch']} of {len(self._record.history)}"
        return f"test accuracy {metrics['accuracy']:.4f} [{low:.4f}, {high:.4f}], {best}"


def _map_in_words(metrics: dict[str, Any]) -> str:
    if metrics.get("split") == "train":
        return f"exact matches {metrics['exact_match']:.4f} on the one batch that it trained on"
    interval = metrics["map_interval"]
    ends = f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
    return f"test mAP {metrics['map']:.4f}{ends}, best epoch {metrics['best_epoch']}"


@public
def open_run(path: str | Path | RecordedRun) -> Run | DetectorRun:
    """The run in a folder, of the library or of the command line: a `Run`, or a `DetectorRun` of a detector.

    >>> keras_cnn.open_run("runs/photos").history.columns[:2].tolist()
    ['loss', 'accuracy']

    Raises InputError for a folder that is not that of a run.
    """
    if not str(path):
        raise InputError("open_run: found no path, expected a run folder, such as runs/fashion")
    folder = path.path if isinstance(path, RecordedRun) else Path(path)
    return DetectorRun(folder) if is_detection_run(folder) else Run(folder)
