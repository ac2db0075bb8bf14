"""Composes images from the embedded Fashion-MNIST, with boxes as COCO JSON; every call gives the same bytes.

    python scripts/compose_boxes.py FOLDER [--size 192] [--counts 500 100 200] [--seed 1]

Each image is a smooth random background with one to five items of four classes (trouser, dress, sneaker, bag). Size,
place, colour and mirroring of an item are random, and its box is tight. Items may touch and overlap by at most a fifth
of the smaller box. No item is in two splits: test images only have items of the test split, and validation images items
that no training image has. FOLDER gets images/ and annotations/instances_train.json, _val.json and _test.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

EMBEDDED = Path(__file__).resolve().parents[1] / "keras_cnn" / "data" / "embedded" / "fashion_mini.npz"
CLASSES = {1: "trouser", 3: "dress", 7: "sneaker", 8: "bag"}  # label in Fashion-MNIST -> name
SPLITS = ("train", "val", "test")
MOST, TRIES, HIDDEN = 5, 20, 0.2  # items per image; tries to place one; largest share of a box that another may cover
SIDES = (0.16, 0.5)  # of an item's picture, as shares of the image's side
SOLID = 40  # pixels above this grey level belong to the item
VALIDATION = 5  # every fifth item of the training split is for validation images


def main(arguments: list[str] | None = None) -> None:
    """Writes the images and annotations; see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=192, help="side of the images in pixels")
    parser.add_argument("--counts", type=int, nargs=3, default=(500, 100, 200), help="training, validation and test")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    compose(chosen.folder, chosen.size, dict(zip(SPLITS, chosen.counts, strict=True)), chosen.seed)
    total = ", ".join(f"{count} {name}" for name, count in zip(SPLITS, chosen.counts, strict=True))
    print(f"{chosen.folder}: {total} images of {chosen.size}x{chosen.size}, {len(CLASSES)} classes")


def compose(folder: Path, size: int, counts: dict[str, int], seed: int) -> None:
    """Writes `counts` images of each split into `folder`, with a COCO file for each split."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    for number, (split, items) in enumerate(_items().items()):
        generator = np.random.Generator(np.random.PCG64([seed, number]))
        images, annotations = [], []
        for index in range(counts[split]):
            pixels, boxes = _image(items, size, generator)
            name = f"images/{split}_{index:04d}.png"
            Image.fromarray(pixels).save(folder / name)
            images.append({"id": index + 1, "file_name": name, "width": size, "height": size})
            for (x, y, width, height), label in boxes:
                box = {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0, "category_id": label}
                annotations.append({"id": len(annotations) + 1, "image_id": index + 1} | box)
        categories = [{"id": label, "name": name} for label, name in CLASSES.items()]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def _items() -> dict[str, dict[int, np.ndarray]]:
    """(N, 28, 28) uint8 pictures by split and class."""
    with np.load(EMBEDDED) as arrays:
        found = {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    of_class = {label: found["x_train"][found["y_train"] == label].reshape(-1, 28, 28) for label in CLASSES}
    held_out = {label: np.arange(len(items)) % VALIDATION == 0 for label, items in of_class.items()}
    return {
        "train": {label: items[~held_out[label]] for label, items in of_class.items()},
        "val": {label: items[held_out[label]] for label, items in of_class.items()},
        "test": {label: found["x_test"][found["y_test"] == label].reshape(-1, 28, 28) for label in CLASSES},
    }


def _image(items: dict[int, np.ndarray], size: int, generator: np.random.Generator) -> tuple[np.ndarray, list]:
    """(S, S, 3) uint8, and (x, y, width, height) with the label of each item."""
    canvas = _ground(size, generator)
    boxes: list[tuple[tuple[int, int, int, int], int]] = []
    for _ in range(generator.integers(1, MOST + 1)):
        label = int(generator.choice(list(items)))
        item = items[label][generator.integers(len(items[label]))]
        if generator.random() < 0.5:
            item = item[:, ::-1]
        colours = generator.uniform(0, 255, (2, 3))
        for _ in range(TRIES):
            side = round(size * generator.uniform(*SIDES))
            left, top = generator.integers(-side // 8, size - side + side // 8, 2)
            box = _paste(canvas, item, int(left), int(top), side, colours, [box for box, _ in boxes])
            if box:
                boxes.append((box, label))
                break
    return np.clip(canvas + generator.normal(0, 4, canvas.shape), 0, 255).astype(np.uint8), boxes


def _ground(size: int, generator: np.random.Generator) -> np.ndarray:
    """(S, S, 3) float64: slowly changing colours and a few plain rectangles that are not items."""
    coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), np.uint8)).resize((size, size), Image.BICUBIC)
    canvas = np.asarray(coarse, np.float64).copy()
    for _ in range(generator.integers(0, 4)):
        x, y = generator.integers(0, size, 2)
        w, h = generator.integers(size // 16, size // 3, 2)
        canvas[y : y + h, x : x + w] = generator.uniform(0, 255, 3)
    return canvas


def _paste(canvas: np.ndarray, item: np.ndarray, left: int, top: int, side: int, colours, others: list):
    """Draws the item if it fits and returns its box (x, y, width, height); else changes nothing: None."""
    size = len(canvas)
    large = np.asarray(Image.fromarray(item).resize((side, side), Image.BICUBIC), np.float64)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(size, left + side), min(size, top + side)
    large = large[y0 - top : y1 - top, x0 - left : x1 - left]
    solid = large > SOLID
    if not solid.any():
        return None
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    width, height = int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
    box = (int(x0 + columns[0]), int(y0 + rows[0]), width, height)
    if any(_hides(box, other) for other in others):
        return None
    share = (large / 255)[..., None]
    colour = colours[0] * share + colours[1] * (1 - share)
    covered = np.clip(large / (2 * SOLID), 0, 1)[..., None] * solid[..., None]
    part = canvas[y0:y1, x0:x1]
    part[...] = part * (1 - covered) + (0.35 * colour + 0.65 * 255 * share) * covered
    return box


def _hides(box: tuple, other: tuple) -> bool:
    wide = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    high = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return wide > 0 and high > 0 and wide * high > HIDDEN * min(box[2] * box[3], other[2] * other[3])


if __name__ == "__main__":
    main()
