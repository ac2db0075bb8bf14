"""PyTorch's DataLoader with webdataset on tar files, in its own process, so that its threads do not affect the others.

Not part of the product and not needed by it: `.venv/bin/pip install 'torch==2.13.*' webdataset`.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

NAME = "PyTorch DataLoader + webdataset"


def is_installed() -> bool:
    return bool(find_spec("torch") and find_spec("webdataset"))


class WebDatasetContestant:
    """Reads all images of the shards in a folder at each call: decoded, at `side` pixels, in batches."""

    def __init__(self, folder: Path, side: int, batch: int):
        command = [sys.executable, "-m", "benchmarks.webdataset_loader", str(folder), str(side), str(batch)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> int:
        print("go", file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def _fitted(image, side: int):
    """The PIL image at side × side pixels, as torchvision's Resize and CenterCrop do."""
    import numpy as np
    import torch
    from PIL import Image

    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized.crop((left, top, left + side, top + side))))


def main(folder: str, side: int, batch: int) -> None:
    import torch
    import webdataset

    urls = sorted(map(str, Path(folder).glob("*.tar")))
    dataset = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode("pil").to_tuple("jpg", "cls")
    dataset = dataset.map(lambda sample: (_fitted(sample[0], side), int(sample[1]))).batched(batch)
    workers = len(os.sched_getaffinity(0))
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=True)
    for _ in sys.stdin:
        print(sum(len(images) for images, _ in loader), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
