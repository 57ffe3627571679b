"""The points of a search of settings, and who chooses among them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from shared.studies.values import Budget, Range

SAMPLERS = ("tpe", "random")
PRUNERS = ("none", "median", "hyperband")
STARTUP_TRIALS = 5  # that are never pruned, and that TPE draws at random before it models anything
WARM_UP_EPOCHS = 3
REDUCTION = 3  # of Hyperband: a third of the trials goes on, three times as long
MANY_TRIALS = 1000
MOST_OPEN = 50  # trials without a result, of which a budget of hours or epochs would never be used up


@dataclass(frozen=True)
class Trial:
    """One point: settings that are searched."""

    lr: float
    depth: int | None
    layers: int
    width: int
    optimizer: str

    @property
    def name(self) -> str:
        """What tells it from all other points, to six digits of the learning rate."""
        depth = "" if self.depth is None else f"_conv{self.depth}"
        return f"lr{self.lr:.6g}{depth}_head{'x'.join(map(str, self.head)) or 'none'}_{self.optimizer}"

    @property
    def head(self) -> tuple[int, ...]:
        """Widths of the hidden layers: each has half of the one before, and at least two units where that has two."""
        return tuple(max(self.width >> number, min(self.width, 2)) for number in range(self.layers))


@dataclass(frozen=True)
class TrialSearch:
    """Points that a sampler chooses until the budget is used up (`shared.studies.search.Search`).

    Attributes:
        lr: a range, or numbers to choose from.
        depth, layers: lowest and highest; None for models whose layers are what they are.
        width, optimizers: to choose from.
        sampler, pruner, budget: see `TuneOptions`.
    """

    lr: Range | tuple[float, ...]
    depth: tuple[int, int] | None
    layers: tuple[int, int]
    width: tuple[int, ...]
    optimizers: tuple[str, ...]
    sampler: str = "tpe"
    pruner: str = "median"
    budget: Budget = field(default_factory=Budget)
    cells: tuple[Trial, ...] = ()
    chooses: bool = True

    @property
    def most_cells(self) -> int:
        """How many trials may be done at once."""
        return self.budget.cells or MANY_TRIALS

    def in_words(self) -> str:
        """Say what is tried."""
        return f"trials chosen by {self.sampler} until {self.budget}"

    @property
    def points(self) -> float:
        """How many points there are: infinitely many of a range of learning rates."""
        depths = 1 if self.depth is None else self.depth[1] - self.depth[0] + 1
        layers = range(self.layers[0], self.layers[1] + 1)
        heads = {Trial(1.0, None, *each, "").head for each in itertools.product(layers, self.width)}
        rates = math.inf if isinstance(self.lr, Range) else len(self.lr)
        return rates * depths * len(heads) * len(self.optimizers)

    def corners(self) -> tuple[Trial, Trial]:
        """Return two points that have the ends of all ranges: if these can be built, so can all.

        The fewest convolutions, which leave the most features, come with the largest head.
        """
        rates = (self.lr.low, self.lr.high) if isinstance(self.lr, Range) else (min(self.lr), max(self.lr))
        heads = (self.layers[1], max(self.width)), (self.layers[0], min(self.width))
        ends = zip(rates, self.depth or (None, None), heads, strict=True)
        first, last = (Trial(lr, depth, *head, self.optimizers[0]) for lr, depth, head in ends)
        return first, last

    def describe(self) -> dict[str, Any]:
        """Return what must stay the same while the search goes on."""
        lr = str(self.lr) if isinstance(self.lr, Range) else list(self.lr)
        return {
            "lr": lr,
            "depth": None if self.depth is None else list(self.depth),
            "layers": list(self.layers),
            "width": list(self.width),
            "optimizers": list(self.optimizers),
            "sampler": self.sampler,
        }

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space of the search, as Optuna and its dashboard know it."""
        space: dict[str, BaseDistribution] = {
            "lr": FloatDistribution(self.lr.low, self.lr.high, log=self.lr.log)
            if isinstance(self.lr, Range)
            else CategoricalDistribution(self.lr),
            "layers": IntDistribution(*self.layers),
            "width": CategoricalDistribution(self.width),
            "optimizer": CategoricalDistribution(self.optimizers),
        }
        return space | ({} if self.depth is None else {"depth": IntDistribution(*self.depth)})

    def make_sampler(self, seed: int) -> BaseSampler:
        """Return the sampler of one choice; several workers' choices are told apart by `seed`."""
        if self.sampler == "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True)
        return RandomSampler(seed=seed)

    def make_pruner(self, amount: float) -> BasePruner:
        """Return the pruner of trials of `amount` epochs."""
        if self.pruner == "median":
            return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARM_UP_EPOCHS)
        if self.pruner == "hyperband":
            return HyperbandPruner(1, max_resource=round(amount), reduction_factor=REDUCTION)
        return NopPruner()

    def params_of(self, cell: Trial) -> dict[str, Any]:
        """Return a point's values by name."""
        return {name: getattr(cell, name) for name in self.distributions()}

    def cell_of(self, params: Mapping[str, Any]) -> Trial | None:
        """Return the point that has these values; None when some are missing."""
        if not params.keys() >= set(self.distributions()):
            return None
        return Trial(**({"depth": None} | dict(params)))

    def allows(self, begun: int, rows: Sequence[Mapping[str, Any]], amount: float) -> bool:
        """Tell whether the budget allows one more trial of `amount` epochs."""
        under_way = max(begun - len(rows), 0)  # or failed
        if self.budget.cells is None and under_way >= MOST_OPEN:
            return False
        epochs = sum(row["epochs"] for row in rows) + under_way * amount
        hours = sum(row["seconds"] for row in rows) / 3600
        return bool(self.budget.allows(begun, epochs, hours))
