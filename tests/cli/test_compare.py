"""`python finetune.py --compare` from its file to its tables, stopped once and gone on with."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_cnn.cli import finetune
from keras_cnn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
FILE = """
program: finetune.py
method: grid
metric: {name: val_accuracy, goal: maximize}
parameters:
  strategy: {values: [head, last]}
keras_cnn:
  base: base.yaml
  repeats: 2
  names: {strategy: {head: {finetune.freeze_upto: all}, last: {finetune.freeze_upto: layer3}}}
"""
BASE = """
data: {source: "folder:photos", image_size: 32, validation: 0.25, test: 0.25}
model: {name: resnet18, weights: none}
train: {epochs: 1, batch_size: 8}
precision: float32
tracking: {wandb: off}
"""


def command(*arguments):
    return [sys.executable, str(ROOT / "finetune.py"), *map(str, arguments)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve dark and twelve bright photos, a comparison's file and its base."""
    place = tmp_path_factory.mktemp("compare")
    draw = np.random.default_rng(0)
    for label, low in (("dark", 0), ("bright", 128)):
        (place / "photos" / label).mkdir(parents=True)
        for i in range(12):
            pixels = draw.integers(low, low + 127, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "photos" / label / f"{i}.png")
    (place / "tiny.yaml").write_text(FILE)
    (place / "base.yaml").write_text(BASE)
    return place


@pytest.fixture(scope="module")
def stopped(folder) -> tuple[int, str]:
    """Exit status and messages of a comparison that was sent SIGTERM in its first recipe."""
    with subprocess.Popen(
        command("--compare", "tiny.yaml"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        for line in process.stdout:
            if line.startswith("trial 0001"):
                process.send_signal(signal.SIGTERM)
                break
        _, errors = process.communicate()
    return process.returncode, errors


def test_a_stopped_comparison_goes_on_and_is_complete(folder, stopped):
    status, errors = stopped
    assert status == 3
    go_on = re.search(r"go on with: .*finetune\.py (--resume runs/tiny)$", errors.strip())
    assert not (folder / "runs" / "tiny" / "comparison").exists()
    done = subprocess.run(command(*go_on[1].split()), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = folder / "runs" / "tiny" / "comparison"
    assert "validation accuracy, 95 % interval" in done.stdout
    found = re.search(r"^last - head +[+-]\d+\.\d\d points \[.*\] +(.*)$", done.stdout, re.MULTILINE)
    assert found[1] == "inconclusive: 2 of 6 pairs"
    assert max(map(len, (written / "comparison.txt").read_text().splitlines())) > 80  # all of it
    seeds = pd.read_csv(written / "seeds.csv")
    assert list(zip(seeds["strategy"], seeds["seed"], strict=True)) == [
        (s, n) for s in ("head", "last") for n in (1, 2)
    ]
    # Two outputs: 2 (512 + 1) weights; and those of torchvision's layer4.
    assert seeds["trainable_parameters"].tolist() == [1026] * 2 + [1026 + 8_393_728] * 2
    assert (seeds["validation_images"] == 6).all()
    pairs = pd.read_csv(written / "differences.csv")
    accuracy = seeds["validation_accuracy"].to_numpy()
    assert pairs["pairs"].tolist() == [2, 2]
    assert pairs["difference"][0] == pytest.approx(np.mean(accuracy[2:] - accuracy[:2]))
    with Image.open(written / "convergence.png") as image:
        assert image.width == 1080


def test_what_does_not_fit_is_refused_before_anything_is_begun(folder, stopped, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "random.yaml").write_text(FILE.replace("method: grid", "method: random\nrun_cap: 2"))
    for arguments, said in (
        (["--compare", "random.yaml"], "method: found random, expected grid"),
        (["--compare", "absent.yaml"], "absent.yaml: cannot read"),
        (["base.yaml", "--compare", "tiny.yaml"], "base.yaml does not fit a comparison"),
        (["--compare", "tiny.yaml", "--overfit-batch"], "--overfit-batch does not fit a comparison"),
        (["--compare", "tiny.yaml", "--workers", "0"], "--workers 0: expected a number from 1"),
        (["--compare", "tiny.yaml", "--freeze-upto", "3"], "the parameter strategy of tiny.yaml sets it"),
        (["--compare", "runs/tiny"], "a comparison that was begun"),
        (["base.yaml", "--workers", "2"], "--workers is for comparisons"),
        (["--resume", "runs/tiny/0001-seed1"], "expected the comparison itself: --resume runs/tiny"),
        (["--resume", "runs/tiny", "--dry-run"], "--dry-run does not fit --resume"),
        (["--resume", "runs/tiny", "--seed", "3"], "--seed 3 does not fit --resume"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            finetune.main(arguments)
    assert [path.name for path in (folder / "runs").iterdir()] == ["tiny"]
