"""A study of tests with cells of its own, and holders of its locks in processes of their own (which import this)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler

from shared.studies.link_lock import LinkLock
from shared.studies.storage import open_storage
from shared.studies.study import Study
from shared.studies.values import Budget

MODELS = ("small", "large")


@dataclass(frozen=True)
class Fit:
    model: str
    fold: int

    @property
    def name(self) -> str:
        return f"{self.model}_fold{self.fold}"


@dataclass(frozen=True)
class Fits:
    """A grid of cells; or fits chosen at random, as far as there is a budget."""

    cells: tuple[Fit, ...] = ()
    budget: Budget | None = None

    @property
    def chooses(self) -> bool:
        return self.budget is not None

    @property
    def most_cells(self) -> int:
        return len(self.cells) or 100

    def describe(self) -> dict[str, Any]:
        return {"cells": [cell.name for cell in self.cells]}

    def distributions(self) -> dict[str, BaseDistribution]:
        return {"model": CategoricalDistribution(MODELS), "fold": IntDistribution(0, 1000)}

    def make_sampler(self, seed: int) -> BaseSampler:
        return RandomSampler(seed=seed)

    def make_pruner(self, amount: float) -> BasePruner:
        return NopPruner()

    def params_of(self, cell: Fit) -> dict[str, Any]:
        return {"model": cell.model, "fold": cell.fold}

    def cell_of(self, params: Mapping[str, Any]) -> Fit | None:
        return Fit(**params) if params.keys() == {"model", "fold"} else None

    def allows(self, begun: int, rows: Sequence[Mapping[str, Any]], amount: float) -> bool:
        return self.budget is not None and self.budget.allows(begun, begun * amount, 0.0)


CELLS = tuple(Fit(model, fold) for model in MODELS for fold in range(3))
GRID = Fits(CELLS)


def open_study(address: str, search: Fits = GRID, *, epochs: int = 20, **more: Any) -> Study[Fit]:
    storage = open_storage(address, Path())
    return Study(storage, "s", search, {}, amount=epochs, unit="epochs", seed=0, grace_s=120.0, **more)


def trials(address: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="s", storage=open_storage(address, Path()).optuna).trials


def do_all(study: Study[Fit]) -> list[str]:
    """Do what there is to do, and return the names in order."""
    done = []
    while (claim := study.claim()) is not None:
        with claim:
            claim.finish(1.0, {"cell": claim.cell.name})
        done.append(claim.cell.name)
    return done


def hold_link(path: Path, held: Any) -> None:
    LinkLock(path, grace_s=30.0, timeout_s=60.0).acquire()
    held.set()
    time.sleep(600)
