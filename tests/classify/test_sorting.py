import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from classify.explaining.sorting import KINDS, sort_out

IMAGES = st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 1)), min_size=1, max_size=40)


@given(IMAGES, st.floats(-5, 5), st.integers(1, 9))
def test_each_kind_shows_its_most_confident_and_its_nearest(
    images: list[tuple[float, int]], threshold: float, count: int
) -> None:
    score, label = np.array([each for each, _ in images]), np.array([each for _, each in images])
    called = score > threshold
    found = sort_out(score, label, called, count)
    assert sum(shown.n for shown in found.values()) == len(images)
    for name, shown in found.items():
        truth, said = KINDS[name]
        rows = np.flatnonzero((label == truth) & (called == said))
        assert shown.n == len(rows)
        assert len(shown.rows) == min(count, len(rows)) == len(set(shown.rows.tolist()))
        assert set(shown.rows.tolist()) <= set(rows.tolist())
        distance = np.abs(score - threshold)
        rest = np.setdiff1d(rows, shown.rows)
        assert (np.diff(distance[shown.confident]) <= 1e-12).all()
        assert (np.diff(distance[shown.near]) >= -1e-12).all()
        if len(rest):
            assert len(shown.confident) - len(shown.near) in (0, 1)
            assert distance[shown.confident].min() >= distance[rest].max() - 1e-12
            assert distance[shown.near].max(initial=0) <= distance[rest].min() + 1e-12
