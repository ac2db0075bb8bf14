import itertools

import pandas as pd
import pytest

from keras_cnn.analysis.balance import balance, pair_counts
from keras_cnn.analysis.factors import factor
from keras_cnn.errors import InputError


def grid(cells):
    table = pd.DataFrame(cells, columns=["a", "b"])
    table.insert(0, "run", range(len(table)))
    return table


FULL = list(itertools.product([1, 2, 3], ["x", "y"]))


def test_a_balanced_grid_has_no_warning():
    found = balance(grid(FULL * 2))
    assert found.attrs["warning"] == ""
    assert found.attrs["uneven_pairs"] == []
    assert len(found) == 6
    assert set(found["runs"]) == set(found["expected"]) == {2}
    assert set(found["state"]) == {"even"}


def test_missing_and_crowded_cells_are_named():
    found = balance(grid([cell for cell in FULL * 2 if cell != (3, "y")] + [(1, "x"), (2, "y")][:1]))
    states = {(row["a"], row["b"]): (row["runs"], row["state"]) for row in found.to_dict("records")}
    assert states[3, "y"] == (0, "missing")
    assert states[1, "x"] == (3, "over")
    assert states[2, "x"] == (2, "even")
    warning = found.attrs["warning"]
    assert "of 6 cells 1 missing (a 3, b y), 1 with more than the usual 2 (a 1, b x)" in warning
    assert found.attrs["uneven_pairs"] == [("a", "b")]


def test_cells_with_too_few_runs_are_named():
    found = balance(grid((FULL * 3)[:-1]))
    assert found.attrs["warning"].endswith("of 6 cells 1 with fewer than the usual 3 (a 3, b y)")
    assert found["state"].tolist().count("under") == 1


def test_proportional_counts_are_spread_alike_though_cells_differ():
    found = balance(grid([(1, "x"), (2, "x")] * 2 + [(1, "y"), (2, "y")]))
    assert found.attrs["uneven_pairs"] == []
    assert found.attrs["warning"] != ""


def test_a_sample_is_no_grid():
    table = pd.DataFrame({"run": range(8), **{f"f{i}": [(run >> i) & 1 for run in range(8)] for i in range(3)}})
    table["g"], table["h"] = table["f0"] ^ table["f1"], table["f1"] ^ table["f2"]
    found = balance(table)
    assert found.attrs["warning"] == "no grid: 8 runs in 8 of 32 cells"
    assert len(found) == 8


def test_quantities_are_no_dimension():
    table = grid(FULL * 2)
    table["rate"] = [0.1 * i for i in range(12)]
    found = balance(table)
    assert list(found.columns) == ["a", "b", "runs", "expected", "state"]
    assert found.attrs["warning"] == ""
    assert found.attrs["notes"] == ["no dimension of a grid, with hardly two runs a value: rate"]


def test_pair_counts_are_counted():
    table = grid([*FULL, (1, "x")])
    counts = pair_counts([factor(table, name) for name in "ab"])
    for (f, level), (g, other) in itertools.product(counts.index, counts.index):
        expected = sum(str(r[f]) == level and str(r[g]) == other for r in table.to_dict("records"))
        assert counts.loc[(f, level), (g, other)] == expected


def test_tables_without_a_grid_are_refused():
    with pytest.raises(InputError, match="no rows"):
        balance(grid([]))
    with pytest.raises(InputError, match="no setting differs among 2 runs"):
        balance(grid([(1, "x"), (1, "x")]))
