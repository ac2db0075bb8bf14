"""The measurements of a GPU check: each takes a `Scale` and returns numbers for a table and for JSON."""

import functools
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import tensorflow as tf

from keras_cnn.data.augment import RECIPES, Augmentation, augment
from keras_cnn.data.xla import xla_problem
from keras_cnn.errors import brief
from keras_cnn.gpu_check.workload import (
    SCALES,
    Scale,
    Workload,
    config_of,
    images_of,
    keras_rate,
    our_rate,
    peak_memory,
    trained,
)
from keras_cnn.operating_system import package_environment
from keras_cnn.tasks.preparing import prepare
from keras_cnn.training import experiment, gpus

Numbers = dict[str, Any]
SECONDS = 120  # for a measurement in a process of its own
STEPS_A_CALL = (1, 32)
MIXED = Augmentation(mixup=0.4, cutmix=1.0, rotation=30, shear=10, cutout=8)


class NotMeasured(Exception):
    """Why something is not measured here, in one line."""


def device(scale: Scale) -> Numbers:
    """The GPUs, their driver, and what TensorFlow was built for."""
    built: dict[str, Any] = dict(tf.sysconfig.get_build_info())
    found = gpus.all_gpus()
    return {
        "gpus": [{"name": gpu.name, "compute_capability": gpu.capability} for gpu in found],
        "driver": gpus.driver_version(),
        "tensorflow": tf.__version__,
        "cuda": built.get("cuda_version"),
        "cudnn": built.get("cudnn_version"),
        "kernels": gpus.built_kernels(built),
        "xla": xla_problem() or "compiles",
        "problems": list(gpus.problems(found)),
    }


def augmentation(scale: Scale) -> Numbers:
    """How far augmented images on the device differ from those on the processor: grey levels, and the share by one."""
    network = scale.networks[0]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (network.batch, network.side, network.side, network.channels), np.uint8)
    labels, keys = np.eye(network.batch, dtype=np.float32), rng.integers(0, 2**31, (network.batch, 2)).astype(np.int32)
    largest, share = 0.0, 0.0
    for recipe in (*RECIPES.values(), MIXED):
        results = []
        for place in (_first_device(), "CPU:0"):
            with tf.device(place):
                batch = (tf.constant(images), tf.constant(labels), tf.constant(keys))
                results.append(augment(*batch, 3, seed=5, recipe=recipe)[0].numpy())
        difference = np.abs(results[0] - results[1])
        largest = max(largest, float(difference.max()))
        share = max(share, float((difference > 0.5).mean()))
    return {"recipes": len(RECIPES) + 1, "largest_difference": largest, "share_of_values": share}


def _first_device() -> str:
    return "GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"


def losses(scale: Scale) -> Numbers:
    """The losses of the first steps, in float32 without dropout, on the device and on the processor."""
    here, there = step_losses(scale), _alone("losses", scale, hidden=True)
    relative = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(here, there, strict=True)]
    return {"device": here, "processor": there, "largest_relative_difference": max(relative)}


def step_losses(scale: Scale) -> list[float]:
    """The loss before each of the first steps: an epoch is one step, on a batch that is augmented anew."""
    network = scale.networks[0]
    words = ("--precision=float32", "--data.augment.name=light", "--train.monitor=val_loss", *network.without_dropout)
    with images_of(network, network.batch) as images:
        return [row["loss"] for row in trained(config_of(network, images, scale.steps, *words))]


def rates(scale: Scale) -> Numbers:
    """Images per second of each network, ours and Keras's `fit`, and the memory that ours takes."""
    found = {}
    for network in scale.networks:
        ours, memory = _usual(network, scale.epochs)
        with images_of(network) as images:
            fit = keras_rate(network, images, scale.epochs)
        found[network.name] = {
            "batch": network.batch,
            "images_per_second": ours,
            "keras_fit": fit,
            "ratio": ours / fit,
            "peak_memory": memory,
        }
    return found


@functools.cache
def _usual(network: Workload, epochs: int) -> tuple[float, int]:
    """Images per second of our training with its defaults, and the most memory that it takes."""
    rates: list[float] = []
    with images_of(network) as images:
        memory = peak_memory(lambda: rates.append(our_rate(network, images, epochs)))
    return rates[0], memory


def steps_per_call(scale: Scale) -> Numbers:
    """Images per second with one and with many steps a call."""
    network = scale.networks[1]
    with images_of(network) as images:
        one, many = (our_rate(network, images, scale.epochs, f"--train.steps_per_call={n}") for n in STEPS_A_CALL)
    return {"network": network.name, "one": one, "several": many, "ratio": many / one}


def whole_step(scale: Scale) -> Numbers:
    """Images per second with the whole step compiled by XLA, and with the augmentation alone."""
    if reason := xla_problem():
        raise NotMeasured(f"XLA cannot compile here: {reason}")
    network = scale.networks[0]
    usual, _ = _usual(network, scale.epochs)
    compiled = _alone("whole_step", scale, hidden=False)[0]
    return {"network": network.name, "one": usual, "several": compiled, "ratio": compiled / usual}


def whole_step_rate(scale: Scale) -> list[float]:
    """Images per second with the whole step compiled; in a process without determinism, which XLA's pooling lacks."""
    network = scale.networks[0]
    with images_of(network) as images:
        return [our_rate(network, images, scale.epochs, "--train.xla=true")]


def two_gpus(scale: Scale) -> Numbers:
    """Images per second on one and on two devices, with the same global batch."""
    network = scale.networks[0]
    if scale == SCALES["gpu"] and len(gpus.all_gpus()) < 2:
        raise NotMeasured("there are not two GPUs")
    one, _ = _usual(network, scale.epochs)
    both = _alone("two_devices", scale, hidden=False)[0]
    return {"network": network.name, "one": one, "several": both, "ratio": both / one}


def two_devices_rate(scale: Scale) -> list[float]:
    """Images per second on two devices, which this process must choose before it uses any."""
    network = scale.networks[0]
    with images_of(network) as images:
        return [our_rate(network, images, scale.epochs, f"--devices={scale.two_devices}")]


def pipeline(scale: Scale) -> Numbers:
    """The time of a batch of the input pipeline alone over that of a training step."""
    network = scale.networks[0]
    with images_of(network) as images:
        config = config_of(network, images, scale.epochs)
        step = experiment.step_seconds(config, cast(Any, prepare), scale.steps)
        task = prepare(config)
        stream = iter(task.start_phase(task.phases[0]).batches(0, 0))
        count = max(1, config.train.epochs * task.steps - 2)
        next(stream)
        begun = time.perf_counter()
        for _ in itertools.islice(stream, count):
            pass
        batch = (time.perf_counter() - begun) / count
    return {"network": network.name, "batch_seconds": batch, "step_seconds": step, "ratio": batch / step}


def determinism(scale: Scale) -> Numbers:
    """Images per second of a training that gives the same bytes from the same seed, over one that need not."""
    network = scale.networks[0]
    usual, _ = _usual(network, scale.epochs)
    same = _alone("deterministic", scale, hidden=False)[0]
    return {"network": network.name, "images_per_second": same, "ratio": same / usual}


def deterministic_rate(scale: Scale) -> list[float]:
    """Images per second with op determinism, which cannot be switched off again in this process."""
    network = scale.networks[0]
    with images_of(network) as images:
        return [our_rate(network, images, scale.epochs, "--deterministic=yes")]


MEASUREMENTS: dict[str, Callable[[Scale], Numbers]] = {  # in the order in which they are taken
    "device": device,
    "augmentation": augmentation,
    "losses": losses,
    "rates": rates,
    "steps_per_call": steps_per_call,
    "whole_step_xla": whole_step,
    "pipeline": pipeline,
    "determinism": determinism,
    "two_gpus": two_gpus,
}
ALONE: dict[str, Callable[[Scale], list[float]]] = {
    "losses": step_losses,
    "deterministic": deterministic_rate,
    "two_devices": two_devices_rate,
    "whole_step": whole_step_rate,
}


def _alone(name: str, scale: Scale, *, hidden: bool) -> list[float]:
    """What a function of ALONE returns in a process of its own, from which the GPUs may be hidden."""
    title = next(title for title, each in SCALES.items() if each == scale)
    environment = package_environment() | ({"CUDA_VISIBLE_DEVICES": "-1"} if hidden else {})
    command = [sys.executable, "-P", "-m", "keras_cnn.gpu_check", name, title]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"it took longer than {SECONDS} seconds") from None
    if done.returncode:
        raise NotMeasured(brief(RuntimeError((done.stderr.strip() or "no message").splitlines()[-1])))
    return json.loads(done.stdout.splitlines()[-1])
