"""A whole run on a folder takes no more memory for more images, as long as no cache is asked for."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import resource, sys
from keras_cnn.cli import program, train
assert program.run(train.main, sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
TABLE = "[{conv: 2, kernel: 8, stride: 8}, {relu: }, {flatten: }]"


def peak(fork_server, folder: Path, images: int) -> int:
    """MiB at most of a run from start to end; a class's files are links to one picture of 128 pixels."""
    for seed, title in enumerate("ab"):
        for part, count in (("train", images), ("val", 8), ("test", images // 4)):
            (folder / "photos" / part / title).mkdir(parents=True)
            first = folder / "photos" / part / title / "0.jpg"
            Image.fromarray(np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)).save(first)
            for i in range(1, count // 2):
                os.link(first, first.with_name(f"{i}.jpg"))
    words = ["--data.source", f"folder:{folder / 'photos'}", "--data.cache", "none"]
    words += ["--data.cache_dir", folder / "cache"]
    words += ["--data.augment.name", "none", "--model.name", "layers", "--model.table", TABLE]
    words += ["--train.epochs", 1, "--precision", "float32", "--tracking.wandb", "off"]
    done = fork_server.run(RUN, *words, "--run-dir", folder / "run")
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def test_a_runs_memory_does_not_grow_with_the_number_of_images(fork_server, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        few, many = pool.map(partial(peak, fork_server), (tmp_path / "few", tmp_path / "many"), (200, 2400))
    assert many - few < 65  # MiB; held, the 2,750 images more would take 129
