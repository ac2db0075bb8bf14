"""Runs of two processes on this machine: they end alike, stop together, and resume to the bit."""

import json
import shutil
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.cli.hosts import shared_folder
from keras_cnn.distribution.ranks import meet
from keras_cnn.errors import InputError
from keras_cnn.run_folder import RunFolder
from keras_cnn.training import checkpoints
from tests.fork_server import ROOT
from tests.ranks_in_threads import all_of, free_hosts
from tests.two_processes import PROGRAM, both, ports

EPOCHS, STEPS = 2, 4
TABLE = "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {flatten: }, {dropout: 0.3}]"
OPTIONS = {
    "data.train": "250",  # 64, 64, 64 and 58
    "data.augment.name": "light",
    "data.augment.erase": "0.5",
    "data.augment.mixup": "0.2",
    "model.name": "layers",
    "model.table": TABLE,
    "optim.optimizer": "adamw",
    "optim.clip_norm": "1.0",
    "train.epochs": str(EPOCHS),
    "train.batch_size": "64",
    "train.ema": "0.9",
    "train.class_weights": "balanced",
    "train.loss": "focal",
    "precision": "float32",
    "tracking.wandb": "off",
}


def options(**changes: str) -> list[str]:
    values = OPTIONS | {name.replace("__", "."): value for name, value in changes.items()}
    return ["configs/default.yaml", *(word for name, value in values.items() for word in (f"--{name}", value))]


def state_of(folder: Path) -> dict[str, list[bytes]]:
    groups = checkpoints.load(folder / "checkpoint").groups
    return {name: [np.asarray(array).tobytes() for array in arrays] for name, arrays in groups.items()}


@pytest.fixture(scope="module")
def whole(fork_server, tmp_path_factory) -> Path:
    """A run of two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("two") / "whole"
    first, second = both(fork_server, [*options(), "--run-dir", folder])
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    return folder


def test_two_processes_end_as_two_devices_of_one_process(whole, fork_server, tmp_path):
    words = ["train", 0, 0, *options(), "--devices", "cpu:2", "--run-dir", tmp_path / "run"]
    done = fork_server.run(PROGRAM, *words)
    assert done.returncode == 0, done.stderr
    one, two = (checkpoints.load(folder / "checkpoint").groups for folder in (tmp_path / "run", whole))
    for name, arrays in one.items():
        for a, b in zip(arrays, two[name], strict=True):
            assert np.abs(a.astype(float) - b).max(initial=0) < 2e-5
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "run", whole)]
    assert abs(metrics[0]["accuracy"] - metrics[1]["accuracy"]) <= 0.001


def test_rank_0_alone_writes_the_run(whole):
    assert (whole / "metrics.json").is_file()
    assert len((whole / "test_readings.csv").read_text().splitlines()) == 2  # header, and one reading
    assert "epoch 2/2" in (whole / "rank-1.log").read_text()


def test_a_signal_to_one_stops_both_at_one_step_and_the_run_resumes_to_the_bit(whole, fork_server, tmp_path):
    """The other pauses for three seconds after its second step, and is waited for."""
    folder = tmp_path / "run"
    ended = both(fork_server, [*options(), "--run-dir", folder], [(3, -2), (signal.SIGTERM, STEPS + 2)])
    assert [each.returncode for each in ended] == [3, 3], ended[0].stderr + ended[1].stderr
    assert checkpoints.load(folder / "checkpoint").state["position"]["step"] == 2
    for each in ended:
        assert "after 1 epochs and 2 steps" in each.stderr
        assert "--resume" in each.stderr
    first, second = both(fork_server, ["--resume", folder])
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert state_of(folder) == state_of(whole)


def test_a_killed_process_ends_the_other_and_the_run_resumes_to_the_bit(whole, fork_server, tmp_path):
    folder = tmp_path / "run"
    killed, other = both(fork_server, [*options(), "--run-dir", folder], [(signal.SIGKILL, STEPS + 2), (0, 0)])
    assert killed.returncode == -signal.SIGKILL
    assert other.returncode == 3, other.stderr
    assert other.stderr.count("\n") == 1
    assert "stopped: rank 0 (127.0.0.1:" in other.stderr
    assert f"--resume {folder}" in other.stderr
    first, second = both(fork_server, ["--resume", folder])
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert state_of(folder) == state_of(whole)


def test_another_number_of_processes_must_be_asked_for(fork_server, tmp_path):
    folder = tmp_path / "run"
    words = [*options(), "--devices", "cpu:2", "--run-dir", folder]
    stopped = fork_server.run(PROGRAM, "train", int(signal.SIGTERM), 2, *words)
    assert stopped.returncode == 3
    hosts = [f"--hosts={ports()}", "--rank=0", "--wait=1"]
    refused = fork_server.run(PROGRAM, "train", 0, 0, "--resume", folder, *hosts)
    assert "did not answer within 1 s" in refused.stderr
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("devices: cpu:2", "devices: auto"))
    refused = fork_server.run(PROGRAM, "train", 0, 0, "--resume", folder)
    assert refused.returncode == 2
    expected = "state.npz: written with 2 devices, found 1 device; expected the same number; --devices with a value"
    assert expected in refused.stderr
    done = fork_server.run(PROGRAM, "train", 0, 0, "--resume", folder, "--devices", "cpu")
    assert done.returncode == 0, done.stderr
    assert "may differ in its last bits" in done.stdout
    assert "devices: 2 -> 1" in done.stdout


def test_ranks_that_do_not_agree_leave_nothing(fork_server, tmp_path):
    folder = tmp_path / "run"
    words = [*options(), "--run-dir", folder]
    ended = both(fork_server, words, others=[*options(optim__learning_rate="0.5"), "--run-dir", folder])
    for each in ended:
        assert each.returncode == 2
        assert "optim.learning_rate: found 0.5, but rank 0 has" in each.stderr
    assert not folder.exists()


@pytest.fixture
def images(tmp_path) -> list[Path]:
    """The working folder of each rank: images.npz is one path, under which each finds a file of its own."""
    rng = np.random.default_rng(0)
    folders = [tmp_path / str(rank) for rank in (0, 1)]
    for folder in folders:
        folder.mkdir()
        images = {name: rng.integers(0, 256, (40, 8, 8, 1), np.uint8) for name in ("x_train", "x_test")}
        labels = {name: np.arange(40, dtype=np.int32) % 2 for name in ("y_train", "y_test")}
        np.savez(folder / "images.npz", **images, **labels)
    return folders


OF_IMAGES = [
    ROOT / "configs/default.yaml",
    *options(data__source="npz:images.npz", data__train="20", train__batch_size="8")[1:],
]


def test_ranks_that_see_other_images_leave_nothing(images, fork_server, tmp_path):
    ended = both(fork_server, [*OF_IMAGES, "--run-dir", tmp_path / "run"], folders=images)
    for each in ended:
        assert each.returncode == 2, each.stderr
        assert "images and labels (split.json): found" in each.stderr
        assert each.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_wrong_input_that_one_rank_finds_is_wrong_input_for_all(images, fork_server, tmp_path):
    (images[1] / "images.npz").write_bytes(b"damaged")
    first, second = both(fork_server, [*OF_IMAGES, "--run-dir", tmp_path / "run"], folders=images)
    assert (first.returncode, second.returncode) == (2, 2), first.stderr + second.stderr
    fault = second.stderr.removeprefix("error: ")
    assert "images.npz: " in fault
    assert first.stderr.startswith("error: rank 1 (127.0.0.1:")
    assert first.stderr.endswith(fault)
    assert first.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_rank_that_does_not_see_the_run_folder_is_named_and_nothing_is_left(tmp_path, capsys):
    hosts = free_hosts(2)

    class Elsewhere(RunFolder):
        """The run folder of rank 0, which rank 1 looks for at a path that it has not."""

        def __enter__(self):
            self.path, self.own = tmp_path / "not" / "mounted", self.path
            return self

        def __exit__(self, *error):
            self.path = self.own
            super().__exit__(*error)

    def rank(number):
        ranks = meet(hosts, number, {}, 20.0)
        with shared_folder(ranks, lambda: Elsewhere.create("run", path=tmp_path / "run"), "train"):
            ranks.exchange(b"")

    first, second = all_of([partial(rank, number) for number in (0, 1)])
    text = f"rank 1: {tmp_path}/not/mounted: not seen here; expected a run folder that all hosts share"
    assert (type(second), str(second)) == (InputError, text)
    assert (type(first), str(first)) == (InputError, text)
    assert not (tmp_path / "run").exists()


def test_an_evaluation_divided_among_devices_is_that_of_one(whole, fork_server, tmp_path):
    written = []
    for devices in ("cpu", "cpu:3"):
        run = shutil.copytree(whole, tmp_path / devices.replace(":", "-"))
        done = fork_server.run(PROGRAM, "evaluate", 0, 0, run, "--split", "validation", "--devices", devices)
        assert done.returncode == 0, done.stderr
        written.append((run / "evaluations" / "validation" / "predictions.csv").read_bytes())
    assert len(written[0].splitlines()) > 100
    assert written[0] == written[1]


def test_fine_tuning_in_two_processes(fork_server, tmp_path):
    words = ["clothes", "--freeze-upto", "layer2", "--epochs", "1", "--tracking.wandb", "off", "--precision", "float32"]
    words += ["--data.train", "100"]
    first, second = both(fork_server, [*words, "--run-dir", tmp_path / "two"], program="finetune")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    alone = fork_server.run(PROGRAM, "finetune", 0, 0, *words, "--run-dir", tmp_path / "one")
    assert alone.returncode == 0, alone.stderr
    two, one = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("two", "one"))
    assert abs(two["loss"] - one["loss"]) < 1e-3
