"""Real images with several labels, composed of photos of clothes: mosaics of up to four, and a table of their classes.

python scripts/compose_labels.py FOLDER [--images 6000]         writes FOLDER/images and FOLDER/labels.csv
python scripts/compose_labels.py --check RUN                    the run's test metrics beside scikit-learn's

A mosaic has 2 x 2 places of 28 x 28 pixels. One to four hold a photo of Fashion-MNIST, and the labels are the set
of the classes of its photos. The photos of training, validation and test mosaics are different ones.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from keras_cnn.data.arrays import FASHION_MNIST_FOLDER, read_fashion_mini, read_fashion_mnist
from keras_cnn.evaluation.multilabel.predictions import read_predictions
from keras_cnn.run_folder import read_json

SIDE, SHARES = 28, {"train": 0.7, "validation": 0.15, "test": 0.15}


def compose(folder: Path, images: int) -> None:
    """Writes the mosaics as PNG files and labels.csv with the columns image, labels and split."""
    full = FASHION_MNIST_FOLDER.is_dir()
    source = read_fashion_mnist(FASHION_MNIST_FOLDER) if full else read_fashion_mini()
    parts = [part.split for part in source.parts.values()]
    pixels, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pixels", "labels"))
    random = np.random.default_rng(0)
    order, rows = random.permutation(len(pixels)), []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    begin = 0
    for split, share in SHARES.items():
        own = order[begin : begin + int(share * len(order))]
        begin += len(own)
        for number in range(round(share * images)):
            canvas, chosen = np.zeros((2 * SIDE, 2 * SIDE), np.uint8), random.choice(own, random.integers(1, 5))
            for place, photo in zip(random.permutation(4), chosen, strict=False):
                top, left = SIDE * (place // 2), SIDE * (place % 2)
                canvas[top : top + SIDE, left : left + SIDE] = pixels[photo, :, :, 0]
            name = f"images/{split}-{number:05d}.png"
            Image.fromarray(canvas).save(folder / name)
            names = sorted({source.classes[label] for label in labels[chosen]})
            rows.append([name, "|".join(names), split])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "labels", "split"], *rows])
    print(f"{folder}: {len(rows):,} mosaics of {'Fashion-MNIST' if full else 'the embedded part of Fashion-MNIST'}")


def check(run: Path) -> None:
    """Prints the numbers of metrics.json beside those that scikit-learn computes from predictions.csv."""
    from sklearn import metrics as reference

    found, read = read_json(run / "metrics.json"), read_predictions(run / "predictions.csv")
    true, predicted, scores = read.labels, read.predicted, read.probabilities
    rows = {
        "mAP": (found["map"], reference.average_precision_score(true, scores, average="macro")),
        "micro F1": (found["micro"]["f1"], reference.f1_score(true, predicted, average="micro")),
        "macro F1": (found["macro"]["f1"], reference.f1_score(true, predicted, average="macro", zero_division=0)),
        "micro precision": (found["micro"]["precision"], reference.precision_score(true, predicted, average="micro")),
        "micro recall": (found["micro"]["recall"], reference.recall_score(true, predicted, average="micro")),
        "exact matches": (found["exact_match"], reference.accuracy_score(true, predicted)),
        "Hamming loss": (found["hamming_loss"], reference.hamming_loss(true, predicted)),
    }
    print(f"{'':16}  {'ours':>10}  {'scikit-learn':>12}  difference")
    for name, (ours, theirs) in rows.items():
        print(f"{name:16}  {ours:10.6f}  {theirs:12.6f}  {abs(ours - theirs):10.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--check", type=Path, metavar="RUN")
    chosen = parser.parse_args()
    if (chosen.folder is None) == (chosen.check is None):
        parser.error("expected FOLDER, or --check RUN")
    if chosen.check:
        check(chosen.check)
    else:
        compose(chosen.folder, chosen.images)


if __name__ == "__main__":
    main()
