"""From photos in shards to batches of 32 at 224 x 224: against a folder of the same photos, and PyTorch's DataLoader.

python -m benchmarks.shards
"""

import tempfile
from pathlib import Path

from benchmarks.interleave import interleave, table
from benchmarks.pipeline import BATCH, SHAPE, photos
from benchmarks.webdataset_loader import NAME, WebDatasetContestant, is_installed
from keras_cnn.data import load
from keras_cnn.data.pipeline import batches
from keras_cnn.data.shards.writer import write_shards
from keras_cnn.data.shards.writing_plan import WriteOptions, make_plan
from keras_cnn.data.sources import read_source

FOLDER, SHARDS = "keras_cnn from a folder", "keras_cnn from shards"
SHARD = 2_000_000  # bytes: several shards for each of PyTorch's workers
TARGETS = {SHARDS: 1.0}


def epoch(source: str, cache: Path):
    """One epoch of batches in an order of its own, decoded but not augmented."""
    train = load(source, cache_dir=cache, uncut=True, image_size=SHAPE[0]).train
    seeds = iter(range(10**6))

    def run() -> int:
        return sum(len(batch.images.numpy()) for batch in batches(train, SHAPE, BATCH, seed=next(seeds)))

    return run


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos(folder)
        source = f"folder:{folder / 'classes'}"
        plan = make_plan(source, read_source(source, cache_dir=folder), WriteOptions(SHARD, None, 90))
        manifest = write_shards(plan, source, folder / "shards", 1)
        contestants = {
            FOLDER: epoch(source, folder / "cache"),
            SHARDS: epoch(f"shards:{folder / 'shards'}", folder / "cache"),
        }
        print(f"{len(manifest.shards)} shards -> batches of {BATCH} at {SHAPE[0]} x {SHAPE[1]}")
        if not is_installed():
            print("to compare with webdataset: .venv/bin/pip install 'torch==2.13.*' webdataset")
            print(table(interleave(contestants), FOLDER, TARGETS))
            return
        peer = WebDatasetContestant(folder / "shards", SHAPE[0], BATCH)
        rates = interleave(contestants | {NAME: peer})
        peer.close()
        print(table({name: rates[name] for name in (FOLDER, SHARDS)}, FOLDER, TARGETS))
        print(table({name: rates[name] for name in (NAME, SHARDS)}, NAME, TARGETS))


if __name__ == "__main__":
    main()
