"""Studies of tests, and workers for them in processes of their own (which import this module by name)."""

import time
from pathlib import Path
from typing import Any

import optuna

from synth.cells import product
from synth.link_lock import LinkLock
from synth.search import Search
from synth.storage import open_storage
from synth.study import Study

CELLS = product([0.1, 0.5], [0.6], [0.001, 0.002, 0.003])
GRID = Search(cells=CELLS)
PLAN = {"cohort": "abc", "fold": 0}


def open_study(
    address: str, search: Search = GRID, *, plan: Any = PLAN, kimg: float = 10.0, grace_s: float = 120.0, **more: Any
) -> Study:
    storage = open_storage(address, Path())
    return Study(storage, "s", search, plan, kimg=kimg, every_nimg=1000, seed=0, grace_s=grace_s, **more)


def trials(address: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="s", storage=open_storage(address, Path()).optuna).trials


def do_all(study: Study) -> list[str]:
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


def hold_link(path: Path, held: Any) -> None:
    LinkLock(path, grace_s=30.0, timeout_s=60.0).acquire()
    held.set()
    time.sleep(600)
