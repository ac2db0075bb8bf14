import csv
import functools
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from keras_cnn.analysis import importance
from keras_cnn.evaluation import metrics
from keras_cnn.report.html import write_report
from keras_cnn.sweeps.space import overrides
from keras_cnn.sweeps.study import Study
from keras_cnn.sweeps.sweep_file import read_sweep

HISTORY = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds", "run_seconds"]
# What a class, a run or a command may be called; each must reach the reader as it is, and do nothing.
NASTY = '</script><img src=x onerror="window.hacked=1"><!-- %{x} & شبكة \u202e'


@pytest.fixture(autouse=True, scope="module")
def small_forests():
    """Forests of few trees, resampled a few times: the page has the numbers, and tests/analysis says whether they hold.

    Hundreds of forests took most of the time of every page about a sweep.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "TREES", 20)
        patch.setattr(importance, "_RESAMPLED_TREES", 2)
        analysed = importlib.import_module("keras_cnn.analysis.sections")  # the package has a function of this name
        patch.setattr(analysed, "importance", functools.partial(importance.importance, resamples=10))
        yield


@functools.lru_cache(64)  # to compute them takes longer than everything else of most runs
def summary_of_run(seed: int, epochs: int, classes: tuple[str, ...], images: int) -> dict:
    """What metrics.json has of three splits, of numbers drawn after those of so many epochs."""
    random = np.random.default_rng(seed)
    random.random(4 * epochs)
    parts = {}
    for split in ("test", "validation", "train"):
        labels = random.integers(0, len(classes), images)
        logits = random.normal(size=(images, len(classes)))
        logits[np.arange(images), labels] += 1.5
        parts[split] = metrics.summary(labels, logits, classes)
    return {"split": "test", **parts.pop("test"), **parts}


@functools.lru_cache(100)
def summary_of_trial(percent: int) -> dict:
    """The scores of a hundred images of four classes, of which so many are right."""
    labels = np.arange(100) % 4
    logits = np.eye(4)[np.where(np.arange(100) < percent, labels, (labels + 1) % 4)]
    return metrics.summary(labels, logits, ("cat", "dog", "eel", "fox"))


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """Writes a run folder as a finished run leaves it, with numbers drawn from `seed`."""

    def make(path: Path, classes=("cat", "dog", "eel"), images=120, epochs=4, seed=1, pictures=1, **config) -> Path:
        random = np.random.default_rng(seed)
        path.mkdir(parents=True)
        (path / "figures").mkdir()
        settings = {
            "name": path.name,
            "seed": seed,
            "data": {"source": "npz:small"},
            "model": {"name": "net1"},
            "train": {"epochs": epochs, "monitor": "val_accuracy"},
        }
        (path / "config.yaml").write_text(yaml.safe_dump(settings | config, allow_unicode=True))
        (path / "changes.txt").write_text("train.epochs: 10 -> 4\n")
        command = f"python train.py --run-dir {path.name}"
        versions = {"packages": {"keras": "3.15.1"}, "python": "3.11.7", "hardware": {"cores": 2, "gpus": []}}
        write(path / "environment.json", {"command": command, "git": "0123abc", **versions})
        (path / "test_readings.csv").write_text(f"date,command\n2026-01-02T03:04:05+00:00,{command}\n")
        with (path / "history.csv").open("w") as file:
            rows = csv.writer(file)
            rows.writerow(HISTORY)
            for epoch in range(1, epochs + 1):
                rows.writerow([epoch, *random.random(4).round(6), 0.01, 2.5, 2.5 * epoch])
        found = summary_of_run(seed, epochs, tuple(classes), images)
        write(path / "metrics.json", found | {"best_epoch": 2, "chosen_by": "val_accuracy"})
        splits = {"train": 400, "validation": 60, "test": images}
        write(path / "split.json", {"counts": splits, "classes": list(classes), "sha256": "f00"})
        field = {side: {"size": 3, "stride": 1, "offset": 0} for side in ("height", "width")}
        layer = {"layer": "conv1", "type": "Conv2D", "output_shape": [30, 30, 18], "trainable": 504, "other": 0}
        layers = [layer | {"multiply_adds": 437_400, "field": field}]
        totals = {"trainable": 504 * seed, "other": 0, "multiply_adds": 437_400}
        write(path / "model.json", {"name": "net1", "layers": layers, "totals": totals})
        (path / "model.keras").write_bytes(b"")  # a report asks only whether it is there
        for i in range(pictures):
            noise = random.integers(0, 256, (700, 900, 3), np.uint8)  # nothing compresses worse
            Image.fromarray(noise).save(path / "figures" / f"picture_{i}.png")
        return path

    return make


@pytest.fixture(scope="session")
def make_sweep(make_run, tmp_path_factory) -> Callable[..., Path]:
    """Makes a sweep's folder as its workers leave it.

    `results` has for each trial its validation accuracy in percent (one number, or one a seed), or the reason why it
    failed. The trials' settings are those that the study draws; of an accuracy that is a function, they are its input.
    """

    def make(path: Path, definition: dict, results, finished: bool = False, epochs: int = 3) -> Path:
        path.mkdir(parents=True)
        file = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
        file.write_text(yaml.safe_dump(definition, sort_keys=False))
        sweep = read_sweep(file)
        study = Study.create(path, sweep, "data: {source: npz:small}\n", seed=1)
        for result in results:
            lease = study.lease()
            found = result(lease.trial.assignment) if callable(result) else result
            if isinstance(found, str):
                study.end(lease, state="failed", reason=found, runs=(lease.trial.label,))
                continue
            percents = found if isinstance(found, tuple) else (found,)
            names = [
                lease.trial.label + (f"-seed{i}" if len(percents) > 1 else "") for i in range(1, 1 + len(percents))
            ]
            for i, (name, percent) in enumerate(zip(names, percents, strict=True), 1):
                trial(path / name, percent, i, lease.trial, sweep, epochs)
            study.end(lease, state="finished", value=float(np.mean(percents)) / 100, runs=tuple(names))
        if finished:
            (make_run(path / "best", seed=1) / "model.keras").touch()
        return path

    def trial(path: Path, percent: int, seed: int, drawn, sweep, epochs: int) -> None:
        pairs = (override.removeprefix("--").split("=", 1) for override in overrides(sweep, drawn.assignment))
        settings = {name: yaml.safe_load(value) for name, value in pairs}
        run = make_run(path, seed=seed, epochs=epochs, pictures=0, images=100)
        flat = {"seed": seed, "data.source": "npz:small", "model.name": "net1", "train.epochs": epochs, **settings}
        nested: dict = {}
        for name, value in flat.items():
            *parents, last = name.split(".")
            place = nested
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
        (run / "config.yaml").write_text(yaml.safe_dump(nested))
        (run / "test_readings.csv").unlink()
        (run / "model.keras").touch()
        found = {"best_epoch": epochs, "chosen_by": "val_accuracy", "validation": summary_of_trial(percent)}
        write(run / "metrics.json", found)
        with (run / "history.csv").open("w") as file:
            rows = csv.writer(file)
            rows.writerow(HISTORY)
            for epoch in range(1, epochs + 1):
                share = percent / 100 - 0.01 * (epochs - epoch)
                rows.writerow([epoch, 2 / epoch, share + 0.05, 2.5 / epoch, share, 0.01, 2.0, 2.0 * epoch * seed])
        environment = {"command": "python train.py", "started": f"2026-01-02T03:{drawn.number % 60:02d}:00+00:00"}
        write(run / "environment.json", environment)

    return make


GRID = {
    "method": "grid",
    "metric": {"name": "val_accuracy", "goal": "maximize"},
    "parameters": {"lr": {"values": [0.001, 0.1]}, "filters": {"values": [4, 8]}},
    "keras_cnn": {"repeats": 2, "names": {"lr": "optim.learning_rate", "filters": "model.filters"}},
}


def by_hand(assignment: dict) -> tuple[int, int]:
    """Percent of two seeds: 10 points for the wider network and 4 for the larger rate, seeds a point to each side."""
    mean = 50 + 10 * (assignment["filters"] == 8) + 4 * (assignment["lr"] == 0.1)
    return mean - 1, mean + 1


@pytest.fixture(scope="session")
def grid_sweep(make_sweep, tmp_path_factory) -> Path:
    """A balanced grid of 2 by 2 cells with two seeds each, its best trial trained again and tested."""
    return make_sweep(tmp_path_factory.mktemp("sweeps") / "grid", GRID, [by_hand] * 4, finished=True)


def write(path: Path, value) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


@pytest.fixture(scope="session")
def nasty_page(make_run, tmp_path_factory) -> SimpleNamespace:
    """A report about three runs, one of them unfinished, whose names, classes and commands attack it."""
    parent = tmp_path_factory.mktemp("runs")
    classes = ("cat", NASTY, "0001")
    runs = [make_run(parent / name, classes=classes, seed=i + 1) for i, name in enumerate(("b<b>old", "a", "c"))]
    write(runs[0] / "environment.json", {"command": NASTY, "git": NASTY, "packages": {NASTY: NASTY}, "python": NASTY})
    (runs[0] / "test_readings.csv").write_text(f"date,command\n{NASTY},\n", encoding="utf-8")
    for name in ("metrics.json", "model.json"):
        (runs[2] / name).unlink()
    place = write_report(runs)
    return SimpleNamespace(place=place, runs=runs, text=place.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def blobs() -> Callable[[str], dict[str, dict]]:
    """The charts in a page's text: {name: figure}."""

    def find(page: str) -> dict[str, dict]:
        found = re.findall(r'<script type="application/json" id="chart-([\w-]+)">(.*?)</script>', page, re.DOTALL)
        return {name: json.loads(text) for name, text in found}

    return find
