"""The page about runs and, for a sweep or a table of runs, the files of its analysis beside the page."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_cnn.analysis import write_analysis
from keras_cnn.analysis.run_tables import find_table
from keras_cnn.errors import InputError
from keras_cnn.messages import log_command
from keras_cnn.report.html import write_report
from keras_cnn.run_folder import model_card


def write_pages(paths: list[Path], out: Path | None = None) -> Path:
    """Writes the page about the runs at `paths`, and the analysis of many runs; logs both places.

    Returns the place of the page.
    """
    table = find_table(paths)
    for run in paths:
        if (run / "config.yaml").is_file() and not (run / model_card.FILE).is_file():  # of an older version
            model_card.write_model_card(run)
    place = write_report(paths, out, table)
    log_command("report", str(place), f"{place.stat().st_size / 1e6:.1f} MB; opens in any browser, without a network")
    if table is not None and len(table.runs):
        folder = table.swept.folder / "analysis" if table.swept else place.with_name(f"{place.stem}_analysis")
        files = write_analysis(folder, table)
        log_command("analysis", str(folder), f"{len(files)} files: figures as PNG, tables as CSV, notes.txt")
    return place


def report(runs: Any, path: str | Path | None = None) -> Path:
    """Writes one HTML page about runs, which opens without a network, and returns its place.

    >>> keras_cnn.report([run, "runs/run"], "report.html").name
    'report.html'

    Args:
        runs: a run, a sweep, the folder of one, a CSV file with a row for each run, or a list of these.
        path: the page; by default report.html in the folder of the run, or in the one that contains all runs.

    Raises:
        InputError: for a path that is no run, and for a page that cannot be written.
    """
    several = [runs] if isinstance(runs, str | Path) or hasattr(runs, "path") else runs
    if not isinstance(several, Iterable):
        raise InputError(f"report: found a {type(runs).__name__}, expected runs or their folders")
    return write_pages([Path(getattr(run, "path", run)) for run in several], None if path is None else Path(path))
