"""What a study of Table 2 is asked for, and its cells."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler

from classify.fitting.ratio import NONE, Ratio
from classify.fitting.settings import FitOptions
from classify.measuring.operating import Operating
from classify.presets import ALL, Cell
from classify.sharing import Sharing
from shared.choices import PROTOCOLS
from shared.cohort import Cohort
from shared.errors import UserError
from shared.splits import require_fold

AXES = ("model", "ratio", "control", "synthetic", "fold", "seed")


@dataclass(frozen=True)
class StudyOptions(Sharing):
    """Options of `classify study`, as on the command line.

    Raises `UserError`: one that is out of range whatever the cohort and the preset are.
    """

    cohort: Path
    out: Path
    records: Path
    table: Path
    preset: str = "demo"
    bundles: tuple[Path, ...] = ()
    protocol: str = "strict"
    folds: tuple[int, ...] = ()  # of the preset's rows only these; none given: all
    seeds: tuple[int, ...] = ()
    operating: Operating = field(default_factory=Operating)
    allow_seen: bool = False
    dry_run: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.protocol not in PROTOCOLS:
            raise UserError(f"--protocol {self.protocol}: not known; give one of {', '.join(PROTOCOLS)}.")
        for fold in self.folds:
            if fold < 0:
                raise UserError(f"--fold {fold}: negative; give 0 or more.")
        for seed in self.seeds:
            if seed < 0:
                raise UserError(f"--seed {seed}: negative; give 0 or more.")


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
    """Return every cell that a preset's rows come to: each fold that is asked for, each seed.

    Raises `UserError`: a fold that the cohort has not, a row that cannot be, two of them that are the same place of the
    table, or none at all.
    """
    for fold in options.folds:
        require_fold(cohort, fold)
    cells = []
    for row in rows:
        folds = [fold for fold in _folds(row, cohort) if fold in (options.folds or (fold,))]
        fits = [_options(row.options, seed, options) for seed in dict.fromkeys(options.seeds or (row.options.seed,))]
        cells += [TableCell(fitted, fold) for fold in folds for fitted in fits]
    if not cells:
        asked = ", ".join(map(str, options.folds))
        raise UserError(f"--fold {asked}: no cell of --preset {options.preset} is of it; leave --fold out for all.")
    for name, count in Counter(cell.name for cell in cells).items():
        if count > 1:
            raise UserError(f"--preset {options.preset}: {name} stands there {count} times; give each cell once.")
    return CellGrid(tuple(cells))


def _folds(row: Cell, cohort: Cohort) -> Sequence[int]:
    return range(cohort.folds) if row.fold == ALL else [int(row.fold)]


def _options(row: FitOptions, seed: int, options: StudyOptions) -> FitOptions:
    """Return what a row's fit is asked for, in the words of its record's key: two places of the table differ in it."""
    if row.protocol not in (FitOptions.protocol, options.protocol):
        raise UserError(
            f"--preset {options.preset}: has a cell of protocol {row.protocol}, and all cells of a study are of one; "
            f"give --protocol {row.protocol}, or leave it out there."
        )
    try:
        ratio = Ratio.parse(row.ratio)
    except UserError as error:
        raise UserError(f"--preset {options.preset}: {error}") from None
    return replace(
        row,
        ratio=str(ratio),
        protocol=options.protocol,
        seed=seed,
        # a bundle of negatives is for rows that say so
        synthetic="positive" if row.synthetic is None else row.synthetic,
        precision=row.precision if options.precision is None else options.precision,
    )
