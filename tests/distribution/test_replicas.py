"""Several logical devices against one; the program equality.py trains, as devices are fixed for a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_cnn.distribution.devices import open_devices
from keras_cnn.distribution.replicas import SINGLE, open_replicas
from keras_cnn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CASES = {  # of the table, several together; what is left out is a part of these
    2: ["adagrad+penalty+rates by layer", "rmsprop+clipping+average of the weights+cutmix", "several labels"],
    4: ["adamw+class weights+label smoothing+frozen part", "nesterov+images on the devices", "batch norm"],
}

ROUNDED = ("batch norm", "adagrad+penalty+rates by layer")  # Adagrad's sums of squares reach 12


@pytest.mark.parametrize("count", CASES)
def test_several_devices_train_as_one(count):
    command = [sys.executable, "-m", "tests.distribution.equality", str(count), *CASES[count]]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["case"] for row in rows] == CASES[count]
    for row in rows:
        assert row["weights"] <= (1e-5 if row["case"] in ROUNDED else 1e-6), row
        assert row["loss"] <= 1e-5, row
        assert (row["correct"], row["drift"]) == (0, 0.0), row
        assert (row["logits"], row.get("features", True)) == (0.0, True), row


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            2,
            "devices: found 2, but this machine has no GPU that TensorFlow can use; cpu:2 tries several devices on the",
        ),
        ("0,1", "devices: found 0,1, but this machine has no GPU"),
        ("cpu:0", "devices: found 'cpu:0', expected auto, cpu, a number of GPUs, GPU numbers such as 0,1, or cpu:N"),
        ("tpu", "devices: found 'tpu', expected auto"),
        (0, "devices: found 0, expected auto"),
        ("1,1", "devices: found 1,1, which names a GPU twice"),
    ],
)
def test_devices_that_are_not_there(wanted, message):
    with pytest.raises(InputError, match=message):
        open_devices(wanted)


@pytest.mark.parametrize("wanted", ["auto", "cpu", "cpu:1", 1, "1"])
def test_one_device_needs_no_strategy(wanted):
    assert open_replicas(wanted) is SINGLE
