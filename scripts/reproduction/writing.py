"""Writes the document, the page and the tables."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from keras_cnn.charts import TextTable
from keras_cnn.run_folder import write_text
from reproduction import contents, picture
from reproduction.claims import Claim
from reproduction.contents import Section
from reproduction.evidence import Runs
from reproduction.experiments import Experiment
from reproduction.reports import (
    comp5623,
    cs6910,
    cs6910_claims,
    cs7015_claims,
    cs7015_grids,
    cs7015_text,
    in4310,
    other_claims,
    tdt4265,
)
from reproduction.verdicts import Row

TITLE = "The five reports, run again"
LEAD = (
    "Every number that the five published reports print, beside what this package measures, computes or recomputes for"
    " it, and every conclusion that they draw in words."
)
PICTURE = "accuracies.png"
ALTERNATIVE = "Each printed accuracy that runs have measured, beside ours with its 95 % interval"
COMMAND = "python scripts/reproduce.py --data cifar10 --hours 4"


def numbers(runs: Runs) -> list[Row]:
    """The verdict on every printed number, by report."""
    grids = [*cs7015_grids.first_grid(runs), *cs7015_grids.best_rows(runs), *cs7015_grids.means(runs)]
    others = [row for report in (cs7015_text, tdt4265, comp5623, cs6910, in4310) for row in report.rows(runs)]
    return [*grids, *others]


def conclusions(runs: Runs) -> list[Claim]:
    """The verdict on every conclusion in words."""
    return [*cs7015_claims.claims(runs), *other_claims.claims(runs), *cs6910_claims.claims(runs)]


def write(kept: Path, runs: Runs, waiting: Sequence[Experiment]) -> list[Path]:
    """Writes KEPT.md, KEPT/page.html, KEPT/numbers.csv and KEPT/conclusions.csv; returns their paths."""
    rows, words = numbers(runs), conclusions(runs)
    found = contents.sections(rows, words, runs, waiting)
    kept.mkdir(parents=True, exist_ok=True)
    has_picture = picture.write(rows, kept / PICTURE)
    texts = {
        kept.with_suffix(".md"): markdown(found, f"{kept.name}/{PICTURE}" if has_picture else None),
        kept / "page.html": html(found, kept / PICTURE if has_picture else None),
        kept / "numbers.csv": _table(contents.records(rows)),
        kept / "conclusions.csv": _table(contents.claim_records(words)),
    }
    for path, text in texts.items():
        write_text(path, text)
    return [*texts, *([kept / PICTURE] if has_picture else [])]


def markdown(found: Sequence[Section], image: str | None) -> str:
    lines = [
        f"# {TITLE}",
        "",
        LEAD,
        "",
        "```console",
        COMMAND,
        "```",
        "",
        "goes on with the runs that wait, keeps what came out in `docs/reproductions/`, and writes this document, the"
        " page `docs/reproductions/page.html` and two CSV files beside it. The statistics of IN4310 also"
        " need `--weights FILE`, those of Xception, and `--photos ZIP`, 200 ImageNet photos.",
    ]
    if image:
        lines += ["", f"![{ALTERNATIVE}]({image})"]
    for section in found:
        lines += ["", f"## {section.title}"]
        for sentence in section.sentences:
            lines += ["", sentence]
        for title, table in section.tables:
            lines += ["", *([f"### {title}", ""] if title else []), *_markdown_table(table)]
    return "\n".join(lines) + "\n"


def html(found: Sequence[Section], image: Path | None) -> str:
    """One file that opens without a network."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files("keras_cnn.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    url = "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode() if image else ""
    return environment.get_template("page.html").render(
        title=TITLE, lead=LEAD, sections=found, style=Markup(style), image=url, alternative=ALTERNATIVE
    )


def _markdown_table(table: TextTable) -> list[str]:
    rows = [table.head, tuple("---" for _ in table.head), *table.rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def _table(records: Iterable[Mapping[str, Any]]) -> str:
    rows, text = list(records), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
