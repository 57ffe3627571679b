"""The command line of `classify`. Stages are imported when they run, so that --help answers at once."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classify import option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.bundle import Bundle
    from shared.cohort import Cohort


class Commands(click.Group):
    """Ends with exit code 2 and one sentence for whatever the user can mend, and never with a traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line, as `click.Group.main` does."""
        from shared.console import user_errors
        from shared.errors import UserError

        with user_errors():
            try:
                return super().main(*args, **extra | {"standalone_mode": False})
            except click.Abort as error:
                raise KeyboardInterrupt from error
            except click.ClickException as error:
                if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
                    click.echo(error.format_message(), err=True)
                    raise SystemExit(2) from error
                raise UserError(_sentence(error)) from error


def _sentence(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "classify"
    return f"{text}; see `{command} --help`."


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        click.echo(f"classify {metadata.version('rarescreen')}")
        context.exit()


@click.group("classify", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli() -> None:
    """Train classifiers with and without synthetic images, and measure what the difference is worth."""


@cli.command()
@click.argument("cohort", type=option.FILE)
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
    help="custom_cnn, inception_v3, vgg16, mobilenet, resnet50, efficientnet_lite0, or timm:NAME.",
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
@click.option("--out", type=option.FILE, required=True, help="Folder for the model; with --fold all, for one a fold.")
@click.option("--force", is_flag=True, help="Replace a model of another configuration.")
def fit(
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
    from classify.place import working
    from classify.settings import FitOptions

    with working(device, weights=weights, offline=offline, cache=cache) as place:
        read = _read_cohort(cohort)
        stage.fit(
            read,
            bundles=_read_bundles(bundles),
            options=FitOptions(**options),
            folds=range(read.folds) if fold is None else [fold],
            out=out,
            place=place,
            force=force,
        )


@cli.command()
@click.argument("model", type=option.FILE)
@click.option("--cohort", type=option.FILE, required=True, help="Cohort with the test images.")
@click.option("--set", "sets", multiple=True, default=("balanced",), metavar="balanced|external", help="Repeatable.")
@option.RECORDS
@option.ALLOW_SEEN
@option.SENSITIVITY
@option.PREVALENCE
@option.DEVICE
def evaluate(
    model: Path,
    cohort: Path,
    sets: tuple[str, ...],
    records: Path,
    allow_seen: bool,
    sensitivity: float,
    prevalence: tuple[float, ...],
    device: str,
) -> None:
    """Test the classifier in the folder MODEL, or one for each fold, on images that it never saw."""
    from classify import evaluate as stage
    from classify.operating import Operating
    from shared.nn.device import choose_device

    stage.evaluate(
        model,
        cohort=_read_cohort(cohort),
        sets=tuple(dict.fromkeys(sets)),
        records=records,
        device=choose_device(device),
        allow_seen=allow_seen,
        operating=Operating(sensitivity, prevalence),
    )


@cli.command()
@click.argument("records", type=option.FILE, nargs=-1, required=True)
@click.option("--out", type=option.FILE, required=True, help="Markdown file; JSON and pictures go beside it.")
@option.SENSITIVITY
@option.PREVALENCE
@click.option(
    "--least",
    type=click.IntRange(min=0),
    default=10,
    help="Images of an attribute's value below which nothing is said of it.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
def table(
    records: tuple[Path, ...], out: Path, sensitivity: float, prevalence: tuple[float, ...], least: int, force: bool
) -> None:
    """Lay RECORDS out as Table 2, the paper's values beside ours: intervals, tests, figures, and what they say."""
    from classify import tables as stage
    from classify.operating import Operating

    operating = Operating(sensitivity, prevalence)
    stage.report(stage.write_table(records, out=out, operating=operating, least=least, force=force), out)


@cli.command()
@click.argument("cohort", type=option.FILE)
@click.option("--preset", default="demo", metavar="demo|paper|controlled|FILE.toml", help="The cells of Table 2.")
@option.BUNDLE
@option.PROTOCOL
@click.option("--fold", "folds", type=int, multiple=True, help="Only cells of this fold, repeatable.  [default: all]")
@click.option("--seed", "seeds", type=int, multiple=True, help="Fit each cell with each.  [default: the preset's]")
@click.option("--out", type=option.FILE, required=True, help="Folder for the models and the study.")
@option.RECORDS
@click.option("--table", type=option.FILE, required=True, help="Markdown file; JSON and pictures go beside it.")
@option.ALLOW_SEEN
@option.SENSITIVITY
@option.PREVALENCE
@option.STUDY
@option.PRECISION
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
@click.option("--dry-run", is_flag=True, help="Only say which cells there are, and which are done.")
@click.option("--force", is_flag=True, help="Replace models of another configuration, and the study of them.")
def study(
    cohort: Path,
    bundles: tuple[Path, ...],
    sensitivity: float,
    prevalence: tuple[float, ...],
    **options: Any,
) -> None:
    """Fit and evaluate every cell of a preset on COHORT, and write Table 2; what is done is not done again.

    A cell is a model at a ratio, on a fold, with a seed. The same command on several machines shares them.
    """
    from classify import study as stage
    from classify import tables
    from classify.operating import Operating
    from classify.study_options import StudyOptions

    made = stage.study(
        StudyOptions(cohort=cohort, bundles=bundles, operating=Operating(sensitivity, prevalence), **options)
    )
    if made is not None:
        tables.report(made, options["table"])


@cli.command()
@click.argument("cohort", type=option.FILE)
@click.option("--out", type=option.FILE, required=True, help="Folder for the study and what it finds.")
@click.option("--fold", type=int, default=0, help="Fold whose training part is searched on.")
@click.option("--model", default="custom_cnn", metavar="NAME", help="As of `classify fit`.")
@click.option(
    "--lr",
    default=("1e-5:1e-2:log",),
    metavar="LOW:HIGH:log",
    help="Learning rates; or a number, repeatable.",
    multiple=True,
)
@click.option("--depth", metavar="LOW:HIGH", help="Convolutions.  [default: 3:6, or as many as the images allow]")
@click.option("--layers", default="1:2", metavar="LOW:HIGH", help="Hidden layers of the head.")
@click.option("--width", type=int, multiple=True, default=(32, 64, 128), help="Of the first; each next has half.")
@click.option("--optimizer", "optimizers", multiple=True, default=("rmsprop", "adam", "sgd"), help="Repeatable.")
@click.option("--epochs", type=int, default=30, help="Of each trial.")
@click.option("--batch", type=int, help="Images a step.  [default: the model's]")
@click.option("--image-size", type=int, metavar="PX", help="Side of the network's input.  [default: the model's]")
@click.option("--sampler", default="tpe", metavar="tpe|random", help="Who chooses.")
@click.option("--pruner", default="median", metavar="none|median|hyperband", help="Ends trials that are far behind.")
@click.option("--budget", default="20cells", help="When to end: 20cells, 500epochs or 2h, of all workers together.")
@click.option("--seed", type=int, default=0, help="Of the choices, and of every fit.")
@option.STUDY
@option.PRECISION
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
def tune(**options: Any) -> None:
    """Search learning rate, layers and optimizer on the training part of one fold of COHORT.

    It sees neither the fold nor its validation images: the training part is divided once more. What it finds stands in
    tuned.toml, a preset of that fold for `classify study`.
    """
    from classify import tune as stage
    from classify.tune_options import TuneOptions

    stage.tune(TuneOptions(**options))


def _read_cohort(path: Path) -> Cohort:
    from shared.cohort import read_cohort

    return read_cohort(path)


def _read_bundles(paths: Sequence[Path]) -> list[Bundle]:
    from shared.bundle import read_bundle

    return [read_bundle(path) for path in paths]
