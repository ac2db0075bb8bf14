"""The page about runs, from the library."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_cnn.api.calls import messages, public
from keras_cnn.errors import InputError
from keras_cnn.report.pages import write_pages


@public
def report(runs: Any, path: str | Path | None = None, *, wandb: bool = False) -> Path:
    """Writes one HTML page about runs, which opens without a network, and returns its place.

    >>> keras_cnn.report([run, "runs/run"], "report.html").name
    'report.html'

    Args:
        runs: a run, a sweep, the folder of one, a CSV file with a row for each run, or a list of these.
        path: the page; by default report.html in the folder of the run, or in the one that contains all runs.
        wandb: whether the same is saved as a W&B Report too, which needs an account and its key.

    Raises:
        InputError: for a path that is no run, for a page that cannot be written, and for a W&B Report without a key.
    """
    several = [runs] if isinstance(runs, str | Path) or hasattr(runs, "path") else runs
    if not isinstance(several, Iterable):
        raise InputError(f"report: found a {type(runs).__name__}, expected runs or their folders")
    paths = [Path(getattr(run, "path", run)) for run in several]
    with messages(wandb):  # whose address is printed
        return write_pages(paths, None if path is None else Path(path), wandb=wandb)
