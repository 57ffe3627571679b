"""Options that several commands of `synth` have, and what their values may be."""

from pathlib import Path

import click

from shared.command_line import Input

FOLDER = click.Path(file_okay=False, path_type=Path)
WEIGHTS = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
COHORT, CANDIDATES, BUNDLES = Input("cohort"), Input("candidates file"), Input("bundle")
QUALITY_SPACES = ("auto", "offline", "lite1", "inception", "dinov2", "dinov2-small")
SIMILARITY_SPACES = ("auto", "offline", "lite1", "vgg16", "vgg16-fc1", "vgg16-conv5", "dinov2", "dinov2-small")

DEVICE = click.option("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto takes the fastest.")
DRAWN_BATCH = click.option(
    "--batch", type=int, help="Images drawn at once; rounding alone depends on it.  [default: 32, fewer above 256 px]"
)
OFFLINE = click.option("--offline", is_flag=True, help="Never touch the network.")


def feature_space(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the name of a feature space, where it can be one: whether its weights are there is seen later."""
    if value not in (*QUALITY_SPACES, *SIMILARITY_SPACES) and not value.startswith("timm:"):
        known = ", ".join(SIMILARITY_SPACES)
        problem = f"no such feature space as {value!r}; give one of {known}, or timm:NAME"
        raise click.BadParameter(problem, context, parameter)
    return value
