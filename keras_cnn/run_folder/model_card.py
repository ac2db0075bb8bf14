"""The model card of a finished run: README.md, made from the other files of the run folder alone.

The sections follow Mitchell et al., Model Cards for Model Reporting, 2019: what the model is, its data, its numbers,
its limits, and how it is used and cited.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from keras_cnn.messages import MOST_CLASSES, counted, listed
from keras_cnn.run_folder.files import write_text
from keras_cnn.run_folder.record import Record, read_record

FILE = "README.md"
_FEW = 100  # test images of a class below which its numbers are called uncertain


def write_model_card(run: Path) -> Path | None:
    """Writes README.md into a run folder and returns its path; None for a run without test results: a trial."""
    record = read_record(run)
    if record.several_labels and {"map", "per_class", "micro", "macro", "images", "train"} <= set(record.metrics):
        write_text(run / FILE, model_card(record))
        return run / FILE
    if not {"accuracy", "accuracy_interval", "per_class", "images"} <= set(record.metrics):
        return None
    write_text(run / FILE, model_card(record))
    return run / FILE


def model_card(record: Record) -> str:
    """The card of a finished classifier as Markdown."""
    sections = {
        record.name: _what(record),
        "Data": _data(record),
        "Numbers": _label_numbers(record) if record.several_labels else _numbers(record),
        "Limits": _label_limits(record) if record.several_labels else _limits(record),
        "Use": _use(record),
        "Cite": _citation(record),
    }
    lines = []
    for title, content in sections.items():
        lines += [f"{'##' if lines else '#'} {title}", *content, ""]
    return "\n".join(lines)


def _what(record: Record) -> Iterator[str]:
    config, trainable = record.config, record.model.get("totals", {}).get("trainable")
    size = f", {trainable:,} trainable parameters" if isinstance(trainable, int) else ""
    weights = config.get("model.weights")
    begun = f"pretrained weights ({weights})" if weights not in (None, "none") else "random weights"
    kind = "A classifier of images that may have several labels" if record.several_labels else "An image classifier"
    yield f"{kind}: `{config.get('model.name')}`{size}, trained from {begun}"
    epochs = counted(len(record.history), "epoch")
    yield f"for {epochs} with seed {config.get('seed')}. The weights are those of epoch {record.metrics['best_epoch']},"
    yield f"chosen by {record.metrics.get('chosen_by')}. The complete config is in `config.yaml`."


def _data(record: Record) -> Iterator[str]:
    counts = record.split.get("counts") or {}
    yield (
        f"Source: `{record.config.get('data.source')}`. Images: "
        + ", ".join(f"{number:,} {split}" for split, number in counts.items())
        + ". `split.json` lists them, with duplicates."
    )
    classes = record.split.get("classes") or list(record.metrics["per_class"])
    yield ""
    number = f"{len(classes):,} classes, all in `split.json`" if len(classes) > MOST_CLASSES else "Classes"
    yield f"{number}, in the order of the outputs: {listed(classes)}."


def _numbers(record: Record) -> Iterator[str]:
    metrics = record.metrics
    yield f"On {metrics['images']:,} test images, with 95 % intervals:"
    yield ""
    yield "| number | value | interval |"
    yield "|---|---|---|"
    yield _row("accuracy", metrics, "accuracy")
    for name, key in (("cross-entropy loss", "loss"), ("Brier score", "brier")):
        if key in metrics:
            yield _row(name, metrics, key)
    yield ""
    rows = list(metrics["per_class"].items())
    if len(rows) > MOST_CLASSES:
        known = sorted((item for item in rows if item[1]["support"]), key=lambda item: item[1]["recall"])
        number = f"{min(MOST_CLASSES, len(known))} of {len(rows):,}"
        yield f"The {number} classes with the lowest recall; `metrics.json` has all:"
        yield ""
        rows = known[:MOST_CLASSES]
    yield "| class | precision | recall | recall's interval | test images |"
    yield "|---|---|---|---|---|"
    for name, row in rows:
        yield (
            f"| {name.replace('|', chr(92) + '|')} | {row['precision']:.3f} | {row['recall']:.3f} |"
            f" {_interval(row, 'recall', 3)} | {row['support']:,} |"
        )


def _label_numbers(record: Record) -> Iterator[str]:
    """The numbers of images that may have several classes."""
    metrics = record.metrics
    yield f"On {metrics['images']:,} test images, which may have several classes, with 95 % intervals:"
    yield ""
    yield "| number | value | interval |"
    yield "|---|---|---|"
    if metrics["map_interval"]:
        yield _row("mean average precision", metrics, "map")
    for name in ("micro", "macro"):
        yield _row(f"{name} F1", metrics[name], "f1")
    yield _row("images with every class right", metrics, "exact_match")
    yield ""
    rows = [row for row in metrics["per_class"].items() if row[1]["average_precision"] is not None]
    if len(rows) > MOST_CLASSES:
        number = f"{MOST_CLASSES} of {len(rows):,}"
        yield f"The {number} classes with the lowest average precision; `metrics.json` has all:"
        yield ""
        rows = sorted(rows, key=lambda item: item[1]["average_precision"])[:MOST_CLASSES]
    yield "| class | average precision | F1 | threshold | test images |"
    yield "|---|---|---|---|---|"
    for name, row in rows:
        yield (
            f"| {name.replace('|', chr(92) + '|')} | {row['average_precision']:.3f} | {row['f1']:.3f} |"
            f" {row['threshold']:.3f} | {row['support']:,} |"
        )


def _label_limits(record: Record) -> Iterator[str]:
    rows = record.metrics["per_class"]
    readings = len(record.test_readings)
    yield "- The numbers hold for images like those of the source."
    yield "- The thresholds were chosen on validation images, by the largest F1 of each class."
    yield "- They are of one seed. The intervals are about the images, not about another training."
    yield f"- The test split was read {'once' if readings == 1 else f'{readings} times'} (`test_readings.csv`)."
    if few := [name for name, row in rows.items() if row["support"] < _FEW]:
        yield f"- {len(few)} of {len(rows)} classes have fewer than {_FEW} test images: their numbers are uncertain."


def _row(name: str, numbers: dict, key: str) -> str:
    return f"| {name} | {numbers[key]:.4f} | {_interval(numbers, key, 4)} |"


def _interval(numbers: dict, key: str, decimals: int) -> str:
    low, high = numbers[f"{key}_interval"]
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def _limits(record: Record) -> Iterator[str]:
    metrics, rows = record.metrics, record.metrics["per_class"]
    readings = len(record.test_readings)
    yield "- The numbers hold for images like those of the source. Any other image is also given one of the classes."
    yield "- They are of one seed. The intervals are about the images, not about another training."
    yield f"- The test split was read {'once' if readings == 1 else f'{readings} times'} (`test_readings.csv`)."
    weakest = min((name for name in rows if rows[name]["support"]), key=lambda name: rows[name]["recall"])
    yield f"- The weakest class is {weakest}, with a recall of {rows[weakest]['recall']:.3f}."
    if few := [name for name, row in rows.items() if row["support"] < _FEW]:
        yield f"- {len(few)} of {len(rows)} classes have fewer than {_FEW} test images: their numbers are uncertain."
    if worst := metrics.get("worst_pair"):
        pair = f"{worst['true']} taken for {worst['predicted']}"
        yield f"- The most frequent confusion is {pair}: {counted(worst['count'], 'image')}."


def _use(record: Record) -> Iterator[str]:
    classes = record.split.get("classes") or list(record.metrics["per_class"])
    is_long = len(classes) > MOST_CLASSES
    yield "```python"
    if is_long or record.several_labels:
        yield "import json"
        yield ""
    yield "import keras"
    if not record.several_labels:
        yield "import numpy as np"
    yield ""
    in_file = 'list(json.load(open("metrics.json", encoding="utf-8"))["per_class"])'
    yield f"CLASSES = {in_file if is_long else json.dumps(classes, ensure_ascii=False)}"
    yield 'model = keras.saving.load_model("model.keras", compile=False)'
    yield "height, width, channels = model.input_shape[1:]"
    yield 'mode = "grayscale" if channels == 1 else "rgb"'
    yield 'image = keras.utils.load_img("PHOTO.jpg", color_mode=mode, target_size=(height, width))'
    yield "logits = model(keras.utils.img_to_array(image)[None])  # images of 0 to 255 in, one logit a class out"
    if record.several_labels:
        yield "probabilities = keras.ops.convert_to_numpy(keras.ops.sigmoid(logits))[0]"
        yield 'THRESHOLDS = json.load(open("metrics.json", encoding="utf-8"))["thresholds"]'
        yield "print([name for name, p in zip(CLASSES, probabilities, strict=True) if p >= THRESHOLDS[name]])"
    else:
        yield "print(CLASSES[int(np.argmax(logits))])"
    yield "```"
    yield ""
    yield "`keras-cnn predict . PHOTO.jpg`, called in this folder, fits images as in training"
    yield f"(`data.fit: {record.config.get('data.fit')}`) and gives calibrated probabilities where they were measured."


def _citation(record: Record) -> Iterator[str]:
    packages = record.environment.get("packages") or {}
    versions = ", ".join(f"{name} {packages[name]}" for name in ("tensorflow", "keras") if packages.get(name))
    began = str(record.environment.get("started") or "")[:10]
    digest = str(record.split.get("sha256") or "")[:12]
    network, source = record.config.get("model.name"), record.config.get("data.source")
    yield f"{record.name}, `{network}` on `{source}`, trained with keras_cnn"
    yield f"({versions}) on {began}; split {digest}, commit {str(record.environment.get('git') or 'unknown')[:12]}."
