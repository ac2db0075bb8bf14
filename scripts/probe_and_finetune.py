"""The ranking of four networks by `finetune --probe` beside their ranking after fine-tuning, on images of CIFAR-10.

python scripts/probe_and_finetune.py CIFAR10 OUT --vgg16 FILE

CIFAR10 is a folder with train/CLASS/*.jpg and test/CLASS/*.jpg. Two ResNet8 are trained on 6,000 images of six classes,
for one epoch and for five. They, the ResNet8 of the package and a VGG16 with the weights in FILE are ranked on the
other four classes: 400 training and 500 validation images. Then the last stage and the head of each are trained by one
recipe with three seeds, and tested on 500 images more. OUT keeps the runs: a second call goes on.
"""

import argparse
import csv
import time
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau, spearmanr

import keras_cnn
from keras_cnn.evaluation.intervals import mean_interval

SOURCE = ("airplane", "automobile", "bird", "cat", "deer", "dog")
TARGET = ("frog", "horse", "ship", "truck")
SEEDS = (1, 2, 3)
FROZEN = {"resnet8": "layer2", "vgg16": "block4"}  # the last stage and the head are trained
RECIPE = {
    "features": "disk",
    "epochs": 15,
    "batch_size": 32,
    "learning_rate": 5e-4,
    "schedule": "one_cycle",
    "wandb": "off",
}
PRETRAINING = {"freeze_upto": 0, "learning_rate": 3e-3, "schedule": "one_cycle", "batch_size": 64, "wandb": "off"}


def table_of(path: Path, data: Path, counts: dict[str, tuple[str, int]], classes: tuple[str, ...]) -> str:
    """Writes a table with the first images of each class: `counts` has the folder and the number of each split."""
    rows, begun = [], {"train": 0, "test": 0}
    for split, (folder, number) in counts.items():
        for name in classes:
            files = sorted((data / folder / name).glob("*.jpg"))[begun[folder] :][: number // len(classes)]
            rows += [[file.resolve(), name, split] for file in files]
        begun[folder] += number // len(classes)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label", "split"], *rows])
    return f"csv:{path}"


def tuned(folder: Path, backbone: str, data: keras_cnn.Dataset, **options) -> tuple[keras_cnn.Run, float]:
    """The run in `folder`, trained unless it is finished, and the minutes that its training took."""
    clock = folder.with_suffix(".minutes")
    if not clock.is_file():
        began = time.monotonic()
        keras_cnn.finetune(backbone, data, path=folder, **options)
        clock.write_text(f"{(time.monotonic() - began) / 60:.2f}")
    return keras_cnn.open_run(folder), float(clock.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vgg16", required=True)
    chosen = parser.parse_args()
    out = chosen.out
    out.mkdir(parents=True, exist_ok=True)
    splits = {"train": ("train", 6000), "validation": ("test", 600), "test": ("test", 600)}
    source = keras_cnn.load_data(table_of(out / "source.csv", chosen.data, splits, SOURCE))
    files = {}
    for epochs in (1, 5):
        options = PRETRAINING | {"weights": "none", "epochs": epochs}
        run, minutes = tuned(out / f"resnet8-{epochs}", "resnet8", source, **options)
        files[epochs] = run.path / "model.keras"
        print(f"resnet8, {epochs} epochs on six classes: accuracy {run.metrics['accuracy']:.4f}, {minutes:.1f} minutes")
    networks = ["resnet8=fashion", *(f"resnet8={file}" for file in files.values()), f"vgg16={chosen.vgg16}"]
    splits = {"train": ("train", 400), "validation": ("test", 500), "test": ("test", 500)}
    target = table_of(out / "target.csv", chosen.data, splits, TARGET)
    data = {seed: keras_cnn.load_data(target, seed=seed, image_size=32) for seed in SEEDS}
    if not (out / "probe" / "backbones.csv").is_file():
        keras_cnn.rank_backbones(data[1], networks, path=out / "probe")
    rows = []
    for place, probed in pd.read_csv(out / "probe" / "backbones.csv").iterrows():
        name = probed["backbone"], probed["weights"]
        options = RECIPE | {"weights": name[1], "freeze_upto": FROZEN[name[0]]}
        runs = [tuned(out / f"{place}-{name[0]}-{seed}", name[0], data[seed], **options) for seed in SEEDS]
        accuracies = [run.metrics["accuracy"] for run, _ in runs]
        low, high = mean_interval(accuracies)
        mean = sum(accuracies) / len(accuracies)
        rows.append((probed["linear_accuracy"], probed["nearest_accuracy"], mean))
        print(
            *name,
            f"linear {probed['linear_accuracy']:.4f} [{probed['linear_low']:.4f}, {probed['linear_high']:.4f}]",
            f"k-NN {probed['nearest_accuracy']:.4f} [{probed['nearest_low']:.4f}, {probed['nearest_high']:.4f}]",
            f"{probed['seconds']:.1f} s; fine-tuned {mean:.4f} [{low:.4f}, {high:.4f}]",
            f"of {', '.join(f'{accuracy:.4f}' for accuracy in accuracies)}, {sum(m for _, m in runs):.1f} minutes",
        )
    for place, kind in enumerate(("linear probe", "k-NN")):
        pair = [row[place] for row in rows], [row[2] for row in rows]
        tau, rho = kendalltau(*pair).statistic, spearmanr(*pair).statistic
        print(f"{kind} and fine-tuning, {len(rows)} networks: Kendall's tau {tau:.2f}, Spearman's rho {rho:.2f}")


if __name__ == "__main__":
    main()
