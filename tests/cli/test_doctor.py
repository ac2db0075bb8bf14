"""`keras-cnn doctor`: each line says what is there or how to get it."""

import sys
from pathlib import Path

import pytest

from keras_cnn.cli import commands, doctor
from keras_cnn.extras import EXTRAS, install_line


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


@pytest.mark.parametrize(
    ("gpus", "driver", "visible", "platform", "expected"),
    [
        (["NVIDIA H200"], True, None, "linux", "NVIDIA H200"),
        ([], False, None, "linux", "none"),
        ([], True, None, "linux", "present, but TensorFlow cannot use it: {install}"),
        ([], True, "-1", "linux", "present, but hidden by the environment variable CUDA_VISIBLE_DEVICES"),
        ([], True, None, "win32", "present, but TensorFlow uses no GPU on Windows; install keras_cnn in WSL2"),
    ],
)
def test_a_gpu_that_is_present_but_not_used_has_the_line_that_mends_it(
    monkeypatch, gpus, driver, visible, platform, expected
):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if driver else None)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(sys, "platform", platform)
    assert doctor.gpu_line(gpus) == expected.format(install=install_line("gpu"))
