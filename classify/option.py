"""Options that several commands of `classify` have, and how their values are read."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from classify.measuring.operating import LEAST as LEAST_OF_A_VALUE
from shared import command_options
from shared.command_line import Input
from shared.command_options import apply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.bundle import Bundle
    from shared.cohort import Cohort

F = TypeVar("F", bound="Callable[..., Any]")
FILE = click.Path(path_type=Path)  # or a folder
COHORT, BUNDLES, RECORD_FILES = Input("cohort"), Input("bundle"), Input("records file")
MODEL = Input("model", made_by="`classify fit`")
LONGEST_NUMBER = 9  # digits of a fold


def fold(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Return the number of the fold, None for all."""
    if value == "all":
        return None
    if not value.removeprefix("-").isdecimal() or len(value) > LONGEST_NUMBER:
        shown = value if len(value) <= LONGEST_NUMBER else f"{value[:LONGEST_NUMBER]}…"
        raise click.BadParameter(f"{shown!r} is neither a number nor all", context, parameter)
    return int(value)


def folds(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """Return the numbers of folds, () for all."""
    found = [fold(context, parameter, value) for value in values]
    return () if None in found else tuple(each for each in found if each is not None)


def head(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Return widths of hidden layers, () for none."""
    if value is None:
        return None
    if value == "none":
        return ()
    if not all(each.isdecimal() and len(each) < 6 for each in value.split(",")):
        raise click.BadParameter(f"{value!r} is neither widths such as 512,256 nor none", context, parameter)
    return tuple(map(int, value.split(",")))


def read_cohort(path: Path) -> Cohort:
    """Read a cohort file, by `shared.cohort`."""
    from shared.cohort import read_cohort as read

    return read(path)


def read_bundles(paths: Sequence[Path]) -> list[Bundle]:
    """Read bundle files, by `shared.bundle`."""
    from shared.bundle import read_bundle as read

    return [read(path) for path in paths]


DEVICE, PRECISION = command_options.device(), command_options.precision()
WEIGHTS, OFFLINE = command_options.weights(), command_options.offline()
BUNDLE = click.option(
    "--bundle",
    "bundles",
    type=BUNDLES,
    multiple=True,
    help="Synthetic images (bundle.h5); repeatable: those of the fold are used, of each class.",
)
PROTOCOL = command_options.protocol("strict, or literally what the paper did.")
RECORDS = click.option("--records", type=FILE, required=True, help="File of records (JSON lines) to add to.")
ALLOW_SEEN = click.option(
    "--allow-seen", is_flag=True, help="Test on images that were seen before; every table will say so."
)
SENSITIVITY = click.option(
    "--sensitivity",
    type=float,
    default=0.95,
    help="Also judge at the threshold that finds this share of the validation positives.",
)
FIT = click.option(
    "--fit",
    type=click.Choice(["crop", "pad", "stretch"]),
    default="crop",
    help="How photographs become square, as of `synth prepare`.",
)
PREVALENCE = click.option(
    "--prevalence", type=float, multiple=True, default=(0.03,), help="Share of positives in practice; repeatable."
)
LEAST = click.option(
    "--least",
    type=click.IntRange(min=0),
    default=LEAST_OF_A_VALUE,
    help="Report an attribute's value only from this many images on.",
)


def operating(command: F) -> F:
    """Give a command `--sensitivity` and `--prevalence`, which it gets as one `operating`."""

    @SENSITIVITY
    @PREVALENCE
    @functools.wraps(command)
    def call(*arguments: Any, sensitivity: float, prevalence: tuple[float, ...], **options: Any) -> Any:
        from classify.measuring.operating import Operating

        return command(*arguments, operating=Operating(sensitivity, prevalence), **options)

    return cast("F", call)


STUDY = apply(
    click.option("--jobs", type=int, default=1, help="Cells at once, each in a process of its own."),
    command_options.sharing(name="study_name"),
)
