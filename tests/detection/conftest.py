from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

PHOTOS = Path("/usr/share/darknet/data")


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """The photos of Debian's package darknet."""
    if not (found := sorted(PHOTOS.glob("*.jpg"))):
        pytest.skip(f"no photo in {PHOTOS}: Debian's package darknet is not installed")
    return found


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


@pytest.fixture(autouse=True, scope="session")
def audit_cache(tmp_path_factory) -> Iterator[None]:
    """The results of the audit of images stay out of the user's cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_cnn.detection.annotations.sources.default_cache_dir", lambda: folder)
        yield
