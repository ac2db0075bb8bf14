"""The reproduction of the reports: a tiny experiment from the plan to the document, resumed, and its verdicts."""

import json
import math
import re
import signal
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from scipy.stats import mannwhitneyu
from sklearn.metrics import log_loss

import reproduce
from keras_cnn.data.pipeline import decoded
from keras_cnn.errors import InputError, Interrupted
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.classification.setup import SharedResources
from reproduction import (
    claims,
    contents,
    effects,
    evidence,
    images,
    last_epoch,
    looking,
    picture,
    results,
    running,
    stand_ins,
    training,
    verdicts,
    writing,
)
from reproduction.claims import Difference
from reproduction.evidence import Runs
from reproduction.experiments import Experiment, Look, grid, values_of
from reproduction.images import Material
from reproduction.plan import chosen, plan
from reproduction.reports import cs7015_grids, cs7015_inside
from reproduction.verdicts import Measured, NotMeasured, Printed, judged
from tests.drawing import draw_nothing

TINY = ("--train.epochs=3", "--train.batch_size=8", "--model.l1_oc=6", "--data.cache=none")
EXPERIMENT = Experiment("cs7015.net1.tiny", "cs7015_net1", "net1", 3, TINY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of 12 training and 6 test images of 32 pixels."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for level, name in enumerate(("dark", "light")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(128 * level, 128 * level + 127, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """(run folder, folder of results) of the tiny experiment, interrupted after an epoch, then run within a budget."""
    work = tmp_path_factory.mktemp("work")
    runs, kept, material = work / "runs", work / "kept", Material(photos)
    write_log = training.TestedTask.write_log

    def stop_after_it(task, folder, history):
        write_log(task, folder, history)
        signal.raise_signal(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        with pytest.MonkeyPatch.context() as interrupted:
            interrupted.setattr(training.TestedTask, "write_log", stop_after_it)
            with pytest.raises(Interrupted):
                training.train(EXPERIMENT, material, runs / EXPERIMENT.key, SharedResources(), 600)
        assert len(training.read_curve(runs / EXPERIMENT.key)) == 1
        assert running.run_all([EXPERIMENT], material, runs, kept, {}, hours=1)
    return runs / EXPERIMENT.key, kept


def test_an_interrupted_experiment_goes_on_and_each_epoch_has_its_test_accuracy(finished):
    run, kept = finished
    result = results.read(results.path_of(kept, EXPERIMENT), EXPERIMENT)
    curve = training.read_curve(run)
    assert [row["epoch"] for row in curve] == [1, 2, 3]
    epochs = result["epochs"]
    assert epochs["test_accuracy"] == pytest.approx([row["test_accuracy"] for row in curve], abs=1e-6)
    best = result["chosen"]["epoch"]
    assert epochs["test_accuracy"][best - 1] == pytest.approx(result["chosen"]["test_accuracy"], abs=1e-6)
    assert result["images"] == {"train": 22, "validation": 2, "test": 12}
    assert np.sum(result["chosen"]["confusion"]) == 12


def test_every_reading_of_the_test_split_is_counted(finished):
    run, _ = finished
    lines = (run / "test_readings.csv").read_text("utf-8").splitlines()[1:]
    assert len(lines) == 3 + 1  # after each epoch, and the final evaluation
    assert sum("nothing is chosen by it" in line for line in lines) == 3


def test_what_is_kept_is_enough_on_another_machine(finished, tmp_path):
    _, kept = finished
    done = results.read_all(kept, [EXPERIMENT])
    assert list(done) == [EXPERIMENT.key]
    assert running.run_all([EXPERIMENT], Material(Path("nowhere")), tmp_path / "no_runs", kept, done, hours=1)
    assert not (tmp_path / "no_runs").exists()


def test_a_folder_with_another_config_is_refused(finished, photos):
    run, _ = finished
    other = Experiment(EXPERIMENT.name, EXPERIMENT.config, "net1", 4, (*TINY[1:], "--train.epochs=4"))
    with pytest.raises(InputError, match=r"a run of another config .*train\.epochs"):
        training.train(other, Material(photos), run, SharedResources(), 600)


def test_a_budget_that_is_too_small_names_the_first_experiment(tmp_path):
    experiment = Experiment("cs7015.net4.x", "cs7015_net4", "net4", 100)
    with pytest.raises(InputError, match=r"--hours: found 0\.5, expected at least 4\.\d+: .*cs7015\.net4\.x\.seed1"):
        running.run_all([experiment], Material(Path("x")), tmp_path, tmp_path, {}, hours=0.5)


def test_a_look_needs_its_network_and_its_material_and_is_kept_without_weights(finished, tmp_path, monkeypatch, capsys):
    run, _ = finished
    look, other = Look("a.look", "count", of=run.name), Look("a.other", "count", needs=("photos",))
    monkeypatch.setitem(looking.MEASURES, "count", lambda material, folder: ({"run": folder.name}, {"share": 0.25}))
    material = Material(Path("nowhere"))
    assert not running.run_all([look, other], material, run.parent, tmp_path, {}, hours=1)  # the other is left out
    result = results.read(results.path_of(tmp_path, look), look)
    assert (result["networks"], result["findings"]) == ({"run": run.name}, {"share": 0.25})
    assert Runs((result,)).look("a.look") == {"share": 0.25}
    assert not running.run_all([look], material, tmp_path, tmp_path / "kept", {}, hours=1)  # no run folder here
    assert not (tmp_path / "kept").exists()


def test_training_images_after_the_last_epoch_are_measured_in_inference_mode(finished):
    """Against Keras's predictions and scikit-learn's loss."""
    run, _ = finished
    _, found = last_epoch.measure(Material(Path("nowhere")), run)
    dataset = load_dataset(RunFolder.open(run).config(BUILDERS))
    labels = np.asarray(dataset.train.labels)
    logits = keras.saving.load_model(run / "last.keras").predict(decoded(dataset.train, (32, 32, 3)), verbose=0)
    assert found["images"] == len(labels) == 22
    assert found["loss"] == pytest.approx(log_loss(labels, softmax(logits, axis=1)), rel=1e-3)
    assert found["accuracy"] == pytest.approx(np.mean(logits.argmax(axis=1) == labels), abs=1e-6)
    after = {"experiment": f"{EXPERIMENT.name}.last.seed1", "findings": found}
    runs = Runs((*(result(EXPERIMENT.name, seed) for seed in (1, 2, 3)), *[after] * 3))
    assert runs.after(EXPERIMENT.name, "accuracy").value == pytest.approx(found["accuracy"])
    assert runs.after("a.b", "accuracy").waits


def test_results_of_another_version_or_of_no_experiment_are_refused(finished, tmp_path):
    _, kept = finished
    old = json.loads(results.path_of(kept, EXPERIMENT).read_text("utf-8")) | {"version": 0}
    path = results.path_of(tmp_path, EXPERIMENT)
    path.parent.mkdir()
    path.write_text(json.dumps(old), "utf-8")
    with pytest.raises(InputError, match=r"seed1\.json: version: found 0, expected 1") as caught:
        results.read_all(tmp_path, [EXPERIMENT])
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"seed1\.json: of no experiment of the plan"):
        results.read_all(tmp_path, [])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"epochs": 4}, "epochs: found 3, expected 4"),
        ({"options": (*TINY, "--model.kernel_size=5")}, "model.kernel_size: found 3, expected 5"),
    ],
)
def test_results_of_a_run_with_other_settings_are_refused(finished, changes, line):
    _, kept = finished
    with pytest.raises(InputError, match=rf"seed1\.json: {line}; remove the file to run the experiment again"):
        results.read_all(kept, [replace(EXPERIMENT, **changes)])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--hours", "0"], "--hours: found 0, expected a number above 0"),
        (["--hours", "1"], "--data: missing, expected the folder of CIFAR-10"),
        (["--list", "--only", "cs9999"], "--only: found cs9999"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, line, tmp_path):
    with pytest.raises(InputError, match=line) as caught:
        reproduce.main([*arguments, "--kept", str(tmp_path)])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_list_says_what_is_done(finished, capsys, monkeypatch):
    monkeypatch.setattr(reproduce, "plan", lambda: [EXPERIMENT, Experiment("own.later", "cs7015_net4", "net4", 100)])
    reproduce.main(["--list", "--kept", str(finished[1]), "--runs", str(finished[0].parent)])
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"cs7015\.net1\.tiny\.seed1 +3 epochs +done in \d\.\d minutes", first)
    assert re.fullmatch(r"own\.later\.seed1 +100 epochs +about 24\d minutes", second)  # 100 · 45,000 / 310 s


def test_images_that_are_not_cifar10_are_refused(photos, monkeypatch):
    with pytest.raises(InputError, match=r"airplane: found 0 \.jpg files, expected 5,000 of CIFAR-10"):
        images.material(photos)
    monkeypatch.setattr(images, "CLASSES", ("dark", "light"))
    monkeypatch.setattr(images, "PER_CLASS", {"train": 12, "test": 6})
    with pytest.raises(InputError, match=r"not the CIFAR-10 of these experiments: SHA-256 [0-9a-f]{64}, expected ab68"):
        images.material(photos)
    monkeypatch.setattr(images, "SHA256", images.sha256_of_images(photos))
    assert images.material(photos).source == f"folder:{photos}"
    with pytest.raises(InputError, match=r"not the weights of these experiments: SHA-256 [0-9a-f]{64}, expected 0e14"):
        images.material(photos, photos / "train" / "dark" / "0.jpg")
    with pytest.raises(InputError, match=r"0\.jpg: File is not a zip file; expected a ZIP file of photos"):
        images.material(photos, photos=photos / "train" / "dark" / "0.jpg")


def test_the_plan_has_every_cell_once_and_finds_names():
    experiments = plan()
    keys = [each.key for each in experiments]
    assert len(keys) == len(set(keys))
    assert [len(grid(f"cs7015_{name}")) for name in ("first", "net1", "net2", "net3")] == [6, 24, 9, 9]
    best = next(each for each in grid("cs7015_net2") if each.name.endswith("kernel_size5-l1_oc64"))
    assert values_of(best)["model.l1_oc"] == 64
    assert best.epochs == 30
    assert {each.name for each in chosen(experiments, "tdt4265.resnet")} == {"tdt4265.resnet18_scratch"}
    with pytest.raises(InputError, match=r"--only: found cs7015\.net9"):
        chosen(experiments, "cs7015.net9")


# --- verdicts ---------------------------------------------------------------------------------------------------------


def result(experiment, seed, **epochs):
    return {"experiment": experiment, "seed": seed, "epochs": {"loss": [1.0, 1.0], **epochs}}


def test_the_interval_of_seeds_is_that_of_one_more_run():
    """0.5, 0.6, 0.7: mean 0.6, s 0.1, t of two degrees of freedom 4.3027; 4.3027 · 0.1 · √(4/3) = 0.49683."""
    values = ((1, 0.5), (2, 0.6), (3, 0.7))
    runs = Runs(tuple(result("a.b", seed, test_loss=[0, v], test_accuracy=[0.5, v]) for seed, v in values))
    found = runs.number("a.b", evidence.last("test_loss"))
    assert isinstance(found, Measured)
    assert (found.value, found.seeds, found.epochs) == (pytest.approx(0.6), 3, 2)
    assert (found.low, found.high) == (pytest.approx(0.6 - 0.49683, abs=1e-5), pytest.approx(0.6 + 0.49683, abs=1e-5))
    assert runs.number("a.b", evidence.last("test_accuracy")).high == 1  # no accuracy is above it
    same = runs.number("a.b", evidence.at("test_accuracy", 1))
    assert same == NotMeasured("0.5 with all 3 seeds, which do not show how much another would change it")


def test_the_interval_of_a_difference_is_that_of_one_more_pair_of_runs():
    """Means 0.6 and 0.5, s 0.1 with four degrees of freedom, t = 2.7764; 2.7764 · 10 · √(2 · 4/3) = 45.339 points."""
    values = {"a.b": (0.5, 0.6, 0.7), "a.c": (0.4, 0.5, 0.6)}
    runs = Runs(
        tuple(result(name, seed, accuracy=[0, value]) for name in values for seed, value in enumerate(values[name]))
    )
    found = runs.difference("a.b", "a.c", evidence.last("accuracy"), 100)
    assert isinstance(found, Measured)
    assert (found.value, found.seeds, found.epochs) == (pytest.approx(10), 3, 2)
    assert (found.low, found.high) == (pytest.approx(10 - 45.339, abs=1e-3), pytest.approx(10 + 45.339, abs=1e-3))
    assert runs.difference("a.b", "a.d", evidence.last("accuracy")) == NotMeasured("a.d has not been run", waits=True)


def test_the_interval_of_a_group_uses_the_spread_over_seeds():
    """Means of two cells; s from the two seeds of one cell, 0.02/√2 with one degree of freedom: t = 12.706."""
    runs = Runs(
        (
            result("r.g.x", 1, accuracy=[0.4, 0.6]),
            result("r.g.x", 2, accuracy=[0.42, 0.62]),
            result("r.g.y", 1, accuracy=[0.2, 0.4]),
        )
    )
    found = runs.group(["r.g.x", "r.g.y"], "r.g", evidence.mean("accuracy"))
    assert isinstance(found, Measured)
    half = 12.7062 * 0.02 / math.sqrt(2) * math.sqrt(2 / 2)
    assert (found.value, found.high - found.value) == (pytest.approx(0.4), pytest.approx(half, rel=1e-4))
    missing = runs.group(["r.g.x", "r.g.z"], "r.g", evidence.mean("accuracy"))
    assert isinstance(missing, NotMeasured)
    assert missing.waits


def test_overfit_is_never_below_zero():
    found = evidence.column(result("a.b", 1, accuracy=[0.2, 0.9], test_accuracy=[0.3, 0.7]), "overfit")
    assert found.tolist() == pytest.approx([0, 20])


@pytest.mark.parametrize(
    ("text", "measured", "verdict"),
    [
        ("0.5", Measured(0.549, "computed"), "agrees"),  # rounds to 0.5
        ("0.5", Measured(0.551, "computed"), "differs"),
        ("640", Measured(650, "computed"), "differs"),  # a count has no rounding
        ("0.50", Measured(0.6, "run", 0.504, 0.7), "agrees"),
        ("0.50", Measured(0.6, "run", 0.506, 0.7), "differs"),
        ("0.50", Measured(0.5, "run"), "waits"),  # one seed says nothing of another
        ("0.50", NotMeasured("no images"), "cannot be compared"),
        ("0.50", NotMeasured("later", waits=True), "waits"),
    ],
)
def test_verdicts(text, measured, verdict):
    assert judged(Printed("R", "p", "w", text), measured).verdict == verdict


def test_conclusions_need_an_interval_without_zero():
    assert claims.larger(Difference(0.1, 0.05, 0.15, "x"))[0] == "holds"
    assert claims.larger(Difference(-0.1, -0.15, -0.05, "x"))[0] == "does not hold"
    assert claims.larger(Difference(0.1, -0.05, 0.25, "x"))[0] == "undecided"
    assert claims.larger(None)[0] == "waits"
    assert claims.similar(Difference(0.01, -0.005, 0.015, "x"))[0] == "holds"
    assert claims.similar(Difference(0.01, -0.005, 0.035, "x"))[0] == "undecided"


def test_the_best_of_others_has_an_interval_for_all_of_them():
    """0.6 minus the better of 0.4 and 0.3; s 0.1 with two degrees of freedom, t at 97.5 % 6.2053: ± 0.62053 √(4/3)."""
    runs = Runs(
        (
            *(result("a.b.x", seed, accuracy=[value]) for seed, value in ((1, 0.5), (2, 0.6), (3, 0.7))),
            result("a.b.y", 1, accuracy=[0.4]),
            result("a.b.z", 1, accuracy=[0.3]),
        )
    )
    found = claims.best_against_next(runs, "a.b", "a.b.x", evidence.last("accuracy"))
    assert (found.size, found.high - found.size) == (pytest.approx(0.2), pytest.approx(0.71653, abs=1e-5))
    assert found.what == "training accuracy of the last epoch: minus y, the best of 2 others (Bonferroni)"


def test_an_interval_without_zero_says_nothing_for_similarity():
    difference = Difference(0.01, 0.005, 0.015, "x")
    claim = claims.Claim("R", "1", "words", *claims.similar(difference), difference)
    assert (claim.verdict, claim.leaves_out_zero) == ("holds", True)
    assert not replace(claim, similarity=True).leaves_out_zero


def test_the_print_decides_where_a_stand_in_does_not():
    printed = Difference(0.1, 0.05, 0.15, "printed", claims.OWN)
    unclear = Difference(0.0, -0.1, 0.1, "found")
    assert claims.deciding(None, printed) == printed
    assert claims.deciding(unclear, printed) == unclear  # of the experiment itself
    assert claims.deciding(Difference(0.2, what="one seed"), printed).low == printed.low  # without an interval
    found = claims.deciding(replace(unclear, basis="stand-in"), printed)
    assert found == replace(printed, what="printed; beside it +0 [-10, 10] points: found")
    clear = Difference(0.2, 0.1, 0.3, "found", "stand-in")
    found = claims.deciding(clear, printed, "nats")
    assert found == replace(clear, what="found; beside it +0.1 [0.05, 0.15] nats: printed")
    assert claims.larger(found)[0] == "holds"


def test_a_stand_in_and_a_print_that_say_the_opposite_decide_nothing():
    printed, against = Difference(0.1, 0.05, 0.15, "printed", claims.OWN), Difference(-0.2, -0.3, -0.1, "found")
    found = claims.deciding(replace(against, basis="stand-in"), printed)
    assert found.what == "found; against it +10 [5, 15] points: printed"
    assert claims.larger(found)[0] == claims.similar(found)[0] == "undecided"
    assert claims.larger(claims.deciding(against, printed))[0] == "does not hold"  # of the experiment itself


@pytest.mark.parametrize(("m", "n"), [(4, 5), (6, 10)])
def test_the_interval_of_two_groups_is_that_of_mann_and_whitney(m, n):
    """A shift lies in the interval if the test does not reject it, at each end of it."""
    values = np.random.default_rng(m).permutation(np.arange(1.0, m + n + 1) ** 1.5)
    first, second = values[:m], values[m:]
    found = claims.shift(first, second, "x")
    assert found.size == pytest.approx(np.median(np.subtract.outer(first, second)))
    for inside, outside in ((found.low + 1e-6, found.low - 1e-6), (found.high - 1e-6, found.high + 1e-6)):
        kept, rejected = (mannwhitneyu(first - by, second, method="exact").pvalue for by in (inside, outside))
        assert rejected < 0.05 <= kept
    assert math.isnan(claims.shift([1.0, 2.0], [3.0, 4.0], "x").low)  # of 6 orders, none is rare


def test_a_column_that_only_falls_is_steady():
    quantity = evidence.unsteadiness("val_loss")
    assert quantity(result("a.b", 1, val_loss=[4, 2, 1])) == pytest.approx(0)
    assert quantity(result("a.b", 1, val_loss=[2, 1, 2])) == pytest.approx(1)
    assert quantity(result("a.b", 1, val_loss=[4, 1, 2])) == pytest.approx(2 - 1)


def test_seeds_are_paired_by_their_images():
    """Seeds 1 and 2: differences 0.1 and 0.3; seed 3 has one side alone. 0.2 ± 12.706 · 0.1."""
    values = {"a.x": {1: 0.5, 2: 0.9, 3: 0.1}, "a.y": {1: 0.4, 2: 0.6}}
    runs = Runs(tuple(result(n, seed, accuracy=[0, v]) for n, seeds in values.items() for seed, v in seeds.items()))
    found = claims.by_seed(runs, "a.x", "a.y", evidence.last("accuracy"))
    assert found is not None
    assert (found.size, found.low) == (pytest.approx(0.2), pytest.approx(0.2 - 12.7062 * 0.1, rel=1e-4))
    assert claims.by_seed(runs, "a.x", "a.z", evidence.last("accuracy")) is None


def test_the_effects_of_a_sweep_are_those_of_least_squares():
    """y = 1 + 2 a - b with residuals ±0.1 that no column explains: s² = 8 · 0.01 / 5, standard error of a √(s² / 2)."""
    design = [(a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)] * 2
    noise = [0.1] * 4 + [-0.1] * 4
    rows = [{"a": a, "b": b} for a, b in design]
    fit = effects.fitted(rows, [1 + 2 * a - b + e for (a, b), e in zip(design, noise, strict=True)])
    assert fit is not None
    found = fit.of({"a": 1, "b": 1}, "both")
    error = math.sqrt(0.08 / 5 * (1 / 2 + 1 / 2))
    assert (found.size, found.high - found.size) == (pytest.approx(1), pytest.approx(2.5706 * error, rel=1e-4))
    assert effects.fitted(rows[:3], [1.0, 2.0, 3.0]) is None


def test_printed_numbers_have_intervals_of_their_own():
    """Of 0.6 and 0.5 on 100 images: standard error √(0.24 + 0.25)/10 = 0.07. Of the line through 1, 2, 3, 5: slope 1.3,
    residuals 0.2, -0.1, -0.4, 0.3, s² = 0.3 / 2, standard error √(0.15 / 5), t of two degrees of freedom 4.3027."""
    found = claims.of_print(0.6, 0.5, 100, "x")
    assert (found.size, found.high - found.size) == (pytest.approx(0.1), pytest.approx(1.972 * 0.07, rel=1e-3))
    line = claims.trend([0, 1, 2, 3], [1, 2, 3, 5], "x")
    half = 3 * 4.3027 * math.sqrt(0.03)
    assert (line.size, line.high - line.size) == (pytest.approx(3.9), pytest.approx(half, rel=1e-4))
    later = claims.beyond([0, 1, 2, 3], [1, 2, 3, 5], 5, 7, "x")  # 0.8 + 5 · 1.3 = 7.3
    half = 4.3027 * math.sqrt(0.15 * (1 + 1 / 4 + 3.5**2 / 5))
    assert (later.size, later.high - later.size) == (pytest.approx(0.3), pytest.approx(half, rel=1e-4))


def test_every_level_of_a_setting_is_tried_equally_often():
    trials = stand_ins.trials()
    assert len(trials) == 50
    for field, levels in stand_ins.SPACE.items():
        counts = [sum(settings[field] == level for settings in trials.values()) for level in levels]
        assert max(counts) - min(counts) <= 1, field


def test_numbers_of_a_look_decide_conclusions():
    """A patch that lowers a confidence to 0.01 ± 0.005 is near 0; filters at zero that gain accuracy lower nothing."""
    deer = {"images": 20, "lowest": [[0.5, 0.4, 0.6]] * 2 + [[0.01, 0.005, 0.015], [0.0, 0.0, 0.0]]}
    found = cs7015_inside.lowest_near_0(deer)
    assert (found.size, found.low, found.high) == (pytest.approx(0.04), pytest.approx(0.035), pytest.approx(0.045))
    layers = [
        {"top_mean": [10.0, 0, 0], "spread": 2.0, "filters": 16, "pixels": 100, "dead": 0},
        *[{"top_mean": [1.0, 0, 0], "spread": 1.0, "filters": 64, "pixels": 25, "dead": 2}] * 4,
    ]
    response = cs7015_inside.response_falls(layers)
    half = 2.1106 * math.sqrt(4 / 16 + 1 / 64)  # t of (0.265625)² / ((1/4)²/15 + (1/64)²/63) = 16.92 degrees of freedom
    assert (response.size, response.high - response.size) == (pytest.approx(9), pytest.approx(half, rel=2e-3))


def test_pairs_of_cells_differ_in_one_setting():
    """Stride 1 minus 2 in two pairs: 0.2 and 0.4; mean 0.3, interval ± 12.706 · 0.1."""
    cells = [each for each in grid("cs7015_net1") if values_of(each)["model.l1_oc"] == 6]
    cells = [each for each in cells if values_of(each)["model.filter_multiplier"] == 2]
    values = {(3, 1): 0.6, (3, 2): 0.4, (5, 1): 0.8, (5, 2): 0.4}
    found = []
    for each in cells:
        options = values_of(each)
        value = values[options["model.kernel_size"], options["model.stride"]]
        found.append(result(each.name, 1, test_accuracy=[value, value]))
    difference = claims.paired(Runs(tuple(found)), cells, "model.stride", (1, 2), evidence.mean("test_accuracy"))
    assert difference is not None
    assert difference.size == pytest.approx(0.3)
    assert difference.low == pytest.approx(0.3 - 12.7062 * 0.1, rel=1e-4)
    partly = claims.paired(Runs(tuple(found[:2])), cells, "model.stride", (1, 2), evidence.mean("test_accuracy"))
    assert partly is None  # one of two pairs
    assert claims.paired(Runs(()), cells, "model.stride", (1, 2), evidence.mean("test_accuracy")) is None


# --- the document -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(finished, tmp_path_factory):
    kept = tmp_path_factory.mktemp("docs") / "reproductions"
    result = results.read(results.path_of(finished[1], EXPERIMENT), EXPERIMENT)
    result["images"]["test"] = contents.TEST_IMAGES  # what a run on all of CIFAR-10 has
    writing.write(kept, Runs((result,)), [])
    return kept


def test_numbers_that_need_no_training_have_verdicts():
    rows = writing.numbers(Runs(()))
    decided = [row for row in rows if row.verdict in ("agrees", "differs")]
    assert len(decided) >= 150
    by_name = {(row.printed.report, row.printed.what): row for row in rows}
    assert by_name["CS7015", "net1: parameters"].verdict == "agrees"  # 173,026
    assert by_name["TDT4265", "equation (5): parameters of layer 5"].measured.value == 650  # 64 · 10 + 10, print: 640
    assert by_name["CS7015", "Conv 4; Filt 0: side of the receptive field"].measured.value == 12  # 7 + 1 + 2 · 2
    assert by_name["COMP5623", "values after the last pool of 128-pixel images"].verdict == "agrees"
    assert verdicts.counts(rows)["cannot be compared"] > 0


def test_document_and_page_say_the_same(document):
    text, page = document.with_suffix(".md").read_text("utf-8"), (document / "page.html").read_text("utf-8")
    counted = re.search(r"The five reports print ([\d,]+) numbers", text)
    assert counted is not None
    assert counted[0] in page
    assert "cs7015.net1.tiny" in text  # in the table of both ways to choose the epoch
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"https?:", page)  # self-contained
    lines = (document / "numbers.csv").read_text("utf-8").splitlines()
    total = sum(row.printed.count for row in writing.numbers(Runs(())) if not row.printed.formula)
    assert counted[1] == f"{total:,}"
    assert lines[0].startswith("report,place,number,count,published")


@pytest.mark.parametrize(("printed", "verdict"), [(2.0, "agrees"), (2.5, "waits"), (1.5, "differs")])
def test_overfit_of_means_can_lie_above_that_of_their_accuracies_and_not_below(printed, verdict):
    row = {"train_accuracy": 0.52, "test_accuracy": 0.5, "overfit_percent": printed}
    found = cs7015_grids._or_recomputed(NotMeasured("no runs", waits=True), row)
    assert judged(Printed("CS7015", "1", "overfit percent", f"{printed:.4f}"), found).verdict == verdict


def test_means_over_one_grid_have_one_grand_mean():
    """Network 2 by width and by kernel: the last test accuracy is the sum of the three widths less two kernels."""
    rows = {row.printed.what: row for row in cs7015_grids.means(Runs(()))}
    found = rows["net2: test accuracy at kernel_size 7"]
    assert found.measured is not None
    assert found.measured.value == pytest.approx(0.596192 + 0.632157 + 0.663361 - 0.649938 - 0.642742)
    assert (found.verdict, found.measured.how) == ("agrees", "recomputed")
    assert found.measured.slack == pytest.approx(5 * 0.5e-6)
    assert rows["net2: test accuracy at kernel_size 5"].verdict == "waits"
    assert rows["net3: overfit percent at l1_oc 96"].verdict == "agrees"
    assert rows["net1: test accuracy at kernel_size 5"].verdict == "waits"


def test_the_picture_has_accuracies_alone():
    """No epoch of the highest accuracy, and no gain of one."""
    run = Measured(0.6, "run", 0.5, 0.7, 3, 10)
    printed = Printed("R", "1", "net: test accuracy", "0.61")
    gain = Printed("R", "1", "gain of validation accuracy", "1", unit="%")
    rows = [judged(printed, run), judged(gain, replace(run, value=-0.8)), judged(printed, replace(run, value=12))]
    (row,) = picture.accuracies(rows)
    assert (row.label, row.group, row.value, row.other) == ("test", "R, net", 60, 61)


def test_the_document_of_the_repository_is_what_the_kept_results_give(tmp_path):
    kept = Path(__file__).resolve().parents[2] / "docs" / "reproductions"
    done = results.read_all(kept, plan())
    waiting = [each for each in plan() if each.key not in done]
    writing.write(tmp_path / "reproductions", Runs(tuple(done.values())), waiting)
    written = (tmp_path / "reproductions.md").read_text("utf-8")
    assert written == kept.with_suffix(".md").read_text("utf-8")
