"""`synth doctor`."""

from pathlib import Path
from typing import Any

import click

from shared import command_options
from synth import option
from synth.choices import METHODS, QUALITY_SPACES


@click.command("doctor")
@click.argument("cohort", type=option.COHORT, required=False)
@click.option("--cells", help="Preset (demo, paper, paper-full) or TOML file with the cells of the grid.")
@click.option("--cfg", help="auto, paper256, paper512, paper1024, cifar or tiny.  [default: auto]")
@click.option(
    "--method",
    type=click.Choice(["auto", *METHODS]),
    help="How to start and to adapt, as in `synth train`.  [default: auto]",
)
@click.option("--fold", help="Fold that stays unseen, or all: a grid each.  [default: 0]")
@command_options.protocol("As of `synth train`.", stated=True)
@click.option(
    "--label", type=click.Choice(["positive", "negative", "both"]), help="Class to draw.  [default: positive]"
)
@click.option("--start", help="Network to adapt: a name (see `synth networks`), a file, a run's folder, or none.")
@click.option("--kimg", type=float, help="Thousands of real images shown.  [default: 1000]")
@click.option("--batch", type=int, help="Images a step.  [default: the configuration's]")
@click.option("--size", type=click.IntRange(8, 1024), default=64, help="Side of the images in px, without COHORT.")
@click.option("--out", type=option.NEW_FOLDER, default=Path(), help="Folder where the run or grid would go.")
@click.option("--storage", help="Storage of the grid's study, to be reached.")
@click.option(
    "--trial/--no-trial",
    default=None,
    help="Take a few steps of the training.  [default: up to 64 px, or on a GPU; else it takes minutes]",
)
@click.option("--quality-fakes", type=int, help="Generated images a score is computed from.  [default: 1000]")
@click.option("--features", type=click.Choice(QUALITY_SPACES), help="Feature space.  [default: auto]")
@command_options.device(stated=True)
@command_options.precision()
@option.WEIGHTS
@command_options.offline(stated=True)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(cohort: Path | None, size: int, trial: bool | None, as_json: bool, **options: Any) -> None:
    """Say whether `synth train` would run here, and what it would take: packages, devices, weights, memory, disk, time.

    Options are checked as `synth train` checks them. Without COHORT a few phantoms are tried. Nothing is changed or
    downloaded. The exit code is 0 when nothing is in the way, 2 otherwise.
    """
    from shared.doctor.finding import tell
    from synth import doctor
    from synth.training.options import resolve_cells

    train, cells = resolve_cells({"cohort": cohort or Path("cohort.h5"), **options})
    tell(doctor.examine(doctor.Job(train, cells, cohort, size, trial)), "synth train", as_json=as_json)
