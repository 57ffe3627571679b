"""The stage `classify study`: all cells of a preset fitted, evaluated and laid out as Table 2.

A cell is one fit and its evaluation: model x ratio x control x fold x seed. They are a study as Table 1's are
(`shared.studies`), so the same command on several machines shares them, whatever dies. What is done is left as it is.
"""

from typing import Any

import rich.box
import rich.table

from classify.place import Place, working
from classify.studying.cells import TableStudy
from classify.studying.checks import require_writable
from classify.studying.options import StudyOptions, TableCell
from classify.studying.workers import work
from classify.table2.summary import Table
from classify.tables import write_table
from shared.console import console, say
from shared.errors import UserError
from shared.studies.patience import patiently
from shared.studies.storage import open_existing, open_storage, place_name
from shared.studies.study import Study, forget_other_plan, require_same_plan

STUDY = "table2"  # name of the study in a folder of its own, which may be moved
UNIT = "fits"
WAY_OUT = "give --force to replace it, another --out or --study, or the same options to go on"


def study(options: StudyOptions) -> Table | None:
    """Fit and evaluate every cell under `options.out`, append to the records and write the table (.md, .json, figures).

    The external set is evaluated where the cohort has one. None when other workers still have cells: the one that ends
    last writes the table.

    Raises:
        UserError: whatever `fit`, `evaluate` or `write_table` refuses; what cannot be mixed shows before the first fit.
        SystemExit: a signal asked to stop; the same command goes on.
    """
    require_writable(options)
    with working(options.device, weights=options.weights, offline=options.offline) as place:
        shop = TableStudy(options, place)
        ranks, described = place.ranks, shop.describe()
        if options.dry_run:
            _require_same(shop, described)
            _say_plan(shop)
            return None
        _say_unused(shop)
        studies: list[Study[TableCell]] = []
        ranks.from_first(lambda: studies.append(_open(shop, described)))
        left = ranks.from_first(lambda: studies[0].left())
        say(f"{shop.grid.in_words()}, {left} to do; {options.out}")
        work(shop, studies, left, options, place, _join)
        return ranks.from_first(lambda: _conclude(shop, studies[0]))


def _say_unused(shop: TableStudy) -> None:
    used = {digest for config in shop.configs.values() for digest in config.bundles}
    for bundle in shop.bundles:
        if bundle.sha256 not in used:
            say(f"note: {bundle.path} is not used, since no cell is of its class and fold with synthetic images.")
    if shop.has_paper and shop.options.preset.endswith(".toml"):  # a file, and none of ours
        say(f"note: {shop.options.preset}: `paper` is not used, since tables print what the preset paper holds of it.")


def _study_name(options: StudyOptions) -> str:
    if options.study_name is not None:
        return options.study_name
    folds = "".join(f"-fold{fold}" for fold in sorted(set(options.folds)))  # each a study beside the others in --out
    return (STUDY if options.storage is None else options.out.resolve().name) + folds


def _require_same(shop: TableStudy, described: dict[str, Any]) -> None:
    """Check the study without making it.

    Raises `UserError`: the storage cannot be used, or has another study that `--force` is not to replace.
    """
    options = shop.options
    storage = open_existing(options.storage, options.out)
    if storage is not None and not options.force:
        require_same_plan(storage, _study_name(options), described | shop.grid.describe(), way_out=WAY_OUT)


def _open(shop: TableStudy, described: dict[str, Any], *, helps: bool = False) -> Study[TableCell]:
    options = shop.options
    storage, name = open_storage(options.storage, options.out), _study_name(options)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.force and not helps:
        forget_other_plan(storage, name, described | shop.grid.describe())
    return Study(
        storage,
        name,
        shop.grid,
        described,
        amount=1,
        unit=UNIT,
        seed=0,
        grace_s=options.grace,
        place=lambda: place_name(options.out),
        is_there=shop.is_there,
        helps=helps,
        way_out=WAY_OUT,
    )


def _join(options: StudyOptions, place: Place) -> tuple[TableStudy, Study[TableCell]]:
    """Return what a worker in a process of its own works on."""
    shop = TableStudy(options, place)
    return shop, _open(shop, shop.describe(), helps=True)


def _conclude(shop: TableStudy, done: Study[TableCell]) -> Table | None:
    """Write the table of all cells.

    Raises `UserError`: a cell could not be fitted.
    """
    options = shop.options
    standing, rows = patiently(done.standing, f"{done.storage.name}:"), done.rows()
    if standing.running:
        say(f"{options.out}: other workers still have {standing.running} of the cells; the last one writes the table")
        return None
    if rows:
        shop.records.add([record for row in rows for record in row["records"]])
        table = write_table([options.records], out=options.table, operating=options.operating, force=True)
    if standing.failed:
        name, reason = next(iter(standing.failed.items()))
        more = f" ({len(standing.failed) - 1} more failed.)" if len(standing.failed) > 1 else ""
        raise UserError(f"{name}: {reason}{more}")
    return table if rows else None


def _say_plan(shop: TableStudy) -> None:
    shown = rich.table.Table(title="cells", box=rich.box.SIMPLE, pad_edge=False)
    for column in ("cell", "images an epoch", "epochs", "learning rate", "done"):
        shown.add_column(column, justify="left" if column == "cell" else "right", overflow="fold")
    for cell in shop.grid.cells:
        planned = shop.plan(cell)
        config = planned.config
        images, done = len(planned.mixture.train), "yes" if shop.is_there(cell) else ""
        shown.add_row(cell.name, str(images), str(config.epochs), f"{config.lr:g}", done)
    console().print(shown)
