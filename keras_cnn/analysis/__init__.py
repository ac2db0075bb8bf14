"""Analysis of many runs: one pass over their tables builds the sections that the page and the folder both show.

Example:
    table = find_table([Path("runs/sweep")])
    sections(table)                # for the page
    write_analysis(folder, table)  # CSV, PNG and notes.txt
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from keras_cnn.analysis.factors import usable
from keras_cnn.analysis.folds_section import folds_section
from keras_cnn.analysis.means_sections import epochs_section, means_section
from keras_cnn.analysis.published_section import published_section
from keras_cnn.analysis.run_sections import (
    best_section,
    coordinates_section,
    cost_section,
    importance_section,
    landscape_section,
    progress_section,
)
from keras_cnn.analysis.run_tables import RunTable
from keras_cnn.analysis.sections import AnalysedRuns, PageSection, write_frame, write_section
from keras_cnn.analysis.setting_sections import balance_section, effects_section
from keras_cnn.analysis.swept_section import swept_section
from keras_cnn.analysis.table import words
from keras_cnn.errors import InputError
from keras_cnn.run_folder import write_text

# The function that makes a section -> its name, title and short title.
_TITLES: dict[Callable[[AnalysedRuns], PageSection | None], tuple[str, str, str]] = {
    best_section: ("best", "Best run", "Best"),
    importance_section: ("importance", "Importance and correlation", "Importance"),
    coordinates_section: ("coordinates", "Parallel coordinates", "Coordinates"),
    progress_section: ("progress", "Progress", "Progress"),
    effects_section: ("effects", "Marginal effects", "Effects"),
    balance_section: ("balance", "Balance", "Balance"),
    means_section: ("means", "Grouped means", "Means"),
    published_section: ("published-means", "Grouped means beside published", "Means published"),
    epochs_section: ("epoch-means", "Means by epoch", "By epoch"),
    cost_section: ("pareto", "Result and its cost", "Cost"),
    landscape_section: ("landscape", "Slices and surface", "Landscape"),
}


@lru_cache(maxsize=1)  # the page and the folder share one pass
def sections(table: RunTable) -> tuple[PageSection, ...]:
    """The sections about a sweep or a table of runs. A section that these runs do not allow holds only the reason."""
    swept = (swept_section(table.swept),) if table.swept else ()
    if table.swept and table.swept.sweep.folds:
        return (folds_section(table.swept), *swept)
    if not len(table.runs):
        reason = "no trial has ended with a number" if table.swept else "the table has no rows"
        warning = f"There is nothing to analyse yet: {reason}."
        return (PageSection("analysis", "Analysis", "Analysis", warnings=(warning,)), *swept)
    view, made = AnalysedRuns(table), []
    for make, (name, title, short) in _TITLES.items():
        try:
            content = make(view)
        except InputError as error:
            content = PageSection(warnings=(f"Not shown: {error}.",))
        made += [replace(content, name=name, title=title, short=short)] if content else []
    return (*made, *swept)


def write_analysis(folder: Path, table: RunTable) -> list[Path]:
    """Writes every table of the analysis as CSV and every picture as PNG into `folder`, and returns their paths.

    The last path is `notes.txt`, which names the analysed metric and holds the sentences of each section. Raises
    InputError if no run has a finite value of the metric, or if the folder cannot be written.
    """
    usable(table.runs, table.metric)
    frames = {"runs": table.runs} | ({} if table.epochs is None else {"epochs": table.epochs})
    notes = [f"explained: {words(table.metric)}", *table.notes]
    try:
        paths = [write_frame(folder / f"{name}.csv", frame) for name, frame in frames.items()]
        for section in sections(table):
            paths += write_section(folder, section)
            lines = (*section.warnings, *section.findings, *section.notes)
            notes += [f"{section.title.lower()}: {line}" for line in lines]
        write_text(folder / "notes.txt", "\n".join(dict.fromkeys(notes)) + "\n")
    except OSError as error:
        raise InputError(f"{folder}: cannot write the analysis: {error.strerror or error}") from None
    return [*paths, folder / "notes.txt"]
