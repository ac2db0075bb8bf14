import math

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import partial_dependence

from keras_cnn.analysis.factors import factor
from keras_cnn.analysis.importance import encode, fitted_forest
from keras_cnn.analysis.landscape import pareto, progress, slices, surface
from keras_cnn.errors import InputError


def test_progress_is_in_the_order_of_creation_with_the_best_so_far():
    runs = pd.DataFrame(
        {
            "run": list("abcde"),
            "created": pd.to_datetime([f"2026-01-01T{h:02}:00Z" for h in (3, 1, 2, 5, 4)]),
            "test_accuracy": [0.3, 0.5, 0.2, math.nan, 0.9],
            "loss": [3.0, 5.0, 2.0, 1.0, 9.0],
        }
    )
    found = progress(runs, "test_accuracy")
    assert found["run"].tolist() == ["b", "c", "a", "e"]
    assert found["best_so_far"].tolist() == [0.5, 0.5, 0.5, 0.9]
    assert found.attrs["notes"] == ["left out: 1 run has no finite test accuracy: d"]
    assert progress(runs, "loss")["best_so_far"].tolist() == [5, 2, 2, 2, 1]
    runs.loc[0, "created"] = pd.NaT
    assert progress(runs, "loss").attrs["notes"] == ["left out, without a time of creation: a"]
    with pytest.raises(InputError, match="no run has a time of creation"):
        progress(runs.drop(columns="created"), "loss")


def on_front(costs, values, metric="test_accuracy"):
    runs = pd.DataFrame({"run": range(len(costs)), "seconds": costs, metric: values})
    return sorted(pareto(runs, metric, "seconds").query("on_front")["run"])


def test_the_pareto_front_by_hand():
    assert on_front([1, 2, 3, 4, 4], [0.5, 0.4, 0.7, 0.7, 0.8]) == [0, 2, 4]
    assert on_front([1, 1, 2], [0.5, 0.5, 0.5]) == [0, 1]  # equal ones are both on it, the dearer one is not
    assert on_front([1, 2, 3], [3.0, 2.0, 2.5], "loss") == [0, 1]
    assert on_front([5], [0.1]) == [0]


def test_the_pareto_front_against_its_definition():
    generator = np.random.default_rng(0)
    costs, values = generator.integers(0, 12, 80), generator.integers(0, 12, 80) / 12
    expected = [
        i
        for i in range(80)
        if not any(
            costs[j] <= costs[i] and values[j] >= values[i] and (costs[j] < costs[i] or values[j] > values[i])
            for j in range(80)
        )
    ]
    assert on_front(costs, values) == expected


def test_runs_without_a_cost_are_named():
    runs = pd.DataFrame({"run": list("ab"), "seconds": [1, math.nan], "loss": [1.0, 2.0]})
    found = pareto(runs, "loss", "seconds")
    assert found["run"].tolist() == ["a"]
    assert found.attrs["notes"] == ["left out: 1 run has no finite seconds: b"]


@pytest.fixture(scope="module")
def runs():
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"run": range(40), "width": np.tile([8, 16, 32, 64], 10), "kind": np.repeat(["x", "y"], 20)})
    table["rate"] = 10 ** generator.uniform(-4, -1, 40)
    table["test_accuracy"] = (
        0.1 * np.log2(table["width"]) + 0.3 * (table["kind"] == "y") + 0.01 * generator.normal(size=40)
    )
    table.attrs = {"factors": ["width", "kind", "rate"]}
    return table


def test_slices_have_a_row_a_run_and_setting(runs):
    found = slices(runs, "test_accuracy", ["kind", "width"])
    assert len(found) == 80
    assert found.query("factor == 'width'")["value"].tolist() == runs["width"].tolist()
    assert found.query("factor == 'kind'")["test_accuracy"].tolist() == runs["test_accuracy"].tolist()


def test_the_surface_of_two_settings_is_scikit_learns_partial_dependence(runs):
    found = surface(runs, "test_accuracy", "width", "rate", seed=1)
    assert len(found) == 4 * 25
    assert found["width"].unique().tolist() == [8, 16, 32, 64]
    rates = found["rate"].unique()
    np.testing.assert_allclose(rates, np.geomspace(runs["rate"].min(), runs["rate"].max(), 25))
    inputs = encode([factor(runs, name) for name in ("width", "kind", "rate")])
    forest = fitted_forest(inputs.matrix, runs["test_accuracy"].to_numpy(), 1)
    grid = {0: np.array([8.0, 16, 32, 64]), 3: np.asarray(rates, float)}
    expected = partial_dependence(forest, inputs.matrix, [0, 3], custom_values=grid, method="brute")["average"][0]
    np.testing.assert_allclose(found["predicted"].to_numpy().reshape(4, 25), expected, atol=1e-12)


def test_the_surface_over_levels_is_near_the_truth_and_counts_runs(runs):
    found = surface(runs, "test_accuracy", "kind", "width").set_index(["kind", "width"])
    assert found["runs"].tolist() == [5] * 8
    for kind, width in found.index:
        expected = 0.1 * math.log2(width) + 0.3 * (kind == "y")
        assert found.loc[(kind, width), "predicted"] == pytest.approx(expected, abs=0.04)
    with pytest.raises(InputError, match=r"no column 'widht'.*did you mean width\?"):
        surface(runs, "test_accuracy", "kind", "widht")
    with pytest.raises(InputError, match="kind: the same in all 20 runs"):
        surface(runs.iloc[:20], "test_accuracy", "kind", "width")
