"""Robustness to common corruptions: the errors of a classifier on images under fifteen corruptions at five strengths.

Source: D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
ICLR 2019, whose corruption errors are relative to another network: there AlexNet, here a run of one's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.charts import png
from keras_cnn.charts.evaluation import corruption_curves
from keras_cnn.data import pipeline
from keras_cnn.data.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from keras_cnn.data.dataset import Split, evenly_spaced
from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import paired_bootstrap, wilson
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.evaluation.results_folder import check_writable, replacing_folder, restore_evaluations
from keras_cnn.evaluation.target import EvaluateOptions, open_target
from keras_cnn.figures import style
from keras_cnn.messages import log_sentence, logger
from keras_cnn.run_folder import read_json, record_test_reading, shell_command, write_json

IMAGES, SEED = 1000, 0
FILE = "corruptions.json"
_BATCH = 64


@dataclass(frozen=True)
class Robustness:
    """Which of N images a classifier gets wrong, as they are and under each corruption."""

    ids: tuple[str, ...]  #: (N,)
    clean: np.ndarray  #: (N,) bool
    wrong: Mapping[str, np.ndarray]  #: by corruption (5, N) bool, by rising strength

    def as_json(self, reference: Mapping[str, Any] | None = None) -> dict:
        """Plain numbers for corruptions.json: shares of wrong images in [0, 1] with 95 % intervals.

        `error` of a corruption is the mean over the strengths, `mean_error` that over the corruptions; their intervals
        are a bootstrap over the images, those of single strengths Wilson's. With `reference`, the numbers of another
        run on the same images, a corruption has `relative_to_reference`: its errors in all, divided by the other's
        (CE); and `degradation_relative`: the same of errors less the error without corruption (relative CE), None
        where the other run does not get worse. `mce` and `relative_mce` are their means.
        """
        images, clean = len(self.ids), float(self.clean.mean())
        rows: dict[str, dict] = {}
        for name, wrong in self.wrong.items():
            of_image = wrong.mean(axis=0)
            rows[name] = {
                "errors": wrong.mean(axis=1).tolist(),
                "intervals": [list(wilson(int(row.sum()), images)) for row in wrong],
                "error": float(of_image.mean()),
                "error_interval": list(paired_bootstrap(of_image)),
            }
        of_image = np.mean([wrong.mean(axis=0) for wrong in self.wrong.values()], axis=0)
        described = {
            "images": images,
            "ids": list(self.ids),
            "seed": SEED,
            "clean_error": clean,
            "clean_interval": list(wilson(int(self.clean.sum()), images)),
            "mean_error": float(of_image.mean()),
            "mean_error_interval": list(paired_bootstrap(of_image)),
            "mean_increase_interval": list(paired_bootstrap(of_image - self.clean)),
            "corruptions": rows,
        }
        return described if reference is None else described | _relative(rows, clean, reference)


def _relative(rows: dict[str, dict], clean: float, reference: Mapping[str, Any]) -> dict:
    """The corruption errors relative to those of a reference; `rows` get them too."""
    for name, row in rows.items():
        other, base = reference["corruptions"][name]["error"], reference["clean_error"]
        row["relative_to_reference"] = row["error"] / other if other else None
        row["degradation_relative"] = (row["error"] - clean) / (other - base) if other > base else None
    means = {}
    for key, name in (("mce", "relative_to_reference"), ("relative_mce", "degradation_relative")):
        values = [row[name] for row in rows.values()]
        means[key] = None if None in values else float(np.mean(values))
    return {"reference": reference["run"]} | means


def corrupted_batches(pixels: np.ndarray, keys: np.ndarray, name: str, strength: int) -> Iterator[tuple[np.ndarray]]:
    """Batches of the images (N, H, W, C) uint8 under a corruption, drawn from SEED and each image's key (N, 2)."""
    number = list(CORRUPTIONS).index(name)
    for start in range(0, len(pixels), _BATCH):
        rows = range(start, min(start + _BATCH, len(pixels)))
        seeds = ([SEED, number, strength, *keys[i].view(np.uint32).tolist()] for i in rows)
        found = [
            corrupted(pixels[i], name, strength, np.random.default_rng(seed))
            for i, seed in zip(rows, seeds, strict=True)
        ]
        yield (np.stack(found),)


def measure(predictor: Predictor, split: Split, pixels: np.ndarray) -> Robustness:
    """The robustness of a classifier on the images of a split, whose `pixels` (N, H, W, C) are uint8 in its size."""

    def wrong(batches) -> np.ndarray:
        return predictor.logits(batches).argmax(axis=1) != split.labels

    clean = wrong((pixels[i : i + _BATCH],) for i in range(0, len(pixels), _BATCH))
    found = {
        name: np.stack([wrong(corrupted_batches(pixels, split.keys, name, strength)) for strength in STRENGTHS])
        for name in CORRUPTIONS
    }
    return Robustness(tuple(split.ids), clean, found)


def measure_corruptions(path: Path, options: EvaluateOptions, images: int, against: Path | None = None) -> dict:
    """Measures a run under corruption, shows and writes the results: the content of corruptions.json.

    `images` evenly spaced images are measured, all if there are fewer. `against` is a run that was measured so before.
    Raises InputError for fewer than one image, and for another run without these results or with other images.
    """
    if images < 1:
        raise InputError(f"command line: --corruptions {images}: expected a number of images from 1")
    reference = None if against is None else _reference(against, options)
    check_writable(path)
    restore_evaluations(path)
    target = open_target(path, options)
    if target.dataset.several_labels:
        raise InputError(f"{path}: --corruptions: images that may have several labels; expected one class an image")
    split = getattr(target.dataset, target.split)
    split = split.take(evenly_spaced(len(split), images))
    if against is not None and reference is not None and list(reference["ids"]) != list(split.ids):
        again = shell_command("evaluate", against, "--corruptions", str(images))
        raise InputError(f"{against}: was measured on other images; expected those of {path}: {again}")
    if options.reads_test:
        record_test_reading(target.folder, options.source or "test split")
    pixels = pipeline.decoded(split, target.dataset.image_shape, target.config.data.fit)
    found = measure(Predictor(target.model, replicas=target.replicas), split, pixels)
    numbers = {"run": target.name, "images_of": options.name} | found.as_json(reference)
    folder = path / "evaluations" / f"corruptions-{options.name}"
    with replacing_folder(folder, path) as staged:
        write_json(staged / FILE, numbers)
        (staged / "figures").mkdir()
        title = f"{target.name}: error under corruption, {len(split):,} images of {options.name}"
        style.save(png.figure([corruption_curves(numbers)], title), staged / "figures" / "curves.png")
    _show(numbers)
    logger.info(f"written     {folder}")
    return numbers


def _reference(run: Path, options: EvaluateOptions) -> dict:
    file = run / "evaluations" / f"corruptions-{options.name}" / FILE
    if not file.is_file():
        first = shell_command("evaluate", run, "--corruptions")
        raise InputError(f"{run}: was not measured under corruption; expected {file}: {first}")
    return read_json(file, {"run": str, "ids": list[str], "clean_error": float, "corruptions": dict})


def _show(numbers: dict) -> None:
    low, high = numbers["mean_error_interval"]
    sentence = (
        f"error {numbers['clean_error']:.4f} without, {numbers['mean_error']:.4f} [{low:.4f}, {high:.4f}] on average"
    )
    log_sentence("corruption", f"{numbers['images']:,} images, 15 corruptions at 5 strengths: {sentence}", 12)
    width = max(map(len, CORRUPTIONS))
    logger.info(f"{'':{width}}  strength 1 to 5                          mean")
    for name, row in sorted(numbers["corruptions"].items(), key=lambda item: -item[1]["error"]):
        cells = "  ".join(f"{error:.4f}" for error in row["errors"])
        ratio = row.get("relative_to_reference")
        relative = "" if ratio is None else f"  CE {ratio:.3f}"
        logger.info(f"{name.replace('_', ' '):{width}}  {cells}  {row['error']:.4f}{relative}")
    if "mce" in numbers:
        shown = [
            f"{name} {numbers[key]:.3f}"
            for key, name in (("mce", "mCE"), ("relative_mce", "relative mCE"))
            if numbers[key] is not None
        ]
        log_sentence("relative", f"to {numbers['reference']}: {', '.join(shown) or 'not defined'}", 12)
