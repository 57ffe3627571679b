"""The command line of `classify`. Stages are imported when they run, so that --help answers at once."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.bundle import Bundle
    from shared.cohort import Cohort

FILE = click.Path(path_type=Path)


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


def _fold(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Return the number of the fold, None for all."""
    if value == "all":
        return None
    if not value.removeprefix("-").isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number nor all", context, parameter)
    return int(value)


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


_DEVICE = click.option("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto takes the fastest.")
_BUNDLE = click.option(
    "--bundle",
    "bundles",
    type=FILE,
    multiple=True,
    help="Synthetic images (bundle.h5); repeatable, the one of the fold and of the rare class is used.",
)
_PROTOCOL = click.option(
    "--protocol", default="strict", metavar="strict|paper", help="strict, or literally what the paper did."
)
_WEIGHTS = click.option("--weights", type=FILE, help="Folder of pretrained weights, looked into first.")
_OFFLINE = click.option("--offline", is_flag=True, help="Never touch the network.")
_RECORDS = click.option("--records", type=FILE, required=True, help="File of records (JSON lines) to add to.")
_ALLOW_SEEN = click.option(
    "--allow-seen", is_flag=True, help="Test on images that were seen before; every table will say so."
)


@cli.command()
@click.argument("cohort", type=FILE)
@_BUNDLE
@click.option("--ratio", default="none", metavar="none|A:B", help="Synthetic to real positives, such as 1:5.")
@click.option(
    "--model",
    default="custom_cnn",
    metavar="NAME",
    help="custom_cnn, inception_v3, vgg16, mobilenet, resnet50, efficientnet_lite0, or timm:NAME.",
)
@click.option("--unfreeze", type=int, metavar="N", help="Train the last N modules of the backbone beside the head.")
@click.option("--fold", callback=_fold, default="0", metavar="N|all", help="The fold that is tested.")
@_PROTOCOL
@click.option("--epochs", type=int, help="Passes over the training images.  [default: the model's]")
@click.option("--lr", type=float, help="Learning rate.  [default: the model's]")
@click.option("--batch", type=int, help="Images a step.  [default: the model's]")
@click.option("--optimizer", metavar="NAME", help="adam, adamw, rmsprop or sgd.  [default: the model's]")
@click.option("--seed", type=int, default=0, help="Of the initial weights, the order of images, and dropout.")
@click.option("--image-size", type=int, metavar="PX", help="Side of the network's input.  [default: the model's]")
@_DEVICE
@_WEIGHTS
@_OFFLINE
@click.option("--cache", type=FILE, help="Folder for the features of frozen backbones, shared between fits.")
@click.option("--out", type=FILE, required=True, help="Folder for the model; with --fold all, for one a fold.")
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

    The same command again goes on where it stopped, and leaves a finished model as it is.
    """
    from classify import fit as stage
    from classify.settings import FitOptions
    from shared.nn.device import choose_device
    from shared.weights import WeightSource

    read = _read_cohort(cohort)
    stage.fit(
        read,
        bundles=_read_bundles(bundles),
        options=FitOptions(**options),
        folds=range(read.folds) if fold is None else [fold],
        out=out,
        device=choose_device(device),
        weights=WeightSource(weights, offline),
        cache=cache,
        force=force,
    )


@cli.command()
@click.argument("model", type=FILE)
@click.option("--cohort", type=FILE, required=True, help="Cohort with the test images.")
@click.option("--set", "sets", multiple=True, default=("balanced",), metavar="balanced|external", help="Repeatable.")
@_RECORDS
@_ALLOW_SEEN
@_DEVICE
def evaluate(model: Path, cohort: Path, sets: tuple[str, ...], records: Path, allow_seen: bool, device: str) -> None:
    """Test the classifier in the folder MODEL, or one for each fold, on images that it never saw."""
    from classify import evaluate as stage
    from shared.nn.device import choose_device

    stage.evaluate(
        model,
        cohort=_read_cohort(cohort),
        sets=tuple(dict.fromkeys(sets)),
        records=records,
        device=choose_device(device),
        allow_seen=allow_seen,
    )


@cli.command()
@click.argument("records", type=FILE, nargs=-1, required=True)
@click.option("--out", type=FILE, required=True, help="Markdown file; the same goes as JSON beside it.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def table(records: tuple[Path, ...], out: Path, force: bool) -> None:
    """Lay RECORDS out as Table 2, the paper's values beside ours."""
    from classify import tables as stage

    stage.report(stage.write_table(records, out=out, force=force), out)


@cli.command()
@click.argument("cohort", type=FILE)
@click.option("--preset", default="demo", metavar="demo|paper|FILE.toml", help="The cells of Table 2.")
@_BUNDLE
@_PROTOCOL
@click.option("--out", type=FILE, required=True, help="Folder for the models.")
@_RECORDS
@click.option("--table", type=FILE, required=True, help="Markdown file; the same goes as JSON beside it.")
@_ALLOW_SEEN
@_DEVICE
@_WEIGHTS
@_OFFLINE
@click.option("--force", is_flag=True, help="Replace models of another configuration.")
def study(
    cohort: Path,
    preset: str,
    bundles: tuple[Path, ...],
    protocol: str,
    out: Path,
    records: Path,
    table: Path,
    allow_seen: bool,
    device: str,
    weights: Path | None,
    offline: bool,
    force: bool,
) -> None:
    """Fit and evaluate every cell of a preset on COHORT, and write Table 2; what is done is not done again."""
    from classify import study as stage
    from classify import tables
    from shared.nn.device import choose_device
    from shared.weights import WeightSource

    made = stage.study(
        _read_cohort(cohort),
        preset=preset,
        bundles=_read_bundles(bundles),
        out=out,
        records=records,
        table=table,
        device=choose_device(device),
        protocol=protocol,
        weights=WeightSource(weights, offline),
        allow_seen=allow_seen,
        force=force,
    )
    tables.report(made, table)


def _read_cohort(path: Path) -> Cohort:
    from shared.cohort import read_cohort

    return read_cohort(path)


def _read_bundles(paths: Sequence[Path]) -> list[Bundle]:
    from shared.bundle import read_bundle

    return [read_bundle(path) for path in paths]
