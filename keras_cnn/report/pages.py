"""The page about runs and, for a sweep or a table of runs, the files of its analysis beside the page."""

from pathlib import Path

from keras_cnn.analysis import sections, write_analysis
from keras_cnn.analysis.run_tables import RunTable, find_table
from keras_cnn.analysis.sections import write_section
from keras_cnn.errors import InputError
from keras_cnn.messages import counted, log_command, logger
from keras_cnn.report.html import write_report
from keras_cnn.report.runs import is_multilabel_run
from keras_cnn.run_folder import is_detection_run, model_card


def write_pages(paths: list[Path], out: Path | None = None, *, wandb: bool = False) -> Path:
    """Writes the page about the runs at `paths`, and the analysis of many runs; logs both places.

    `wandb`: saves the same as a W&B Report too, and logs its address. Returns the place of the page.
    """
    table = find_table(paths)
    if wandb:
        _require_runs(paths, table)
    for run in paths:
        if (run / "config.yaml").is_file() and not (run / model_card.FILE).is_file():  # of an older version
            model_card.write_model_card(run)
    place = write_report(paths, out, table)
    log_command("report", str(place), f"{place.stat().st_size / 1e6:.1f} MB; opens in any browser, without a network")
    if table is not None and table.swept and table.swept.sweep.folds and not len(table.runs):
        folder = table.swept.folder / "analysis"
        files = [path for section in sections(table) for path in write_section(folder, section)]
        log_command("analysis", str(folder), f"{counted(len(files), 'file')}: tables as CSV")
    elif table is not None and len(table.runs):
        folder = table.swept.folder / "analysis" if table.swept else place.with_name(f"{place.stem}_analysis")
        files = write_analysis(folder, table)
        log_command("analysis", str(folder), f"{len(files)} files: figures as PNG, tables as CSV, notes.txt")
    if wandb:
        from keras_cnn.report import wandb as on_server  # takes half a second

        logger.info(f"W&B     {on_server.save(on_server.build(paths))}")
    return place


def _require_runs(paths: list[Path], table: RunTable | None) -> None:
    """Raises InputError for what a W&B Report cannot show: detectors and tables that are not of run folders."""
    if detectors := [path for path in paths if is_detection_run(path)]:
        raise InputError(f"--wandb: a W&B Report is about runs of train.py; {detectors[0]} is one of detect.py")
    if several := [path for path in paths if is_multilabel_run(path)]:
        raise InputError(f"--wandb: a W&B Report shows accuracies; {several[0]} has several labels an image")
    if table is not None and table.swept is None:
        raise InputError(f"--wandb: a W&B Report is about runs; {paths[0]} is a table; expected run folders")
