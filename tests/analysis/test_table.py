import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_cnn.analysis.csv_files import read_table
from keras_cnn.analysis.factors import short_names
from keras_cnn.analysis.table import (
    best_rows,
    epochs_table,
    factors_of,
    runs_of_epochs,
    runs_table,
)
from keras_cnn.errors import InputError
from keras_cnn.run_folder.record import Record


def record(name, config, accuracies=(0.3, 0.5, 0.4), finished=True):
    history = tuple(
        {
            "epoch": i,
            "loss": 2.0 / i,
            "accuracy": value + 0.1,
            "val_loss": 2.5 / i,
            "val_accuracy": value,
            "learning_rate": 0.01,
            "epoch_seconds": 2.0,
            "run_seconds": 2.0 * i,
        }
        for i, value in enumerate(accuracies, 1)
    )
    metrics = {
        "accuracy": 0.48,
        "loss": 1.2,
        "best_epoch": 2,
        "train": {"accuracy": 0.7, "loss": 0.9},
        "validation": {"accuracy": 0.5, "loss": 1.1},
    }
    return Record(
        Path("runs") / name,
        config={"name": name, "tracking.group": name, "train.epochs": 3} | config,
        environment={"started": "2026-11-21T12:37:06+00:00"},
        history=history,
        metrics=metrics if finished else {},
        model={"totals": {"trainable": 1000, "other": 4, "multiply_adds": 9000}},
    )


def table(tmp_path, text, **options):
    (tmp_path / "t.csv").write_text(text)
    return read_table(tmp_path / "t.csv", **options)


def refused(tmp_path, text, **options):
    with pytest.raises(InputError) as error:
        table(tmp_path, text, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


# --- from run folders -------------------------------------------------------------------------------------------------


def test_a_run_has_one_row_with_its_settings_its_cost_and_its_numbers():
    runs = runs_table([record("a", {"seed": 1, "optim.lr": 0.1}), record("b", {"seed": 2, "optim.lr": 0.2})])
    assert runs.attrs["factors"] == ["optim.lr"]
    assert list(runs["run"]) == ["a", "b"]
    assert list(runs["seed"]) == [1, 2]
    assert list(runs["optim.lr"]) == [0.1, 0.2]
    row = runs.iloc[0]
    assert row["created"] == pd.Timestamp("2026-11-21T12:37:06Z")
    assert (row["state"], row["seconds"], row["epochs"], row["best_epoch"]) == ("finished", 6.0, 3, 2)
    assert (row["parameters"], row["multiply_adds"]) == (1000, 9000)
    assert (row["loss"], row["validation_loss"], row["test_loss"]) == (0.9, 1.1, 1.2)
    assert (row["train_accuracy"], row["validation_accuracy"], row["test_accuracy"]) == (0.7, 0.5, 0.48)
    assert runs.attrs["notes"] == []


def test_an_unfinished_run_has_its_best_validation_so_far_and_is_named():
    runs = runs_table([record("a", {}), record("b", {}, accuracies=(math.nan, 0.2, 0.6, 0.1), finished=False)])
    row = runs.iloc[1]
    assert (row["state"], row["validation_accuracy"], row["best_epoch"]) == ("unfinished", 0.6, 3)
    assert math.isnan(row["test_accuracy"])
    assert math.isnan(row["train_accuracy"])
    assert runs.attrs["notes"] == ["1 run is not finished, with the best validation accuracy so far: b"]


def test_what_changes_no_number_is_no_factor_and_options_of_a_choice_are_not_listed_beside_it():
    configs = [
        {"seed": 1, "data.augment.name": "none", "data.augment.flip": 0.0, "data.cache": "ram", "optim.decay": 0.0},
        {"seed": 2, "data.augment.name": "light", "data.augment.flip": 0.5, "data.cache": "disk", "optim.decay": 0.1},
    ]
    for config, shift in zip(configs, (0, 2), strict=True):
        config["data.augment.shift"] = shift
    runs = runs_table([record(f"r{i}", config) for i, config in enumerate(configs)])
    # decay goes with the augmentation in these runs too, and is kept: nothing says that one brings the other
    assert runs.attrs["factors"] == ["data.augment.name", "optim.decay"]
    same = {**configs[1], "data.augment.name": "cs7015"}  # flip follows from the name though it does not tell it
    runs = runs_table([record(f"r{i}", config) for i, config in enumerate([*configs, same])])
    assert runs.attrs["factors"] == ["data.augment.name", "optim.decay"]
    further = {**configs[0], "data.augment.flip": 0.5}
    runs = runs_table([record(f"r{i}", config) for i, config in enumerate([*configs, further])])
    assert "data.augment.flip" in runs.attrs["factors"]  # flip no longer follows from the name


def test_settings_keep_their_types_and_lists_become_texts():
    configs = [{"a": None, "b": True, "c": [1, 2], "d": 3}, {"a": 5, "b": False, "c": [3], "d": 4}]
    runs = runs_table([record(f"r{i}", config) for i, config in enumerate(configs)])
    assert runs["a"].tolist() == [None, 5]
    assert runs["b"].tolist() == [True, False]
    assert runs["c"].tolist() == ["[1, 2]", "[3]"]
    assert runs["d"].dtype.kind == "i"


def test_a_damaged_record_has_no_number_where_it_has_none():
    metrics = {"accuracy": "high", "train": None, "validation": [1], "best_epoch": None}
    damaged = Record(Path("runs/a"), metrics=metrics, model={"totals": 3}, environment={"started": "noon"})
    row = runs_table([damaged]).iloc[0]
    names = ("test_accuracy", "train_accuracy", "validation_accuracy", "best_epoch", "parameters", "seconds", "created")
    assert row[list(names)].isna().all()


def test_runs_of_equal_names_are_numbered():
    named = [Record(Path(folder) / "a", config={"lr": i}) for i, folder in enumerate("xyz")]
    assert runs_table(named)["run"].tolist() == ["a", "a-2", "a-3"]


def test_epochs_have_the_test_accuracy_in_the_row_that_it_belongs_to_alone():
    epochs = epochs_table([record("a", {"lr": 1}), record("b", {"lr": 2}, finished=False)])
    assert list(zip(epochs["run"], epochs["epoch"], strict=True)) == [(r, e) for r in "ab" for e in (1, 2, 3)]
    assert epochs["lr"].tolist() == [1, 1, 1, 2, 2, 2]
    assert epochs["train_accuracy"].tolist() == pytest.approx([0.4, 0.6, 0.5] * 2)
    assert epochs["test_accuracy"].dropna().to_dict() == {1: 0.48}
    assert epochs["seconds"].tolist() == [2, 4, 6] * 2


def test_no_runs_and_no_epochs_are_refused():
    with pytest.raises(InputError, match="no runs"):
        runs_table([])
    with pytest.raises(InputError, match="none of 1 run has completed one"):
        epochs_table([record("a", {}, accuracies=(), finished=False)])


# --- from CSV ---------------------------------------------------------------------------------------------------------

WANDB = """\
"Name","State","Notes","User","Tags","Created","Runtime","Sweep","ID","batch_size","learning_rate","optimizer","augment",\
"_step","_runtime","epoch","loss","val_loss","accuracy","val_accuracy","best_val_f1"
"swift-sweep-1","finished","-","me","","2023-05-01T10:00:00.000Z","61","s1","a1","64","0.001","adam","true",\
"9","60","9","0.5","0.7","0.81","0.75","0.71"
"deep-sweep-2","crashed","-","me","","2023-05-01T10:02:00.000Z","30","s1","a2","128","0.01","sgd","false",\
"4","29","4","","","","","0.2"
"calm-sweep-3","finished","-","me","","2023-05-01T10:05:00.000Z","62","s1","a3","64","0.01","sgd","true",\
"9","60","9","0.4","0.6","0.85","0.77","0.72"
"""


def test_wandbs_export_is_read_as_it_is(tmp_path):
    runs = table(tmp_path, WANDB)
    assert runs.attrs["factors"] == ["batch_size", "learning_rate", "optimizer", "augment"]
    assert runs["run"].tolist() == ["swift-sweep-1", "deep-sweep-2", "calm-sweep-3"]
    assert runs["state"].tolist() == ["finished", "crashed", "finished"]
    assert runs["created"].iloc[2] == pd.Timestamp("2023-05-01T10:05:00Z")
    assert runs["seconds"].tolist() == [61, 30, 62]
    assert runs["augment"].tolist() == [True, False, True]
    assert runs["batch_size"].dtype.kind == "i"
    np.testing.assert_array_equal(runs["validation_accuracy"], [0.75, math.nan, 0.77])
    np.testing.assert_array_equal(runs["train_accuracy"], [0.81, math.nan, 0.85])
    assert "epoch" not in runs  # one row a run: the epoch is the last one logged
    assert "taken as settings: batch_size, learning_rate, optimizer, augment" in runs.attrs["notes"]
    assert any("best_val_f1" in note for note in runs.attrs["notes"])


CS7015 = """\
run,epoch,loss,train_accuracy,epoch duration,run duration,test_accuracy,total parameters,l1_oc,kernel_size,overfit%
7,1,2.2,0.15,70,71,0.25,3000,64,3,0
7,2,1.1,0.60,70,141,0.58,3000,64,3,2
8,1,2.1,0.20,71,72,0.30,4000,64,5,0
8,2,1.0,0.70,71,143,0.65,4000,64,5,5
8,3,0.9,0.80,71,214,0.65,4000,64,5,15
"""


def test_a_table_by_epoch_and_its_runs(tmp_path):
    epochs = table(tmp_path, CS7015)
    assert epochs.attrs["factors"] == ["kernel_size"]  # l1_oc does not vary, overfit% is no setting
    assert epochs["epoch"].tolist() == [1, 2, 1, 2, 3]
    assert epochs["seconds"].tolist() == [71, 141, 72, 143, 214]
    runs = runs_of_epochs(epochs)
    assert runs["run"].tolist() == ["7", "8"]
    assert runs["best_epoch"].tolist() == [2, 2]  # the first of equal ones
    assert runs["test_accuracy"].tolist() == [0.58, 0.65]
    assert runs["epochs"].tolist() == [2, 3]
    assert runs["seconds"].tolist() == [141, 214]
    assert any("chosen on the test images" in note for note in runs.attrs["notes"])
    assert factors_of(runs) == ["kernel_size"]


def test_what_changes_while_a_run_trains_is_no_setting(tmp_path):
    text = "run,epoch,loss,width,rate\na,1,3,8,0.1\na,2,2,8,0.05\nb,1,4,16,0.1\nb,2,3,16,0.05\n"
    found = table(tmp_path, text)
    assert found.attrs["factors"] == ["width"]
    assert "left aside, no settings by name or content: rate" in found.attrs["notes"]


def test_the_best_epoch_is_the_validation_images_where_there_are_any():
    epochs = pd.DataFrame(
        {
            "run": list("aabbc"),
            "epoch": [1, 2, 1, 2, 1],
            "validation_accuracy": [0.5, 0.4, 0.3, math.nan, math.nan],
            "test_accuracy": [0.1, 0.9, 0.1, 0.9, 0.9],
        }
    )
    assert best_rows(epochs)[["run", "epoch"]].to_numpy().tolist() == [["a", 1], ["b", 1]]
    assert "1 run has no validation accuracy: c" in runs_of_epochs(epochs).attrs["notes"]


def test_columns_and_factors_can_be_named(tmp_path):
    text = "id,Acc@1,lr,score\na,71.5,0.1,3\nb,68.0,0.2,4\n"
    found = table(tmp_path, text, columns={"test_accuracy": "Acc@1"}, factors=["score"])
    assert found["test_accuracy"].tolist() == pytest.approx([0.715, 0.68])
    assert found.attrs["factors"] == ["score"]
    assert "test accuracy is in percent in the file, here in shares" in found.attrs["notes"]


def test_columns_that_are_not_there_are_refused_with_the_nearest_name(tmp_path):
    message = refused(tmp_path, "run,tst_accuracy,lr\na,0.5,1\nb,0.6,2\n")
    assert "no column with an accuracy or a loss" in message
    assert "'tst_accuracy' is near test_accuracy" in message
    text = "run,test_accuracy,lr\na,0.5,1\nb,0.6,2\n"
    assert "did you mean lr?" in refused(tmp_path, text, factors=["lrr"])
    assert "did you mean test_accuracy?" in refused(tmp_path, text, columns={"test_accuracy": "tset_accuracy"})
    assert "did you mean test_accuracy?" in refused(tmp_path, text, columns={"tests_accuracy": "lr"})
    message = refused(tmp_path, "runn,epoch,loss\na,1,3\na,2,2\nb,1,4\n")
    assert "none that names the run; expected 'run'; did you mean runn?" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty; expected a header"),
        ("run,loss\n", "a header and no rows"),
        ("run;loss\na;1\n", "one column, 'run;loss'; expected several, separated by commas"),
        ("run,loss,loss\na,1,2\n", "two columns are named 'loss'"),
        ("run,loss\na,1\nb\n", "row 3 has 1 cells; expected 2"),
        ("run,loss\na,1\nb,high\n", "row 3, loss: found 'high'; expected a number"),
        ("run,test_accuracy\na,0.5\nb,-0.1\n", "row 3, test accuracy: found -0.1; expected a share"),
        ("run,test_accuracy\na,0.5\nb,140\n", "row 3, test accuracy: found 140; expected a share"),
        ("run,created,loss\na,yesterday at noon,1\nb,,2\n", "row 2, created: found 'yesterday at noon'"),
        ("run,epoch,loss\na,1,3\na,1,2\n", "row 3 is epoch 1 of run 'a' again"),
        ("run,epoch,loss\na,1,3\na,,2\n", "row 3 has no epoch"),
    ],
)
def test_files_that_are_no_such_table_are_refused(tmp_path, text, expected):
    message = refused(tmp_path, text)
    assert expected in message
    assert "t.csv" in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no\.csv: cannot be read: No such file"):
        read_table(tmp_path / "no.csv")
    (tmp_path / "b.csv").write_bytes(b"run,loss\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="not a CSV file in UTF-8"):
        read_table(tmp_path / "b.csv")


def test_rows_without_a_name_are_numbered_and_equal_names_are_told_apart(tmp_path):
    assert table(tmp_path, "loss,lr\n1,2\n3,4\n")["run"].tolist() == ["1", "2"]
    found = table(tmp_path, "Name,loss,lr\na,1,2\na,3,4\n")
    assert found["run"].tolist() == ["a", "a-2"]
    assert any("same name" in note for note in found.attrs["notes"])


def test_short_names_end_where_they_differ():
    names = ["model.l1_oc", "optim.rate", "data.rate", "data.augment.name", "rate.x"]
    assert short_names(names) == {
        "model.l1_oc": "l1_oc",
        "optim.rate": "optim.rate",
        "data.rate": "data.rate",
        "data.augment.name": "augment",
        "rate.x": "x",
    }
