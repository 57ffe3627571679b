"""`synth report`."""

from pathlib import Path
from typing import Any

import click

from synth import option


@click.command("report")
@click.argument("cohort", type=option.COHORT)
@click.option(
    "--run", "runs", type=option.FOLDER, multiple=True, help="Folder of a run or grid; repeatable, one a fold."
)
@click.option(
    "--bundle", "bundles", type=option.BUNDLES, multiple=True, help="Selected images; repeatable, one a fold."
)
@click.option(
    "--photographs/--no-photographs",
    default=True,
    help="Whether photographs, their names and generated images may be in it.",
)
@click.option("--out", type=option.FILE, required=True, help="HTML file; the same as Markdown goes beside it.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(runs: tuple[Path, ...], bundles: tuple[Path, ...], **options: Any) -> None:
    """Write COHORT, its generators and their selected images as one HTML page that needs nothing else.

    `classify report --page` takes it up, so that one page leads from the photographs to the answer.
    """
    from synth.report import ReportOptions, report

    report(ReportOptions(runs=runs, bundles=bundles, **options))
