"""What `--sweep --dry-run` says of a sweep file, and that it leaves nothing behind."""

import errno
import os

import pytest

from keras_cnn.errors import InputError, Stopped
from keras_cnn.sweeps import plan

BASE = """
seed: 5
data: {source: fashion-mini, train: 100}
model: {name: layers, table: [{conv: 4, kernel: 3}, {flatten: }]}
train: {epochs: 9, batch_size: 50}
"""
SWEEP = """
method: bayes
run_cap: 12
metric: {name: val_loss, goal: minimize}
early_terminate: {type: hyperband, min_iter: 3, eta: 3, strict: true}
parameters:
  lr: {distribution: log_uniform_values, min: 1e-4, max: 0.1}
  train.label_smoothing: {values: [0, 0.1], probabilities: [0.75, 0.25]}
  augmented: {values: [true, false]}
keras_cnn:
  base: base.yaml
  names:
    lr: optim.learning_rate
    augmented: {true: {data.augment.name: fashion, train.ema: 0.9}, false: {}}
"""


@pytest.fixture
def dry_run(tmp_path, monkeypatch, messages):
    """The lines of a dry run, given the sweep file and the overrides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(text: str, *overrides: str, run_cap: int | None = None) -> list[str]:
        (tmp_path / "base.yaml").write_text(BASE)
        (tmp_path / "s.yaml").write_text(text)
        messages.clear()
        plan.dry_run(tmp_path / "s.yaml", list(overrides), run_cap)
        return list(messages)

    return run


def test_a_dry_run_says_what_would_be_tried_and_leaves_nothing(dry_run, tmp_path):
    lines = dry_run(SWEEP, "--train.batch_size", "25")
    assert lines[:9] == [
        f"sweep     {tmp_path}/s.yaml: bayes, 12 trials, val_loss minimized",
        f"base      {tmp_path}/base.yaml, with --train.batch_size 25",
        "parameter augmented              categorical                  true, false           "
        "sets data.augment.name, train.ema",
        "          lr                     log_uniform_values           min 0.0001, max 0.1   sets optim.learning_rate",
        "          train.label_smoothing  categorical_w_probabilities  0 (0.75), 0.1 (0.25)",
        "early     hyperband compares after epochs 3, 9, 27, 81; about the best 1/3 of the runs there go on",
        "engine    this machine; other hosts may join",
        *lines[7:9],
    ]
    assert lines[7].startswith("trials    0001  augmented=")
    assert lines[10] == "          ... from 0011 on by what was found before"
    assert "          ... from 0011 on by what was found before" in dry_run(SWEEP, run_cap=11)
    endless = dry_run(SWEEP.replace("run_cap: 12", "name: endless"))
    (first,) = (line for line in endless if line.startswith("sweep"))
    assert first.endswith("s.yaml: bayes, trials without end, val_loss minimized")
    assert "          ... from 0011 on by what was found before" in endless
    (cost,) = (line for line in lines if line.startswith("cost"))
    assert "9 epochs of 4 steps, 900 training images" in cost
    assert lines[-1] == "dry run: no run folder was made, no image kept"
    assert sorted(os.listdir(tmp_path)) == ["base.yaml", "s.yaml"]


def test_the_first_trials_said_are_the_first_trials(dry_run, tmp_path):
    lines = dry_run(SWEEP)
    study = plan.create(tmp_path / "s.yaml", [])
    for number, line in enumerate(lines[7:10], 1):
        lease = study.lease()
        assert line.endswith(f"{number:04d}  {plan.settings(study.sweep, lease.trial.assignment)}")


def test_a_grid_has_its_number_of_cells_and_seeds(dry_run):
    grid = "method: grid\nparameters: {train.batch_size: {values: [20, 50]}, train.epochs: {min: 1, max: 3}}\n"
    lines = dry_run(grid + "keras_cnn: {base: base.yaml, repeats: 3}\n")
    assert lines[0].endswith("s.yaml: grid, 6 trials, val_accuracy maximized")
    assert lines[1] == "          each trained with 3 seeds, 5 to 7; its value is their mean"
    assert "          6 different trials in all" in lines
    assert "          ..." in lines
    lines = dry_run(grid, run_cap=1)
    assert lines[0].endswith("grid, 1 trial, val_accuracy maximized")
    assert lines[1] == "base      the default of every field"
    lines = dry_run(grid, run_cap=3)  # as many as are shown
    assert lines[0].endswith("grid, 3 trials, val_accuracy maximized")
    assert "          ..." not in lines


def test_bayes_that_cannot_learn_is_noted(dry_run):
    note = "note      run_cap: 10; bayes draws its first 10 at random, so none learns from"
    lines = dry_run(SWEEP, run_cap=10)
    assert lines[:2] == [note, "          another"]
    assert "          ..." in lines
    assert note not in dry_run(SWEEP, run_cap=11)


def test_rungs_to_epoch_100_are_said(dry_run):
    for first, said in ((100, "100; about the best 1/2.5 of"), (101, "; about the best 1/2.5 of")):
        lines = dry_run(SWEEP.replace("min_iter: 3, eta: 3", f"min_iter: {first}, eta: 2.5"))
        (early,) = (line for line in lines if line.startswith("early"))
        assert early == f"early     hyperband compares after epochs {said} the runs there go on"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"value": "a"}, "a"),
        ({"values": ["a" * 29, "b" * 29]}, f"{'a' * 29}, {'b' * 29}"),
        ({"values": ["a" * 30, "b" * 29]}, f"{'a' * 30}, {'b' * 25}..."),
        ({"values": [1, None], "probabilities": [0.12345, 0.87655]}, "1 (0.123), null (0.877)"),
        ({"mu": 0.5, "sigma": 1e-7}, "mu 0.5, sigma 1e-07"),
    ],
)
def test_values_are_said_in_sixty_characters(given, said):
    assert plan._values(given) == said


def test_early_termination_without_effect_is_noted(dry_run):
    late = SWEEP.replace("min_iter: 3", "min_iter: 9")
    note = "note      early_terminate: compares after epoch 9 at first; of 9 epochs it stops"
    assert dry_run(late)[:2] == [note, "          none"]
    assert dry_run(late, "--train.epochs=10")[0] != note
    swept = late.replace("parameters:", "parameters:\n  train.epochs: {values: [9, 12]}")
    assert dry_run(swept)[0].startswith("sweep     ")


@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_a_metric_of_the_training_images_is_noted(dry_run, name):
    first, second, *_ = dry_run(SWEEP.replace("val_loss", name))
    assert first == f"note      metric.name: {name} is of the training images; what generalises is"
    assert second == f"          chosen by val_{name}"


def test_the_run_cap_given_is_kept_with_the_sweep(dry_run, tmp_path):
    dry_run(SWEEP)
    study = plan.create(tmp_path / "s.yaml", [], run_cap=4)
    assert (study.cap, study.sweep.run_cap) == (4, 4)
    assert "run_cap: 4\n" in (study.folder / "sweep.yaml").read_text()


def test_an_override_of_what_is_swept_is_refused(dry_run):
    with pytest.raises(InputError, match=r"--optim\.learning_rate: the parameter lr of .* sets it in every trial"):
        dry_run(SWEEP, "--optim.learning_rate=0.1")
    with pytest.raises(InputError, match=r"--train\.ema: the parameter augmented"):
        dry_run(SWEEP, "--train.ema", "0.5")


@pytest.mark.parametrize(("name", "folder"), [("..", "sweep"), (".hidden", "hidden"), ("a/../b", "a-..-b")])
def test_no_name_leads_out_of_the_runs_folder(tmp_path, monkeypatch, name, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(f"name: '{name}'\nmethod: grid\nparameters: {{seed: {{value: 1}}}}\n")
    made = plan.create(tmp_path / "s.yaml", ["--tracking.wandb=off"]).folder
    assert made.resolve() == tmp_path / "runs" / folder


@pytest.mark.parametrize("files", range(4))
def test_a_full_disk_at_the_beginning_leaves_no_sweep_in_the_way(tmp_path, monkeypatch, files):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("method: random\nparameters: {seed: {values: [1, 2]}}\n")
    written = []

    def fsync(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(Stopped, match="the disk is full"):
            plan.create(tmp_path / "s.yaml", ["--tracking.wandb=off"])
    assert list((tmp_path / "runs").iterdir()) == []
    assert plan.create(tmp_path / "s.yaml", ["--tracking.wandb=off"]).folder.name == "s"
