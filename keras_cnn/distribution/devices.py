"""The devices of this process, from the option `devices`."""

import re

import tensorflow as tf

from keras_cnn.errors import InputError

EXPECTED = "auto, cpu, a number of GPUs, GPU numbers such as 0,1, or cpu:N for N logical devices on the CPU"


def open_devices(wanted: int | str) -> list[str]:
    """The names of the devices that train together; [] if one device does, as TensorFlow places it.

    Makes only these devices visible to this process. Raises InputError if there are fewer devices, or if TensorFlow
    has begun with others.
    """
    text, gpus = str(wanted).replace(" ", ""), tf.config.list_physical_devices("GPU")
    if text == "auto":
        return _visible(gpus)
    if text == "cpu":
        _set_visible([])
        return []
    if found := re.fullmatch(r"cpu:([1-9]\d*)", text):
        _set_visible([])
        return _logical_cpus(int(found[1]))
    if re.fullmatch(r"[1-9]\d*", text):
        return _visible(_chosen(gpus, list(range(int(text))), text))
    if re.fullmatch(r"\d+(,\d+)+,?|\d+,", text):
        return _visible(_chosen(gpus, [int(number) for number in text.split(",") if number], text))
    raise InputError(f"devices: found {wanted!r}, expected {EXPECTED}")


def _chosen(gpus: list, numbers: list[int], text: str) -> list:
    if not gpus and numbers == [0]:
        return []
    if len(set(numbers)) < len(numbers):
        raise InputError(f"devices: found {text}, which names a GPU twice; expected each once")
    if max(numbers) >= len(gpus):
        here = f"{len(gpus)} GPU{'s' if len(gpus) != 1 else ''}" if gpus else "no GPU that TensorFlow can use"
        logical = "" if gpus else f"; cpu:{len(numbers)} tries several devices on the CPU"
        raise InputError(f"devices: found {text}, but this machine has {here}{logical}")
    return [gpus[number] for number in numbers]


def _visible(gpus: list) -> list[str]:
    _set_visible(gpus)
    return [f"GPU:{number}" for number in range(len(gpus))] if len(gpus) > 1 else []


def _set_visible(gpus: list) -> None:
    if tf.config.get_visible_devices("GPU") == gpus:
        return
    try:
        tf.config.set_visible_devices(gpus, "GPU")
    except RuntimeError:
        raise InputError(
            "devices: TensorFlow has already begun with other devices in this process; expected a new process"
        ) from None


def _logical_cpus(count: int) -> list[str]:
    [cpu, *_] = tf.config.list_physical_devices("CPU")
    if count > 1:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError:
            if len(tf.config.list_logical_devices("CPU")) < count:
                raise InputError(
                    f"devices: found cpu:{count}, but TensorFlow has already begun with"
                    f" {len(tf.config.list_logical_devices('CPU'))} in this process; expected a new process"
                ) from None
    return [f"CPU:{number}" for number in range(count)] if count > 1 else []
