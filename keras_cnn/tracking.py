"""Mirrors the run folder to Weights & Biases and to TensorBoard, without prompts or long waits.

No run depends on a mirror.
"""

import netrc
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.messages import MOST_CLASSES, logger
from keras_cnn.run_folder import quoted, read_json

INIT_SECONDS = 5  # with a key but no network, W&B would otherwise wait 100 s
MOST_MISTAKES = 300  # sent in place of a confusion matrix of more than MOST_CLASSES classes
FINISH_SECONDS = 4  # without a network, W&B would otherwise never return; in all, ending takes 5 s


class Tracker:
    """Mirrors one run to W&B; with mode "off" every call does nothing. An error of W&B ends the mirror, not the run.

    Args:
        mode: "auto" (online if there is a key, else offline), "online", "offline" or "off".
        folder: the run folder; W&B's files go to `folder/wandb`, TensorBoard's to `folder/tensorboard`.
        tensorboard: whether to write TensorBoard's event files.
    """

    def __init__(self, mode: str, folder: Path, *, tensorboard: bool = False, **settings):
        self._run = None
        self._events = EventFiles(folder / "tensorboard") if tensorboard else None
        if os.environ.get("WANDB_MODE") == "disabled" or mode == "off":
            return
        with self._harmless():
            if not has_key():
                logger.info(f"W&B       offline (no key); to sync: {_sync_command(folder)}")
            self._run = _start(_mode(mode), folder, settings)

    def epochs(self, rows: list[dict]) -> None:
        """Sends rows of the history, in order, except those that the server already has.

        A resumed run sends its history again from the start: rows in transit are lost when a run is killed, and
        `wandb sync` of a later offline file of the run replaces an earlier one instead of appending to it.
        """
        if self._events:
            self._events.write(rows)
        if self._run:
            with self._harmless():
                for row in rows:
                    if row["epoch"] >= self._run.starting_step:
                        self._run.log(row, step=row["epoch"], commit=True)  # else it would wait for the next epoch

    def finish(
        self,
        metrics: dict,
        figures: list[Path],
        confusion: dict[str, tuple],
        classes: Sequence[str],
        columns: Sequence[str] = ("precision", "recall", "f1", "support"),
    ) -> None:
        """Sends the final numbers and figures, a confusion matrix per split, and a table with a row per class.

        Of more than MOST_CLASSES classes, a table of the most frequent mistakes takes the place of a matrix.

        `confusion` has (labels, predicted) of each split; the table has the `columns` of `metrics["per_class"]`. The
        numbers of the summary are named "test/accuracy" and so on, because "accuracy" is the last training epoch's.
        """
        if self._run:
            with self._harmless():
                plain = {k: v for k, v in metrics.items() if isinstance(v, int | float | str)}
                self._run.summary.update({f"{metrics['split']}/{k}": v for k, v in plain.items()})
                self._run.log(_final(metrics, figures, confusion, classes, columns))
                self._run.finish()

    def stop(self) -> None:
        """Ends an unfinished run, so that W&B can resume it."""
        if self._run:
            with self._harmless():
                self._run.finish(exit_code=3)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of any kind: wandb's own, pydantic's, a broken pipe, a full disk
            self._run = None
            logger.info(f"W&B is left out from now on ({_reason(error)}); the run folder has everything")


def _final(
    metrics: dict,
    figures: list[Path],
    confusion: dict[str, tuple],
    classes: Sequence[str],
    columns: Sequence[str],
) -> dict:
    import wandb

    final: dict[str, Any] = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    for name, (labels, predicted) in confusion.items():
        if len(classes) > MOST_CLASSES:
            mistakes: list[Any] = _mistakes(labels, predicted, classes)
            final[f"mistakes/{name}"] = wandb.Table(columns=["true", "predicted", "images"], data=mistakes)
            continue
        final[f"confusion/{name}"] = wandb.plot.confusion_matrix(
            y_true=[int(v) for v in labels], preds=[int(v) for v in predicted], class_names=list(classes)
        )
    rows: list[Any] = [[name, *(scores[c] for c in columns)] for name, scores in metrics["per_class"].items()]
    final["classes"] = wandb.Table(columns=["class", *columns], data=rows)
    return final


def _mistakes(labels, predicted, classes: Sequence[str]) -> list[list]:
    """The most frequent mistakes: true class, predicted class, images."""
    wrong = np.flatnonzero(np.asarray(labels) != np.asarray(predicted))
    pairs, images = np.unique(np.stack([labels, predicted], axis=1)[wrong], axis=0, return_counts=True)
    order = np.argsort(-images, kind="stable")[:MOST_MISTAKES]
    return [[classes[pairs[i, 0]], classes[pairs[i, 1]], int(images[i])] for i in order]


def _mode(wanted: str) -> str:
    """The mode to start in: never online without a key, because W&B would prompt for it."""
    key = has_key()
    if wanted == "auto":
        wanted = os.environ.get("WANDB_MODE", "online" if key else "offline")
    return "offline" if wanted == "online" and not key else wanted


def _sync_command(folder: Path) -> str:
    return f"wandb sync {quoted([str(folder / 'wandb')])}/offline-*"


def has_key() -> bool:
    """Whether this user has a key of W&B, in the environment or in the file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)


def _start(mode: str, folder: Path, settings: dict):
    import wandb
    from wandb.errors import Error

    os.environ.setdefault("WANDB_SILENT", "true")
    # W&B's reports of its own errors: without a network, the process would wait 10 s for them at its end.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    quiet = wandb.Settings(
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
        console="off",
        silent=True,
        x_disable_stats=True,
    )

    def start(mode: Any, identity: str):
        return wandb.init(mode=mode, dir=str(folder), id=identity, resume="allow", settings=quiet, **settings)

    identity = read_json(folder / "environment.json", {"run_id": str})["run_id"]
    try:
        return start(mode, identity)
    except Error as error:
        if mode != "online":
            raise
        logger.info(f"W&B: not online ({_reason(error)}): offline; later: {_sync_command(folder)}")
        return start("offline", f"{identity}-offline")  # the failed attempt still holds its own id


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]


class EventFiles:
    """TensorBoard's event files of a run: a scalar for each column of the history, with the epoch as its step.

    The files of an earlier process of the run are replaced: a resumed run writes its history again from the start.
    """

    def __init__(self, folder: Path):
        import tensorflow as tf

        shutil.rmtree(folder, ignore_errors=True)
        # As tf.summary.scalar does, which needs the package tensorboard to be installed.
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        self._metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class=1)  # 1: DATA_CLASS_SCALAR
        self._write: Any = tf.summary.write
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, rows: list[dict]) -> None:
        """Writes rows of the history."""
        with self._writer.as_default():
            for row in rows:
                for name, value in row.items():
                    if name != "epoch":
                        self._write(name, np.float32(value), step=row["epoch"], metadata=self._metadata)
        self._writer.flush()
