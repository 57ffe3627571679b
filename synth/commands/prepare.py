"""`synth prepare`."""

from pathlib import Path
from typing import Any

import click

from synth import option


def _list_conditions(context: click.Context, _: click.Parameter, folder: Path | None) -> None:
    """Do that alone, before other options are missed."""
    if folder is not None:
        from synth.cohorts.conditions import print_conditions as run

        run(folder)
        context.exit()


@click.command("prepare")
@click.option(
    "--positive", type=option.FOLDER, multiple=True, help="Folder with photographs of the rare disease; repeatable."
)
@click.option("--negative", type=option.FOLDER, multiple=True, help="Folder with photographs without it; repeatable.")
@click.option(
    "--external-negative",
    type=option.FOLDER,
    multiple=True,
    help="Negatives of another source, for testing only; repeatable.",
)
@click.option("--phantom", is_flag=True, help="Render the embedded phantom cohort instead of reading photographs.")
@click.option("--scin", type=option.FOLDER, help="Folder of the SCIN data set, instead of photographs by class.")
@click.option("--condition", help="SCIN: the rare disease, as its tables name it.")
@click.option(
    "--negative-condition",
    multiple=True,
    help="SCIN: negatives have this condition; without it, any other; repeatable.",
)
@click.option(
    "--min-weight",
    type=float,
    default=0.5,
    help="SCIN: the share of dermatologists' weight from which a case has a condition.",
)
@click.option(
    "--list-conditions",
    metavar="DIRECTORY",
    type=option.FOLDER,
    is_eager=True,
    expose_value=False,
    callback=_list_conditions,
    help="List the conditions of a SCIN folder with their cases, and exit.",
)
@click.option("--size", type=int, default=64, help="Side of the prepared images in px.")
@click.option("--fit", type=click.Choice(["crop", "pad", "stretch"]), default="crop", help="How to make them square.")
@click.option("--folds", type=int, default=5, help="Parts for cross-validation.")
@click.option("--seed", type=int, default=0, help="Decides the folds.")
@click.option(
    "--csv", type=option.FILE, help="Table with the columns file, group (patient or case) and any attributes."
)
@click.option("--skip-bad", is_flag=True, help="Leave out files that cannot be used instead of stopping.")
@click.option("--out", type=option.FILE, required=True, help="Cohort file to write.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(**options: Any) -> None:
    """Turn photographs, in folders or as SCIN publishes them, into a cohort: checked, squared, grouped and split."""
    from synth.cohorts.options import PrepareOptions
    from synth.prepare import prepare as run

    run(PrepareOptions(**options))
