"""`synth export`."""

from typing import Any

import click

from synth import option


@click.command("export")
@click.argument("network", type=str)
@click.option("--out", type=option.FILE, required=True, help="Network file (safetensors) to write.")
@click.option("--half", is_flag=True, help="Store half precision, at half the size.")
@option.PUBLISHED
@option.OFFLINE
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(**options: Any) -> None:
    """Write NETWORK (a name, a file, NVIDIA's .pkl too, a run's or a grid's folder) as a network file."""
    from synth.export import ExportOptions
    from synth.export import export as run

    run(ExportOptions(**options))
