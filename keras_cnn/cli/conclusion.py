"""What a program prints after a finished run: its numbers beside the baseline, and the commands that fit it next."""

from collections.abc import Iterator
from pathlib import Path

from keras_cnn import run_folder
from keras_cnn.messages import counted, log_command, log_sentence, logger
from keras_cnn.run_folder.record import Record, read_record

FEW_IMAGES = 1000  # training photos below which a pretrained network is suggested


def conclude(metrics: dict, folder: Path) -> None:
    """Prints the folder of a finished run, its test result beside the baseline, and what to try next."""
    logger.info("")
    logger.info(f"run folder     {folder}   (numbers, predictions, figures)")
    record = read_record(folder)
    guessing = _log_map(metrics) if record.several_labels else _log_accuracy(metrics)
    _log_commands(next_commands(record, guessing=guessing))


def _log_accuracy(metrics: dict) -> bool:
    """Logs the test accuracy; returns whether the baseline is inside its interval or above."""
    low, high = metrics["accuracy_interval"]
    logger.info(f"test accuracy  {metrics['accuracy']:.4f}  [{low:.4f}, {high:.4f}] 95 % Wilson interval,")
    logger.info(f"               {metrics['images']:,} images; epoch {metrics['best_epoch']} by {metrics['chosen_by']}")
    name, share = baseline(metrics)
    logger.info(f"baseline       {share:.4f}  always {name!r}")
    if worst := metrics.get("worst_pair"):
        images = f"{counted(worst['count'], 'image')}, {worst['share']:.0%} of {worst['true']}"
        log_sentence("most confused", f"{worst['true']} taken for {worst['predicted']}: {images}", 15)
    return low <= share


def _log_map(metrics: dict) -> bool:
    """Logs the mAP and the F1 of images with several labels; returns whether the mAP may be that of guessing."""
    low, high = metrics["map_interval"] or (metrics["map"], metrics["map"])
    logger.info(f"test mAP       {metrics['map']:.4f}  [{low:.4f}, {high:.4f}] 95 % interval,")
    logger.info(f"               {metrics['images']:,} images; epoch {metrics['best_epoch']} by {metrics['chosen_by']}")
    known = [row["support"] / metrics["images"] for row in metrics["per_class"].values() if row["support"]]
    share = sum(known) / len(known)
    logger.info(f"baseline       {share:.4f}  the mAP of guessing")
    for name in ("micro", "macro"):
        scores = metrics[name]
        low_f1, high_f1 = scores["f1_interval"]
        logger.info(f"{name} F1       {scores['f1']:.4f}  [{low_f1:.4f}, {high_f1:.4f}] at thresholds of validation")
    if worst := metrics.get("worst_pair"):
        images = f"{counted(worst['count'], 'image')}, {worst['share']:.0%} of {worst['true']}"
        log_sentence("most confused", f"{worst['predicted']} said and {worst['true']} missed: {images}", 15)
    return low <= share


def conclude_batch(metrics: dict, folder: Path) -> None:
    """Prints whether a run with --overfit-batch has memorised its batch."""
    right = metrics["exact_match" if "exact_match" in metrics else "accuracy"]
    images, hits = metrics["images"], round(right * metrics["images"])
    steps = len(read_record(folder).history)
    logger.info("")
    logger.info(f"run folder     {folder}")
    after = f"images after {counted(steps, 'step')}; the test split was not read"
    if hits == images:
        log_sentence("one batch", f"memorised: all {images} {after}", 15)
        return
    advice = "A network that can learn does: try another --lr, look at the labels, or give it more steps: --epochs"
    log_sentence("one batch", f"not memorised: {hits} of {images} {after}. {advice}", 15)


def baseline(metrics: dict) -> tuple[str, float]:
    """The class with the most training images, and its share of the evaluated images: the accuracy of guessing it."""
    trained, tested = metrics["train"]["per_class"], metrics["per_class"]
    name = max(trained, key=lambda label: trained[label]["support"])
    return name, tested[name]["support"] / metrics["images"]


def next_commands(record: Record, *, guessing: bool) -> Iterator[tuple[str, str]]:
    """Commands that fit the finished run, each with what it is for; never the one that has just made the run.

    `guessing` says that the result may be that of guessing.
    """
    run, config = str(record.path), record.config
    source = str(config.get("data.source") or "")
    if guessing:
        own = str(record.path / "config.yaml")
        yield run_folder.shell_command("train", own, "--overfit-batch"), "no better than guessing: can it learn?"
    example = "PHOTO.jpg"
    yield run_folder.shell_command("predict", run, example), "classes of a photo or a folder"
    yield run_folder.shell_command("visualize", run), "what it looks at"
    yield run_folder.shell_command("report", run), "all of it on one page"
    from_scratch = "model.weights" not in config
    if from_scratch and source.startswith("folder:") and record.metrics["train"]["images"] < FEW_IMAGES:
        photos = source.removeprefix("folder:")
        yield run_folder.shell_command("finetune", photos, "--backbone", "mobilenetv2"), "few photos: start pretrained"
    else:
        yield run_folder.shell_command("finetune", "--export", run), "for phones and other programs"


def _log_commands(commands: Iterator[tuple[str, str]]) -> None:
    for number, (command, purpose) in enumerate(commands):
        log_command("" if number else "next", command, purpose, 15)


def conclude_folds(folder: Path) -> None:
    """Writes the pooled predictions and the page of a cross-validation, and prints its result."""
    from keras_cnn.analysis.folds_section import write_folds
    from keras_cnn.analysis.run_tables import read_swept
    from keras_cnn.report.pages import write_pages

    swept = read_swept(folder).swept
    assert swept is not None
    logger.info("")
    for line in write_folds(swept):
        logger.info(line)
    write_pages([folder], None)
