"""`classify study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classify import option
from shared.command_options import NEW_FOLDER

if TYPE_CHECKING:
    from classify.measuring.operating import Operating


@click.command("study")
@click.argument("cohort", type=option.COHORT)
@click.option("--preset", default="demo", metavar="demo|paper|controlled|FILE.toml", help="The cells of Table 2.")
@option.BUNDLE
@option.PROTOCOL
@click.option(
    "--fold", "folds", multiple=True, callback=option.folds, metavar="N|all",
    help="Only cells of this fold; repeatable.  [default: all]",
)  # fmt: skip
@click.option(
    "--seed", "seeds", type=int, multiple=True, help="Fit each cell with each; repeatable.  [default: the preset's]"
)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder for the models and the study.")
@option.RECORDS
@click.option("--table", type=option.FILE, required=True, help="Markdown file; JSON and pictures go beside it.")
@option.ALLOW_SEEN
@option.operating
@option.STUDY
@option.PRECISION
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
@click.option("--dry-run", is_flag=True, help="Only say which cells there are, and which are done.")
@click.option("--force", is_flag=True, help="Replace models of another configuration, and the study of them.")
def command(
    cohort: Path,
    bundles: tuple[Path, ...],
    operating: Operating,
    **options: Any,
) -> None:
    """Fit and evaluate every cell of a preset on COHORT, and write Table 2; what is done is not done again.

    A cell is a model at a ratio, on a fold, with a seed. The same command on several machines shares them.
    """
    from classify import study as stage
    from classify import tables
    from classify.studying.options import StudyOptions

    made = stage.study(StudyOptions(cohort=cohort, bundles=bundles, operating=operating, **options))
    if made is not None:
        tables.report(made, options["table"])
