"""Studies of grids, and workers for them in processes of their own (which import this module by name)."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import optuna

from shared.studies.storage import open_storage
from shared.studies.study import Study
from synth.training.cells import Cell, product
from synth.training.search import Search

CELLS = product([0.1, 0.5], [0.6], [0.001, 0.002, 0.003])
GRID = Search(cells=CELLS)
PLAN = {"cohort": "abc", "fold": 0}


def open_study(
    address: str, search: Search = GRID, *, plan: Any = PLAN, kimg: float = 10.0, grace_s: float = 120.0, **more: Any
) -> Study[Cell]:
    storage, search = open_storage(address, Path()), dataclasses.replace(search, every_nimg=1000)
    return Study(storage, "s", search, plan, amount=kimg, unit="kimg", seed=0, grace_s=grace_s, **more)


def trials(address: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="s", storage=open_storage(address, Path()).optuna).trials


def do_all(study: Study[Cell]) -> list[str]:
    """Do what there is to do, a second a cell, and return the names in order."""
    done = []
    while (claim := study.claim()) is not None:
        with claim:
            claim.finish(1.0, {"cell": claim.cell.name, "seconds": 1.0})
        done.append(claim.cell.name)
    return done


def take_part(address: str, go: Any, names: Any) -> None:
    study = open_study(address)
    go.wait()
    names.put(do_all(study))


def claim_and_hang(address: str, claimed: Any) -> None:
    claim = open_study(address, grace_s=1.0).claim()
    assert claim is not None
    with claim:
        claim.report(1000, 3.0)
        claimed.set()
        time.sleep(600)
