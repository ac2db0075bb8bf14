"""GPUs that are here but not used, or not used well: what is said about them, on simulated machines."""

import os
import sys

import pytest
import tensorflow as tf

from keras_cnn import tensorflow_import
from keras_cnn.data import xla
from keras_cnn.extras import install_line
from keras_cnn.tensorflow_import import import_tensorflow
from keras_cnn.training import gpus
from keras_cnn.training.gpus import Gpu

BUILT = {"cuda_compute_capabilities": ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]}  # of TensorFlow 2.21


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Describes a machine: its driver, its packages, its environment, and the GPUs that TensorFlow has hidden."""

    def describe(driver=None, packages=(), visible=None, platform="linux", physical=0, tool=None):
        monkeypatch.setattr(gpus.shutil, "which", lambda name: name if name == tool else None)
        monkeypatch.setattr(gpus, "DRIVER", tmp_path / "version")
        if driver:
            line = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Thu Feb 22 01:44:30 UTC 2024\n"
            (tmp_path / "version").write_text(f"{line}GCC version:  gcc version 12.3.0\n")
        monkeypatch.setattr(gpus, "_installed", lambda package: package in packages)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(range(physical)))
        monkeypatch.setattr(gpus, "xla_problem", lambda: None)

    return describe


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"driver": "550.54.15"}, ["a GPU is present, but TensorFlow cannot use it: {install}"]),
        (
            {"driver": "470.82.01", "packages": [gpus.CUDNN]},
            ["a GPU is present, but its driver 470.82.01 is too old for CUDA 12; install driver 525 or newer"],
        ),
        (
            {"driver": "525.60.13", "packages": [gpus.CUDNN]},  # the oldest that will do
            [
                "a GPU is present, but TensorFlow cannot use it; its reason: python -c 'import tensorflow as tf;"
                " tf.zeros(1)'"
            ],
        ),
        (
            {"driver": "550.54.15", "visible": "-1"},
            ["a GPU is present, but hidden by the environment variable CUDA_VISIBLE_DEVICES"],
        ),
        (
            {"tool": "nvidia-smi", "visible": ""},
            ["a GPU is present, but hidden by the environment variable CUDA_VISIBLE_DEVICES"],
        ),
        ({"tool": "nvidia-smi", "visible": "0"}, ["a GPU is present, but TensorFlow cannot use it: {install}"]),
        (
            {"driver": "550.54.15", "platform": "win32"},
            ["a GPU is present, but TensorFlow uses no GPU on Windows; install keras_cnn in WSL2"],
        ),
        ({"driver": "550.54.15", "physical": 1}, []),  # hidden by the training itself
    ],
)
def test_a_gpu_that_is_present_but_not_used_has_the_line_that_mends_it(machine, settings, expected):
    machine(**settings)
    assert list(gpus.problems([])) == [line.format(install=install_line("gpu")) for line in expected]


def test_the_open_driver_has_its_version_too(machine):
    machine(driver="for x86_64  570.86.15")
    assert gpus.driver_version() == "570.86.15"


@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ((6, 1), None),
        ((7, 5), None),
        ((8, 6), None),
        ((9, 0), None),
        (None, None),
        (
            (5, 2),
            "X has compute capability 5.2, and this TensorFlow is built for 6.0 and newer: it computes on the CPU",
        ),
        ((12, 0), "X has compute capability 12.0, and this TensorFlow is built up to 9.0: the driver compiles every"),
    ],
)
def test_a_capability_without_kernels_is_said_once(machine, monkeypatch, capability, said):
    machine()
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: BUILT)
    lines = list(gpus.problems([Gpu("X", capability)] * 2))
    assert [line[: len(said)] for line in lines] == ([said] if said else [])


def test_a_build_without_cuda_has_nothing_to_say_about_capabilities(machine, monkeypatch):
    machine()
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": False})
    assert list(gpus.problems([Gpu("X", (5, 2))])) == []


@pytest.mark.parametrize("installed", [False, True])
def test_a_gpu_without_xlas_files_is_said_with_the_way_to_mend_it(machine, monkeypatch, installed):
    machine(packages=[gpus.COMPILER] if installed else [])
    monkeypatch.setattr(gpus, "xla_problem", lambda: "libdevice not found at ./libdevice.10.bc")
    place = type("Spec", (), {"submodule_search_locations": ["/packages/nvidia/cuda_nvcc"]})
    monkeypatch.setattr(gpus.util, "find_spec", lambda name: place)
    mend = (
        "export XLA_FLAGS=--xla_gpu_cuda_data_dir=/packages/nvidia/cuda_nvcc PATH=/packages/nvidia/cuda_nvcc/bin:$PATH"
    )
    assert list(gpus.problems([Gpu("X", (8, 0))])) == [
        "XLA cannot compile for the GPU, so augmentation is not compiled: libdevice not found at ./libdevice.10.bc;"
        f" {mend if installed else install_line('gpu')}"
    ]


def test_xla_needs_no_check_without_a_gpu_and_is_tried_on_the_first_one(monkeypatch):
    xla.xla_problem.cache_clear()
    assert xla.xla_problem() is None

    def refused(function, **options):
        def call(argument):
            raise tf.errors.InternalError(None, None, "libdevice not found\nat ./libdevice.10.bc")

        assert options["jit_compile"]
        return call

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"])
    monkeypatch.setattr(tf, "function", refused)
    xla.xla_problem.cache_clear()
    assert xla.xla_problem() == "libdevice not found at ./libdevice.10.bc"
    xla.xla_problem.cache_clear()


def test_gpus_are_those_that_are_visible(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [0, 1])
    found = [{"device_name": "A", "compute_capability": (8, 0)}, {}]
    monkeypatch.setattr(tf.config.experimental, "get_device_details", found.__getitem__)
    assert gpus.visible_gpus() == [Gpu("A", (8, 0)), Gpu("None", None)]


def test_memory_grows_unless_the_environment_says_no(monkeypatch):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    import_tensorflow()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    import_tensorflow()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


@pytest.mark.parametrize(
    ("processor", "set_to", "expected"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)],
)
def test_onednn_is_used_on_x86_unless_the_environment_says_no(monkeypatch, processor, set_to, expected):
    monkeypatch.setattr(tensorflow_import.platform, "machine", lambda: processor)
    monkeypatch.setattr(os, "environ", {"TF_ENABLE_ONEDNN_OPTS": set_to} if set_to else {})
    tensorflow_import.set_environment()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == expected
