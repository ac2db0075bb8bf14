"""`keras-cnn doctor --gpu`, whose code paths run here on the processor with small sizes."""

import json
import math
import re
import subprocess
from types import SimpleNamespace

import keras
import pytest

from keras_cnn.cli import commands
from keras_cnn.data.augment import RECIPES
from keras_cnn.gpu_check import check, measurements
from keras_cnn.gpu_check.measurements import NotMeasured

FEW_RECIPES = {name: RECIPES[name] for name in ("none", "standard")}


@pytest.fixture(scope="module")
def checked(tmp_path_factory, fork_server):
    """The lines and the file of a whole check on the processor."""

    def in_a_process(command, **_):
        """As `subprocess.run` of a module, in a process that need not import TensorFlow."""
        _, *before, module, name, title = command
        assert (before, module) == (["-P", "-m"], "keras_cnn.gpu_check")
        return fork_server.run(f"import runpy; runpy.run_module({module!r}, run_name='__main__')", name, title)

    file = tmp_path_factory.mktemp("check") / "gpu-check.json"
    logged, policy = [], keras.config.dtype_policy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check.logger, "info", logged.append)
        patch.setattr(check, "LIMIT", math.inf)  # tests may share a slow machine
        patch.setattr(measurements, "SECONDS", 1200)
        programs = SimpleNamespace(run=in_a_process, TimeoutExpired=subprocess.TimeoutExpired)
        patch.setattr(measurements, "subprocess", programs)
        patch.setattr(measurements, "RECIPES", FEW_RECIPES)  # XLA compiles each
        check.run("cpu", file)
    keras.config.set_dtype_policy(policy)
    return {line[:15].strip(): line[15:] for line in logged}, json.loads(file.read_text("utf-8"))


def test_everything_is_measured_that_can_be_without_a_gpu(checked):
    lines, written = checked
    found = written["measurements"]
    assert list(found) == list(measurements.MEASUREMENTS)
    missing = {name: numbers["not_measured"] for name, numbers in found.items() if "not_measured" in numbers}
    assert missing == {}
    for name in ("steps per call", "whole step xla", "two gpus"):  # two logical devices of the processor
        assert re.fullmatch(r"\w+: [\d,]+ images/s against [\d,]+: \d+\.\d\d times", lines[name])
    assert written["on"] == "cpu"
    assert written["software"]["cores"] >= 1


def test_the_processor_equals_itself(checked):
    _, written = checked
    augmentation, losses = (written["measurements"][name] for name in ("augmentation", "losses"))
    assert (augmentation["largest_difference"], augmentation["share_of_values"]) == (0, 0)
    assert augmentation["recipes"] == len(FEW_RECIPES) + 1
    assert len(losses["device"]) == len(losses["processor"]) == 3
    assert losses["largest_relative_difference"] < 1e-4
    assert len(set(losses["device"])) == 3  # the network learns


def test_rates_are_ratios_of_what_was_measured(checked):
    lines, written = checked
    for name in ("net1", "lenet", "resnet8"):
        row = written["measurements"]["rates"][name]
        assert row["ratio"] == pytest.approx(row["images_per_second"] / row["keras_fit"])
        assert row["peak_memory"] >= 0
        assert "times Keras's fit" in lines[name]
    pipeline, determinism = (written["measurements"][name] for name in ("pipeline", "determinism"))
    assert pipeline["ratio"] == pytest.approx(pipeline["batch_seconds"] / pipeline["step_seconds"])
    assert determinism["images_per_second"] > 0


def test_without_a_gpu_it_says_so_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(check.gpus, "unused_reason", lambda: "present, but hidden")
    assert commands.main(["doctor", "--gpu"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --gpu: one is present, but hidden; expected a GPU, or --on cpu, which runs the same checks on the"
        " processor"
    ]


@pytest.mark.parametrize("words", [["--on", "cpu"], ["--json", "x.json"], ["--gpu", "--on", "tpu"]])
def test_options_that_do_not_fit_are_one_line(capsys, words):
    assert commands.main(["doctor", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_measurement_that_fails_or_comes_too_late_says_why_and_the_others_go_on(tmp_path, monkeypatch):
    def fails(scale):
        raise RuntimeError("CUDNN_STATUS_ALLOC_FAILED\nat conv2d")

    def cannot(scale):
        raise NotMeasured("there are not two GPUs")

    def works(scale):
        return {"network": "net4", "batch_seconds": 1.0, "step_seconds": 1.0, "ratio": 1.0}

    each = {
        "device": fails,
        "two_gpus": cannot,
        "pipeline": works,
    }
    monkeypatch.setattr(check, "MEASUREMENTS", each)
    found = check.run("cpu", tmp_path / "check.json")["measurements"]
    assert found["device"] == {"not_measured": "RuntimeError: CUDNN_STATUS_ALLOC_FAILED at conv2d"}
    assert found["two_gpus"] == {"not_measured": "there are not two GPUs"}
    assert found["pipeline"]["ratio"] == 1
    monkeypatch.setattr(check, "LIMIT", -1.0)
    late = check.run("cpu", tmp_path / "check.json")["measurements"]
    assert [numbers["not_measured"] for numbers in late.values()] == ["five minutes are over"] * 3
    assert json.loads((tmp_path / "check.json").read_text("utf-8"))["measurements"] == late


def test_numbers_of_several_gpus_fill_the_table():
    """As two GPUs would give them."""
    device = {
        "gpus": [{"name": "NVIDIA H200", "compute_capability": [9, 0]}] * 2,
        "driver": "570.86.15",
        "tensorflow": "2.21.0",
        "cuda": "12.5.1",
        "cudnn": "9",
        "kernels": ["sm_60", "compute_90"],
        "xla": "compiles",
        "problems": ["a problem"],
    }
    assert list(check.lines("device", device)) == [
        ("device", "NVIDIA H200, compute capability 9.0; driver 570.86.15"),
        ("device", "NVIDIA H200, compute capability 9.0; driver 570.86.15"),
        ("build", "TensorFlow 2.21.0 for CUDA 12.5.1, cuDNN 9, sm_60 compute_90; XLA compiles"),
        ("", "a problem"),
    ]
    two = {"network": "net4", "one": 10_000.0, "several": 19_000.0, "ratio": 1.9}
    assert list(check.lines("two_gpus", two)) == [("two gpus", "net4: 19,000 images/s against 10,000: 1.90 times")]
