"""Options that several commands of `synth` have, and what their values may be."""

import click

from shared import command_options
from shared.command_line import Input
from shared.command_options import FILE as FILE
from shared.command_options import FOLDER as FOLDER
from shared.command_options import NEW_FOLDER as NEW_FOLDER
from synth.choices import QUALITY_SPACES, SIMILARITY_SPACES

COHORT, CANDIDATES, BUNDLES = Input("cohort"), Input("candidates file"), Input("bundle")

DEVICE, WEIGHTS, OFFLINE = command_options.device(), command_options.weights(), command_options.offline()
PUBLISHED = command_options.weights("published networks")
DRAWN_BATCH = click.option(
    "--batch", type=int, help="Images drawn at once; rounding alone depends on it.  [default: 32, fewer above 256 px]"
)


def feature_space(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the name of a feature space, where it can be one: whether its weights are there is seen later."""
    if value not in (*QUALITY_SPACES, *SIMILARITY_SPACES) and not value.startswith("timm:"):
        known = ", ".join(SIMILARITY_SPACES)
        problem = f"no such feature space as {value!r}; give one of {known}, or timm:NAME"
        raise click.BadParameter(problem, context, parameter)
    return value
