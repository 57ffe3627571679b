"""The images that a model is tested on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.cohort import Cohort
from shared.errors import UserError
from shared.splits import balanced_test_set, external_test_set

SETS = ("balanced", "external")

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TestSet:
    """Rows of a cohort that a model is tested on."""

    name: str
    rows: Indices
    left_out: int = 0  # external images whose group holds a study image


def test_set(cohort: Cohort, fold: int, name: str) -> TestSet:
    """Return the rows of the set `name` for a model of `fold`; raise `UserError` when there is none."""
    if name == "balanced":
        rows = balanced_test_set(cohort, fold)
        if not len(rows):
            raise UserError(
                f"{cohort.path}: fold {fold} lacks a class, and nothing can be tested on it; prepare the cohort with "
                "fewer --folds."
            )
        return TestSet(name, rows)
    if name != "external":
        raise UserError(f"--set {name}: no such test set; give balanced or external.")
    rows, left_out = external_test_set(cohort)
    if not len(rows):
        raise UserError(
            f"--set external: {cohort.path} has no external images; prepare it with --external-negative, or leave this "
            "set out."
        )
    return TestSet(name, rows, left_out)
