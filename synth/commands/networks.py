"""`synth networks`."""

from pathlib import Path

import click

from synth import option


@click.command("networks")
@click.argument("folders", type=option.FOLDER, nargs=-1)
def command(folders: tuple[Path, ...]) -> None:
    """List the networks known by name, and those in FOLDERS: size, licence and checksum of each."""
    from synth.network_list import print_networks as run

    run(folders)
