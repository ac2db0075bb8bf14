"""Chooses number format and determinism by the machine's hardware, and applies them."""

import os
import platform
from pathlib import Path

import keras
import tensorflow as tf

from keras_cnn.messages import logger
from keras_cnn.operating_system import cores
from keras_cnn.training import gpus

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
BF16_GPU, FLOAT16_GPU = [8, 0], [7, 0]  # compute capabilities with bfloat16 (Ampere) and float16 (Volta) in hardware


def hardware() -> dict:
    """Processor, cores, GPUs with their compute capabilities, and whether bfloat16 is computed in hardware.

    `onednn` is whether TensorFlow was told to use oneDNN or not to; without the key it chose for itself.
    """
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    found = gpus.visible_gpus()
    capabilities = [list(gpu.capability or (0, 0)) for gpu in found]
    return {
        "processor": _cpu_field("model name") or platform.processor(),
        "cores": len(cores()),
        "gpus": [gpu.name for gpu in found],
        **({"compute_capabilities": capabilities} if found else {}),
        **({"onednn": onednn.lower() in ("1", "true")} if onednn else {}),
        "bfloat16": min(capabilities) >= BF16_GPU if found else bool(BF16_FLAGS & _cpu_flags()),
    }


def _cpu_flags() -> set[str]:
    return set(_cpu_field("flags").split())


def _cpu_field(name: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def choose_precision(wanted: str, hardware: dict) -> str:
    """`auto` becomes the mixed 16-bit format that the hardware computes in, bfloat16 before float16, else float32.

    float16 is for GPUs alone; all GPUs must have it. Its small gradients vanish unless the loss is scaled.
    """
    if wanted != "auto":
        return wanted
    if hardware["bfloat16"]:
        return "mixed_bfloat16"
    capabilities = hardware.get("compute_capabilities", [])
    return "mixed_float16" if capabilities and min(capabilities) >= FLOAT16_GPU else "float32"


def log_hardware(wanted: str, chosen: str, hardware: dict) -> None:
    """Logs the number format with its reason, and each problem that keeps a GPU from being used well."""
    scaled = " with loss scaling" if chosen == "mixed_float16" else ""
    logger.info(f"precision {chosen}{scaled}: {_reason(wanted, chosen, hardware)}")
    for line in gpus.problems(gpus.visible_gpus()):
        logger.info(f"warning   {line}")


def _reason(wanted: str, chosen: str, hardware: dict) -> str:
    if wanted != "auto":
        return "the config sets it"
    if chosen != choose_precision("auto", hardware):
        return "as the run began, or as the network's file says"
    if hardware["gpus"]:
        capability, name = min(zip(hardware["compute_capabilities"], hardware["gpus"], strict=True))
        number = ".".join(map(str, capability))
        return f"{name} has compute capability {number}; bfloat16 needs 8.0, float16 7.0"
    if hardware["bfloat16"]:
        return f"the processor has {' and '.join(sorted(BF16_FLAGS & _cpu_flags()))}"
    return f"the processor has neither {' nor '.join(sorted(BF16_FLAGS))}"


def apply(seed: int, precision: str, deterministic: str) -> None:
    """Sets seeds, the number format and determinism for this process. Call before the model is built."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    on_cpu = not tf.config.get_visible_devices("GPU")
    if deterministic == "yes" or (deterministic == "auto" and on_cpu):
        tf.config.experimental.enable_op_determinism()
