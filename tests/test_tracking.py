"""W&B's files are read back with its own reader; no test reaches a network or needs a key."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.tracking import FINISH_SECONDS, INIT_SECONDS, Tracker

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("cat", "dog", "é1")
SCORES = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4, "recall_interval": [0.1, 0.4]}
METRICS = {"split": "test", "accuracy": 0.75, "images": 12, "chosen_by": "val_loss", "accuracy_interval": [0.7, 0.8]}
METRICS |= {"per_class": dict.fromkeys(CLASSES, SCORES), "train": {"accuracy": 1.0}}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "environment.json").write_text(json.dumps({"run_id": "0123456789ab"}))
    return tmp_path


def records(folder: Path) -> list[dict]:
    """What W&B wrote in the folder's only run, read by its own command."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    return read(path)


def read(path: Path) -> list[dict]:
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


def test_an_offline_run_holds_config_history_summary_figures_matrices_and_table(folder, messages):
    figure = folder / "curves.png"
    Image.new("L", (3, 2), 77).save(figure)
    tracker = Tracker("offline", folder, project="p", name="n", config={"optim.learning_rate": 0.25})
    for epoch in (1, 2, 3):
        tracker.epochs([{"epoch": epoch, "loss": 1 / epoch, "accuracy": 1.0, "val_accuracy": epoch / 4}])
    labels, predicted = np.array([0, 1, 2, 2], np.int32), np.array([0, 1, 1, 2])
    tracker.finish(METRICS, [figure], {"test": (labels, predicted)}, CLASSES)
    (line,) = messages
    assert "offline" in line
    assert f"wandb sync {folder}" in line

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
    assert [one["exit_code"] for one in of_type(found, "exit")] == [0]  # a slow run has its seconds beside it


def test_a_stopped_run_ends_with_its_exit_status(folder):
    tracker = Tracker("offline", folder, project="p")
    tracker.epochs([{"epoch": 1, "loss": 0.5}])
    tracker.stop()
    found = records(folder)
    assert of_type(found, "exit") == [{"exit_code": 3}]
    assert [row["item"]["loss"] for row in of_type(found, "history")] == [0.5]


KILLED = """
import os, signal, sys, time
from pathlib import Path
from keras_cnn.tracking import Tracker
tracker = Tracker("offline", Path(sys.argv[2]), project="p")
for epoch in (1, 2, 3):
    tracker.epochs([{"epoch": epoch, "loss": 1 / epoch}])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_a_stop_and_two_resumes_every_epoch_is_there_once(folder):
    """`wandb sync` sends a run's offline files by time, each from the first line of the history on."""
    run(KILLED, "offline", folder, status=-signal.SIGKILL)
    for known, then in (([1, 2], [3, 4]), ([1, 2, 3], [4, 5])):  # 4 was logged, and its checkpoint was not written
        tracker = Tracker("offline", folder, project="p")
        tracker.epochs([{"epoch": epoch, "loss": 1 / epoch} for epoch in known])
        for epoch in then:
            tracker.epochs([{"epoch": epoch, "loss": 1 / epoch}])
        tracker.stop()

    lost, *kept = sorted((read(path) for path in folder.glob("wandb/offline-run-*/*.wandb")), key=len)
    assert of_type(lost, "history") == []  # what W&B had not yet written when it was killed
    kept.sort(key=lambda found: of_type(found, "run")[0]["start_time"])
    assert [of_type(found, "run")[0]["run_id"] for found in kept] == ["0123456789ab"] * 2
    synced = []
    for found in kept:
        rows = [(row["item"]["_step"], row["item"]["loss"]) for row in of_type(found, "history")]
        synced[: len(rows)] = rows
    assert synced == [(epoch, pytest.approx(1 / epoch)) for epoch in (1, 2, 3, 4, 5)]


# --- a server that answers as W&B's does, on this machine ------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Has the first `lines_known` lines of a run's history and takes more; or takes them and never answers."""

    def __init__(self, lines_known: int = 0, silent: bool = False):
        super().__init__(("127.0.0.1", 0), Answers)
        self.lines_known, self.silent, self.over = lines_known, silent, threading.Event()
        self.received: list[tuple[int, list[int]]] = []  # first line and steps of every piece of history
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = {}
        if self.path.endswith("graphql"):
            answer = {"data": self.graphql(json.loads(sent))}
        elif self.server.silent:
            self.server.over.wait()
            return
        elif history := self.path.endswith("file_stream") and json.loads(sent)["files"].get("wandb-history.jsonl"):
            steps = [json.loads(line)["_step"] for line in history["content"]]
            self.server.received.append((history["offset"], steps))
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_PUT = do_POST  # noqa: N815 (http.server's names)

    def graphql(self, query: dict) -> dict:
        project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
        run = {"id": "r", "name": "0123456789ab", "displayName": "n", "config": "{}", "project": project}
        known = self.server.lines_known
        if query["operationName"] == "UpsertBucket":
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if query["operationName"] == "RunResumeStatus":
            tail = json.dumps([json.dumps({"_step": known})])
            counts = {"logLineCount": 0, "historyLineCount": known, "eventsLineCount": 0}
            run |= counts | {"historyTail": tail, "eventsTail": "[]", "summaryMetrics": "{}", "wandbConfig": '{"t": 1}'}
            return {"model": {**project, "bucket": run if known else None}}
        if query["operationName"] == "CreateRunFiles":
            files = [{"name": n, "uploadUrl": f"{self.server.url}/{n}"} for n in query["variables"]["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {}

    def log_message(self, *_):
        pass


HEARING = """
import logging
from keras_cnn.messages import logger
messages, hearing = [], logging.Handler()
hearing.emit = lambda record: messages.append(record.getMessage())
logger.setLevel(logging.INFO)
logger.addHandler(hearing)
"""

ONLINE = f"""
import json, sys, time
from pathlib import Path
from keras_cnn.tracking import Tracker
{HEARING}
tracker = Tracker(sys.argv[1], Path(sys.argv[2]), project="p")
tracker.epochs([{{"epoch": epoch, "loss": 1 / epoch}} for epoch in (1, 2, 3, 4)])
ending = time.time()
tracker.stop()
print(json.dumps({{"messages": messages, "ending": ending}}))
"""


def test_a_server_that_has_the_first_epochs_gets_only_the_others(folder):
    with Server(lines_known=2) as server:
        done = run(ONLINE, "online", folder, WANDB_API_KEY="a" * 40, WANDB_BASE_URL=server.url)
    assert json.loads(done.stdout)["messages"] == []
    assert [(first + i, step) for first, steps in server.received for i, step in enumerate(steps)] == [(2, 3), (3, 4)]


def test_a_network_that_is_gone_at_the_end_is_waited_for_five_seconds_in_all(folder):
    with Server(silent=True) as server:
        done = run(ONLINE, "online", folder, WANDB_API_KEY="a" * 40, WANDB_BASE_URL=server.url)
        found = json.loads(done.stdout)
        seconds = time.time() - found["ending"]
    assert server.received == []
    assert len(found["messages"]) == 1
    assert found["messages"][0].startswith("W&B is left out from now on (TimeoutError")
    assert FINISH_SECONDS <= seconds < FINISH_SECONDS + 10


# --- never a prompt, never a wait, never a reason to stop -------------------------------------------------------------

START = f"""
import json, sys, time
from pathlib import Path
from keras_cnn.tracking import Tracker
{HEARING}
mode, folder = sys.argv[1], Path(sys.argv[2])
began = time.monotonic()
tracker = Tracker(mode, folder, project="p")
started = time.monotonic() - began
tracker.epochs([{{"epoch": 1, "loss": 0.5}}])
tracker.stop()
print(json.dumps({{"messages": messages, "seconds": started, "wandb": "wandb" in sys.modules}}))
"""


def run(code: str, mode: str, folder: Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Runs the code in a fresh process without a key, a network, standard input or this process's W&B service."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    own = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", code, mode, folder]
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True}
    done = subprocess.run(command, env=kept | own | environment, text=True, timeout=100, **streams)
    assert done.returncode == status, done.stderr
    return done


def start(mode: str, folder: Path, **environment: str) -> tuple[dict, float]:
    """What a tracker said that was started, used and stopped, and how long its process lived, in seconds."""
    began = time.monotonic()
    done = run(START, mode, folder, **environment)
    assert done.stderr == ""
    *before, last = done.stdout.splitlines()
    assert before == []
    return json.loads(last), time.monotonic() - began


@pytest.mark.parametrize(("mode", "lines"), [("auto", 1), ("online", 1)])
def test_without_a_key_it_is_offline_without_a_prompt_or_a_wait(folder, mode, lines):
    found, seconds = start(mode, folder)
    assert len(found["messages"]) == lines
    assert len(of_type(records(folder), "history")) == 1
    assert found["seconds"] < 20
    assert seconds < 40


def test_a_key_without_a_network_goes_offline_after_a_few_seconds(folder):
    found, seconds = start("auto", folder, WANDB_API_KEY="a" * 40)
    (line,) = found["messages"]
    assert line.startswith("W&B: not online (")
    assert "wandb sync" in line
    assert found["seconds"] < INIT_SECONDS + 20
    assert seconds < INIT_SECONDS + 40
    assert len(of_type(records(folder), "history")) == 1


@pytest.mark.parametrize(("mode", "environment"), [("off", {}), ("auto", {"WANDB_MODE": "disabled"})])
def test_off_does_not_even_import_wandb(folder, mode, environment):
    found, _ = start(mode, folder, **environment)
    assert found["messages"] == []
    assert not found["wandb"]
    assert not (folder / "wandb").exists()


def test_a_mode_that_wandb_does_not_know_costs_the_mirror_only(folder):
    found, _ = start("auto", folder, WANDB_MODE="sometimes")
    *_, line = found["messages"]
    assert "W&B is left out from now on (ValidationError" in line


@pytest.mark.parametrize("call", ["log", "finish", "summary"])
def test_whatever_wandb_raises_ends_the_mirror_in_one_line(folder, call, messages):
    class Failing:
        def __getattr__(self, name):
            if name == call:
                raise BrokenPipeError("the service\nis gone")
            return lambda *arguments, **settings: None

        summary = {}  # noqa: RUF012
        starting_step = 0

    if call == "summary":
        Failing.summary = None
    tracker = Tracker("off", folder)
    tracker._run = Failing()
    tracker.epochs([{"epoch": 1}])
    tracker.finish(METRICS, [], {}, CLASSES)
    tracker.stop()
    (message,) = messages
    assert "the run folder has everything" in message
    assert "\n" not in message


def test_the_death_of_wandbs_service_does_not_stop_the_training(folder):
    code = START.replace("tracker.epochs(", KILL_SERVICE + "\ntracker.epochs(")
    *killed, last = run(code, "offline", folder).stdout.splitlines()
    assert killed
    *_, line = json.loads(last)["messages"]
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


# --- TensorBoard ------------------------------------------------------------------------------------------------------


def test_event_files_have_a_scalar_for_each_column_and_epoch_and_are_written_again_on_resume(tmp_path):
    import tensorflow as tf

    for epochs in (1, 2):  # the second process of the run begins with the first row
        tracker = Tracker("off", tmp_path, tensorboard=True)
        tracker.epochs([{"epoch": epoch, "loss": 1 / epoch, "val_accuracy": 0.5} for epoch in range(1, epochs + 1)])
    (file,) = (tmp_path / "tensorboard").iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name in ("scalars", "")
            found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert found == {("loss", 1): 1.0, ("loss", 2): 0.5, ("val_accuracy", 1): 0.5, ("val_accuracy", 2): 0.5}
