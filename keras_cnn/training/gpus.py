"""The GPUs of this machine: what TensorFlow uses and, where it cannot use one, the line that mends it."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_cnn.data.xla import xla_problem
from keras_cnn.extras import install_line
from keras_cnn.operating_system import is_windows

DRIVER = Path("/proc/driver/nvidia/version")
OLDEST_DRIVER = 525  # for CUDA 12: NVIDIA, CUDA Compatibility, table of minor version compatibility
CUDNN, COMPILER = "nvidia-cudnn-cu12", "nvidia-cuda-nvcc-cu12"  # packages of the extra `gpu`


@dataclass(frozen=True)
class Gpu:
    """A GPU with its compute capability, if that is known."""

    name: str
    capability: tuple[int, int] | None


def visible_gpus() -> list[Gpu]:
    """The GPUs that this process computes on: those that TensorFlow sees and that have not been hidden from it."""
    return _described(tf.config.get_visible_devices("GPU"))


def all_gpus() -> list[Gpu]:
    """The GPUs that TensorFlow sees."""
    return _described(tf.config.list_physical_devices("GPU"))


def _described(devices: Sequence[Any]) -> list[Gpu]:
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return [Gpu(str(found.get("device_name")), found.get("compute_capability")) for found in details]


def problems(gpus: Sequence[Gpu]) -> Iterator[str]:
    """What keeps a GPU of this machine from being used well, a line each, with the way to mend it."""
    if not gpus:
        hidden = tf.config.list_physical_devices("GPU")  # on purpose
        if not hidden and (reason := unused_reason()):
            yield f"a GPU is {reason}"
        return
    for gpu in dict.fromkeys(gpus):
        if reason := kernel_problem(gpu):
            yield reason
    if reason := xla_problem():
        yield f"XLA cannot compile for the GPU, so augmentation is not compiled: {reason}; {_compiler_remedy()}"


def unused_reason() -> str | None:
    """Why TensorFlow sees no GPU although the machine has NVIDIA's driver; None if there is no driver."""
    if not (shutil.which("nvidia-smi") or DRIVER.exists()):
        return None
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "present, but hidden by the environment variable CUDA_VISIBLE_DEVICES"
    if is_windows():
        return "present, but TensorFlow uses no GPU on Windows; install keras_cnn in WSL2"
    if not _installed(CUDNN):
        return f"present, but TensorFlow cannot use it: {install_line('gpu')}"
    driver = driver_version()
    if driver is not None and int(driver.partition(".")[0]) < OLDEST_DRIVER:
        return f"present, but its driver {driver} is too old for CUDA 12; install driver {OLDEST_DRIVER} or newer"
    return "present, but TensorFlow cannot use it; its reason: python -c 'import tensorflow as tf; tf.zeros(1)'"


def driver_version() -> str | None:
    """The version of NVIDIA's driver, such as "550.54.15"; None if it is not known."""
    if not DRIVER.exists():
        return None
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", DRIVER.read_text(encoding="utf-8"))
    return found[1] if found else None


def kernel_problem(gpu: Gpu) -> str | None:
    """What it means that this TensorFlow has no kernels made for the GPU; None if it has some.

    A kernel `sm_XY` runs from capability X.Y to the end of X; `compute_XY` can be compiled for every later one.
    """
    built: dict[str, Any] = dict(tf.sysconfig.get_build_info())
    kernels = [(kind, divmod(int(n), 10)) for kind, _, n in (k.partition("_") for k in built_kernels(built))]
    if gpu.capability is None or not kernels:
        return None
    if any(made[0] == gpu.capability[0] and made <= gpu.capability for _, made in kernels):
        return None
    has = f"{gpu.name} has compute capability {_dotted(gpu.capability)}"
    if any(kind == "compute" and made <= gpu.capability for kind, made in kernels):
        newest = max(made for _, made in kernels)
        return (
            f"{has}, and this TensorFlow is built up to {_dotted(newest)}: the driver compiles every kernel anew at the"
            " first start, which takes minutes and is kept"
        )
    oldest = min(made for _, made in kernels)
    return f"{has}, and this TensorFlow is built for {_dotted(oldest)} and newer: it computes on the CPU instead"


def built_kernels(built: dict[str, Any]) -> list[str]:
    """The names of the architectures that TensorFlow is built for, such as sm_80 or compute_90; none without CUDA."""
    return list(built.get("cuda_compute_capabilities", []))


def _compiler_remedy() -> str:
    if not _installed(COMPILER):
        return install_line("gpu")
    found = util.find_spec("nvidia.cuda_nvcc")
    folder = next(iter(found.submodule_search_locations or ()), "") if found else ""
    return f"export XLA_FLAGS=--xla_gpu_cuda_data_dir={folder} PATH={folder}/bin:$PATH"


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
