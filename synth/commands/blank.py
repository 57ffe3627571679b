"""`synth blank`."""

from pathlib import Path

import click

from synth import option


@click.command("blank")
@click.argument("cohort", type=option.COHORT)
@click.option("--segmentation", type=option.FOLDER, required=True, help="Folder with facebook/sam-vit-base.")
@option.DEVICE
@click.option("--out", type=option.FILE, required=True, help="Cohort file to write.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(cohort: Path, segmentation: Path, device: str, out: Path, force: bool) -> None:
    """Write COHORT with a white background, so that no classifier can learn from it."""
    from shared.cohort import read_cohort
    from shared.nn.device import choose_device
    from shared.nn.segment import Sam
    from synth.blank import BlankOptions
    from synth.blank import blank as run

    read = read_cohort(cohort)
    run(read, Sam(segmentation, choose_device(device)), BlankOptions(out, force))
