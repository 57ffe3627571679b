"""`classify explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from classify import option
from shared.command_options import FOLDER, NEW_FOLDER


@click.command("explain")
@click.argument("model", type=option.MODEL)
@click.option("--cohort", type=option.COHORT, help="Cohort with the test images.")
@click.option("--set", "test", type=click.Choice(["balanced", "external"]), help="Of the cohort.  [default: balanced]")
@click.option(
    "--image", "images", type=option.FILE, multiple=True, help="A photograph instead of a cohort; repeatable."
)
@option.FIT
@click.option("--method", default="auto", metavar="auto|grad-cam|occlusion", help="How heat maps are made.")
@click.option("--count", type=int, default=8, help="Images of each kind that are shown, at most.")
@option.SENSITIVITY
@click.option("--threshold", type=float, help="Probability above which an image is called positive, instead.")
@click.option("--checks", type=int, default=32, help="Images that each check of the maps looks at; 0 checks nothing.")
@click.option(
    "--segmentation", type=FOLDER, help="Folder with facebook/sam-vit-base: how much evidence lies on its masks."
)
@click.option("--seed", type=int, default=0, help="Of what the checks draw.")
@option.ALLOW_SEEN
@option.DEVICE
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder for pictures, page and numbers.")
@click.option("--force", is_flag=True, help="Replace an earlier explanation.")
def command(
    model: Path,
    cohort: Path | None,
    test: str | None,
    images: tuple[Path, ...],
    segmentation: Path | None,
    allow_seen: bool,
    device: str,
    out: Path,
    force: bool,
    **options: Any,
) -> None:
    """Show where the classifier in the folder MODEL, or one for each fold, finds evidence for the positive class.

    Heat maps of right and wrong verdicts on test images, or of single photographs, and whether they can be believed.
    """
    from classify.explain import explain, explain_photographs
    from classify.explaining.explained import ExplainOptions
    from shared.errors import UserError
    from shared.nn.device import choose_device

    if (cohort is None) == (not images):
        raise UserError("--cohort, --image: give one of them: test images of a cohort, or photographs.")
    if images and test is not None:
        raise UserError(f"--set {test}: of a cohort, and --image has none; leave one of them out.")
    asked, chosen = ExplainOptions(**options), choose_device(device)
    if segmentation is not None and (cohort is None or not asked.checks):
        raise UserError("--segmentation: one of the checks, which want --cohort, and --checks above 0.")
    common: dict[str, Any] = {"out": out, "device": chosen, "options": asked}
    common |= {"allow_seen": allow_seen, "force": force}
    if cohort is None:
        explain_photographs(model, images, **common)
    else:
        from shared.nn.segment import Sam

        segmenter = None if segmentation is None else Sam(segmentation, chosen)
        explain(model, cohort=option.read_cohort(cohort), test=test or "balanced", segmenter=segmenter, **common)
