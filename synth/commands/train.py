"""`synth train`."""

from typing import Any

import click

from shared import command_options
from synth import option
from synth.choices import METHODS, QUALITY_SPACES


@click.command("train")
@click.argument("cohort", type=option.COHORT)
@click.option(
    "--out", type=option.NEW_FOLDER, required=True, help="Folder of the run or grid; the same command goes on in it."
)
@click.option("--gamma", multiple=True, help="Weight of R1; repeat for a grid.  [default: 0.1, or none]")
@click.option("--target", multiple=True, help="ADA's target; repeat for a grid.  [default: 0.6, or none]")
@click.option("--lr", multiple=True, help="Learning rate; repeat for a grid.  [default: 0.002]")
@click.option("--cells", help="Preset (demo, paper, paper-full) or TOML file with the cells of the grid.")
@click.option("--fold", help="Fold that stays unseen, or all.  [default: 0]")
@command_options.protocol(
    "What the GAN may see: one fold's training part, or literally what the paper's saw.", stated=True
)
@click.option(
    "--label", type=click.Choice(["positive", "negative", "both"]), help="Class to draw.  [default: positive]"
)
@click.option("--cfg", help="auto, paper256, paper512, paper1024, cifar or tiny.  [default: auto]")
@click.option("--start", help="Network to adapt: a name (see `synth networks`), a file, a run's folder, or none.")
@click.option(
    "--accept-licence", is_flag=True, default=None, help="Start from a network whose licence binds what is made of it."
)
@click.option("--kimg", type=float, help="Thousands of real images shown.  [default: 1000]")
@click.option("--batch", type=int, help="Images a step.  [default: the configuration's]")
@click.option("--ema-kimg", type=float, help="Half-life of the weights' average.  [default: the configuration's]")
@click.option(
    "--augpipe",
    help="bgc, bg, bgcfnc, blit, geom, color …, diffaug or none.  [default: the method's, mostly bgc]",
)
@click.option(
    "--method",
    type=click.Choice(["auto", *METHODS]),
    help="How to start and to adapt; auto: projected, without --gamma, --target and --cells.  [default: auto]",
)
@click.option("--freeze-d", type=int, help="First layers of the discriminator that stay.  [default: the method's]")
@click.option(
    "--max-p", type=float, help="The most that ADA's augmentation strength p may become, up to 8.  [default: 1]"
)
@click.option(
    "--checkpoint-every",
    multiple=True,
    help="4 or 4kimg: scored checkpoints; 15min: saved states between them; may be given twice.  "
    "[default: a tenth of --kimg, at least 4, and 10min]",
)
@click.option(
    "--averages", type=int, help="Checkpoints whose averages are kept for `synth refine`; 0 keeps none.  [default: 40]"
)
@click.option(
    "--noise",
    type=click.Choice(["const", "random", "none"]),
    help="Noise inputs of the pictures that are scored, shown and later drawn.  [default: the start's, else const]",
)
@click.option(
    "--quality-fakes",
    type=int,
    help="Generated images a score is computed from.  [default: 1000, for an FID 50000]",
)
@click.option("--kid-subset", type=int, help="Images in each of KID's subsets.  [default: 100, or all there are]")
@click.option("--features", type=click.Choice(QUALITY_SPACES), help="Feature space.  [default: auto]")
@click.option(
    "--seed",
    "seeds",
    type=int,
    multiple=True,
    help="Of networks, data order, latents and augmentation; repeat to train each cell with each.  [default: 0]",
)
@command_options.device(stated=True)
@command_options.precision()
@click.option(
    "--compile",
    type=click.Choice(["auto", "on", "off"]),
    help="Let torch.compile fuse the networks: a little faster after a minute; auto: off.  [default: auto]",
)
@click.option(
    "--jobs",
    default="auto",
    help="Cells of a grid to train at once, each in a process of its own; auto: one a GPU or CPU thread.",
)
@click.option("--gpus", type=int, help="Train on several GPUs of this machine, a share of each batch on each.")
@command_options.sharing(name="study", stated=True)
@click.option(
    "--sampler",
    type=click.Choice(["grid", "tpe", "random"]),
    help="grid, or who chooses cells in ranges, such as --gamma 0.05:1:log, until the --budget is used up.  "
    "[default: grid]",
)
@click.option(
    "--pruner",
    type=click.Choice(["none", "median", "hyperband"]),
    help="End cells early whose scores are far behind those of others.  [default: none]",
)
@click.option("--budget", help="When a sampler ends: 20cells, 5000kimg or 12h, of all workers together.")
@click.option(
    "--dry-run", is_flag=True, default=None, help="Only say what would be trained, with operations, memory and time."
)
@option.WEIGHTS
@command_options.offline(stated=True)
def command(**options: Any) -> None:
    """Train a generator on the rare class of COHORT: one cell, or a grid ranked in table1.md.

    The same command goes on where it was stopped. Ctrl-C, SIGTERM and SIGUSR1 save the state first, and end with exit
    code 130, 143 or 75.
    """
    from shared.studies.values import read_values
    from synth.train import train as run
    from synth.training.options import read_intervals, resolve_cells

    options |= read_intervals(options.pop("checkpoint_every"))
    options |= {name: read_values(name, options[name]) for name in ("gamma", "target", "lr")}
    gpus = options.pop("gpus")
    if gpus is not None:
        from synth.training.launch import relaunch

        relaunch(gpus)
    run(*resolve_cells({name: None if value == () else value for name, value in options.items()}))
