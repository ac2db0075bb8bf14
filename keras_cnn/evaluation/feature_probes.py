"""Simple classifiers on the features of a network that is not trained: nearest neighbours and a linear probe.

scikit-learn is imported inside the functions that need it, because it takes a second.
"""

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 5
INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the linear probe, which chooses among them
FOLDS = 3  # of the training images, by which it chooses


@dataclass(frozen=True)
class ProbedClasses:
    """The classes (M,) int64 that two classifiers of training features predict for M other images."""

    nearest: np.ndarray  # of k-NN
    linear: np.ndarray  # of the linear probe
    inverse_penalty: float  # that the linear probe chose


def probe_features(features: np.ndarray, labels: np.ndarray, others: np.ndarray, seed: int) -> ProbedClasses:
    """Fits both classifiers to `features` (N, D) with `labels` (N,), and predicts the classes of `others` (M, D).

    k-NN is the vote of the 5 nearest training images by cosine distance, each weighted by 1 / distance. The linear
    probe (Alain & Bengio 2017) is logistic regression on standardised features; the penalty of its squared weights is
    chosen by log-loss in 3 stratified folds of the training images, which `seed` cuts. With fewer than 2 images of a
    class there are no folds, and the largest penalty is taken.

    Raises ValueError for features that are not finite.
    """
    features, others = np.asarray(features, np.float64), np.asarray(others, np.float64)
    if not (np.isfinite(features).all() and np.isfinite(others).all()):
        raise ValueError("features that are infinite or nan; expected finite numbers")
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(features)), metric="cosine", weights="distance")
    nearest = neighbours.fit(features, labels).predict(others)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1
    standardised = (features - mean) / scale
    penalty = _inverse_penalty(standardised, labels, seed)
    linear = _logistic_regression(penalty).fit(standardised, labels)
    return ProbedClasses(np.asarray(nearest), np.asarray(linear.predict((others - mean) / scale)), penalty)


def _inverse_penalty(features: np.ndarray, labels: np.ndarray, seed: int) -> float:
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rarest = int(np.unique(labels, return_counts=True)[1].min())
    if rarest < 2:
        return INVERSE_PENALTIES[0]
    folds = StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=seed)

    def loss(inverse_penalty: float) -> float:
        model = _logistic_regression(inverse_penalty)
        return log_loss(labels, cross_val_predict(model, features, labels, cv=folds, method="predict_proba"))

    return min(INVERSE_PENALTIES, key=loss)


def _logistic_regression(inverse_penalty: float):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=inverse_penalty, max_iter=1000)
