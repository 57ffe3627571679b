"""`classify table`."""

from __future__ import annotations

from pathlib import Path

import click

from classify import option


@click.command("table")
@click.argument("records", type=option.FILE, nargs=-1, required=True)
@click.option("--out", type=option.FILE, required=True, help="Markdown file; JSON and pictures go beside it.")
@option.SENSITIVITY
@option.PREVALENCE
@option.LEAST
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(
    records: tuple[Path, ...], out: Path, sensitivity: float, prevalence: tuple[float, ...], least: int, force: bool
) -> None:
    """Lay RECORDS out as Table 2, the paper's values beside ours: intervals, tests, figures, and what they say."""
    from classify import tables as stage
    from classify.operating import Operating

    operating = Operating(sensitivity, prevalence)
    stage.report(stage.write_table(records, out=out, operating=operating, least=least, force=force), out)
