import itertools
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from keras_cnn.analysis.factors import factor
from keras_cnn.analysis.importance import encode, importance, ranked
from keras_cnn.errors import InputError


def table(values, **columns):
    found = pd.DataFrame({"run": [f"r{i}" for i in range(len(values))], **columns, "test_accuracy": values})
    found.attrs = {"factors": list(columns), "notes": []}
    return found


@pytest.fixture(scope="module")
def mixed():
    generator = np.random.default_rng(7)
    rate, optimizer = 10 ** generator.uniform(-4, -1, 60), generator.choice(["adam", "sgd", "lamb"], 60)
    nesterov, noise = generator.choice([True, False], 60), generator.normal(size=60)
    values = 0.5 + 0.2 * (optimizer == "sgd") + 0.05 * nesterov + 0.005 * generator.normal(size=60)
    return table(values, rate=rate, optimizer=optimizer, nesterov=nesterov, noise=noise)


def test_texts_are_one_column_a_level_and_truth_values_one_of_0_and_1():
    runs = table([1.0, 2.0, 3.0], a=[3, 1, 2], b=["x", "y", "x"], c=[True, False, True], d=[None, 5, 5])
    inputs = encode([factor(runs, name) for name in "abcd"])
    assert inputs.names == ("a", "b=x", "b=y", "c", "d=5", "d=-")
    assert inputs.factors == ("a", "b", "b", "c", "d", "d")
    expected = [[3, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0], [2, 1, 0, 1, 1, 0]]
    np.testing.assert_array_equal(inputs.matrix, expected)


def test_importances_are_scikit_learns_and_correlations_numpys(mixed):
    found = importance(mixed, "test_accuracy", seed=3, resamples=5).set_index("input")
    optimizer = {f"optimizer={n}": (mixed["optimizer"] == n).astype(float) for n in ("adam", "lamb", "sgd")}
    columns = {"rate": mixed["rate"], **optimizer, "nesterov": mixed["nesterov"].astype(float), "noise": mixed["noise"]}
    forest = RandomForestRegressor(200, random_state=3, oob_score=True)
    forest.fit(np.column_stack(list(columns.values())), mixed["test_accuracy"])
    for name, share in zip(columns, forest.feature_importances_, strict=True):
        assert found.loc[name, "importance"] == pytest.approx(share)
        expected = np.corrcoef(columns[name].astype(float), mixed["test_accuracy"])[0, 1]
        assert found.loc[name, "correlation"] == pytest.approx(expected)
    assert found["importance"].sum() == pytest.approx(1)
    total = found.loc[list(optimizer), "importance"].sum()
    assert found.loc["optimizer=adam", "factor_importance"] == pytest.approx(total)


def test_what_matters_comes_first_with_its_intervals(mixed):
    found = importance(mixed, "test_accuracy", resamples=40)
    assert ranked(found)[0] == "optimizer"
    assert found.iloc[0]["input"] == "optimizer=sgd"
    assert found.iloc[0]["correlation"] > 0.9
    assert found.attrs["r2_out_of_bag"] > 0.9
    assert found.attrs["notes"] == []
    for name in ("importance", "factor_importance", "correlation"):
        assert (found[f"{name}_low"] < found[f"{name}_high"]).all()
    row = found.iloc[0]
    assert row["importance_low"] < row["importance"] < row["importance_high"]
    others = found[found["factor"] != "optimizer"]
    assert others["importance_high"].max() < row["importance_low"]
    noise = found.set_index("input").loc["noise"]
    assert noise["correlation_low"] < 0 < noise["correlation_high"]


def test_where_nothing_matters_importances_are_near_equal_and_a_note_says_noise():
    generator = np.random.default_rng(1)
    columns = {name: generator.permutation(np.repeat([1, 2, 3, 4], 50)) for name in "abcd"}
    found = importance(table(generator.normal(size=200), **columns), "test_accuracy", resamples=40)
    assert found["importance"].to_numpy() == pytest.approx([0.25] * 4, abs=0.06)
    # every interval overlaps every other
    assert found["importance_low"].max() < found["importance_high"].min()
    assert ((found["correlation_low"] < 0) & (found["correlation_high"] > 0)).sum() >= 3
    assert found.attrs["r2_out_of_bag"] <= 0
    assert "the importances are noise" in found.attrs["notes"][0]


def test_the_same_seed_gives_the_same_numbers(mixed, monkeypatch):
    seeds = []

    def forest(*arguments, random_state, **settings):
        seeds.append(random_state)
        return RandomForestRegressor(*arguments, random_state=random_state, **settings)

    monkeypatch.setattr("keras_cnn.analysis.importance.RandomForestRegressor", forest)
    first, again, other = (importance(mixed, "test_accuracy", seed=seed, resamples=3) for seed in (1, 1, 2))
    assert seeds[:4] == seeds[4:8]  # of the forest of all runs and of three resamples
    assert len(set(seeds)) == 8  # each has its own
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first["importance"], other["importance"])


def test_seeds_of_one_cell_are_drawn_together():
    # Two cells alone: half of the resamples hold one cell only, in which the setting does not vary.
    runs = table([0.1, 0.11, 0.5, 0.52], a=[1, 1, 2, 2])
    found = importance(runs, "test_accuracy", resamples=20)
    assert found["importance"].tolist() == [1.0]
    left, right = np.array([0.1, 0.11, 0.5, 0.52]), np.array([1, 1, 2, 2])
    r = np.corrcoef(left, right)[0, 1]
    ends = found[["correlation_low", "correlation_high"]].to_numpy()[0]
    assert ends == pytest.approx([r, r])  # wherever both are drawn the data are the same


def test_runs_without_the_metric_are_named_and_nothing_to_explain_is_refused(mixed):
    runs = table([0.1, 0.3, math.nan, 0.2, 0.4], a=[1, 2, 3, 1, 2])
    found = importance(runs, "test_accuracy", resamples=2)
    assert "left out: 1 run has no finite test accuracy: r2" in found.attrs["notes"]
    with pytest.raises(InputError, match=r"test accuracy is 0\.5 in all 4 runs; nothing varies"):
        importance(table([0.5] * 4, a=[1, 2, 3, 4]), "test_accuracy")
    with pytest.raises(InputError, match="runs with a test accuracy: 1; expected at least 3"):
        importance(table([0.5], a=[1]), "test_accuracy")
    with pytest.raises(InputError, match=r"no column 'test_acuracy'.*did you mean test_accuracy\?"):
        importance(mixed, "test_acuracy")


def test_three_runs_of_a_grid_are_enough():
    values = [0.1 * a + 0.01 * b for a, b in itertools.product((1, 2), (1, 2))][:3]
    found = importance(table(values, a=[1, 1, 2], b=[1, 2, 1]), "test_accuracy", resamples=3)
    assert found["importance"].sum() == pytest.approx(1)
