"""net4 in PyTorch, in its own process, so that its threads and its allocator do not affect the others.

Not part of the product and not needed by it: `.venv/bin/pip install 'torch==2.13.*'`.
"""

import os
import subprocess
import sys

# glibc's allocator returns large blocks to the kernel after each step; these settings keep them.
TUNED = {
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
}


class TorchContestant:
    """Trains `images` images on each call, in float32 or bfloat16, with glibc's allocator as it is or tuned."""

    def __init__(self, precision: str, tuned: bool, images: int, batch: int):
        self.name = f"PyTorch {precision} channels-last{', tuned malloc' if tuned else ''}"
        command = [sys.executable, "-m", "benchmarks.torch_net4", precision, str(images), str(batch)]
        environment = os.environ | (TUNED if tuned else {})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=environment, **pipes)

    @classmethod
    def all(cls, images: int, batch: int) -> list["TorchContestant"]:
        return [cls(p, tuned, images, batch) for p in ("float32", "bfloat16") for tuned in (False, True)]

    def __call__(self) -> int:
        print("go", file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def net4(dropout: float = 0.3):
    from torch import nn

    def block(inputs: int, outputs: int, padding: int, pool: bool) -> list:
        layers = [nn.Conv2d(inputs, outputs, 3, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        return layers + ([nn.MaxPool2d(2)] if pool else [])

    convolutions = [
        *block(3, 64, 1, False),
        *block(64, 64, 1, False),
        *block(64, 128, 0, True),
        *block(128, 256, 1, False),
        *block(256, 256, 1, False),
        *(nn.Conv2d(256, 512, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(512), nn.MaxPool2d(2)),
    ]
    head = [nn.Flatten(), nn.Dropout(dropout), nn.Linear(18432, 120), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*convolutions, *head, nn.Linear(120, 84), nn.ReLU(), nn.Dropout(dropout), nn.Linear(84, 10))


def serve(precision: str, images: int, batch: int) -> None:
    """Trains once over the images for every line on standard input and answers with their number."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = net4().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    pixels = torch.rand(images, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (images,))
    for _ in sys.stdin:
        for first in range(0, images, batch):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                loss = cross_entropy(model(pixels[first : first + batch]), labels[first : first + batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        print(images, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
