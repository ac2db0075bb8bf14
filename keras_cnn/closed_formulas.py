"""Parameters and multiply-adds of the five-block CNN by the closed formulas of CS6910, question 1; needs no TensorFlow.

The network has five k×k convolutions of m filters with stride 1 and no padding, on an l×l image of c channels, then
n dense neurons and o classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.messages import aligned

LETTERS = {  # letter -> what it stands for
    "m": "filters of each convolution",
    "k": "side of the kernels",
    "l": "side of the image",
    "n": "dense neurons",
    "c": "channels of the image, 3 unless given",
    "o": "classes, 10 unless given",
}
_REQUIRED = ("m", "k", "l", "n")
_FORMULAS = (
    ("layer", "parameters", "multiply-adds"),
    ("conv1", "m (c k² + 1)", "m c k² l₁²"),
    ("conv2 to conv5, conv i", "m (m k² + 1)", "m² k² lᵢ²"),
    ("bn1 to bn5, where there is batch norm", "2 m", "0"),
    ("dense1", "n (m s² + 1)", "n m s²"),
    ("logits", "o (n + 1)", "o n"),
)
_IN_ALL = (
    ("parameters", "m (c k² + 1) + 4 m (m k² + 1) + n (m s² + 1) + o (n + 1), and 10 m with batch norm"),
    ("multiply-adds", "m c k² l₁² + m² k² (l₂² + l₃² + l₄² + l₅²) + n m s² + o n"),
    ("activations", "m (l₁² + l₂² + l₃² + l₄² + l₅²) + n"),
)
_SIDES = (
    ("without pools", "lᵢ = l - i (k - 1), s = l₅"),
    ("with 2×2 pools", "l₁ = l - (k - 1), lᵢ = ⌊lᵢ₋₁ / 2⌋ - (k - 1), s = ⌊l₅ / 2⌋"),
)
_REPORT = (
    "The report answers without pools. It leaves out the m biases of each convolution and the factor m of a",
    "convolution's multiply-adds, and sums the convolutions up as 5 m k².",
)


class LayerCount(NamedTuple):
    """Parameters and multiply-adds of one layer by formula."""

    layer: str
    parameters: int
    multiply_adds: int


def five_conv_counts(
    m: int,
    k: int,
    l: int,  # noqa: E741 - the report's letters
    n: int,
    *,
    pools: bool = False,
    batch_norm: bool = False,
    channels: int = 3,
    classes: int = 10,
) -> list[LayerCount]:
    """Parameters and multiply-adds of each layer by the formulas of `formula_lines`; the last row is the total.

    `pools` puts a 2×2 pool after every convolution, as in the trained network. `batch_norm` adds 2 m parameters per
    block. Raises InputError if a map has no pixel left.
    """
    rows, side, depth = [], l, channels
    for i in range(1, 6):
        side -= k - 1
        _require_side(side, f"conv{i}")
        rows.append(LayerCount(f"conv{i}", m * (depth * k**2 + 1), side**2 * m * depth * k**2))
        if batch_norm:
            rows.append(LayerCount(f"bn{i}", 2 * m, 0))
        if pools:
            side //= 2
            _require_side(side, f"pool{i}")
        depth = m
    rows.append(LayerCount("dense1", n * (side**2 * m + 1), n * side**2 * m))
    rows.append(LayerCount("logits", classes * (n + 1), classes * n))
    total = LayerCount("total", sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows))
    return [*rows, total]


def formula_lines(assignments: Sequence[str] = ()) -> list[str]:
    """The formulas in letters, and for `assignments` such as m=32, also the numbers of each layer, as lines of text.

    Raises UsageError for an assignment that is not LETTER=NUMBER or repeated, and if m, k, l or n has no number while
    others have; InputError if a map has no pixel left.
    """
    values = _values(assignments)
    lines = ["five convolutions, then dense layers (CS6910, part A, question 1)", ""]
    lines += [f"{letter}  {meaning}" for letter, meaning in LETTERS.items()]
    lines += ["", *aligned(_FORMULAS), "", "in all", *aligned([(f"  {name}", formula) for name, formula in _IN_ALL])]
    lines += ["", "side lᵢ of the map behind convolution i, side s of the last map"]
    lines += [*aligned([(f"  {name}", formula) for name, formula in _SIDES]), "", *_REPORT]
    if values:
        lines += ["", f"with {', '.join(f'{letter} = {values[letter]:,}' for letter in LETTERS)}", *_numbers(values)]
    return lines


def _values(assignments: Sequence[str]) -> dict[str, int]:
    """Letter -> number, with the defaults of c and o; empty if there are no assignments."""
    values: dict[str, int] = {}
    for text in assignments:
        letter, equals, number = text.partition("=")
        where = f"command line: --formula {text}"
        if not equals or not number.isdecimal() or int(number) < 1:
            raise UsageError(f"{where}: expected LETTER=NUMBER with a number of at least 1, such as m=32")
        if letter not in LETTERS:
            raise UsageError(f"{where}: unknown letter {letter!r}{nearest(letter, LETTERS)}")
        if letter in values:
            raise UsageError(f"{where}: {letter} is {values[letter]} already; expected each letter once")
        values[letter] = int(number)
    missing = [letter for letter in _REQUIRED if letter not in values]
    if values and missing:
        raise UsageError(f"command line: --formula: no number for {', '.join(missing)}; expected m, k, l and n")
    return {"c": 3, "o": 10} | values if values else {}


def _numbers(values: dict[str, int]) -> list[str]:
    """A row for each layer: without pools as in the report's answer, then with pools and batch norm as trained."""
    m, k, l, n = (values[letter] for letter in _REQUIRED)  # noqa: E741
    shared = {"channels": values["c"], "classes": values["o"]}
    lines = []
    for trained, name in (
        (False, "without pools"),
        (True, "with 2×2 pools and batch norm: five_block with organisation 1 and padding valid"),
    ):
        try:
            rows = five_conv_counts(m, k, l, n, pools=trained, batch_norm=trained, **shared)
        except InputError as error:
            if not trained:
                raise
            lines += ["", name, f"too small: {error}"]
            break
        cells = [(row.layer, f"{row.parameters:,}", f"{row.multiply_adds:,}") for row in rows]
        lines += ["", name, *aligned([_FORMULAS[0], *cells], right=(1, 2))]
    return lines


def _require_side(side: int, layer: str) -> None:
    require(side >= 1, f"five_block: {layer}", f"a map of {side} pixels", "at least 1: a larger l or a smaller k")
