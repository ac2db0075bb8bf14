"""`keras-cnn doctor`: each line says what is there or how to get it."""

import sys

import pytest

import keras_cnn
from keras_cnn import machine
from keras_cnn.cli import commands
from keras_cnn.extras import EXTRAS, install_line
from keras_cnn.training import gpus
from keras_cnn.training.gpus import Gpu


@pytest.fixture
def report(monkeypatch, tmp_path, capsys) -> dict[str, str]:
    """The lines of a report by their titles, on a machine without the extra `video` and without a key of W&B."""
    for module in EXTRAS["video"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert commands.main(["doctor"]) == 0
    return {line[:15].strip(): line[15:] for line in capsys.readouterr().out.splitlines()}


def test_the_report_names_what_is_there_and_what_is_missing(report):
    assert report["Python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert report["tensorflow"].startswith("2.")
    assert report["extra video"] == f"av, cv2, supervision, trackers missing: {install_line('video')}"
    assert report["W&B key"] == "none; runs are recorded offline until: wandb login"
    assert "keras_cnn, with " in report["cache"]
    assert float(report["memory"].split()[0]) > 0.1
    milliseconds = float(report["training step"].partition(" ms for 64 images")[0])
    assert 0 < milliseconds < 60_000


def test_the_library_says_what_the_command_prints(monkeypatch, capsys):
    monkeypatch.setattr(machine, "_machine", lambda: iter([("cores", "2 for this process")]))
    monkeypatch.setattr(
        machine, "_training", lambda: iter([("GPU", "none that TensorFlow uses"), ("", "one is hidden")])
    )
    assert commands.main(["doctor"]) == 0
    report = keras_cnn.doctor()
    assert capsys.readouterr().out == f"{report!r}\n"
    assert (report["cores"], report.lines[-1]) == ("2 for this process", ("", "one is hidden"))
    with pytest.raises(keras_cnn.InputError, match=r"^on: found 'tpu', expected gpu or cpu$"):
        keras_cnn.doctor(gpu=True, on="tpu")


def test_the_gpus_are_named_with_what_keeps_them_from_being_used_well(monkeypatch):
    monkeypatch.setattr(gpus, "problems", lambda found: ["a GPU is present, but hidden"])
    for found, shown in (([], "none that TensorFlow uses"), ([Gpu("NVIDIA H200", (9, 0))] * 2, "NVIDIA H200, " * 2)):
        monkeypatch.setattr(gpus, "visible_gpus", lambda found=found: found)
        assert list(machine.gpu_lines()) == [("GPU", shown.removesuffix(", ")), ("", "a GPU is present, but hidden")]
