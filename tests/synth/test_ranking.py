"""Which cells can be told from the best."""

import numpy as np
import pytest

from synth.scores.certainty import Compared
from synth.scores.groups import Groups
from synth.scores.kernels import squared_mmd
from synth.scores.ranking import Lead, in_words, leads

RNG = np.random.default_rng(0)
REALS = RNG.normal(size=(60, 8))


def network(shift: float, seed: int = 0) -> Compared:
    """What a network is compared by whose images are `shift` away, and a training seed moves them a little."""
    wobble = 0.01 * np.random.default_rng(100 + seed).normal(size=8)
    return Compared(np.random.default_rng(1).normal(size=(200, 8)) + shift + wobble, REALS, Groups.none(60))


def test_a_far_cell_is_told_from_the_best_and_a_twin_is_not() -> None:
    twin, far = leads([[network(0.0)], [network(1e-3)], [network(1.0)]])
    assert far is not None
    assert twin is not None
    assert far.is_clear
    assert far.kid > 3 * far.standard_error
    assert not twin.is_clear
    expected = squared_mmd(network(1.0).fakes, REALS) - squared_mmd(network(0.0).fakes, REALS)
    assert far.kid == pytest.approx(expected)


def test_scatter_between_seeds_counts() -> None:
    """The same means, of which one pair of cells has seeds that went well and badly."""
    steady = leads([[network(0.0, 0), network(0.05, 1)], [network(0.5, 0), network(0.55, 1)]])[0]
    shaky = leads([[network(0.0, 0), network(0.05, 1)], [network(0.05, 0), network(0.75, 1)]])[0]
    assert steady is not None
    assert shaky is not None
    assert steady.p < 0.05 < shaky.p


def test_other_seeds_or_fewer_are_compared_as_well() -> None:
    (lead,) = leads([[network(0.0, 0), network(0.0, 1)], [network(2.0, 5)]])
    assert lead is not None
    assert lead.is_clear


def test_a_cell_that_is_farther_is_no_lead() -> None:
    """Where another criterion chose, the first may be the farther one by KID."""
    (lead,) = leads([[network(1.0)], [network(0.0)]])
    assert lead is not None
    assert lead.p < 0.05
    assert not lead.is_clear


def test_networks_that_are_elsewhere_are_not_compared() -> None:
    found = leads([[network(0.0)], [None], [network(1.0)]])
    assert found[0] is None
    assert found[1] is not None
    words = in_words(found, 2)
    assert words.startswith("All compared cells can be told from the first")
    assert "The cell of rank 2 cannot be compared" in words
    assert leads([[None], [network(1.0)]]) == [None]
    assert leads([[network(0.0)]]) == []


def test_cells_that_are_the_same_are_rarely_told_apart() -> None:
    """A hundred tables of four cells of the same kind: at most one in ten says that one is worse (5 % are expected)."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        reals = rng.normal(size=(20, 4))
        cells = [[Compared(rng.normal(size=(40, 4)), reals, Groups.none(20))] for _ in range(4)]
        cells.sort(key=lambda cell: squared_mmd(cell[0].fakes, reals))
        wrong += any(lead is not None and lead.is_clear for lead in leads(cells))
    assert wrong <= 10


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ([0.001, 0.002], "All compared cells can be told from the first"),
        ([0.001, 0.2], "The cell of rank 3 cannot be told from the first"),
        ([0.3, 0.2], "The cells of ranks 2, 3 cannot be told from the first"),
    ],
)
def test_words(p: list[float], words: str) -> None:
    found = [Lead(0.1, 0.01, each) for each in p]
    assert in_words(found, 2).startswith(words)
    assert "another training seed" in in_words(found, 1)
    assert "another training seed" not in in_words(found, 2)
