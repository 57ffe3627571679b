"""`classify doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from classify import option
from shared.command_options import NEW_FOLDER


@click.command("doctor")
@click.argument("cohort", type=option.COHORT, required=False)
@click.option("--preset", default="demo", metavar="demo|paper|controlled|FILE.toml", help="The cells of Table 2.")
@click.option("--size", type=click.IntRange(8, 1024), default=64, help="Side of the images in px, without COHORT.")
@click.option("--out", type=NEW_FOLDER, default=Path(), help="Folder where the models would go.")
@click.option("--storage", help="Storage of the study, to be reached.")
@click.option("--trial/--no-trial", default=True, help="Take a step of each model.")
@option.PRECISION
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(preset: str, as_json: bool, **options: Any) -> None:
    """Say whether `classify study` would run here: packages, devices, weights, disk, and a step of each model.

    Nothing is changed or downloaded. The exit code is 0 when nothing is in the way, 2 otherwise.
    """
    from classify import doctor
    from shared.doctor.finding import tell

    tell(doctor.examine(doctor.Job(preset=preset, **options)), f"classify study --preset {preset}", as_json=as_json)
