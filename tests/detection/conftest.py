import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
PHOTOS = Path("/usr/share/darknet/data")


@pytest.fixture(scope="session")
def tiny(published_weights) -> tuple[Path, Path, Path]:
    """cfg, weights and names of the real YOLOv3-tiny."""
    return tuple(published_weights / name for name in ("yolov3-tiny.cfg", "yolov3-tiny.weights", "coco.names"))


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """The photos of Debian's package darknet."""
    if not (found := sorted(PHOTOS.glob("*.jpg"))):
        pytest.skip(f"no photo in {PHOTOS}: Debian's package darknet is not installed")
    return found


@pytest.fixture(scope="session")
def darknet() -> Callable[[list[dict]], list]:
    """Jobs for `darknet_witness.py` to its answers."""
    if not Path("/usr/lib/darknet/libdarknet.so").exists():
        pytest.skip("Debian's package darknet is not installed")

    def ask(jobs: list[dict]) -> list:
        command = [sys.executable, str(HERE / "darknet_witness.py")]
        done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.fixture
def network(tmp_path) -> Callable[..., tuple[Path, Path]]:
    """Writes a cfg and a weights file: (text of the layers, numbers, size, version) -> their paths."""

    def write(layers: str, numbers, size=(4, 4, 1), version=(0, 2, 0), name="small") -> tuple[Path, Path]:
        height, width, channels = size
        cfg, weights = tmp_path / f"{name}.cfg", tmp_path / f"{name}.weights"
        cfg.write_text(f"[net]\nheight={height}\nwidth={width}\nchannels={channels}\n{layers}")
        wide = version[0] * 10 + version[1] >= 2 and max(version[:2]) < 1000
        header = np.array(version, "<i4").tobytes() + np.array([7], "<u8" if wide else "<u4").tobytes()
        weights.write_bytes(header + np.asarray(numbers, "<f4").tobytes())
        return cfg, weights

    return write
