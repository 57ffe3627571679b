"""Which cells can be told from the best, and Holm's method."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.certainty import Compared
from synth.kernels import kernel_distance
from synth.ranking import Lead, holm, in_words, leads

RNG = np.random.default_rng(0)
REALS = RNG.normal(size=(60, 8))


def row(seed: int, shift: float) -> dict[str, Any]:
    """A cell's network whose images are `shift` away; images of one seed go in pairs."""
    fakes = np.random.default_rng(1 + seed).normal(size=(200, 8)) + shift
    kid = kernel_distance(fakes, REALS, seed=0)
    assert kid is not None
    return {"seed": seed, "criterion": kid.mean, "compared": Compared(fakes, REALS)}


def read(row: dict[str, Any]) -> Compared:
    found: Compared = row["compared"]
    return found


def test_holm_s_own_steps() -> None:
    """Three tests: the smallest times 3, the next times 2, the last as it is, and never below one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.001]) == pytest.approx([0.9, 0.002])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_one_test_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    for one, value in zip(p, adjusted, strict=True):
        assert one <= value <= min(1.0, len(p) * one) + 1e-12
    assert min(adjusted) == pytest.approx(min(1.0, len(p) * min(p)))


def test_a_far_cell_is_told_from_the_best_and_a_twin_is_not() -> None:
    far, twin = leads([[row(0, 0.0)], [row(0, 1e-3)], [row(0, 1.0)]], read)[::-1]
    assert far.is_clear
    assert far.kid > 3 * far.standard_error
    assert not twin.is_clear


def test_scatter_between_seeds_counts() -> None:
    """The same two cells, of which one training seed went well and one badly: their means are as far apart."""
    steady = [[row(seed, 0.0) for seed in (0, 1)], [row(seed, 0.4) for seed in (0, 1)]]
    shaky = [[row(0, 0.0), row(1, 0.3)], [row(0, 0.1), row(1, 0.6)]]
    assert leads(steady, read)[0].p < 0.05 < leads(shaky, read)[0].p


def test_cells_without_a_common_seed_are_not_told_apart() -> None:
    (lead,) = leads([[row(0, 0.0)], [row(1, 5.0)]], read)
    assert lead.p == 1


def test_the_best_alone_has_no_lead() -> None:
    assert leads([[row(0, 0.0)]], read) == []


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ([0.001, 0.002], "All other cells can be told from the first"),
        ([0.001, 0.2], "The cell of rank 3 cannot be told from the first"),
        ([0.3, 0.2], "The cells of ranks 2, 3 cannot be told from the first"),
    ],
)
def test_words(p: list[float], words: str) -> None:
    found = [Lead(0.1, 0.01, each) for each in p]
    assert in_words(found, 2).startswith(words)
    assert "another training seed" in in_words(found, 1)
    assert "another training seed" not in in_words(found, 2)
