import math

import numpy as np
import pandas as pd
import pytest

from keras_cnn import models
from keras_cnn.analysis.grouped import best_row, grouped_means
from keras_cnn.errors import InputError
from keras_cnn.models import arithmetic

# Two runs of kernel 3 and one of kernel 5; the third stopped after two epochs.
EPOCHS = pd.DataFrame(
    {
        "run": ["a", "a", "a", "b", "b", "b", "c", "c"],
        "epoch": [1, 2, 3, 1, 2, 3, 1, 2],
        "kernel": [3, 3, 3, 3, 3, 3, 5, 5],
        "loss": [2.0, 1.0, 0.5, 2.0, 1.5, 1.0, 3.0, 2.0],
        "train_accuracy": [0.2, 0.6, 0.9, 0.3, 0.5, 0.7, 0.1, 0.2],
        "test_accuracy": [0.3, 0.5, 0.4, 0.4, 0.4, 0.6, 0.2, 0.1],
        "parameters": [100, 100, 100, 300, 300, 300, 500, 500],
    }
)


def by_kernel(epochs):
    return grouped_means(EPOCHS, ["kernel"], epochs).set_index("kernel")


def test_means_over_all_epochs_with_overfit_clipped_row_by_row():
    found = by_kernel("all")
    assert found["runs"].tolist() == [2, 1]
    assert found["rows"].tolist() == [6, 2]
    assert found.loc[3, "loss"] == pytest.approx(8 / 6)
    assert found.loc[3, "train_accuracy"] == pytest.approx(3.2 / 6)
    assert found.loc[3, "test_accuracy"] == pytest.approx(2.6 / 6)
    # train - test in points: -10, 10, 50, -10, 10, 10 | -10, 10
    assert found["overfit_percent"].tolist() == pytest.approx([80 / 6, 5])
    assert found["overfit_percent_unclipped"].tolist() == pytest.approx([60 / 6, 0])
    assert found["parameters"].tolist() == [200, 500]
    convention = grouped_means(EPOCHS, ["kernel"]).attrs["convention"]
    assert "all epochs of all runs" in convention
    assert "100 (train - test accuracy), clipped" in convention
    notes = grouped_means(EPOCHS, ["kernel"]).attrs["notes"]
    assert notes == ["runs have 2 to 3 epochs: the longer ones weigh more"]


def test_means_over_last_and_best_epochs():
    last, best = by_kernel("last"), by_kernel("best")
    assert last["test_accuracy"].tolist() == pytest.approx([0.5, 0.1])
    assert last["overfit_percent"].tolist() == pytest.approx([(50 + 10) / 2, 10])
    assert last["rows"].tolist() == [2, 1]
    # the best are epochs 2 and 3 of a and b, and 1 of c
    assert best["test_accuracy"].tolist() == pytest.approx([0.55, 0.2])
    assert best["loss"].tolist() == pytest.approx([1.0, 3.0])
    assert best["overfit_percent_unclipped"].tolist() == pytest.approx([10, -10])
    convention = grouped_means(EPOCHS, ["kernel"], "best").attrs["convention"]
    assert "best by test accuracy, chosen on the test images and so too good" in convention
    assert "the last epoch of each run" in grouped_means(EPOCHS, ["kernel"], "last").attrs["convention"]


def test_means_by_epoch_and_by_two_factors():
    found = grouped_means(EPOCHS, ["epoch"])
    assert found["epoch"].tolist() == [1, 2, 3]
    assert found["runs"].tolist() == [3, 3, 2]
    assert found["loss"].tolist() == pytest.approx([7 / 3, 4.5 / 3, 0.75])
    pair = grouped_means(EPOCHS, ["kernel", "epoch"])
    assert pair[["kernel", "epoch"]].to_numpy().tolist() == [[3, 1], [3, 2], [3, 3], [5, 1], [5, 2]]
    assert pair["test_accuracy"].tolist() == pytest.approx([0.35, 0.45, 0.5, 0.2, 0.1])


def test_the_group_means_agree_with_pandas_on_random_tables():
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {"run": np.arange(50), "a": generator.integers(3, size=50), "b": generator.choice(["x", "y"], 50)}
    )
    for name in ("loss", "train_accuracy", "validation_accuracy"):
        table[name] = generator.uniform(size=50)
    found = grouped_means(table, ["a", "b"])
    table["overfit_percent"] = 100 * (table["train_accuracy"] - table["validation_accuracy"]).clip(lower=0)
    expected = table.groupby(["a", "b"], as_index=False)[["loss", "validation_accuracy", "overfit_percent"]].mean()
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)
    assert "train - validation accuracy" in found.attrs["convention"]


def test_a_group_with_a_row_that_has_no_number_has_no_mean():
    table = EPOCHS.assign(loss=[2.0, math.nan, *EPOCHS["loss"][2:]])
    found = grouped_means(table, ["kernel"])
    assert math.isnan(found["loss"].iloc[0])
    assert found["loss"].iloc[1] == 2.5
    assert "loss: 1 of 8 rows have none; no mean for groups with such a row" in found.attrs["notes"]
    sparse = EPOCHS.rename(columns={"test_accuracy": "validation_accuracy"})
    sparse["test_accuracy"] = [math.nan, 0.5] + [math.nan] * 6
    assert "test_accuracy" not in grouped_means(sparse, ["kernel"])
    assert "train - validation accuracy" in grouped_means(sparse, ["kernel"]).attrs["convention"]


def test_the_best_row():
    found = best_row(EPOCHS)
    assert found[["run", "epoch", "test_accuracy"]].to_numpy().tolist() == [["b", 3, 0.6]]
    assert found["overfit_percent"].tolist() == pytest.approx([10])
    chosen = EPOCHS.assign(validation_accuracy=[0, 0, 0, 0, 0, 0, 0.9, 0.9])
    found = best_row(chosen)
    assert found[["run", "epoch"]].to_numpy().tolist() == [["c", 1]]  # the first of equal ones
    assert found["overfit_percent"].tolist() == [0]
    assert found["overfit_percent_unclipped"].tolist() == pytest.approx([-10])
    losses = EPOCHS[["run", "epoch", "loss"]]
    assert best_row(losses)[["run", "epoch"]].to_numpy().tolist() == [["a", 3]]


def test_bad_tables_are_refused():
    with pytest.raises(InputError, match="no rows"):
        grouped_means(EPOCHS.iloc[:0], ["kernel"])
    with pytest.raises(InputError, match=r"no column 'kernl'.*did you mean kernel\?"):
        grouped_means(EPOCHS, ["kernl"])
    with pytest.raises(InputError, match="expected one of all, last, best"):
        grouped_means(EPOCHS, ["kernel"], "first")
    with pytest.raises(InputError, match="no accuracy and no loss"):
        best_row(pd.DataFrame({"run": ["a"], "lr": [1]}))


# --- what the CS7015 report prints ------------------------------------------------------------------------------------


def test_cs7015_net2_mean_parameters_to_the_unit():
    rows = []
    for l1_oc in (18, 32, 64):
        for kernel in (3, 5, 7):
            model = models.build("net2", (32, 32, 3), 10, l1_oc=l1_oc, kernel_size=kernel)
            total = arithmetic.totals(arithmetic.table(model)).trainable
            rows.append({"run": len(rows), "l1_oc": l1_oc, "kernel_size": kernel, "parameters": total})
    table = pd.DataFrame(rows)
    by_width = grouped_means(table, ["l1_oc"]).set_index("l1_oc")["parameters"]
    by_kernel = grouped_means(table, ["kernel_size"]).set_index("kernel_size")["parameters"]
    assert by_width.round().astype(int).to_dict() == {18: 654346, 32: 1675198, 64: 5719038}
    assert by_kernel.round().astype(int).to_dict() == {3: 2011954, 5: 2248274, 7: 3788354}


def test_cs7015_net1_means_by_kernel_follow_from_its_means_by_kernel_and_stride():
    table = pd.DataFrame(
        {
            "run": range(4),
            "kernel_size": [3, 3, 5, 5],
            "stride": [1, 2, 1, 2],
            "loss": [0.889921, 1.621003, 0.968880, 1.337623],
            "train_accuracy": [0.681618, 0.403468, 0.653581, 0.510751],
            "test_accuracy": [0.585004, 0.392318, 0.565333, 0.490402],
        }
    )
    found = grouped_means(table, ["kernel_size"])
    assert found["train_accuracy"].tolist() == pytest.approx([0.542543, 0.582166], abs=1.01e-6)
    assert found["test_accuracy"].tolist() == pytest.approx([0.488661, 0.527868], abs=1.01e-6)


def test_cs7015_overfit_of_the_best_rows():
    # train and test accuracy of the best runs of nets 2, 3 and 4, and the overfit% printed beside them
    for train, test, printed in ((0.99482, 0.7503, 24.452), (0.9348, 0.875, 5.98), (0.96714, 0.8874, 7.974)):
        row = best_row(pd.DataFrame({"run": ["1"], "epoch": [9], "train_accuracy": [train], "test_accuracy": [test]}))
        assert row["overfit_percent"].iloc[0] == pytest.approx(printed, abs=5e-4)
