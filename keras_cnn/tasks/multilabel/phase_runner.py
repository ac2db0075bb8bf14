"""A phase of the training of a classifier of images with several labels."""

import numpy as np

from keras_cnn.evaluation.multilabel.metrics import binary_cross_entropy, exact_matches, mean_average_precision
from keras_cnn.tasks.classification.phase_runner import PhaseRunner
from keras_cnn.tasks.multilabel.objective import BinaryCrossEntropy, balanced_weights


class MultilabelPhaseRunner(PhaseRunner):
    """One phase, as of any classifier, with binary cross-entropy and the mean average precision of validation."""

    measure = "exact_match"

    @property
    def objective(self) -> BinaryCrossEntropy:
        labels, settings = self._setup.train.labels, self._setup.config.train
        weights = balanced_weights(labels) if settings.class_weights == "balanced" else None
        return BinaryCrossEntropy(labels.shape[1], settings.label_smoothing, weights)

    def scores(self, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
        """Mean binary cross-entropy, mean average precision, and the share of images with every class right at 0.5."""
        return {
            "val_loss": binary_cross_entropy(labels, logits),
            "val_map": mean_average_precision(labels, logits),
            "val_exact_match": float(np.mean(exact_matches(labels, logits > 0))),
        }
