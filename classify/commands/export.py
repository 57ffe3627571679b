"""`classify export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from classify import option

if TYPE_CHECKING:
    from classify.measuring.operating import Operating


@click.command("export")
@click.argument("model", type=option.MODEL)
@click.option(
    "--out", type=option.FILE, required=True, help="Folder for all kinds of files, or one that ends in .onnx or .pt2."
)
@click.option("--fold", type=int, help="Which model, where MODEL holds one for each fold.")
@click.option("--cohort", type=option.COHORT, help="Cohort to check the files on.  [default: random pixels]")
@click.option(
    "--records",
    type=option.FILE,
    multiple=True,
    help="File of the model's evaluations, for its card; repeatable.",
)
@option.operating
@click.option("--latency", is_flag=True, help="Measure how long an answer takes.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(
    model: Path,
    out: Path,
    fold: int | None,
    cohort: Path | None,
    records: tuple[Path, ...],
    operating: Operating,
    latency: bool,
    force: bool,
) -> None:
    """Write the classifier in the folder MODEL for other applications: ONNX, PyTorch's archive, and a model card.

    A photograph goes in as it is, and a calibrated probability and a heat map come out. Files are kept only when they
    say what the model says, to 1e-4.
    """
    from classify.export import ExportOptions, export

    options = ExportOptions(model, out, fold, records, operating, latency, force)
    export(options, None if cohort is None else option.read_cohort(cohort))
