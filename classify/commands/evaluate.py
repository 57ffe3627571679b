"""`classify evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from classify import option

if TYPE_CHECKING:
    from classify.measuring.operating import Operating


@click.command("evaluate")
@click.argument("model", type=option.MODEL)
@click.option("--cohort", type=option.COHORT, required=True, help="Cohort with the test images.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    default=("balanced",),
    type=click.Choice(["balanced", "external"]),
    help="Test images; repeatable.",
)
@option.RECORDS
@option.ALLOW_SEEN
@option.operating
@option.DEVICE
def command(
    model: Path,
    cohort: Path,
    sets: tuple[str, ...],
    records: Path,
    allow_seen: bool,
    operating: Operating,
    device: str,
) -> None:
    """Test the classifier in the folder MODEL, or one for each fold, on images that it never saw."""
    from classify import evaluate as stage
    from shared.nn.device import choose_device

    stage.evaluate(
        model,
        cohort=option.read_cohort(cohort),
        sets=tuple(dict.fromkeys(sets)),
        records=records,
        device=choose_device(device),
        allow_seen=allow_seen,
        operating=operating,
    )
