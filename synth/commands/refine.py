"""`synth refine`."""

from typing import Any

import click

from synth import option
from synth.choices import QUALITY_SPACES


@click.command("refine")
@click.argument("run", type=str)
@click.option("--cohort", type=option.COHORT, required=True, help="Cohort that the run was trained on.")
@click.option(
    "--out", type=option.FILE, required=True, help="Network file to write; a table and a picture go beside it."
)
@click.option(
    "--width", type=float, multiple=True, help="Width of the weights' average to try; repeatable.  [default: 7]"
)
@click.option("--truncation", type=float, multiple=True, help="Truncation to try; repeatable.  [default: 0.5 to 1]")
@click.option(
    "--quality-fakes",
    "fakes",
    type=int,
    help="Generated images that each choice is judged by.  [default: 1000, for FID 5000]",
)
@click.option("--features", type=click.Choice(QUALITY_SPACES), default="auto", help="Feature space.")
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(**options: Any) -> None:
    """Choose, after the training in RUN, how wide its weights are averaged and how far styles are truncated."""
    from synth.refine import RefineOptions
    from synth.refine import refine as call

    call(RefineOptions(**{name: value for name, value in options.items() if value != ()}))
