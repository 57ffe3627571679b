"""`classify report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from classify import option
from shared import command_options

if TYPE_CHECKING:
    from classify.measuring.operating import Operating


@click.command("report")
@click.argument("records", type=option.RECORD_FILES, nargs=-1, required=True)
@click.option(
    "--page", "pages", type=option.FILE, multiple=True, help="A page of `synth report`, which comes first; repeatable."
)
@option.operating
@option.LEAST
@click.option("--out", type=command_options.FILE, required=True, help="HTML file.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(
    records: tuple[Path, ...],
    pages: tuple[Path, ...],
    operating: Operating,
    least: int,
    out: Path,
    force: bool,
) -> None:
    """Write RECORDS as one HTML page that needs nothing else: the answer, Table 2, figures, limits, and where from."""
    from classify.report import ReportOptions, report

    report(ReportOptions(records, out, pages, operating, least, force))
