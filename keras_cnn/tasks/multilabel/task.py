"""Classification of images that may have several labels as a `training.task.Task`."""

from collections.abc import Mapping, Sequence

from keras_cnn.run_folder import MULTILABEL_COLUMNS, RunFolder
from keras_cnn.tasks.classification.summary import log_summary
from keras_cnn.tasks.classification.task import ClassificationTask
from keras_cnn.tasks.multilabel import results
from keras_cnn.tasks.multilabel.phase_runner import MultilabelPhaseRunner
from keras_cnn.tasks.multilabel.summary import label_advice, label_lines
from keras_cnn.training.phases import Phase
from keras_cnn.training.task import CheckInterrupt, no_interrupt


class MultilabelTask(ClassificationTask):
    """A classifier's run with binary cross-entropy, mAP and thresholds in the place of softmax and accuracy."""

    history_columns = MULTILABEL_COLUMNS
    several_labels = True

    _evaluate = staticmethod(results.finish)
    _evaluate_batch = staticmethod(results.finish_batch)

    def log_summary(self) -> None:
        log_summary(self.setup, label_lines, label_advice)

    def start_phase(self, phase: Phase, check_interrupt: CheckInterrupt = no_interrupt) -> MultilabelPhaseRunner:
        return MultilabelPhaseRunner(self.setup, phase, check_interrupt)

    def write_log(self, folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None: ...


class MultilabelTrial(MultilabelTask):
    """A run of a sweep: it is silent, its figures are left to the report, and the test split is not read."""

    is_trial = True

    _evaluate = staticmethod(results.finish_trial)

    def draw_augmentation(self, folder: RunFolder) -> None: ...
