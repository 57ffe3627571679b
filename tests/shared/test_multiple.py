"""Holm's method."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
