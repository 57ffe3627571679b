"""`synth bundle`."""

from typing import Any

import click

from synth import option


@click.group("bundle")
def command() -> None:
    """Look into a bundle or a candidates file, write its images as PNGs, or draw them again."""


@command.command("info")
@click.argument("file", type=option.FILE)
@click.option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def info(**options: Any) -> None:
    """Say what FILE holds and where it came from."""
    from synth.bundles.info import InfoOptions
    from synth.bundles.info import info as run

    run(InfoOptions(**options))


@command.command("export")
@click.argument("file", type=option.FILE)
@click.option("--png", type=option.FOLDER, help="Folder for one PNG an image, and images.csv with seeds and scores.")
@click.option("--imagefolder", type=option.FOLDER, help="The same in a folder of the class's name in this one.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty; an earlier export is replaced.")
def export(**options: Any) -> None:
    """Write the images of FILE as PNGs. Give --png, --imagefolder (torchvision's ImageFolder reads it), or both."""
    from synth.bundles.export import ExportOptions
    from synth.bundles.export import export as run

    run(ExportOptions(**options))


@command.command("verify")
@click.argument("file", type=option.FILE)
@click.option("--network", type=str, required=True, help="Network that drew the images.")
@click.option(
    "--tolerance", type=int, default=1, help="Levels of 255 that rounding may change, on another device or processor."
)
@option.DRAWN_BATCH
@option.DEVICE
@option.PUBLISHED
@option.OFFLINE
def verify(**options: Any) -> None:
    """Draw every image of FILE again and compare."""
    from synth.bundles.verify import VerifyOptions
    from synth.bundles.verify import verify as run

    run(VerifyOptions(**options))
