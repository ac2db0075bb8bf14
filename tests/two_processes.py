"""Two processes of this machine that train together."""

import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.fork_server import ROOT

# Runs a program; a signal comes after the `count`-th step if the count is not 0, or a pause if it is negative.
PROGRAM = """
import importlib, os, signal, sys, time
from keras_cnn.cli import program
from keras_cnn.training.state import TrainingState
name, number, count, *arguments = sys.argv[1:]
original, calls = TrainingState.add, [0]
def add(self, *values):
    original(self, *values)
    calls[0] += 1
    if calls[0] == int(count):
        os.kill(os.getpid(), int(number))
    if calls[0] == -int(count):
        time.sleep(float(number))
TrainingState.add = add
from keras_cnn.tensorflow_import import import_tensorflow
import_tensorflow()
for task in ("classification", "detection"):
    results = importlib.import_module(f"keras_cnn.tasks.{task}.results")
    results.draw_figures = results.draw_augmentation = lambda *_: None
from dataclasses import replace
from keras_cnn.evaluation import kinds
kinds.ONE_CLASS = replace(kinds.ONE_CLASS, draw=lambda *_: None)
sys.exit(program.run(name, arguments))
"""


def ports() -> str:
    """Two free ports of this machine as --hosts."""
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    places = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return places


def both(
    fork_server, arguments: list, signals=((0, 0), (0, 0)), others=None, program: str = "train", folders=(ROOT, ROOT)
) -> list:
    """The ends of rank 0 and rank 1 in `folders`, which get a signal (number, after which step) or pause (seconds,
    minus the step); `others` are the arguments of rank 1."""
    hosts = ports()
    with ThreadPoolExecutor(2) as pool:
        futures = []
        for rank, (number, count) in enumerate(signals):
            own = others if others and rank else arguments
            words = [program, int(number), count, *own, "--hosts", hosts, "--rank", rank, "--wait", "60"]
            futures.append(pool.submit(partial(fork_server.run, PROGRAM, folder=folders[rank]), *words))
        return [future.result() for future in futures]
