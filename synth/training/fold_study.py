"""The study of one fold's grid: what speaks against it before the first hour of work, and how it is opened."""

from typing import Any

from shared.errors import UserError
from shared.studies.storage import open_existing, open_storage, place_name, storage_file
from shared.studies.study import Study, require_same_plan
from synth.networks.provenance import TABLE
from synth.scores.features import identity
from synth.scores.quality import require_enough_fakes, require_subset
from synth.training.cells import Cell
from synth.training.fold_grid import FoldGrid
from synth.training.run import every_nimg
from synth.training.run_folder import STUDY_FILES, RunFolder, is_passing
from synth.training.search import AXES

MAY_GROW = frozenset({"kimg", "checkpoint_every"})  # of a grid that goes on for longer
STUDY = "table1"  # name of the study in a grid's own folder, which may be moved


def require_possible(grid: FoldGrid) -> None:
    """Check what can be checked without making anything: the folders, the feature space and its images.

    Raises `UserError`: the folders hold something else, weights cannot be had, or there are too few images.
    """
    if not grid.search.is_single:
        _require_own_folder(grid)
    for cell in grid.search.cells:
        grid.folder(cell).require_same(grid.describe(cell))
    require_enough_fakes(grid.extractor, grid.fakes)
    require_subset(grid.options.kid_subset, len(grid.data.validation), grid.fakes)
    storage_file(grid.options.storage, grid.out)
    if grid.options.study is not None and (grid.options.storage is None or not grid.options.study):
        raise UserError(f"--study {grid.options.study}: names a study in --storage; give both, or leave it out.")
    if grid.search.pruner != "none" and every_nimg(grid.options) >= 1000 * grid.options.kimg:
        raise UserError(
            f"--pruner {grid.search.pruner}: judges cells by scores on the way, and there is none before the end; "
            f"give --checkpoint-every less than the {grid.options.kimg:g} of --kimg."
        )


def _require_own_folder(grid: FoldGrid) -> None:
    """Raise `UserError` when the folder holds something, and nothing of it is a grid's."""
    if RunFolder(grid.out).config.exists():
        raise UserError(f"{grid.out}: holds a single run, and a grid needs a folder of its own; give another --out.")
    names = {entry.name for entry in grid.out.iterdir()} if grid.out.exists() else set()
    names = {name for name in names if not is_passing(name)}
    storage = storage_file(grid.options.storage, grid.out)
    own = {TABLE, *(cell.name for cell in grid.search.cells), *([] if storage is None else [storage.name])}
    if names and not any(name in own or name.startswith(STUDY_FILES) for name in names):
        raise UserError(f"{grid.out}: not empty and not a grid's folder; give another --out.")


def require_same_study(grid: FoldGrid) -> None:
    """Check the study without making it.

    Raises `UserError`: the storage cannot be used, or has another grid.
    """
    storage = open_existing(grid.options.storage, grid.out)
    if storage is not None:
        require_same_plan(storage, _study_name(grid), _plan(grid) | grid.search.describe(), MAY_GROW)


def _study_name(grid: FoldGrid) -> str:
    options = grid.options
    of_fold = f"-fold{grid.fold}" if options.several_folds else ""
    return STUDY if options.storage is None else f"{options.study or options.out.resolve().name}{of_fold}"


def open_study(grid: FoldGrid, *, helps: bool = False) -> Study[Cell]:
    """Open the grid's study, before the first hour of work; `helps`: see `Study`.

    Raises `UserError`: `require_possible`, or the storage cannot be used or has another grid.
    """
    options = grid.options
    return Study(
        open_storage(options.storage, grid.out),
        _study_name(grid),
        grid.search,
        _plan(grid),
        amount=options.kimg,
        unit="kimg",
        seed=options.seed,
        grace_s=options.grace,
        place=lambda: place_name(grid.out),
        is_there=lambda cell: grid.folder(cell).is_finished(0),
        may_differ=MAY_GROW,
        helps=helps,
    )


def _plan(grid: FoldGrid) -> dict[str, Any]:
    """Return what all workers of the study must agree on, besides the cells."""
    plan = grid.describe(grid.search.corners()[0])
    own = ("cell", "environment", "precision", "save_every_min")
    plan["quality"] |= identity(grid.extractor)
    plan["training"] = {name: value for name, value in plan["training"].items() if name not in AXES}
    return {name: value for name, value in plan.items() if name not in own}
