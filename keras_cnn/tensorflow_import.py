"""Imports TensorFlow without the messages that it writes about the machine."""

import os
import platform
import sys
import tempfile

NOISE = (
    b"All log messages before absl",
    b"oneDNN custom operations",
    b"cuda drivers",
    b"cuInit",
    b"rebuild TensorFlow",
)


def set_environment() -> None:
    """Sets what TensorFlow reads from the environment at its import, where the user has not.

    On x86 processors convolutions are oneDNN's. TensorFlow by itself uses oneDNN only with AVX512_VNNI or AMX, but
    training with AVX2 alone is up to 1.8 times as fast with it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors still come as exceptions
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else the first process takes a GPU's whole memory
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def import_tensorflow(counts_devices: bool = True) -> None:
    """Imports TensorFlow and passes on its standard error, except for its messages about the machine.

    On a GPU, this process then takes the memory that it needs, unless TF_FORCE_GPU_ALLOW_GROWTH says otherwise,
    and on an x86 processor it uses oneDNN, unless TF_ENABLE_ONEDNN_OPTS says otherwise.

    Counting the devices also writes messages, and fixes which devices this process has. The messages come from C++
    before any log level is read, so that no setting silences them.
    """
    set_environment()
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import tensorflow as tf

            if counts_devices:
                tf.config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            for line in caught:
                if not any(words in line for words in NOISE):
                    os.write(2, line)
