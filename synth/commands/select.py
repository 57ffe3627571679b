"""`synth select`."""

from typing import Any

import click

from synth import option
from synth.choices import RULES, SIMILARITY_SPACES


@click.command("select")
@click.argument("candidates", type=option.CANDIDATES)
@click.option("--cohort", type=option.COHORT, required=True, help="Cohort that the network was trained on.")
@click.option("--network", type=str, required=True, help="Network that drew the candidates.")
@click.option("--sigma", type=float, default=2.0, help="Threshold: mean - sigma x SD of the reals' scores.")
@click.option(
    "--rule",
    type=click.Choice(RULES),
    default="union",
    help="Which score must pass: either, both, or one of them; or what is typical, the most different first.",
)
@click.option("--keep", type=int, help="The most images to keep, with --rule typical-and-diverse.")
@click.option(
    "--reference",
    type=click.Choice(["train", "validation"]),
    default="train",
    help="Part of the reals that sets thresholds.",
)
@click.option(
    "--gate",
    type=float,
    default=0.01,
    help="Quantile of the photographs' own distances below which a candidate is a copy, and rejected.",
)
@click.option("--require-shareable", is_flag=True, help="Fail unless the images may be passed on.")
@click.option("--features", default="auto", help=f"Feature space: {', '.join(SIMILARITY_SPACES)} or timm:NAME.")
@click.option("--out", type=option.FILE, required=True, help="Bundle to write.")
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(**options: Any) -> None:
    """Keep the candidates that look and score like the reals, and write them as a bundle."""
    from synth.select import select as run
    from synth.selecting.options import SelectOptions

    run(SelectOptions(**options))
