"""`keras-cnn models`: the closed formulas as text, their numbers, and the diagrams."""

import re

import pytest

from keras_cnn import closed_formulas
from keras_cnn.cli import models
from keras_cnn.closed_formulas import five_conv_counts

NAMES = {"l₁²": "l1**2", "l₂²": "l2**2", "l₃²": "l3**2", "l₄²": "l4**2", "l₅²": "l5**2", "lᵢ²": "li**2"}


def value(formula: str, letters: dict[str, int]) -> int:
    """The number that a printed formula stands for: `m (c k² + 1)` is m * (c * k**2 + 1)."""
    for printed, plain in NAMES.items():
        formula = formula.replace(printed, plain)
    formula = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula.replace("²", "**2"))
    assert re.fullmatch(r"[\w\s()+*]+", formula)
    return eval(formula, {}, letters)


@pytest.mark.parametrize(("m", "k", "l", "n"), [(4, 3, 32, 7), (3, 5, 28, 10), (6, 2, 9, 5)])
def test_the_printed_formulas_give_the_counts_of_each_layer(m, k, l, n):  # noqa: E741
    sides = {f"l{i}": l - i * (k - 1) for i in range(1, 6)}
    letters = {"m": m, "k": k, "n": n, "c": 3, "o": 10, "s": sides["l5"]} | sides
    by_layer = {row.layer: row[1:] for row in five_conv_counts(m, k, l, n, batch_norm=True)}
    for layer, *formulas in closed_formulas._FORMULAS[1:]:
        numbered = [f"conv{i}" for i in range(2, 6)] if "conv2" in layer else [layer.split()[0]]
        for name in numbered:
            found = tuple(value(text, letters | {"li": sides[f"l{name[-1]}"]} if "conv" in name else letters)
                          for text in formulas)  # fmt: skip
            assert found == by_layer[name]
    totals = dict(closed_formulas._IN_ALL)
    parameters = totals["parameters"].removesuffix(", and 10 m with batch norm")
    assert value(parameters, letters) + 10 * m == by_layer["total"][0]
    assert value(totals["multiply-adds"], letters) == by_layer["total"][1]
    assert value(totals["activations"], letters) == m * sum(side**2 for side in sides.values()) + n


def test_formulas_and_their_numbers_are_printed(capsys):
    models.main(["five_block", "--formula"])
    assert "m (c k² + 1) + 4 m (m k² + 1) + n (m s² + 1) + o (n + 1)" in (letters := capsys.readouterr().out)
    models.main(["five_block", "--formula", "m=4", "k=3", "l=32", "n=7"])
    text = capsys.readouterr().out
    assert text.startswith(letters.rstrip())
    # 4 (3 · 9 + 1) + 4 · 4 (4 · 9 + 1) + 7 (4 · 22² + 1) + 10 (7 + 1), for 32 - 5 · 2 = 22 pixels are left
    assert re.search(r"^total +14,343 ", text, re.MULTILINE)
    assert "too small: five_block: conv4: a map of 0 pixels" in text  # pools leave 15, 6 and 2 pixels
    models.main(["five_block", "--formula", "m=4", "k=3", "l=128", "n=7", "c=1"])
    text = capsys.readouterr().out
    # pools leave 63, 30, 14, 6 and 2 pixels: 4 (9 + 1) + 4 · 4 (36 + 1) + 10 · 4 + 7 (4 · 2² + 1) + 80
    assert re.search(r"^total +871 ", text, re.MULTILINE)


def test_networks_from_scratch_are_described_and_drawn(tmp_path, capsys):
    models.main(["net1", "resnet18", "--draw", str(tmp_path / "pictures")])
    text = capsys.readouterr().out
    assert "images         32x32x3" in text
    assert "parameters     173,026" in text
    drawn = {path.stem: path.read_text() for path in (tmp_path / "pictures").glob("*.svg")}
    assert drawn.keys() == {"net1", "resnet18"}
    assert "173,026" in drawn["net1"]
    assert "11,699,112" in drawn["resnet18"]  # torchvision's 11,689,512 and the statistics of its batch norms
