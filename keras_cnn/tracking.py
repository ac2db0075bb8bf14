"""Weights & Biases as a mirror of the run folder: never a prompt, never a long wait, never needed."""

import hashlib
import netrc
import os
from pathlib import Path

INIT_SECONDS = 5  # a key without a network would wait 100 s otherwise


class Tracker:
    """Mirrors one run to W&B; with mode "off" every call does nothing.

    Args:
        mode: "auto" (online where there is a key, else offline), "online", "offline" or "off".
        folder: the run folder; W&B's files go to `folder/wandb`.
        say: takes the line that tells the user where the mirror is, or why there is none.
    """

    def __init__(self, mode: str, folder: Path, say, **settings):
        self._run = None
        if os.environ.get("WANDB_MODE") == "disabled" or mode == "off":
            return
        mode = _mode(mode)
        self._run = _start(mode, folder, settings)
        if self._run is None and mode == "online":
            say(f"W&B did not answer in {INIT_SECONDS} s: offline now; later: wandb sync {folder}/wandb/offline-*")
            self._run = _start("offline", folder, settings)
        if self._run is None:
            say("W&B could not start; the run folder has everything")

    def epoch(self, row: dict) -> None:
        """One row of the history."""
        if self._run:
            self._run.log(row, step=row["epoch"])

    def finish(self, metrics: dict, figures: list[Path], confusion: dict[str, tuple], classes: tuple[str, ...]) -> None:
        """Final numbers and figures, confusion matrices from (labels, predicted) a split, and a table a class."""
        if not self._run:
            return
        import wandb

        self._run.summary.update({k: v for k, v in metrics.items() if isinstance(v, int | float | str)})
        final = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
        for name, (labels, predicted) in confusion.items():
            final[f"confusion/{name}"] = wandb.plot.confusion_matrix(
                y_true=[int(v) for v in labels], preds=[int(v) for v in predicted], class_names=list(classes)
            )
        columns = ["class", "precision", "recall", "f1", "support"]
        rows = [[name, *(scores[c] for c in columns[1:])] for name, scores in metrics["per_class"].items()]
        final["classes"] = wandb.Table(columns=columns, data=rows)
        self._run.log(final)
        self._run.finish()

    def stop(self) -> None:
        """Ends an unfinished run, so that W&B can resume it."""
        if self._run:
            self._run.finish(exit_code=3)


def _mode(wanted: str) -> str:
    if wanted == "auto":
        wanted = os.environ.get("WANDB_MODE", "online" if _has_key() else "offline")
    return "offline" if wanted == "online" and not _has_key() else wanted  # online without a key would prompt


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)


def _start(mode: str, folder: Path, settings: dict):
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")
    identity = hashlib.sha256((folder / "environment.json").read_bytes()).hexdigest()[:12]
    quiet = wandb.Settings(init_timeout=INIT_SECONDS, console="off", silent=True, x_disable_stats=True)
    try:
        return wandb.init(mode=mode, dir=str(folder), id=identity, resume="allow", settings=quiet, **settings)
    except (wandb.errors.Error, OSError):
        return None
