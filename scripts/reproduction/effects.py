"""The effects of settings in a sweep whose trials vary all of them at once, by least squares."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.evaluation.intervals import student_t
from reproduction.claims import Difference

Row = Mapping[str, float]  # the columns of one trial


@dataclass(frozen=True)
class Effects:
    """A linear model of n trials: value = constant + Σ coefficient × column."""

    columns: tuple[str, ...]
    coefficients: np.ndarray  # (columns,)
    covariance: np.ndarray  # (columns, columns)
    freedom: int
    trials: int

    def of(self, change: Row, what: str) -> Difference:
        """The change of the value when the columns change by these amounts, all else equal, with Student's interval."""
        weights = np.array([change.get(name, 0.0) for name in self.columns])
        size = float(weights @ self.coefficients)
        half = student_t(0.95, self.freedom) * math.sqrt(float(weights @ self.covariance @ weights))
        return Difference(size, size - half, size + half, f"{what}, {self.trials} trials")


def fitted(rows: Sequence[Row], values: Sequence[float]) -> Effects | None:
    """The least-squares fit; None with fewer trials than columns and two more."""
    columns = tuple(rows[0]) if rows else ()
    freedom = len(rows) - len(columns) - 1
    if freedom < 1:
        return None
    table = np.array([[1.0, *(row[name] for name in columns)] for row in rows])
    inverse = np.linalg.pinv(table.T @ table)
    coefficients = inverse @ table.T @ np.asarray(values, float)
    residuals = values - table @ coefficients
    covariance = inverse * float(residuals @ residuals) / freedom
    return Effects(columns, coefficients[1:], covariance[1:, 1:], freedom, len(rows))
