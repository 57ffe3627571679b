"""`classify fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from classify import option
from shared.command_options import NEW_FOLDER


@click.command("fit")
@click.argument("cohort", type=option.COHORT)
@option.BUNDLE
@click.option("--ratio", default="none", metavar="none|A:B", help="Synthetic to real positives, such as 1:5.")
@click.option(
    "--control",
    default="none",
    metavar="NAME",
    help="What stands in the place of the ratio's synthetic images: oversampling, epochs or augmentation.",
)
@click.option(
    "--synthetic",
    metavar="positive|both",
    help="Classes with synthetic images.  [default: both if there is a bundle of negatives]",
)
@click.option(
    "--model",
    default="custom_cnn",
    metavar="NAME",
    help="custom_cnn, inception_v3, vgg16, mobilenet, resnet50, efficientnet_lite0, linear_probe, or timm:NAME.",
)
@click.option("--unfreeze", type=int, metavar="N", help="Train the last N modules of the backbone beside the head.")
@click.option("--depth", type=int, help="Convolutions of the custom CNN.  [default: 6]")
@click.option(
    "--head", callback=option.head, metavar="W,W", help="Widths of hidden layers, or none.  [default: the model's]"
)
@click.option("--dropout", type=float, help="Behind each hidden layer.  [default: the model's]")
@click.option("--fold", callback=option.fold, default="0", metavar="N|all", help="The fold that is tested.")
@option.PROTOCOL
@click.option("--epochs", type=int, help="Passes over the training images.  [default: the model's]")
@click.option("--patience", type=int, help="End after so many epochs without a better one.  [default: never]")
@click.option("--lr", type=float, help="Learning rate.  [default: the model's]")
@click.option("--batch", type=int, help="Images a step.  [default: the model's]")
@click.option("--optimizer", metavar="NAME", help="adam, adamw, rmsprop or sgd.  [default: the model's]")
@click.option("--seed", type=int, default=0, help="Of the initial weights, the order of images, and dropout.")
@click.option("--image-size", type=int, metavar="PX", help="Side of the network's input.  [default: the model's]")
@option.PRECISION
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
@click.option("--cache", type=option.FILE, help="Folder for what frozen layers give, shared between fits.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder for the model; with --fold all, for one a fold.")
@click.option("--force", is_flag=True, help="Replace a model of another configuration.")
def command(
    cohort: Path,
    bundles: tuple[Path, ...],
    fold: int | None,
    device: str,
    weights: Path | None,
    offline: bool,
    cache: Path | None,
    out: Path,
    force: bool,
    **options: Any,
) -> None:
    """Fit a classifier on COHORT, with synthetic images at a ratio.

    The same command again goes on where it stopped, and leaves a finished model as it is. Ctrl-C, SIGTERM and SIGUSR1
    save the state first, and end with exit code 130, 143 or 75. `torchrun … -m classify fit …` shares each batch
    between several processes.
    """
    from classify import fit as stage
    from classify.fitting.settings import FitOptions
    from classify.place import working

    with working(device, weights=weights, offline=offline, cache=cache) as place:
        read = option.read_cohort(cohort)
        stage.fit(
            read,
            bundles=option.read_bundles(bundles),
            options=FitOptions(**options),
            folds=range(read.folds) if fold is None else [fold],
            out=out,
            place=place,
            force=force,
        )
