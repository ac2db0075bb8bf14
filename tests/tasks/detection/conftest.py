"""A small network and small sets of coloured rectangles, made here."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230)}


@pytest.fixture(scope="session")
def colours() -> np.ndarray:
    """(3, 3): the colour of each class of `rectangles`."""
    return np.array(list(COLOURS.values()))


@pytest.fixture(scope="session")
def rectangles() -> Callable[..., Path]:
    return _rectangles


def _rectangles(folder: Path, counts: dict[str, int], size: int = 64, seed: int = 0) -> Path:
    """COCO files of noise with one to three rectangles an image in the colours of COLOURS, which are their classes."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        images, annotations = [], []
        for index in range(count):
            pixels = rng.integers(90, 150, (size, size, 3)).astype(np.uint8)
            taken = np.zeros((size, size), bool)
            for _ in range(rng.integers(1, 4)):
                w, h = rng.integers(size // 6, size // 3, 2)
                x, y = rng.integers(0, size - w), rng.integers(0, size - h)
                if taken[y : y + h, x : x + w].any():
                    continue
                taken[y : y + h, x : x + w] = True
                number = int(rng.integers(len(COLOURS)))
                pixels[y : y + h, x : x + w] = list(COLOURS.values())[number]
                box = {"bbox": [int(x), int(y), int(w), int(h)], "category_id": number + 1, "image_id": index + 1}
                annotations.append({"id": len(annotations) + 1} | box)  # COCOeval takes 0 for no match
            Image.fromarray(pixels).save(folder / "images" / f"{split}_{index}.png")
            images.append({"id": index + 1, "file_name": f"images/{split}_{index}.png", "width": size, "height": size})
        categories = [{"id": number, "name": name} for number, name in enumerate(COLOURS, 1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
    return folder / "instances_train.json"


@pytest.fixture(autouse=True, scope="session")
def audit_cache(tmp_path_factory) -> Iterator[None]:
    """The results of the audit of images stay out of the user's cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_cnn.detection.annotations.sources.default_cache_dir", lambda: folder)
        yield
