"""How images of one class each are measured and shown, and how images that may have several: one record for each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.errors import UsageError
from keras_cnn.evaluation import comparison, coverage, evaluations, gallery, predictions, tables
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.multilabel import comparison as multilabel_comparison
from keras_cnn.evaluation.multilabel import evaluations as multilabel_evaluations
from keras_cnn.evaluation.multilabel import gallery as multilabel_gallery
from keras_cnn.evaluation.multilabel import predictions as multilabel_predictions
from keras_cnn.evaluation.multilabel import tables as multilabel_tables
from keras_cnn.evaluation.multilabel.evaluations import MultilabelEvaluation
from keras_cnn.evaluation.multilabel.recorded import check_metrics as check_multilabel_metrics
from keras_cnn.evaluation.multilabel.recorded import recorded_thresholds
from keras_cnn.evaluation.recorded import check_metrics
from keras_cnn.evaluation.target import EvaluateOptions, EvaluationTarget

AnyEvaluation = Evaluation | MultilabelEvaluation


@dataclass(frozen=True)
class Kind:
    """The measurements of one kind of labels, and what is made of them."""

    headline: str  # the field of the metrics that says most
    measure: Callable[[EvaluationTarget, EvaluateOptions], Any]
    draw: Callable[..., object]  # (evaluation, folder, title, classes)
    write: Callable[[Any, Path, dict], None]
    full: Callable[[dict], Iterable[str]]  # lines of all metrics
    brief: Callable[[dict], Iterable[str]]
    check: Callable[[Any, str], None]  # raises InputError for recorded metrics of another form; the place
    read: Callable[[Path], Any]  # the table of predictions
    compare: Callable[[Any, Any], Any]
    comparison_lines: Callable[[Any, str, str], Iterable[str]]
    draw_comparison: Callable[..., object]  # (comparison, evaluation, folder, title)


def kind_of(several_labels: bool) -> Kind:
    """The kind of the labels of a run."""
    return SEVERAL_LABELS if several_labels else ONE_CLASS


def measure(target: EvaluationTarget, options: EvaluateOptions) -> Evaluation:
    """The evaluation of a run whose images have one class each."""
    return evaluations.evaluate(
        target.model,
        target.dataset,
        target.split,
        batch_size=target.config.train.batch_size,
        fit=target.config.data.fit,
        views=target.views,
        scale=options.scale,
        coverage=options.coverage,
        replicas=target.replicas,
    )


def _measure_several(target: EvaluationTarget, options: EvaluateOptions) -> MultilabelEvaluation:
    """Measures at the thresholds of the run; those of averaged views, or of an unfinished run, are chosen now."""
    if options.scale:
        raise UsageError(
            f"command line: --temperature: images of {target.folder.path} may have several labels, whose probabilities"
            " have no common temperature; expected none"
        )
    if options.coverage != coverage.LEVEL:
        raise UsageError(
            f"command line: --coverage: images of {target.folder.path} may have several labels, whose sets have no"
            " coverage of one true class; expected none"
        )
    thresholds: np.ndarray | None = recorded_thresholds(target.record) if options.views is None else None
    return multilabel_evaluations.evaluate(
        target.model,
        target.dataset,
        target.split,
        batch_size=target.config.train.batch_size,
        fit=target.config.data.fit,
        views=target.views,
        thresholds=thresholds,
        replicas=target.replicas,
    )


ONE_CLASS = Kind(
    "accuracy",
    measure,
    gallery.draw,
    evaluations.write,
    tables.evaluation,
    tables.brief,
    check_metrics,
    predictions.read_predictions,
    comparison.compare,
    tables.comparison,
    gallery.draw_comparison,
)
SEVERAL_LABELS = Kind(
    "map",
    _measure_several,
    multilabel_gallery.draw,
    multilabel_evaluations.write,
    multilabel_tables.evaluation,
    multilabel_tables.brief,
    check_multilabel_metrics,
    multilabel_predictions.read_predictions,
    multilabel_comparison.compare,
    multilabel_tables.comparison,
    multilabel_gallery.draw_comparison,
)
