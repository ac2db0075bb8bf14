"""W&B's files are read back with its own reader; no test reaches a network or needs a key."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.tracking import INIT_SECONDS, Tracker

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("cat", "dog", "é1")
SCORES = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4, "recall_interval": [0.1, 0.4]}
METRICS = {"split": "test", "accuracy": 0.75, "images": 12, "chosen_by": "val_loss", "accuracy_interval": [0.7, 0.8]}
METRICS |= {"per_class": dict.fromkeys(CLASSES, SCORES), "train": {"accuracy": 1.0}}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "environment.json").write_text(str(tmp_path))
    return tmp_path


def records(folder: Path) -> list[dict]:
    """What W&B wrote, read by its own command."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = shutil.which("wandb", path=Path(sys.executable).parent)
    printed = subprocess.run([command, "leet", "inspect", "--json", path], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in printed.stdout.splitlines()]


def of_type(found: list[dict], kind: str) -> list[dict]:
    return [record[kind] for record in found if record["type"] == kind]


def summary(found: list[dict]) -> dict:
    merged = {}
    for record in of_type(found, "summary"):
        merged |= record.get("update", {})
    return merged


def test_an_offline_run_holds_config_history_summary_figures_matrices_and_table(folder):
    figure = folder / "curves.png"
    Image.new("L", (3, 2), 77).save(figure)
    said = []
    tracker = Tracker("offline", folder, said.append, project="p", name="n", config={"optim.learning_rate": 0.25})
    for epoch in (1, 2, 3):
        tracker.epoch({"epoch": epoch, "loss": 1 / epoch, "accuracy": 1.0, "val_accuracy": epoch / 4})
    labels, predicted = np.array([0, 1, 2, 2], np.int32), np.array([0, 1, 1, 2])
    tracker.finish(METRICS, [figure], {"test": (labels, predicted)}, CLASSES)
    assert said == []

    found = records(folder)
    (run,) = of_type(found, "run")
    assert (run["project"], run["display_name"]) == ("p", "n")
    config = {}
    for update in [run["config"], *of_type(found, "config")]:
        config |= update.get("update", {})
    assert config["optim.learning_rate"] == 0.25

    rows = [record["item"] for record in of_type(found, "history")]
    assert [(r["_step"], r["epoch"], r["loss"], r["val_accuracy"]) for r in rows[:3]] == [
        (epoch, epoch, pytest.approx(1 / epoch), epoch / 4) for epoch in (1, 2, 3)
    ]
    end = summary(found)
    assert (end["test/accuracy"], end["test/images"], end["test/chosen_by"]) == (0.75, 12, "val_loss")
    assert (end["accuracy"], end["epoch"]) == (1.0, 3)
    assert "test/accuracy_interval" not in end
    assert end["figures/curves._type"] == "image-file"
    (copied,) = folder.rglob("media/images/figures/curves*.png")
    assert copied.read_bytes() == figure.read_bytes()

    tables = [json.loads(path.read_text()) for path in folder.rglob("media/table/**/*.json")]
    (scores,) = [t["data"] for t in tables if t["columns"][0] == "class"]
    assert scores == [[name, 0.5, 0.25, pytest.approx(1 / 3), 4] for name in CLASSES]
    (matrix,) = [t["data"] for t in tables if t["columns"][0] != "class"]
    counts = {(true, guess): count for true, guess, count in matrix}
    assert len(counts) == 9
    assert {pair: n for pair, n in counts.items() if n} == {
        ("cat", "cat"): 1, ("dog", "dog"): 1, ("é1", "dog"): 1, ("é1", "é1"): 1
    }  # fmt: skip
    assert of_type(found, "exit") == [{"exit_code": 0}]


def test_a_stopped_run_ends_with_its_exit_status(folder):
    tracker = Tracker("offline", folder, print, project="p")
    tracker.epoch({"epoch": 1, "loss": 0.5})
    tracker.stop()
    found = records(folder)
    assert of_type(found, "exit") == [{"exit_code": 3}]
    assert [row["item"]["loss"] for row in of_type(found, "history")] == [0.5]


# --- never a prompt, never a wait, never a reason to stop -------------------------------------------------------------

START = """
import json, sys, time
from pathlib import Path
from keras_cnn.tracking import Tracker
mode, folder = sys.argv[1], Path(sys.argv[2])
said, began = [], time.monotonic()
tracker = Tracker(mode, folder, said.append, project="p")
started = time.monotonic() - began
tracker.epoch({"epoch": 1, "loss": 0.5})
tracker.stop()
print(json.dumps({"said": said, "seconds": started, "wandb": "wandb" in sys.modules}))
"""


def run(code: str, mode: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs the code in a fresh process without a key, a network, standard input or this process's W&B service."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    own = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", code, mode, folder]
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True}
    done = subprocess.run(command, env=kept | own | environment, text=True, timeout=100, **streams)
    assert done.returncode == 0, done.stderr
    return done


def start(mode: str, folder: Path, **environment: str) -> tuple[dict, float]:
    """What a tracker said that was started, used and stopped, and how long its process lived, in seconds."""
    began = time.monotonic()
    done = run(START, mode, folder, **environment)
    assert done.stderr == ""
    *before, last = done.stdout.splitlines()
    assert before == []
    return json.loads(last), time.monotonic() - began


@pytest.mark.parametrize(("mode", "lines"), [("auto", 0), ("online", 1)])
def test_without_a_key_it_is_offline_without_a_prompt_or_a_wait(folder, mode, lines):
    found, seconds = start(mode, folder)
    assert len(found["said"]) == lines
    assert len(of_type(records(folder), "history")) == 1
    assert found["seconds"] < 10
    assert seconds < 20


def test_a_key_without_a_network_goes_offline_after_a_few_seconds(folder):
    found, seconds = start("auto", folder, WANDB_API_KEY="a" * 40)
    (line,) = found["said"]
    assert line.startswith("W&B: not online (")
    assert "wandb sync" in line
    assert found["seconds"] < INIT_SECONDS + 8
    assert seconds < INIT_SECONDS + 15
    assert len(of_type(records(folder), "history")) == 1


@pytest.mark.parametrize(("mode", "environment"), [("off", {}), ("auto", {"WANDB_MODE": "disabled"})])
def test_off_does_not_even_import_wandb(folder, mode, environment):
    found, _ = start(mode, folder, **environment)
    assert found["said"] == []
    assert not found["wandb"]
    assert not (folder / "wandb").exists()


def test_a_mode_that_wandb_does_not_know_costs_the_mirror_only(folder):
    found, _ = start("auto", folder, WANDB_MODE="sometimes")
    (line,) = found["said"]
    assert "W&B is left out from now on (ValidationError" in line


@pytest.mark.parametrize("call", ["log", "finish", "summary"])
def test_whatever_wandb_raises_ends_the_mirror_in_one_line(folder, call):
    class Failing:
        def __getattr__(self, name):
            if name == call:
                raise BrokenPipeError("the service\nis gone")
            return lambda *arguments, **settings: None

        summary = {}  # noqa: RUF012

    if call == "summary":
        Failing.summary = None
    said = []
    tracker = Tracker("off", folder, said.append)
    tracker._run = Failing()
    tracker.epoch({"epoch": 1})
    tracker.finish(METRICS, [], {}, CLASSES)
    tracker.stop()
    assert len(said) == 1
    assert "the run folder has everything" in said[0]
    assert "\n" not in said[0]


def test_the_death_of_wandbs_service_does_not_stop_the_training(folder):
    code = START.replace("tracker.epoch(", KILL_SERVICE + "\ntracker.epoch(")
    *killed, last = run(code, "offline", folder).stdout.splitlines()
    assert killed
    (line,) = json.loads(last)["said"]
    assert "W&B is left out from now on" in line


KILL_SERVICE = """
import os, signal
for process in Path("/proc").glob("[0-9]*"):
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        if int(fields[1]) == os.getpid():
            os.kill(int(process.name), signal.SIGKILL)
            print("killed")
    except OSError:
        pass
time.sleep(0.5)
"""
