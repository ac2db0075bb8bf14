"""The logits of 10,000 images of 32 x 32 by net4: our Predictor against PyTorch's best and ONNX Runtime.

python -m benchmarks.inference

All fold batch norm into the convolutions, use all cores and predict in batches of 256. PyTorch has its own process for
each of float32 and bfloat16, with glibc's allocator as it is and tuned; ONNX Runtime runs our own export, in float32.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import keras
import numpy as np

from benchmarks.interleave import interleave, table
from benchmarks.prediction import BATCH, CLASSES, IMAGES, SHAPE, ours, saved_in
from benchmarks.torch_net4 import TorchContestant
from keras_cnn.export import onnx
from keras_cnn.training import precision

OURS, ONNX = "keras_cnn's Predictor", "ONNX Runtime, float32"


def onnx_runtime(model: keras.Model, images: np.ndarray, file: Path):
    onnx.write(model, file, [str(number) for number in range(CLASSES)])
    predict = onnx.load(file)

    def work() -> int:
        for first in range(0, len(images), BATCH):
            predict(images[first : first + BATCH])
        return len(images)

    return work


def main() -> None:
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *SHAPE), np.uint8)
    chosen = precision.choose_precision("auto", precision.hardware())
    torches = {}
    if find_spec("torch"):
        torches = {peer.name: peer for peer in TorchContestant.all(IMAGES, BATCH, trains=False)}
    else:
        print("PyTorch is not installed; to compare with it: .venv/bin/pip install 'torch==2.13.*'")
    with tempfile.TemporaryDirectory() as folder:
        same = saved_in(chosen, Path(folder) / "model.keras")
        float32 = saved_in("float32", Path(folder) / "float32.keras", same.get_weights())
        predict = ours(same, images)
        peers = {**torches, ONNX: onnx_runtime(float32, images, Path(folder) / "model.onnx")}
        rates = interleave({**peers, OURS: lambda: len(predict())})
    print(f"net4 in {chosen}, {IMAGES} images, batch {BATCH}")
    print(table(rates, ONNX, {}))
    middle = {name: median(values) for name, values in rates.items()}
    print(f"against ONNX Runtime: {middle[OURS] / middle[ONNX]:.2f}x   target 1.0x")
    if torches:
        best = max(torches, key=lambda name: middle[name])
        print(f"against PyTorch's best ({best}): {middle[OURS] / middle[best]:.2f}x   target 1.0x")
    for contestant in torches.values():
        contestant.close()


if __name__ == "__main__":
    main()
