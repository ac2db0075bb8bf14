"""torchvision's transforms as witnesses, also where its compiled operators do not fit the build of PyTorch.

The wheel of PyPI is built for CUDA; with PyTorch for CPUs, its import fails because operators that no transform uses
are missing. They are declared here without an implementation.
"""

import pytest

_DETECTION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def transforms():
    """The module `torchvision.transforms`; skips the test without PyTorch or torchvision."""
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not torch._C._dispatch_has_kernel(f"torchvision::{name}"):
            library.define(f"{name}{_DETECTION}")
    return pytest.importorskip("torchvision.transforms")
