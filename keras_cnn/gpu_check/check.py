"""Takes all measurements of a GPU check within five minutes, as a table and as JSON."""

import logging
import platform
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from keras_cnn.distribution.devices import open_devices
from keras_cnn.errors import InputError, brief
from keras_cnn.gpu_check.measurements import MEASUREMENTS, NotMeasured
from keras_cnn.gpu_check.workload import SCALES
from keras_cnn.messages import logger
from keras_cnn.operating_system import cores
from keras_cnn.run_folder import write_json
from keras_cnn.training import gpus

LIMIT = 240.0  # seconds after which nothing more is begun; a measurement takes up to one minute on a GPU
ON = ("gpu", "cpu")


def run(on: str, file: Path) -> dict[str, Any]:
    """Takes the measurements, logs each as lines of a table, and writes `file` after each, as a GPU may crash.

    Raises InputError if there is no GPU and the processor is not asked for.
    """
    if on == "gpu" and not gpus.all_gpus():
        reason = gpus.unused_reason()
        found = f"one is {reason}" if reason else "there is none"
        raise InputError(f"--gpu: {found}; expected a GPU, or --on cpu, which runs the same checks on the processor")
    open_devices("1" if on == "gpu" else "cpu")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # each new network compiles again, which it warns about
    begun, results = time.monotonic(), {"on": on, "software": _software(), "measurements": {}}
    for name, measure in MEASUREMENTS.items():
        results["measurements"][name] = _result(measure, on, begun)
        results["seconds"] = round(time.monotonic() - begun, 1)
        write_json(file, results)
        for title, text in lines(name, results["measurements"][name]):
            logger.info(f"{title:<15}{text}")
    return results


def _result(measure, on: str, begun: float) -> dict[str, Any]:
    """The numbers of a measurement, or `not_measured` with the reason."""
    if time.monotonic() - begun > LIMIT:
        return {"not_measured": "five minutes are over"}
    try:
        return measure(SCALES[on])
    except NotMeasured as reason:
        return {"not_measured": str(reason)}
    except Exception as error:  # one measurement that fails is a result too
        return {"not_measured": f"{type(error).__name__}: {brief(error)}"}


def _software() -> dict[str, Any]:
    packages = {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    return {"python": platform.python_version(), "platform": platform.platform(), "cores": len(cores()), **packages}


def lines(name: str, numbers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The rows of the table for a measurement: title and text."""
    title = name.replace("_", " ")
    if "not_measured" in numbers:
        yield title, f"not measured: {numbers['not_measured']}"
        return
    match name:
        case "device":
            yield from _device_lines(numbers)
        case "augmentation":
            share, largest = numbers["share_of_values"], numbers["largest_difference"]
            yield (
                title,
                f"{numbers['recipes']} recipes as on the processor, but for {share:.4%} of the values, by"
                f" {largest:.3g} of 255 at most",
            )
        case "losses":
            pairs = list(zip(numbers["device"], numbers["processor"], strict=True))
            shown = " ".join(f"{a:.4f}/{b:.4f}" for a, b in (pairs[0], pairs[-1]))
            yield (
                title,
                f"{len(pairs)} steps, device/processor {shown}, largest relative difference"
                f" {numbers['largest_relative_difference']:.1e}",
            )
        case "rates":
            for network, row in numbers.items():
                yield (
                    network,
                    f"{row['images_per_second']:,.0f} images/s, batch {row['batch']}: {row['ratio']:.2f} times Keras's"
                    f" fit; at most {row['peak_memory'] / 2**20:,.0f} MiB",
                )
        case "pipeline":
            yield (
                title,
                f"{numbers['network']}: a batch takes {1000 * numbers['batch_seconds']:.2f} ms, a step"
                f" {1000 * numbers['step_seconds']:.2f} ms: {numbers['ratio']:.2f}",
            )
        case "determinism":
            yield (
                title,
                f"{numbers['network']}: {numbers['images_per_second']:,.0f} images/s, {numbers['ratio']:.2f} of the"
                " usual",
            )
        case _:
            many, one, ratio = numbers["several"], numbers["one"], numbers["ratio"]
            yield title, f"{numbers['network']}: {many:,.0f} images/s against {one:,.0f}: {ratio:.2f} times"


def _device_lines(numbers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for gpu in numbers["gpus"] or [{"name": "no GPU", "compute_capability": None}]:
        capability = gpu["compute_capability"]
        of = f", compute capability {'.'.join(map(str, capability))}" if capability else ""
        yield "device", f"{gpu['name']}{of}; driver {numbers['driver'] or 'unknown'}"
    yield (
        "build",
        f"TensorFlow {numbers['tensorflow']} for CUDA {numbers['cuda']}, cuDNN {numbers['cudnn']},"
        f" {' '.join(numbers['kernels'])}; XLA {numbers['xla']}",
    )
    for problem in numbers["problems"]:
        yield "", problem
