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
    """Trains on `images` images at each call, or predicts them.

    In float32 or bfloat16, with glibc's allocator as it is or tuned.
    """

    def __init__(self, precision: str, tuned: bool, images: int, batch: int, trains: bool = True):
        self.name = f"PyTorch {precision} channels-last{', tuned malloc' if tuned else ''}"
        command = [sys.executable, "-m", "benchmarks.torch_net4", precision, str(images), str(batch)]
        command.append("train" if trains else "predict")
        environment = os.environ | (TUNED if tuned else {})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=environment, **pipes)

    @classmethod
    def all(cls, images: int, batch: int, trains: bool = True) -> list["TorchContestant"]:
        return [cls(p, tuned, images, batch, trains) for p in ("float32", "bfloat16") for tuned in (False, True)]

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


def folded(model):
    """The model for inference, with each batch norm that follows a convolution folded into it."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers: list = []
    for layer in model.eval():
        follows = bool(layers) and isinstance(layers[-1], nn.Conv2d) and isinstance(layer, nn.BatchNorm2d)
        if follows:
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval()


def serve_predictions(precision: str, images: int, batch: int) -> None:
    """Predicts all images for every line on standard input and answers with their number."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = folded(net4()).to(memory_format=torch.channels_last)
    number_format = torch.bfloat16 if precision == "bfloat16" else torch.float32
    model = model.to(number_format)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8)
    for _ in sys.stdin:
        with torch.inference_mode():
            for first in range(0, images, batch):
                part = pixels[first : first + batch].to(number_format, memory_format=torch.channels_last) / 255
                model(part).float().numpy()
        print(images, flush=True)


if __name__ == "__main__":
    work = serve if sys.argv[4] == "train" else serve_predictions
    work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
