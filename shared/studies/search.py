"""What a study asks of those who say which cells there are."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler


class Cell(Protocol):
    """One piece of a study's work."""

    @property
    def name(self) -> str:
        """What tells it from all other cells."""


CellT = TypeVar("CellT", bound=Cell)


class Search(Protocol[CellT]):
    """Which cells a study tries: those of a grid, or points that a sampler chooses until a budget is used up."""

    @property
    def cells(self) -> Sequence[CellT]:
        """The grid; empty when a sampler chooses."""

    @property
    def chooses(self) -> bool:
        """Whether a sampler chooses."""

    @property
    def most_cells(self) -> int:
        """How many cells may be done at once."""

    def describe(self) -> dict[str, Any]:
        """Return what must stay the same while a study goes on."""

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space of the study, as Optuna and its dashboard know it."""

    def make_sampler(self, seed: int) -> BaseSampler:
        """Return the sampler of one choice; several workers' choices are told apart by `seed`."""

    def make_pruner(self, amount: float) -> BasePruner:
        """Return the pruner of cells of which `amount` is wanted."""

    def params_of(self, cell: CellT) -> dict[str, Any]:
        """Return a cell's values by name, as a trial has them: all names of `distributions`."""

    def cell_of(self, params: Mapping[str, Any]) -> CellT | None:
        """Return the cell that has these values; None when some are missing, as of a trial that has none yet."""

    def allows(self, begun: int, rows: Sequence[Mapping[str, Any]], amount: float) -> bool:
        """Tell whether a sampler may begin one more cell.

        Args:
            begun: how many cells it has chosen so far.
            rows: what was told of those that are done.
            amount: what is wanted of each.
        """
