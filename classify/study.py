"""The stage `classify study`: all cells of a preset fitted, evaluated and laid out as Table 2.

What is done is left as it is, so the same command goes on after an interruption and does only what is stale.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from classify.evaluate import SETS, evaluate
from classify.fit import fit, plan
from classify.folder import read_config
from classify.mixing import NONE
from classify.presets import ALL, Cell, read_preset
from classify.tables import Table, write_table
from shared.bundle import Bundle
from shared.cohort import EXTERNAL, Cohort
from shared.records import read_records
from shared.weights import WeightSource


def study(
    cohort: Cohort,
    *,
    preset: str,
    bundles: Sequence[Bundle],
    out: Path,
    records: Path,
    table: Path,
    device: torch.device,
    protocol: str = "strict",
    weights: WeightSource = WeightSource(),  # noqa: B008 - frozen
    allow_seen: bool = False,
    force: bool = False,
) -> Table:
    """Fit and evaluate every cell of `preset` under `out`, append to `records` and write `table` (.md and .json).

    The external set is evaluated where the cohort has one. `force` replaces models of another configuration.

    Raises `UserError`: whatever `fit`, `evaluate` or `write_table` refuses; a cell that cannot be mixed shows before
    the first one begins.
    """
    sets = SETS if (cohort.role == EXTERNAL).any() else SETS[:1]
    cells = [replace(cell, options=replace(cell.options, protocol=protocol)) for cell in read_preset(preset)]
    for cell in cells:
        plan(cohort, bundles=bundles, options=cell.options, folds=cell_folds(cell, cohort))
    for cell in cells:
        places = fit(
            cohort,
            bundles=() if cell.options.ratio == NONE else bundles,
            options=cell.options,
            folds=cell_folds(cell, cohort),
            out=cell_folder(out, cell),
            device=device,
            weights=weights,
            cache=out / "features",
            force=force,
        )
        for place in places:
            stale = [name for name in sets if not _is_recorded(records, place, name, cohort, allow_seen=allow_seen)]
            if stale:
                evaluate(place, cohort=cohort, sets=stale, records=records, device=device, allow_seen=allow_seen)
    return write_table([records], out=table, force=True)


def cell_folds(cell: Cell, cohort: Cohort) -> Sequence[int]:
    """Return the folds that a cell runs."""
    return range(cohort.folds) if cell.fold == ALL else [int(cell.fold)]


def cell_folder(out: Path, cell: Cell) -> Path:
    """Return the folder of a cell's models: `out/custom_cnn/1to5`."""
    return out / cell.options.model.replace(":", "_") / cell.options.ratio.replace(":", "to")


def _is_recorded(records: Path, place: Path, name: str, cohort: Cohort, *, allow_seen: bool) -> bool:
    """Tell whether `records` holds the evaluation of the model in `place` on the set `name` of `cohort`."""
    if not records.is_file():
        return False
    wanted = asdict(read_config(place)[0])
    return any(
        record.get("fit") == wanted
        and record["key"].get("set") == name
        and record.get("cohort", {}).get("sha256") == cohort.sha256
        and record.get("allow_seen") == allow_seen
        for record in read_records(records)
    )
