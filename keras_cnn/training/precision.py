"""Chooses number format and determinism by the machine's hardware, and applies them."""

import platform
from pathlib import Path

import keras
import tensorflow as tf

from keras_cnn.operating_system import cores

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def hardware() -> dict:
    """Processor, cores, accelerators and whether bfloat16 is computed in hardware."""
    gpus = [tf.config.experimental.get_device_details(d) for d in tf.config.list_physical_devices("GPU")]
    return {
        "processor": _cpu_field("model name") or platform.processor(),
        "cores": len(cores()),
        "gpus": [str(g.get("device_name")) for g in gpus],
        "bfloat16": _has_bfloat16(gpus),
    }


def _has_bfloat16(gpus: list[dict]) -> bool:
    if gpus:
        return all(g.get("compute_capability", (0, 0)) >= (8, 0) for g in gpus)
    return bool(BF16_FLAGS & set(_cpu_field("flags").split()))


def _cpu_field(name: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def choose_precision(wanted: str, hardware: dict) -> str:
    """`auto` becomes mixed_bfloat16 if the hardware computes in it, else float32."""
    if wanted != "auto":
        return wanted
    return "mixed_bfloat16" if hardware["bfloat16"] else "float32"


def apply(seed: int, precision: str, deterministic: str) -> None:
    """Sets seeds, the number format and determinism for this process. Call before the model is built."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    on_cpu = not tf.config.list_physical_devices("GPU")
    if deterministic == "yes" or (deterministic == "auto" and on_cpu):
        tf.config.experimental.enable_op_determinism()
