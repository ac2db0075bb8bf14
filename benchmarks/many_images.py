"""Start and memory with many images: folders and shards of tiny JPEGs, each start in a process of its own.

python -m benchmarks.many_images [--images N ...] [--keep FOLDER]

For each number of images: the time from the end of TensorFlow's import to the first training batch, cold (nothing is
known of the files) and warm (they were checked before); the growth of the process's memory above the import; the same
for two processes that start together; and the first batch of a resume at a step in the middle. The images are 32 x 32,
about 850 bytes each, in 1,000 classes. A million of them take about ten minutes to write.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 1000
PER_SHARD = 10_000
MOST_FILES = 200_000  # more are measured in shards alone
IMAGES = (1_000, 10_000, 100_000, 1_281_167)
ROUNDS = 3
START = """
import json, sys, time
import tensorflow as tf
import keras
from keras_cnn.data import load, pipeline, split_record
from keras_cnn.operating_system import memory_growth

source, cache, middle = sys.argv[1], sys.argv[2], sys.argv[3] == "middle"
seconds = {}

def start():
    began = time.perf_counter()
    dataset = load(source, cache_dir=cache, test=0.01, validation=0.01)
    seconds["data"] = time.perf_counter() - began
    split_record(dataset)
    step = len(dataset.train) // 128 // 2 if middle else 0
    options = {"seed": 1, "epochs": 5, "start": (0, step), "cache": "none"}
    next(iter(pipeline.batches(dataset.train, dataset.image_shape, 128, **options)))
    seconds["first batch"] = time.perf_counter() - began

growth = memory_growth(start)
print(json.dumps(seconds | {"MiB": growth / 2**20}))
"""


def jpegs(count: int) -> Iterator[bytes]:
    """Different images of 32 x 32 pixels."""
    random = np.random.default_rng(1)
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
        content = io.BytesIO()
        coarse.resize((32, 32), Image.Resampling.BILINEAR).save(content, "JPEG", quality=75)
        yield content.getvalue()


def write_folder(count: int, folder: Path) -> str:
    """Writes the images into class folders; returns the source."""
    for number in range(CLASSES):
        (folder / f"class{number:04}").mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(jpegs(count)):
        (folder / f"class{number % CLASSES:04}" / f"{number:08}.jpg").write_bytes(content)
    return f"folder:{folder}"


def write_shards(count: int, folder: Path) -> str:
    """Writes the images into tar files in WebDataset's naming; returns the source."""
    folder.mkdir(parents=True, exist_ok=True)
    images = jpegs(count)
    for first in range(0, count, PER_SHARD):
        with tarfile.open(folder / f"train-{first // PER_SHARD:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(first, min(first + PER_SHARD, count)):
                members = ((".jpg", next(images)), (".cls", str(number * 7919 % CLASSES).encode()))
                for ending, content in members:
                    member = tarfile.TarInfo(f"{number:08}{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return f"shards:{folder}/train-*.tar"


def started(source: str, cache: Path, where: str = "beginning", processes: int = 1) -> list[dict[str, float]]:
    """The seconds and the growth in MiB of each of some processes that start together."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-P", "-c", START, source, str(cache), where]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=environment, **pipes) for _ in range(processes)]
    results = []
    for process in running:
        out, err = process.communicate()
        assert process.returncode == 0, err
        results.append(json.loads(out.splitlines()[-1]))
    return results


def measured(source: str, folder: Path) -> dict[str, float]:
    """Seconds to the first batch and growth in MiB: cold, warm, of two processes, and in the middle of an epoch."""
    cache = folder / "cache"
    (cold,) = started(source, cache)
    warm = [started(source, cache)[0] for _ in range(ROUNDS)]
    middle = [started(source, cache, "middle")[0] for _ in range(ROUNDS)]
    pair = started(source, cache, processes=2)
    return {
        "cold": cold["first batch"],
        "cold MiB": cold["MiB"],
        "warm": median(row["first batch"] for row in warm),
        "warm MiB": median(row["MiB"] for row in warm),
        "resumed": median(row["first batch"] for row in middle),
        "two MiB": max(row["MiB"] for row in pair),
    }


def exponents(rows: dict[int, dict[str, float]]) -> dict[str, float]:
    """The slope of each quantity against the number of images, both as logarithms, by least squares."""
    counts = np.log([*rows])
    return {
        name: float(np.polyfit(counts, np.log([row[name] for row in rows.values()]), 1)[0]) for name in rows[max(rows)]
    }


def draw(results: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """Draws seconds to the first batch and growth in MiB against the number of images, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    for panel, names, title in zip(
        panels,
        (("cold", "warm"), ("cold MiB", "warm MiB")),
        ("seconds to the first batch", "memory above TensorFlow's import, MiB"),
        strict=True,
    ):
        for kind, colour in zip(results, ("#0b6bcb", "#b3541e"), strict=False):
            rows = results[kind]
            slopes = exponents(rows)
            for name, style in zip(names, ("--", "-"), strict=True):
                values = [row[name] for row in rows.values()]
                label = f"{kind}, {name.split()[0]}: exponent {slopes[name]:.2f}"
                panel.loglog([*rows], values, style, color=colour, marker="o", markersize=4, label=label)
        panel.set(title=title, xlabel="images")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=150)


def main(images: tuple[int, ...] = IMAGES, keep: Path | None = None) -> dict[str, dict[int, dict[str, float]]]:
    """Prints a table for folders and one for shards; returns their numbers."""
    kinds: dict[str, Callable[[int, Path], str]] = {"folder": write_folder, "shards": write_shards}
    results: dict[str, dict[int, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=keep) as scratch:
        for kind, write in kinds.items():
            rows = results.setdefault(kind, {})
            for count in images:
                if kind == "folder" and count > MOST_FILES:
                    continue
                folder = Path(scratch) / f"{kind}-{count}"
                rows[count] = measured(write(count, folder / "images"), folder)
                values = ", ".join(f"{name} {value:.2f}" for name, value in rows[count].items())
                print(f"{kind:7} {count:9,} images: {values}", flush=True)
            if len(rows) > 1:
                slopes = ", ".join(f"{name} {slope:.2f}" for name, slope in exponents(rows).items())
                print(f"{kind:7} exponents: {slopes}", flush=True)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES, help="numbers of images")
    parser.add_argument("--keep", type=Path, help="a folder with room for the images (4 GB for a million)")
    parser.add_argument("--figure", type=Path, help="the PNG file of the numbers as curves")
    options = parser.parse_args()
    numbers = main(tuple(options.images), options.keep)
    if options.figure:
        draw(numbers, options.figure)
