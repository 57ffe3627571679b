"""Searches of settings that take seconds, and workers for them in processes of their own (which import this module)."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import torch

from classify.tune import TuneStudy, tune
from classify.tuning.options import TuneOptions
from shared.cohort import Cohort, write_cohort
from shared.studies.storage import open_storage

PATIENCE_S = 300
FOLD = 1
LONG = {"epochs": 5, "budget": "8cells", "pruner": "median"}


def write_search(place: Path, make_cohort: Callable[..., Cohort]) -> TuneOptions:
    """Write a cohort, and return a search on it of three trials, a moment each."""
    write_cohort(place / "cohort.h5", make_cohort(positives=20, negatives=22, externals=4, folds=2))
    quick = {"depth": "1", "layers": "0:2", "width": (2, 4), "optimizers": ("adam", "sgd"), "epochs": 2, "fold": FOLD}
    usual = {"budget": "3cells", "sampler": "random", "pruner": "none", "device": "cpu", "offline": True}
    return TuneOptions(cohort=place / "cohort.h5", out=place / "tune", **quick | usual)


def found(out: Path) -> dict[str, Any]:
    """Return what a search found but for the times."""
    document = json.loads((out / "tune.json").read_text())
    return document | {"trials": [timeless(row) for row in document["trials"]]}


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seconds"}


def trials_of(options: TuneOptions, name: str = "tune") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=open_storage(options.storage, options.out).optuna).trials


def interrupting(step: Any, when: set[int]) -> Any:
    """Return a step that sends a signal to its own process at the calls `when`."""
    calls = []

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) in when:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    return interrupted


def share(options: TuneOptions, barrier: Any) -> None:
    """Be a worker that waits in its first trial until all others are in one."""
    torch.set_num_threads(1)
    fit, waited = TuneStudy._fit, []

    def first_together(*given: Any) -> Any:
        if not waited:
            waited.append(barrier.wait(timeout=PATIENCE_S))
        return fit(*given)

    TuneStudy._fit = first_together
    tune(options)
