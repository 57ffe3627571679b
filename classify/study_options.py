"""What a study of Table 2 is asked for, and its cells."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler

from classify.operating import Operating
from classify.presets import ALL, Cell
from classify.ratio import NONE
from classify.settings import FitOptions
from shared.cohort import Cohort
from shared.errors import UserError

AXES = ("model", "ratio", "control", "synthetic", "fold", "seed")


@dataclass(frozen=True)
class StudyOptions:
    """Options of `classify study`, as on the command line."""

    cohort: Path
    out: Path
    records: Path
    table: Path
    preset: str = "demo"
    bundles: tuple[Path, ...] = ()
    protocol: str = "strict"
    seeds: tuple[int, ...] = ()
    operating: Operating = field(default_factory=Operating)
    allow_seen: bool = False
    storage: str | None = None
    study_name: str | None = None
    jobs: int = 1
    grace: float = 120.0
    wait: bool = True
    precision: str | None = None
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False
    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True)
class TableCell:
    """One fit of Table 2 and its evaluation."""

    options: FitOptions
    fold: int

    @property
    def folder(self) -> Path:
        """Where its model is, below the study's folder: `custom_cnn/1to5-oversampling/fold0`."""
        options = self.options
        row = options.ratio.replace(":", "to")
        row += "" if options.control == NONE else f"-{options.control}"
        row += "-both" if options.synthetic == "both" else ""
        seed = f"-seed{options.seed}" if options.seed else ""
        return Path(options.model.replace(":", "_").replace("/", "_"), row, f"fold{self.fold}{seed}")

    @property
    def name(self) -> str:
        """What tells it from all other cells."""
        return self.folder.as_posix()


@dataclass(frozen=True)
class CellGrid:
    """All cells of a study (`shared.studies.search.Search`)."""

    cells: tuple[TableCell, ...]
    chooses: bool = False

    @property
    def most_cells(self) -> int:
        """How many cells may be done at once."""
        return len(self.cells)

    def in_words(self) -> str:
        """Say what is done."""
        return f"{len(self.cells)} {'cell' if len(self.cells) == 1 else 'cells'}"

    def describe(self) -> dict[str, Any]:
        """Return what must stay the same while the study goes on."""
        return {"cells": [cell.name for cell in self.cells]}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the axes of the table, as Optuna and its dashboard know them."""
        columns = [self.params_of(cell) for cell in self.cells]
        return {name: CategoricalDistribution(list(dict.fromkeys(row[name] for row in columns))) for name in AXES}

    def make_sampler(self, seed: int) -> BaseSampler:
        """Return a sampler, which has nothing to choose."""
        return RandomSampler(seed=seed)

    def make_pruner(self, amount: float) -> BasePruner:  # noqa: ARG002
        """Return a pruner that lets every cell come to its end."""
        return NopPruner()

    def params_of(self, cell: TableCell) -> dict[str, Any]:
        """Return a cell's place on each axis."""
        options = cell.options
        place = {name: getattr(options, name) for name in AXES if hasattr(options, name)}
        return place | {"synthetic": options.synthetic or "positive", "fold": cell.fold}

    def cell_of(self, params: Mapping[str, Any]) -> TableCell | None:
        """Return the cell at a place, None where there is none."""
        return next((cell for cell in self.cells if self.params_of(cell) == params), None)

    def allows(self, begun: int, rows: Sequence[Mapping[str, Any]], amount: float) -> bool:  # noqa: ARG002
        """Tell whether there may be one more cell: no."""
        return False


def table_cells(rows: Sequence[Cell], cohort: Cohort, options: StudyOptions) -> CellGrid:
    """Return every cell that a preset's rows come to: each fold, each seed.

    Raises `UserError`: two of them are the same place of the table.
    """
    cells = []
    for row in rows:
        folds = range(cohort.folds) if row.fold == ALL else [int(row.fold)]
        for fold in folds:
            for seed in options.seeds or (row.options.seed,):
                synthetic = row.options.synthetic or "positive"  # a bundle of negatives is for rows that say so
                changes: dict[str, Any] = {"protocol": options.protocol, "seed": seed, "synthetic": synthetic}
                if options.precision is not None:
                    changes["precision"] = options.precision
                cells.append(TableCell(replace(row.options, **changes), fold))
    for name, count in Counter(cell.name for cell in cells).items():
        if count > 1:
            raise UserError(f"--preset {options.preset}: {name} stands there {count} times; give each cell once.")
    return CellGrid(tuple(cells))
