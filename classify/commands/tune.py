"""`classify tune`."""

from __future__ import annotations

from typing import Any

import click

from classify import option
from shared.command_options import NEW_FOLDER


@click.command("tune")
@click.argument("cohort", type=option.COHORT)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder for the study and what it finds.")
@click.option("--fold", type=int, default=0, help="Fold whose training part is searched on.")
@click.option("--model", default="custom_cnn", metavar="NAME", help="As of `classify fit`.")
@click.option(
    "--lr",
    default=("1e-5:1e-2:log",),
    metavar="LOW:HIGH:log",
    help="Learning rates; or a number; repeatable.",
    multiple=True,
)
@click.option("--depth", metavar="LOW:HIGH", help="Convolutions.  [default: 3:6, or as many as the images allow]")
@click.option("--layers", default="1:2", metavar="LOW:HIGH", help="Hidden layers of the head.")
@click.option(
    "--width", type=int, multiple=True, default=(32, 64, 128), help="Of the first, each next has half; repeatable."
)
@click.option(
    "--optimizer",
    "optimizers",
    multiple=True,
    default=("rmsprop", "adam", "sgd"),
    help="To try; repeatable.",
)
@click.option("--epochs", type=int, default=30, help="Of each trial.")
@click.option("--batch", type=int, help="Images a step.  [default: the model's]")
@click.option("--image-size", type=int, metavar="PX", help="Side of the network's input.  [default: the model's]")
@click.option("--sampler", default="tpe", type=click.Choice(["tpe", "random"]), help="Who chooses.")
@click.option(
    "--pruner",
    default="median",
    type=click.Choice(["none", "median", "hyperband"]),
    help="Ends trials that are far behind.",
)
@click.option("--budget", default="20cells", help="When to end: 20cells, 500epochs or 2h, of all workers together.")
@click.option("--seed", type=int, default=0, help="Of the choices, and of every fit.")
@option.STUDY
@option.PRECISION
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
def command(**options: Any) -> None:
    """Search learning rate, layers and optimizer on the training part of one fold of COHORT.

    It sees neither the fold nor its validation images: the training part is divided once more. What it finds stands in
    tuned.toml, a preset of that fold for `classify study`.
    """
    from classify import tune as stage
    from classify.tuning.options import TuneOptions

    stage.tune(TuneOptions(**options))
