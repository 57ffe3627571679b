"""`synth prepare`."""

from typing import Any

import click

from synth import option


@click.command("prepare")
@click.option("--positive", type=option.FOLDER, multiple=True, help="Folder with photographs of the rare disease.")
@click.option("--negative", type=option.FOLDER, multiple=True, help="Folder with photographs without it.")
@click.option(
    "--external-negative", type=option.FOLDER, multiple=True, help="Negatives of another source, for testing only."
)
@click.option("--phantom", is_flag=True, help="Render the embedded phantom cohort instead of reading photographs.")
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
    """Turn folders of photographs into a cohort: checked, squared, grouped and split."""
    from synth.prepare import PrepareOptions
    from synth.prepare import prepare as run

    run(PrepareOptions(**options))
