"""`classify report`."""

from __future__ import annotations

from pathlib import Path

import click

from classify import option


@click.command("report")
@click.argument("records", type=option.FILE, nargs=-1, required=True)
@click.option("--page", "pages", type=option.FILE, multiple=True, help="A page of `synth report`, which comes first.")
@option.SENSITIVITY
@option.PREVALENCE
@option.LEAST
@click.option("--out", type=option.FILE, required=True, help="HTML file.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(
    records: tuple[Path, ...],
    pages: tuple[Path, ...],
    sensitivity: float,
    prevalence: tuple[float, ...],
    least: int,
    out: Path,
    force: bool,
) -> None:
    """Write RECORDS as one HTML page that needs nothing else: the answer, Table 2, figures, limits, and where from."""
    from classify.operating import Operating
    from classify.report import ReportOptions, report

    report(ReportOptions(records, out, pages, Operating(sensitivity, prevalence), least, force))
