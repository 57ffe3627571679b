"""P values of several tests together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from shared.multiple import holm


def test_holm_s_own_steps() -> None:
    """Three tests: the smallest times 3, the next times 2, the last as it is, and never below one before."""
    assert holm([0.01, 0.04, 0.03], 3) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.001], 3) == pytest.approx([1.0, 0.003])
    assert holm([], 0) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_one_test_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p, len(p))
    for one, value in zip(p, adjusted, strict=True):
        assert one <= value <= min(1.0, len(p) * one) + 1e-12
    assert min(adjusted) == pytest.approx(min(1.0, len(p) * min(p)))


@pytest.mark.parametrize("others", [0, 1, 4])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_holm_is_that_of_statsmodels(count: int, others: int) -> None:
    """Tests that are not of interest count as if nothing spoke for them: p = 1."""
    p = (np.random.default_rng(count).random(count) ** 3).tolist()
    expected = multipletests([*p, *[1.0] * others], method="holm")[1][:count]
    assert holm(p, count + others) == pytest.approx(expected)


def test_holm_in_a_published_example() -> None:
    """The 15 comparisons of Benjamini and Hochberg 1995 (J R Stat Soc B 57:289), section 4.1.

    They report that Bonferroni's method and Hochberg's both reject three at 0.05; Holm's lies between the two.
    """
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    assert sum(each <= 0.05 for each in holm([*p, 0.7590, 1.0], 15)) == 3
