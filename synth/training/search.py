"""Which cells a study tries: those of a grid, or points that a sampler chooses in ranges until a budget is used up."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from shared.errors import UserError
from shared.studies.values import Budget, Range
from synth.training.cells import Cell
from synth.training.methods import adapts, cells_of, choose_method
from synth.training.options import GAMMA, GRID, TARGET, TrainOptions
from synth.training.run import every_nimg

AXES = ("gamma", "target", "lr")
SEED = "seed"
SAMPLERS = (GRID, "tpe", "random")
PRUNERS = ("none", "median", "hyperband")
STARTUP_CELLS = 4  # that are never pruned, and that TPE draws at random before it models anything
MANY_CELLS = 1000
REDUCTION = 3  # of Hyperband: a third of the cells goes on, three times as long


@dataclass(frozen=True)
class Search:
    """What a study tries.

    Attributes:
        cells: the grid; empty when a sampler chooses.
        axes: for a sampler, the values of each of `AXES`: a range, or numbers to choose from.
        sampler, pruner: one of `SAMPLERS` and `PRUNERS`.
        budget: when a sampler ends.
        every_nimg: images between the scores that a pruner judges by.
    """

    cells: tuple[Cell, ...] = ()
    axes: Mapping[str, Range | tuple[float, ...]] | None = None
    sampler: str = GRID
    pruner: str = "none"
    budget: Budget = field(default_factory=Budget)
    every_nimg: int = 0

    @property
    def chooses(self) -> bool:
        """Whether a sampler chooses the cells."""
        return self.axes is not None

    @property
    def is_single(self) -> bool:
        """Whether there is but one cell."""
        return self.axes is None and len(self.cells) == 1

    @property
    def most_cells(self) -> int:
        """How many cells may be trained at once."""
        return self.budget.cells or MANY_CELLS if self.axes is not None else len(self.cells)

    def in_words(self) -> str:
        """Say what is tried."""
        if self.axes is None:
            return f"{len(self.cells)} {'cell' if len(self.cells) == 1 else 'cells'}"
        return f"cells chosen by {self.sampler} until {self.budget}"

    def corners(self) -> tuple[Cell, ...]:
        """Return cells that tell whether all others can be trained: the grid's, or the ends of the ranges."""
        if self.axes is None:
            return self.cells
        ends = [(axis.low, axis.high) if isinstance(axis, Range) else axis for axis in self.axes.values()]
        names = list(self.axes)
        points = (dict(zip(names, point, strict=True)) for point in itertools.product(*ends))
        return tuple(Cell(point["gamma"], point["target"], point["lr"]) for point in points)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space of the study, as Optuna and its dashboard know it."""
        if self.axes is None:
            columns = {name: [getattr(cell, name) for cell in self.cells] for name in AXES}
            space: dict[str, BaseDistribution] = {n: FloatDistribution(min(v), max(v)) for n, v in columns.items()}
            seeds = [cell.seed for cell in self.cells if cell.seed is not None]
            return space | ({SEED: IntDistribution(min(seeds), max(seeds))} if seeds else {})
        return {
            name: FloatDistribution(axis.low, axis.high, log=axis.log)
            if isinstance(axis, Range)
            else CategoricalDistribution(axis)
            for name, axis in self.axes.items()
        }

    def make_sampler(self, seed: int) -> BaseSampler:
        """Return the sampler of one choice; several workers' choices are told apart by `seed`."""
        if self.sampler == "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP_CELLS, constant_liar=True)
        return RandomSampler(seed=seed)

    def make_pruner(self, amount: float) -> BasePruner:
        """Return the pruner of cells of `amount` kimg."""
        if self.pruner == "median":
            return MedianPruner(n_startup_trials=STARTUP_CELLS, n_warmup_steps=self.every_nimg)
        if self.pruner == "hyperband":
            return HyperbandPruner(self.every_nimg, max_resource=round(1000 * amount), reduction_factor=REDUCTION)
        return NopPruner()

    def describe(self) -> dict[str, Any]:
        """Return what must stay the same while a study goes on."""
        if self.axes is None:
            return {"cells": [cell.name for cell in self.cells], "sampler": self.sampler}
        axes = {n: str(a) if isinstance(a, Range) else list(a) for n, a in self.axes.items()}
        return axes | {"sampler": self.sampler}

    def params_of(self, cell: Cell) -> dict[str, float]:
        """Return a cell's values by name, as a trial has them."""
        return {name: getattr(cell, name) for name in AXES} | ({} if cell.seed is None else {SEED: cell.seed})

    def cell_of(self, params: Mapping[str, Any]) -> Cell | None:
        """Return the cell that has these values, the grid's own if it is there; None when some are missing."""
        if not params.keys() >= set(AXES):
            return None
        same = (cell for cell in self.cells if self.params_of(cell) == params)
        return next(same, None) or Cell(**params)

    def allows(self, begun: int, rows: Sequence[Mapping[str, Any]], amount: float) -> bool:
        """Tell whether the budget allows one more cell of `amount` kimg, as Table 1 has the `rows` of those done."""
        under_way = max(begun - len(rows), 0)
        kimg = sum(row.get("ended_at_kimg", amount) for row in rows) + under_way * amount
        hours = sum(row["seconds"] for row in rows) / 3600
        return self.budget.allows(begun, kimg, hours)


def plan_search(options: TrainOptions, cells: Sequence[Cell]) -> Search:
    """Return what options ask to try; `cells` are the grid's.

    Raises `UserError`: cells that are all the same to the method, a range without a sampler, a sampler without an end.
    """
    _, method = choose_method(options)
    for name, value, known in (("sampler", options.sampler, SAMPLERS), ("pruner", options.pruner, PRUNERS)):
        if value not in known:
            raise UserError(f"--{name} {value}: unknown; use one of {', '.join(known)}.")
    asked = {"gamma": options.gamma, "target": options.target, "lr": options.lr}
    if options.sampler == GRID:
        ranges = [
            f"--{name} {value}" for name, axis in asked.items() for value in axis or () if isinstance(value, Range)
        ]
        if ranges:
            raise UserError(f"{ranges[0]}: a range, which has no cells for a grid; add --sampler tpe or random.")
        if options.budget is not None:
            raise UserError(
                "--budget: when a sampler ends, and a grid has its end; leave it out, or add --sampler tpe."
            )
        trained = cells_of(options, method, cells)
        _require_prunable(options.pruner, len(trained))
        return Search(trained, pruner=options.pruner, every_nimg=round(every_nimg(options)))
    if len(options.seeds) > 1:
        raise UserError(
            f"--seed: several are of a grid, and --sampler {options.sampler} tries each cell once; give one."
        )
    if options.cells is not None:
        raise UserError(f"--sampler {options.sampler}: chooses cells, and --cells lists them; leave one out.")
    if options.budget is None:
        raise UserError(f"--sampler {options.sampler}: never ends by itself; add --budget 20cells for example.")
    usual = {
        "gamma": () if method.projected else (GAMMA,),
        "target": (TARGET,) if adapts(options, method) else (),
        "lr": (),
    }
    axes = {name: _axis(name, axis or usual[name]) for name, axis in asked.items()}
    budget = Budget.read(options.budget, "kimg")
    points = math.prod(1 if isinstance(axis, Range) else len(axis) for axis in axes.values())
    if not any(isinstance(axis, Range) for axis in axes.values()) and (budget.cells is None or budget.cells > points):
        raise UserError(
            f"--budget {options.budget}: more than the {points} {'cell' if points == 1 else 'cells'} that the values "
            "make; give a range (--gamma 0.05:1:log), a smaller budget, or leave --sampler out for a grid."
        )
    _require_prunable(options.pruner, budget.cells)
    return Search((), axes, options.sampler, options.pruner, budget, round(every_nimg(options)))


def _require_prunable(pruner: str, cells: int | None) -> None:
    """Raise `UserError` when there are too few cells for one of them to be far behind others."""
    few = {"none": 0, "median": STARTUP_CELLS, "hyperband": 1}[pruner]
    if cells is not None and cells <= few:
        others = f"{few} others that came to their end" if few > 1 else "others"
        raise UserError(
            f"--pruner {pruner}: compares a cell with {others}, and there {'is' if cells == 1 else 'are'} {cells} in "
            "all; leave it out."
        )


def _axis(name: str, values: Sequence[float | Range]) -> Range | tuple[float, ...]:
    """Return one range or all numbers; a hyper-parameter that is not used is 0."""
    numbers = tuple(dict.fromkeys(value for value in values if not isinstance(value, Range)))
    ranges = [value for value in values if isinstance(value, Range)]
    if ranges and (numbers or len(ranges) > 1):
        raise UserError(f"--{name} {ranges[0]}: a range and more; give one range, or numbers to choose from.")
    return ranges[0] if ranges else numbers or (0.0,)
