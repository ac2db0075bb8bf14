"""The time of all views of a `net4`, `visualize.py RUN all`, against its target, and the time of each view.

python -m benchmarks.views [RUN]

The default run has random weights and random images of 32 x 32, 5,000 to look through and 10,000 that no view reads,
in the number format that training chooses here. Its views take as long as those of a trained network.
"""

import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from keras_cnn import config, data, models
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.run_folder import write_json, write_text
from keras_cnn.training import precision
from keras_cnn.views.support import session
from keras_cnn.views.support.opened_model import VisualizeOptions
from keras_cnn.views.support.opening import open_source

TARGET = 300  # seconds
IMAGES = {"train": 1_000, "val": 5_000, "test": 10_000}
NETWORK: dict = {}  # options of net4


def random_run(folder: Path) -> Path:
    """A run folder with what a view reads."""
    generator, arrays = np.random.default_rng(0), {}
    for name, count in IMAGES.items():
        labels = np.arange(count) % 10
        noise = generator.integers(0, 156, (count, 32, 32, 3), np.uint8)
        arrays |= {f"x_{name}": noise + 10 * labels[:, None, None, None].astype(np.uint8), f"y_{name}": labels}
    np.savez(folder / "images.npz", **arrays)
    run = folder / "net4"
    run.mkdir()
    words = ["--data.source", f"npz:{folder / 'images.npz'}", "--name", "net4", "--model.name", "net4"]
    settings = config.load(None, words, BUILDERS)
    write_text(run / "config.yaml", config.dump(settings))
    write_json(run / "split.json", data.split_record(load_dataset(settings)))
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision.choose_precision("auto", precision.hardware()))
    models.build("net4", (32, 32, 3), 10, **NETWORK).save(run / "model.keras")
    keras.config.set_dtype_policy("float32")
    return run


def all_views(run: Path, out: Path) -> dict[str, float]:
    """Seconds by step; the last entry is the total."""
    begin = last = time.perf_counter()
    opened = open_source(str(run), VisualizeOptions(out=out))
    seconds = {"opened": (now := time.perf_counter()) - last}
    for name, result in session.every_view(opened):
        last, now = now, time.perf_counter()
        seconds[name] = now - last
        if isinstance(result, Exception):
            raise result
    return seconds | {"all": now - begin}


def main(run: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(run) if run else random_run(Path(folder))
        seconds = all_views(path, Path(folder) / "views")
    print("`all` of a net4, seconds by view; the first has what is read for all of them")
    for name, taken in seconds.items():
        print(f"{name:16} {taken:7.1f} s" + (f"   target at most {TARGET} s" if name == "all" else ""))


if __name__ == "__main__":
    main(*sys.argv[1:2])
