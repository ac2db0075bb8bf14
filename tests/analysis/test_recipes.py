"""The tables of a comparison, against numbers worked out by hand and by SciPy and statsmodels."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

from keras_cnn import run_folder as run_folders
from keras_cnn.analysis import recipes
from keras_cnn.analysis.recipes_section import charts_of, write_comparison
from keras_cnn.charts import PALETTE
from keras_cnn.errors import InputError
from keras_cnn.sweeps import sweep_file

FACTORS = ("backbone", "strategy")
ACCURACY = {  # three seeds each
    ("resnet18", "head"): (0.50, 0.52, 0.57),
    ("resnet18", "all"): (0.60, 0.61, 0.68),
    ("vgg11", "head"): (0.40, 0.45, 0.41),
    ("vgg11", "all"): (0.35, 0.50, 0.46),
}


def run_rows(accuracy=ACCURACY, seeds=None, images="one"):
    rows = []
    for cell, values in accuracy.items():
        for i, value in enumerate(values):
            rows.append(
                {"recipe": " ".join(cell), **dict(zip(FACTORS, cell, strict=True))}
                | {
                    "run": f"000{len(rows)}",
                    "seed": seeds[cell][i] if seeds else 1 + i,
                    "minutes": 2.0 + i * len(cell[1]),
                }
                | {"train_loss": 1.0 - value / 2, "train_accuracy": value + 0.1, "validation_loss": 2 - value}
                | {"validation_accuracy": value, "best_epoch": 3 + i, "trainable_parameters": 1000 * len(cell[1])}
                | {"validation_images": 200, "images": images, "epochs": 5}
            )
    return pd.DataFrame(rows)


# --- a row a recipe ---


def test_each_measure_is_the_mean_over_seeds_with_students_interval():
    table = recipes.summary(run_rows(), FACTORS).set_index("recipe")
    assert list(table.index) == ["resnet18 head", "resnet18 all", "vgg11 head", "vgg11 all"]
    row = table.loc["resnet18 all"]
    values = np.array(ACCURACY["resnet18", "all"])
    for measure, expected in (
        ("validation_accuracy", values),
        ("validation_loss", 2 - values),
        ("train_loss", 1 - values / 2),
        ("train_accuracy", values + 0.1),
        ("best_epoch", np.array([3, 4, 5])),
        ("minutes", np.array([2.0, 5.0, 8.0])),
    ):
        low, high = scipy.stats.t.interval(0.95, 2, expected.mean(), scipy.stats.sem(expected))
        found = [row[measure], row[f"{measure}_low"], row[f"{measure}_high"]]
        assert found == pytest.approx([expected.mean(), max(low, 0), high])
    assert row["minutes_low"] == 0  # Student's is below
    assert recipes.summary(run_rows({("a", "b"): (0.7, 0.99)}), FACTORS)["validation_accuracy_high"][0] == 1
    assert row["seeds"] == 3
    assert row["trainable_parameters"] == 3000
    assert row["interval"] == "Student's t over seeds"


def test_one_seed_has_wilsons_interval_of_its_validation_accuracy_and_no_other():
    row = recipes.summary(run_rows({("vgg11", "all"): (0.46,)}), FACTORS).iloc[0]
    low, high = proportion_confint(92, 200, method="wilson")
    assert [row["validation_accuracy_low"], row["validation_accuracy_high"]] == pytest.approx([low, high])
    assert row["interval"] == "Wilson's over images"
    others = [f"{m}_{end}" for m in recipes.MEASURES if m != "validation_accuracy" for end in ("low", "high")]
    assert row[others].isna().all()
    assert row["minutes"] == 2.0


# --- differences ---


def test_recipes_that_differ_in_one_factor_are_compared_seed_by_seed():
    table = recipes.differences(run_rows(), FACTORS)
    assert [tuple(row) for row in table[["factor", "held", "a", "b"]].to_numpy()] == [
        ("backbone", "head", "resnet18", "vgg11"),
        ("backbone", "all", "resnet18", "vgg11"),
        ("strategy", "resnet18", "head", "all"),
        ("strategy", "vgg11", "head", "all"),
    ]
    row = table.iloc[2]
    found = np.array([0.10, 0.09, 0.11])
    low, high = scipy.stats.t.interval(0.95, 2, found.mean(), scipy.stats.sem(found))
    assert [row["difference"], row["low"], row["high"]] == pytest.approx([0.1, low, high])
    assert row["p"] == 2 / 2**3  # all three of one sign
    assert row["verdict"] == "inconclusive: 3 of 6 pairs"


def test_from_six_pairs_on_the_sign_flip_test_decides():
    clear = {("vgg11", "head"): [0.5] * 6, ("vgg11", "all"): [0.6, 0.61, 0.62, 0.63, 0.64, 0.59]}
    row = recipes.differences(run_rows(clear), FACTORS).iloc[0]
    assert row["p"] == 2 / 2**6
    assert row["verdict"] == "all is higher"
    row = recipes.differences(run_rows(clear), FACTORS, "validation_loss").iloc[0]
    assert row["verdict"] == "head is higher"
    mixed = {("vgg11", "head"): [0.5] * 6, ("vgg11", "all"): [0.6, 0.61, 0.62, 0.63, 0.64, 0.43]}
    row = recipes.differences(run_rows(mixed), FACTORS).iloc[0]
    flips = [abs(np.dot(s, [0.1, 0.11, 0.12, 0.13, 0.14, -0.07])) for s in itertools.product((-1, 1), repeat=6)]
    assert row["p"] == pytest.approx(np.mean([f >= 0.53 - 1e-12 for f in flips]))
    assert row["p"] > 0.05
    assert row["verdict"] == "no difference shown"


def test_only_equal_seeds_and_equal_images_are_pairs():
    two = {("vgg11", "head"): (0.5, 0.6, 0.7), ("vgg11", "all"): (0.9, 0.8, 0.7)}
    seeds = {("vgg11", "head"): (1, 2, 3), ("vgg11", "all"): (3, 4, 2)}
    row = recipes.differences(run_rows(two, seeds), FACTORS).iloc[0]
    assert row["pairs"] == 2
    assert row["difference"] == pytest.approx(((0.9 - 0.7) + (0.7 - 0.6)) / 2)
    apart = run_rows(two)
    apart["images"] = apart["strategy"]
    row = recipes.differences(apart, FACTORS).iloc[0]
    assert row["pairs"] == 0
    assert row[["difference", "low", "high", "p"]].isna().all()
    assert row["verdict"] == "inconclusive: 0 of 6 pairs"


# --- how fast ---


def epoch_rows(curves):
    """recipe -> seed -> accuracies; an epoch takes 10 seconds times its seed."""
    return pd.DataFrame(
        {
            "recipe": recipe,
            "strategy": recipe,
            "seed": seed,
            "epoch": e,
            "seconds": 10.0 * seed * e,
            "validation_accuracy": a,
        }
        for recipe, by_seed in curves.items()
        for seed, values in by_seed.items()
        for e, a in enumerate(values, 1)
    )


def test_the_first_epoch_that_is_as_accurate_counts_and_who_never_is_is_said():
    epochs = epoch_rows(
        {
            "head": {1: [0.2, 0.5, 0.4, 0.6], 2: [0.5, 0.1, 0.1, 0.1]},
            "all": {1: [0.1, 0.2, 0.8, 0.7], 2: [0.1, 0.1, 0.1, 0.49]},
            "none": {1: [0.1] * 4, 2: [0.1] * 4},
        }
    )
    table = recipes.epochs_to_accuracy(epochs, ("strategy",), {"half": 0.5})
    rows = table.set_index("recipe").to_dict("index")
    low, high = scipy.stats.t.interval(0.95, 1, 1.5, scipy.stats.sem([2, 1]))
    assert [rows["head"][n] for n in ("epochs", "epochs_low", "epochs_high")] == pytest.approx([1.5, max(low, 1), high])
    assert rows["head"]["seconds"] == (10 * 1 * 2 + 10 * 2 * 1) / 2
    assert rows["head"]["by_seed"] == "1: 2, 2: 1"
    assert [rows[r]["note"] for r in rows] == ["", "reached by 1 of 2", "not reached"]
    assert [rows[r]["reached"] for r in rows] == [2, 1, 0]
    assert math.isnan(rows["all"]["epochs"])
    assert math.isnan(rows["all"]["seconds"])
    assert rows["all"]["by_seed"] == "1: 3, 2: not reached"


def test_shares_are_of_the_best_recipes_mean():
    found = recipes.shares_of_best(run_rows())
    assert found == pytest.approx({"50 %": 0.315, "90 %": 0.567, "95 %": 0.5985, "99 %": 0.6237})


def test_recipes_that_share_all_but_the_last_short_factor_have_one_colour():
    rows = []
    for backbone, strategy in itertools.product(("a", "b"), ("head", "all")):
        for seed, epochs in ((1, 3), (2, 2)):
            rows += [
                {"recipe": f"{backbone} {strategy}", "backbone": backbone, "strategy": strategy, "seed": seed}
                | {"epoch": e, "seconds": 5.0 * e * seed, "validation_accuracy": 0.1 * e}
                for e in range(1, epochs + 1)
            ]
    epochs = pd.DataFrame(rows)
    by_epoch, by_time = (
        chart.drawing.series for chart in charts_of(recipes.RecipeRuns("r", epochs, epochs, FACTORS, ()))
    )
    assert [(series.label, PALETTE.index(series.colour), series.dash) for series in by_epoch] == [
        ("a head", 0, "solid"),
        ("a all", 0, "dashed"),
        ("b head", 1, "solid"),
        ("b all", 1, "dashed"),
    ]
    assert by_epoch[0].x == [1, 2]  # the epochs that both seeds have
    np.testing.assert_allclose([by_epoch[0].low, by_epoch[0].y, by_epoch[0].high], [[10, 20]] * 3)
    np.testing.assert_allclose(by_time[0].x, [7.5, 15])


# --- from a folder ---

GRID = """
method: grid
parameters: {rate: {values: [0.1, 0.2]}, data.train: {value: 100}}
keras_cnn: {repeats: 2, names: {rate: optim.learning_rate}}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("method: grid", "method: random\nrun_cap: 4", "method: found random, expected grid"),
        ("[0.1, 0.2]", "[0.1]", "none has two values"),
        ("parameters", "run_cap: 1\nparameters", "run_cap: found 1, expected none"),
        ("parameters", "metric: {name: val_loss, target: 1}\nparameters", r"metric\.target: found 1"),
        (
            "parameters",
            "metric: {name: loss}\nearly_terminate: {type: hyperband, min_iter: 1}\nparameters",
            "early_terminate: found one, expected none",
        ),
    ],
)
def test_what_leaves_cells_untrained_is_no_comparison(tmp_path, old, new, said):
    (tmp_path / "s.yaml").write_text(GRID.replace(old, new, 1))
    with pytest.raises(InputError, match=f"{tmp_path / 's.yaml'}: .*{said}"):
        recipes.check(sweep_file.read_sweep(tmp_path / "s.yaml"))


def record_run(folder, seed, accuracies, seconds, hardware="cpu"):
    folder.mkdir()
    history = [
        {"epoch": e, "loss": 2.0 / e, "accuracy": a - 0.1, "val_loss": 1.5 / e, "val_accuracy": a}
        | {"learning_rate": 0.1, "epoch_seconds": seconds, "run_seconds": e * seconds}
        for e, a in enumerate(accuracies, 1)
    ]
    run_folders.RunFolder(folder).write_history(history)
    best = int(np.argmax(accuracies)) + 1
    (folder / "config.yaml").write_text(f"seed: {seed}\n")
    validation = {"accuracy": max(accuracies), "loss": 1.5 / best, "images": 50}
    run_folders.write_json(folder / "metrics.json", {"best_epoch": best, "validation": validation})
    run_folders.write_json(folder / "model.json", {"totals": {"trainable": 1234}})
    run_folders.write_json(folder / "split.json", {"ids": {"validation": ["b", "a"]}})
    run_folders.write_json(folder / "environment.json", {"hardware": {"device": hardware}})


def read(study):
    return recipes.read_recipes(study.folder, study.sweep, study.trials())


def test_a_folder_is_read_compared_and_written(sweep_of):
    study = sweep_of(GRID)
    for accuracies in ((0.2, 0.5, 0.4), (0.1, 0.2, 0.3)):
        lease = study.lease()
        names = tuple(f"{lease.trial.label}-seed{seed}" for seed in (1, 2))
        for seed, name in enumerate(names, 1):
            record_run(study.folder / name, seed, np.add(accuracies, 0.1 * seed - 0.1), 30.0 * seed)
        study.end(lease, state="finished", value=0.5, runs=names)
    _, paths = write_comparison(study)
    folder = study.folder / "comparison"
    said = (folder / "comparison.txt").read_text()
    assert {path.name for path in paths} == {path.name for path in folder.iterdir()}
    seeds = pd.read_csv(folder / "seeds.csv")
    first = seeds.iloc[0]
    assert [first[n] for n in ("minutes", "train_loss", "train_accuracy", "validation_loss")] == [1.5, 1.0, 0.4, 0.75]
    assert [first[n] for n in ("validation_accuracy", "best_epoch", "trainable_parameters")] == [0.5, 2, 1234]
    assert list(seeds["recipe"]) == [0.1, 0.1, 0.2, 0.2]
    assert list(seeds["seed"]) == [1, 2, 1, 2]
    table = pd.read_csv(folder / "comparison.csv")
    assert table["validation_accuracy"].tolist() == pytest.approx([0.55, 0.35])
    pairs = pd.read_csv(folder / "differences.csv")
    assert pairs["measure"].tolist() == ["validation_accuracy", "minutes"]
    assert pairs["difference"].tolist() == pytest.approx([-0.2, 0.0])
    reach = pd.read_csv(folder / "epochs_to_accuracy.csv").query("reach == '90 %'")  # 0.495
    assert reach["epochs"].tolist()[0] == 2
    assert reach["note"].tolist()[1] == "not reached"
    for words in ("55.00 % [", "-20.00 points [-20.00, -20.00]", "inconclusive: 2 of 6 pairs", "not reached", "1,234"):
        assert words in said
    assert "machines" not in said
    assert "side by side" not in said


def test_what_is_missing_or_not_alike_is_said(sweep_of):
    study = sweep_of(GRID.replace("repeats: 2, ", ""))
    with pytest.raises(InputError, match="no trial has ended with a value"):
        read(study)
    one, two = study.lease(), study.lease()
    record_run(study.folder / "0001", 1, [0.5, 0.6], 10)
    study.end(one, state="finished", value=0.6, runs=("0001",))
    study.end(two, state="failed", reason="out of memory")
    notes = read(study).notes
    assert notes[0] == "left out: trial 0002 (0.2) failed: out of memory"
    assert "side by side" in notes[1]
    write_comparison(study)  # one recipe alone has no differences, and is drawn
    said = (study.folder / "comparison" / "comparison.txt").read_text()
    assert said.endswith("".join(f"- {note[:1].upper()}{note[1:]}.\n" for note in notes))
    assert "pairs" not in said
    (study.folder / "0001" / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"0001: cannot be compared: .*metrics\.json: cannot be read"):
        read(study)


def test_runs_of_several_machines_are_said_to_have_times_that_do_not_compare(sweep_of):
    study = sweep_of(GRID.replace("repeats: 2, ", ""))
    for device in ("cpu", "gpu"):
        lease = study.lease()
        record_run(study.folder / lease.trial.label, 1, [0.5, 0.6], 10, device)
        study.end(lease, state="finished", value=0.6, runs=(lease.trial.label,))
    assert "of 2 machines" in read(study).notes[0]
