"""`synth generate`."""

from typing import Any

import click

from synth import option


@click.command("generate")
@click.argument("network", type=str)
@click.option("--count", type=int, help="How many images, from --seed on.  [default: 1000]")
@click.option("--seed", type=int, help="First seed.  [default: 0]")
@click.option("--seeds", help='Single seeds and ranges, such as "0-7,42", instead of --count.')
@click.option(
    "--truncation",
    type=float,
    help="psi: 1 draws all there is, less draws what is typical.  [default: as `synth refine` chose, else 1]",
)
@click.option(
    "--noise",
    type=click.Choice(["const", "random", "none"]),
    help="Noise inputs: stored, drawn from the seed, or none.  [default: those it was scored with, else const]",
)
@click.option("--class", "class_index", type=int, help="Class of a conditional network.")
@click.option("--png", type=option.FOLDER, help="Also write each image as a PNG into this folder.")
@click.option("--out", type=option.FILE, required=True, help="Candidates file to write.")
@option.DRAWN_BATCH
@option.DEVICE
@option.PUBLISHED
@option.OFFLINE
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(**options: Any) -> None:
    """Draw candidates with NETWORK: a name, a file (NVIDIA's .pkl too), a run's or a grid's folder."""
    from synth.generate import GenerateOptions
    from synth.generate import generate as run

    run(GenerateOptions(**options))
