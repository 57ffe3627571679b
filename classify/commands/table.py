"""`classify table`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from classify import option
from shared import command_options

if TYPE_CHECKING:
    from classify.measuring.operating import Operating


@click.command("table")
@click.argument("records", type=option.RECORD_FILES, nargs=-1, required=True)
@click.option("--out", type=command_options.FILE, required=True, help="Markdown file; JSON and pictures go beside it.")
@option.operating
@option.LEAST
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(records: tuple[Path, ...], out: Path, operating: Operating, least: int, force: bool) -> None:
    """Lay RECORDS out as Table 2, the paper's values beside ours: intervals, tests, figures, and what they say."""
    from classify import tables as stage

    stage.report(stage.write_table(records, out=out, operating=operating, least=least, force=force), out)
