"""How far a measured proportion can be trusted."""

import math
from statistics import NormalDist

from keras_cnn.errors import InputError


def wilson(correct: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion, as (low, high) in [0, 1].

    Unlike the textbook p ± z·se it stays inside [0, 1], has a width at 0 and at 1, and covers close to `level` for
    small counts. No images at all say nothing: (0, 1).

    Raises InputError for counts that are no proportion or a level outside (0, 1).
    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927).
    """
    if not 0 <= correct <= total:
        raise InputError(f"wilson: {correct} correct of {total}; expected 0 <= correct <= total")
    if not 0 < level < 1:
        raise InputError(f"wilson: level {level}; expected a number between 0 and 1, such as 0.95")
    if total == 0:
        return 0.0, 1.0
    correct, total = int(correct), int(total)  # NumPy's small integers would overflow below
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (correct + z * z / 2) / (total + z * z)
    half = z / (total + z * z) * math.sqrt(correct * (total - correct) / total + z * z / 4)
    # Both ends are exact at 0 and 1, where the subtraction leaves a rounding error of either sign.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == total else centre + half)
