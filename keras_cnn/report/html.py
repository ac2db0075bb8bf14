"""The report: a single HTML file that opens without a network.

The page contains plotly.js as gzip in base64, which takes a fifth of the page's limit; uncompressed, it would take all
of it. The page unpacks it with the browser's DecompressionStream. A content security policy prevents every request.
Each chart has its numbers as a table below, for browsers that cannot unpack, for paper and for screen readers.
"""

import base64
import functools
import gzip
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from types import ModuleType

import jinja2
import plotly
from markupsafe import Markup

from keras_cnn import charts
from keras_cnn import run_folder as run_folders
from keras_cnn.analysis import sections
from keras_cnn.analysis.folds_section import folds_lead
from keras_cnn.analysis.run_tables import RunTable, find_table, is_sweep
from keras_cnn.analysis.sections import PageSection
from keras_cnn.charts import page as chart_page
from keras_cnn.charts import text
from keras_cnn.errors import InputError
from keras_cnn.evaluation import protocol
from keras_cnn.report import backbones, detection, multilabel, pictures, run_charts
from keras_cnn.report.recipes import recipe_sections
from keras_cnn.report.runs import ReportedRun, find_runs
from keras_cnn.report.sections.audits import VERDICTS
from keras_cnn.report.sections.content import Content, collect
from keras_cnn.report.sections.label_errors import label_error_sections

_OF_ONE_RUN = (detection, multilabel)  # kinds of runs with a page of their own
LIMIT = 5_000_000  # bytes of the page; pictures are compressed to fit
_RESERVE = 60_000  # for the markup around the pictures
_CONTROL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]")  # not allowed in HTML; names may contain them

_FORMATS = {
    "percent": text.percent,
    "interval": text.interval,
    "count": text.count,
    "duration": text.duration,
    "large": text.large,
    "digits": text.digits,
    "colour": charts.colour,
    "dash": run_charts.svg_dash,
}


@dataclass(frozen=True)
class PagePictures:
    """The pictures of a page: the runs' own and those of their views, each with the ones that had no room."""

    shown: Sequence[pictures.EmbeddedPicture] = ()
    more: Sequence[pictures.OmittedPictures] = ()
    views: Sequence[pictures.RunView] = ()
    of_views: Sequence[pictures.EmbeddedPicture] = ()
    more_of_views: Sequence[pictures.OmittedPictures] = ()


def write_report(paths: list[Path], out: Path | None = None, table: RunTable | None = None) -> Path:
    """Writes the report about the runs at `paths` and returns the path of the page.

    `paths` are run folders or folders of them, or the folder of a sweep, or a CSV file with a row for each run; `table`
    is the result of `find_table` for the latter two. Without `out`, the page is RUN/report.html for one run,
    SWEEP/report.html, FILE.html for FILE.csv, otherwise report.html in the folder that contains all runs. The page
    shows all readable results and lists missing and damaged files as problems.

    Raises InputError, in one line, for a path that is not a run and for a place that cannot be written.
    """
    for kind in _OF_ONE_RUN:
        if alone := kind.find(paths):
            place = out or alone / "report.html"
            _write(place, functools.partial(render_one, kind, alone))
            return place
    if ranking := backbones.find(paths):
        place = out or ranking / "report.html"
        _write(place, lambda: render_ranking(ranking))
        return place
    table = table or find_table(paths)
    if table and table.swept and table.swept.sweep.folds and not len(table.runs):  # of a detector, or none finished
        swept, place = table.swept, out or table.swept.folder / "report.html"
        _write(place, lambda: _sections_alone(swept.folder.resolve().name, folds_lead(swept), sections(table)))
        return place
    runs, problems = _runs(paths, table)
    place = out or _place(paths, runs, table)

    def page() -> str:
        content = collect(runs, table)
        analysed = [*recipe_sections(table), *sections(table)] if table else []
        folders = [run.record.path for run in content.shown] if table is None else []
        if table and table.swept:
            folders = [table.swept.folder]
        suspected, damaged = label_error_sections(folders)
        return render(content, pictures.find(content.shown), [*problems, *damaged], [*analysed, *suspected])

    _write(place, page)
    return place


def _write(place: Path, page: Callable[[], str]) -> None:
    if place.is_dir():
        raise InputError(f"{place}: is a folder; expected a file to write, such as {place / 'report.html'}")
    text = page()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        run_folders.write_text(place, text)
    except OSError as error:
        raise InputError(f"{place}: cannot write the report: {error.strerror}") from None


def render(
    content: Content,
    sources: list[pictures.PictureFile],
    problems: list[str],
    analysed: Sequence[PageSection] = (),
) -> str:
    """The page as text, in at most LIMIT bytes if its contents without pictures fit."""
    problems = [*problems, *(problem for run in content.runs for problem in run.problems), *content.problems]
    views, wrong = pictures.find_views(content.shown)
    bare = _page(content, PagePictures(views=views), [*problems, *wrong], analysed)
    if not sources and not views:
        return bare
    room = _room(bare)
    shown, more, damaged = pictures.embed(sources, room // 2 if views else room)
    room -= sum(len(picture.url) for picture in shown)
    files = pictures.in_turn(views)
    of_views, more_of_views, unreadable = pictures.embed(
        files, room, per_run=len(files), smallest=pictures.SMALLEST_OF_VIEW
    )
    every = PagePictures(shown, more, views, of_views, more_of_views)
    return _page(content, every, [*problems, *wrong, *damaged, *unreadable], analysed)


def render_one(kind: ModuleType, path: Path) -> str:
    """The page about one run of a kind that has its own, in at most LIMIT bytes if its contents without pictures fit.

    `kind` is a module with `content` and `lead`, such as `report/detection.py`.
    """
    run, about, sources, problems = kind.content(path)

    def page(
        shown: Sequence[pictures.EmbeddedPicture], more: Sequence[pictures.OmittedPictures], problems: list[str]
    ) -> str:
        return _filled(
            "one_run.html",
            title=run.label,
            lead=kind.lead(run),
            sections=about,
            shown=shown,
            more=more,
            problems=list(dict.fromkeys(problems)),
        )

    bare = page([], [], problems)
    shown, more, damaged = pictures.embed(sources, _room(bare))
    return page(shown, more, [*problems, *damaged])


def _room(bare: str) -> int:
    """The bytes that pictures may take on a page that has these contents without them."""
    return max(0, LIMIT - _RESERVE - len(bare.encode()))


def render_ranking(path: Path) -> str:
    """The page about the ranking of backbones at `path`."""
    about = backbones.read(path)
    content = {"sections": [backbones.section(about)], "shown": [], "more": [], "problems": []}
    return _filled("one_run.html", title=path.name, lead=backbones.lead(about), **content)


def _sections_alone(title: str, lead: str, about: Sequence[PageSection]) -> str:
    """A page of sections without runs of their own."""
    return _filled("one_run.html", title=title, lead=lead, sections=about, shown=[], more=[], problems=[])


def _runs(paths: list[Path], table: RunTable | None) -> tuple[list[ReportedRun], list[str]]:
    """The runs, and the problems that belong to no run.

    Missing files of a trial without a result are not problems, because the sweep records how the trial ended.
    """
    if table is None:
        runs, problems = find_runs(paths)
        return runs, [*problems, *(f"{p}: a sweep, which has its own report" for p in paths if is_sweep(p))]
    if table.swept is None:
        return [], []
    folders = [path.parent for path in sorted(table.swept.folder.glob("*/config.yaml"))]
    trials, problems = find_runs(folders) if folders else ([], [])
    runs = []
    for run in trials:
        trial = table.swept.trial_of(run.label)
        ended = "ended early" if trial and trial.state == "early" else trial.state if trial else ""
        runs.append(replace(run, ended=ended, problems=() if trial and trial.value is None else run.problems))
    return runs, problems


def _place(paths: list[Path], runs: list[ReportedRun], table: RunTable | None) -> Path:
    if table:
        return table.swept.folder / "report.html" if table.swept else paths[0].with_suffix(".html")
    folders = [run.record.path for run in runs]
    if len(folders) == 1:
        return folders[0] / "report.html"
    return Path(os.path.commonpath([os.path.abspath(folder.parent) for folder in folders])) / "report.html"


def _page(content: Content, found: PagePictures, problems: list[str], analysed: Sequence[PageSection]) -> str:
    return _filled(
        "page.html",
        content=content,
        analysed=analysed,
        pictures=found.shown,
        more_pictures=found.more,
        views=found.views,
        of_views=found.of_views,
        more_of_views=found.more_of_views,
        problems=list(dict.fromkeys(problems)),
        flaws=protocol.CHECK_NAMES,
        verdicts=VERDICTS,
    )


def _filled(name: str, **values: object) -> str:
    """A template filled with its values and the parts of every page: style, scripts and plotly.js."""
    page = (
        _templates()
        .get_template(name)
        .render(
            **values,
            style=_file("style.css"),
            script=_file("page.js"),
            plotly=_plotly(),
            plotly_version=plotly.__version__,
        )
    )
    page = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), page)
    return page.encode("utf-8", "backslashreplace").decode()  # file names may contain bytes that are not UTF-8


@functools.cache  # it keeps the templates that it has compiled
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_cnn.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _FORMATS
    environment.tests["several"] = lambda rows: len(rows) > 1
    environment.filters["script_json"] = script_json
    environment.filters["figure"] = chart_page.figure
    environment.filters["shape"] = chart_page.shape
    return environment


def script_json(value: object) -> Markup:
    """JSON for a script element: no text in it can end the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@functools.cache
def _plotly() -> str:
    script = resources.files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, 9, mtime=0)).decode("ascii")


@functools.cache
def _file(name: str) -> Markup:
    """A style sheet or script of the package."""
    return Markup(resources.files("keras_cnn.report").joinpath("templates", name).read_text(encoding="utf-8"))
