import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest

from keras_cnn.analysis.effects import marginal_differences, marginal_means
from keras_cnn.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # statsmodels 0.14 uses what pandas 3 has deprecated
    import statsmodels.formula.api as smf


def grid(levels, repeats=1):
    cells = list(itertools.product(*levels.values()))
    rows = [dict(zip(levels, cell, strict=True)) | {"seed": s} for cell in cells for s in range(repeats)]
    table = pd.DataFrame(rows)
    table.insert(0, "run", [f"r{i}" for i in range(len(table))])
    table.attrs = {"factors": list(levels), "notes": []}
    return table


def without(table, mask):
    kept = table[~mask].reset_index(drop=True)
    kept.attrs = dict(table.attrs)
    return kept


def row(table, factor, change):
    (found,) = table[(table["factor"] == factor) & (table["change"] == change)].to_dict("records")
    return found


def test_on_a_balanced_grid_marginal_means_are_the_plain_means():
    # By hand: y = 10, 14 | 20, 28. Level means of a: 12, 24; of b: 15, 21. Additive fit: 9, 15 | 21, 27, residuals
    # 1, -1, -1, 1, so s² = 4 on 1 degree of freedom; t(0.975, 1) = 12.7062. Each mean has s²/2, each difference s².
    table = grid({"a": [1, 2], "b": ["x", "y"]})
    table["loss"] = [10.0, 14.0, 20.0, 28.0]
    means = marginal_means(table, "loss")
    assert means["marginal_mean"].tolist() == pytest.approx([12, 24, 15, 21])
    assert means["mean"].tolist() == pytest.approx([12, 24, 15, 21])
    assert means["runs"].tolist() == [2, 2, 2, 2]
    half = 12.7062 * math.sqrt(4 / 2)
    assert means["high"].to_numpy() - means["marginal_mean"].to_numpy() == pytest.approx([half] * 4, rel=1e-4)
    differences = marginal_differences(table, "loss")
    found = row(differences, "a", "1 → 2")
    assert (found["difference"], found["naive"]) == pytest.approx((12, 12))
    assert found["high"] - 12 == pytest.approx(12.7062 * 2, rel=1e-4)
    assert differences.attrs["freedom"] == 1


def test_known_effects_are_found_on_an_uneven_grid_where_plain_means_have_the_wrong_sign():
    # Width helps by 2 points, stride 2 costs 20; the wide runs were nearly all made with stride 2.
    table = grid({"width": [16, 32], "stride": [1, 2], "kernel": [3, 5, 7]})
    kernel = {3: 0.0, 5: 0.01, 7: -0.03}
    table["test_accuracy"] = 0.6 + 0.02 * (table["width"] == 32) - 0.2 * (table["stride"] == 2)
    table["test_accuracy"] += table["kernel"].map(kernel)
    wide, strided = table["width"] == 32, table["stride"] == 2
    table = without(table, (wide & ~strided & (table["kernel"] != 3)) | (~wide & strided & (table["kernel"] != 5)))
    differences = marginal_differences(table, "test_accuracy")
    width = row(differences, "width", "16 → 32")
    assert width["naive"] < -0.05
    assert width["difference"] == pytest.approx(0.02)
    assert row(differences, "stride", "1 → 2")["difference"] == pytest.approx(-0.2)
    assert row(differences, "kernel", "5 → 7")["difference"] == pytest.approx(-0.04)
    means = marginal_means(table, "test_accuracy").set_index(["factor", "level"])["marginal_mean"]
    # over all four combinations of the other factors: 0.6 + (0 + 0.01 - 0.03) / 3 - 0.1, and width's own
    assert means["width", 16] == pytest.approx(0.6 - 0.02 / 3 - 0.1)
    assert means["width", 32] == pytest.approx(0.62 - 0.02 / 3 - 0.1)


@pytest.fixture(scope="module")
def uneven():
    generator = np.random.default_rng(3)
    table = grid({"a": [1, 2, 3], "b": ["u", "v"], "c": [True, False]})
    table = without(table, np.isin(np.arange(12), (0, 5)))
    table["loss"] = generator.normal(size=10) + table["a"] + 2 * (table["b"] == "v")
    return table


def test_differences_and_intervals_are_statsmodels(uneven):
    fit = smf.ols("loss ~ C(a) + C(b) + C(c)", uneven).fit()
    differences = marginal_differences(uneven, "loss", level=0.9)
    names = list(fit.params.index)
    for factor, change, weights in [
        ("a", "1 → 2", {"C(a)[T.2]": 1}),
        ("a", "1 → 3", {"C(a)[T.3]": 1}),
        ("a", "2 → 3", {"C(a)[T.2]": -1, "C(a)[T.3]": 1}),
        ("b", "u → v", {"C(b)[T.v]": 1}),
        ("c", "False → True", {"C(c)[T.True]": 1}),
    ]:
        test = fit.t_test([weights.get(name, 0) for name in names])
        found = row(differences, factor, change)
        assert found["difference"] == pytest.approx(float(test.effect[0]))
        assert (found["low"], found["high"]) == pytest.approx(tuple(test.conf_int(alpha=0.1)[0]))
    assert differences.attrs["freedom"] == fit.df_resid


def test_marginal_means_are_statsmodels_predictions_over_the_whole_grid(uneven):
    fit = smf.ols("loss ~ C(a) + C(b) + C(c)", uneven).fit()
    means = marginal_means(uneven, "loss")
    for found in means.to_dict("records"):
        whole = grid({"a": [1, 2, 3], "b": ["u", "v"], "c": [True, False]})
        predicted = fit.predict(whole[whole[found["factor"]] == found["level"]])
        assert found["marginal_mean"] == pytest.approx(float(np.mean(predicted)))
        plain = uneven.loc[uneven[found["factor"]] == found["level"], "loss"].mean()
        assert found["mean"] == pytest.approx(plain)


def test_factors_that_always_change_together_are_named_and_not_estimated():
    table = grid({"a": [1, 2], "c": [1, 2, 3]}, repeats=2)
    table["b"] = table["a"].map({1: "x", 2: "y"})
    table.attrs["factors"] = ["a", "b", "c"]
    table["loss"] = np.random.default_rng(0).normal(size=12)
    differences = marginal_differences(table, "loss")
    for factor, change, other in (("a", "1 → 2", "b"), ("b", "x → y", "a")):
        found = row(differences, factor, change)
        assert math.isnan(found["difference"])
        assert math.isnan(found["low"])
        assert found["confounded_with"] == other
    assert not differences.loc[differences["factor"] == "c", "difference"].isna().any()
    assert differences.attrs["notes"] == ["cannot be told apart, not estimated: a, b"]
    means = marginal_means(table, "loss")
    assert means.loc[means["factor"] == "a", "marginal_mean"].isna().all()
    assert means.loc[means["factor"] == "c", "marginal_mean"].notna().all()


def test_of_partly_confounded_factors_the_rest_is_estimated():
    # a = 3 was only ever run with b = y, and b = y with nothing else: that step alone is blurred.
    table = grid({"a": [1, 2, 3], "c": [0, 1]}, repeats=2)
    table["b"] = np.where(table["a"] == 3, "y", "x")
    table.attrs["factors"] = ["a", "b", "c"]
    table["loss"] = 1.0 * table["a"] + 5 * table["c"] + 0.01 * np.arange(12)
    differences = marginal_differences(table, "loss")
    assert row(differences, "a", "1 → 2")["confounded_with"] == ""
    assert math.isfinite(row(differences, "a", "1 → 2")["difference"])
    assert row(differences, "a", "1 → 3")["confounded_with"] == "b"
    assert row(differences, "b", "x → y")["confounded_with"] == "a"


def test_a_quantity_is_one_slope_by_doubling_or_over_its_range():
    generator = np.random.default_rng(5)
    table = pd.DataFrame({"run": range(30), "rate": 10 ** generator.uniform(-4, -1, 30)})
    table["dropout"] = generator.uniform(0.1, 0.3, 30)
    table["width"] = np.tile([16, 32], 15)
    table.attrs = {"factors": ["rate", "dropout", "width"]}
    table["loss"] = 3 + 0.25 * np.log2(table["rate"]) - 2 * table["dropout"] + 0.5 * (table["width"] == 32)
    table["loss"] += 0.01 * generator.normal(size=30)
    differences = marginal_differences(table, "loss").set_index("factor")
    frame = table.assign(log=np.log2(table["rate"]), wide=(table["width"] == 32).astype(float))
    fit = smf.ols("loss ~ log + dropout + wide", frame).fit()
    span = table["dropout"].max() - table["dropout"].min()
    ends = fit.conf_int()
    for name, factor, scale in (("log", "rate", 1), ("dropout", "dropout", span), ("wide", "width", 1)):
        assert differences.loc[factor, "difference"] == pytest.approx(scale * fit.params[name])
        assert differences.loc[factor, "low"] == pytest.approx(scale * ends.loc[name, 0])
        assert differences.loc[factor, "high"] == pytest.approx(scale * ends.loc[name, 1])
    assert differences.loc["rate", "change"] == "per doubling"
    alone = smf.ols("loss ~ log", frame).fit()
    assert differences.loc["rate", "naive"] == pytest.approx(alone.params["log"])
    assert set(marginal_means(table, "loss")["factor"]) == {"width"}


def test_a_number_that_hardly_repeats_is_a_quantity():
    table = pd.DataFrame({"run": range(9), "dropout": [0.10, 0.12, 0.14, 0.14, 0.16, 0.18, 0.20, 0.22, 0.22]})
    table["loss"] = 2 + 5 * table["dropout"] + np.array([1, -1, 1, 0, -1, 1, -1, 1, -1]) * 0.001
    (found,) = marginal_differences(table, "loss", ["dropout"]).to_dict("records")
    cells = table.groupby("dropout")["loss"].mean()  # runs of one cell are one point
    slope = np.polyfit(cells.index, cells, 1)[0]
    assert found["change"] == "0.1 → 0.22, linear"
    assert found["difference"] == pytest.approx(0.12 * slope)


def test_numbers_become_slopes_where_their_levels_leave_nothing_for_the_error():
    table = grid({"a": [1, 2, 3, 4]}, repeats=2)
    table["b"] = [10, 20, 30, 40, 40, 30, 20, 10]
    table["c"] = [1, 2, 3, 3, 1, 2, 2, 1]
    table.attrs["factors"] = ["a", "b", "c"]
    table["loss"] = np.random.default_rng(0).normal(size=8)
    differences = marginal_differences(table, "loss")
    assert len(differences) == 3
    assert differences.attrs["freedom"] == 4
    assert "a, b, c as quantities" in differences.attrs["method"]


def test_seeds_of_one_cell_are_not_taken_for_independent_runs():
    # The interaction of a and b is what an additive model misses: a cell's two seeds share it.
    table = grid({"a": [1, 2, 3], "b": [1, 2, 3]}, repeats=2)
    table["loss"] = np.where((table["a"] == 2) & (table["b"] == 2), 1.0, 0.0) + 0.001 * table["seed"]
    differences = marginal_differences(table, "loss")
    cells = table.groupby(["a", "b"], as_index=False)["loss"].mean()
    fit = smf.ols("loss ~ C(a) + C(b)", cells).fit()
    assert differences.attrs["freedom"] == 4
    found = row(differences, "a", "1 → 2")
    expected = fit.conf_int().loc["C(a)[T.2]"]
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))
    assert "9 cells of 18 runs" in differences.attrs["method"]


def test_where_the_model_fits_every_cell_the_seeds_give_the_error():
    table = grid({"a": ["x", "y", "z"]}, repeats=4)
    table["loss"] = np.random.default_rng(1).normal(size=12)
    fit = smf.ols("loss ~ C(a)", table).fit()
    found = row(marginal_differences(table, "loss"), "a", "x → z")
    assert (found["low"], found["high"]) == pytest.approx(tuple(fit.conf_int().loc["C(a)[T.z]"]))


def test_intervals_hold_the_true_difference_as_often_as_they_say():
    generator = np.random.default_rng(0)
    table = grid({"a": [1, 2, 3], "b": [1, 2], "c": [1, 2]}, repeats=2)
    table = without(table, np.isin(np.arange(24), (0, 1, 7)))
    keys = [f"{a}{b}{c}" for a, b, c in zip(table["a"], table["b"], table["c"], strict=True)]
    held = 0
    for _ in range(300):
        missed = dict(zip(sorted(set(keys)), generator.normal(size=12), strict=False))
        table["loss"] = 2.0 * (table["b"] == 2) + [missed[k] for k in keys] + 0.3 * generator.normal(size=len(table))
        found = row(marginal_differences(table, "loss", ["a", "b", "c"]), "b", "1 → 2")
        held += found["low"] <= 2 <= found["high"]
    assert 0.92 <= held / 300 <= 0.98  # binomial: 0.95 ± 0.0125


def test_a_model_without_freedom_has_estimates_and_no_intervals():
    table = grid({"a": ["x", "y", "z"]})
    table["loss"] = [1.0, 2.0, 4.0]
    differences = marginal_differences(table, "loss")
    assert differences["difference"].tolist() == pytest.approx([1, 3, 2])
    assert differences["low"].isna().all()
    assert "as many coefficients as runs: no error to estimate, so no intervals" in differences.attrs["notes"]


def test_bad_tables_are_refused():
    table = grid({"a": [1, 2]})
    table["loss"], table["same"], table["none"] = [1.0, 2.0], 0.5, math.nan
    for metric, expected in (
        ("loss", "runs with a loss: 2; expected at least 3"),
        ("none", "none of 2 rows has a finite none"),
        ("lss", "did you mean loss?"),
    ):
        with pytest.raises(InputError, match=expected.replace("?", r"\?")):
            marginal_differences(table, metric)
    longer = grid({"a": [1, 2, 3]})
    longer["loss"] = 0.5
    with pytest.raises(InputError, match=r"loss is 0\.5 in all 3 runs"):
        marginal_means(longer, "loss")
    longer["loss"] = [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match="no column 'b'"):
        marginal_means(longer, "loss", ["b"])
    with pytest.raises(InputError, match="no rows"):
        marginal_means(longer.iloc[:0], "loss")
    longer["a"] = 1
    with pytest.raises(InputError, match="no setting differs"):
        marginal_means(longer, "loss")


def test_runs_without_the_metric_are_left_out_and_named():
    table = grid({"a": [1, 2]}, repeats=3)
    table["loss"] = [1.0, 2.0, math.nan, 4.0, math.inf, 6.0]
    means = marginal_means(table, "loss")
    assert means["mean"].tolist() == [1.5, 5.0]
    assert means.attrs["notes"] == ["left out: 2 runs have no finite loss: r2, r4"]
