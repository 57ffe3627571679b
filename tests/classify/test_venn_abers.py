"""Probabilities with two ends: against a naive regression, and on many images whose probability is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classify.measuring.venn_abers import Probability, venn_abers

SCORES = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 1)), min_size=2, max_size=25)


def isotonic(score: np.ndarray, label: np.ndarray, at: float) -> float:
    """The min-max formula of isotonic regression: the largest over starts of the least over ends of a block's mean."""
    values = np.unique(score)
    blocks = [
        [label[(score >= low) & (score <= high)].mean() for high in values if high >= at] for low in values if low <= at
    ]
    return float(max(min(row) for row in blocks))


@given(SCORES, st.integers(-7, 7))
def test_the_ends_are_two_isotonic_regressions(calibration: list[tuple[int, int]], new: int) -> None:
    score, label = (np.array(column, float) for column in zip(*calibration, strict=True))
    found = venn_abers(score, label.astype(np.int64), float(new))
    ends = [isotonic(np.append(score, new), np.append(label, assumed), new) for assumed in (0, 1)]
    assert [found.low, found.high] == pytest.approx(ends, abs=1e-12)
    assert 0 <= found.low <= found.single <= found.high <= 1


@given(SCORES)
def test_a_larger_score_is_no_less_probable(calibration: list[tuple[int, int]]) -> None:
    score, label = (np.array(column) for column in zip(*calibration, strict=True))
    found = [venn_abers(score.astype(float), label, float(new)) for new in range(-7, 8, 2)]
    assert np.all(np.diff([each.low for each in found]) >= -1e-12)
    assert np.all(np.diff([each.high for each in found]) >= -1e-12)


def test_perfect_scores_leave_what_so_few_images_leave() -> None:
    """Ten negatives below ten positives: a new image above all is a positive with at least 10/11."""
    score, label = np.arange(20.0), np.repeat([0, 1], 10)
    above, below = venn_abers(score, label, 30.0), venn_abers(score, label, -30.0)
    assert (above.low, above.high) == pytest.approx((10 / 11, 1))
    assert (below.low, below.high) == pytest.approx((0, 1 / 11))


def test_on_average_the_share_of_positives_lies_between_the_ends() -> None:
    """Validity (Theorem 1 there): over images of the same kind, the true share lies between the mean ends."""
    rng = np.random.default_rng(0)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        score = rng.normal(0, 2, count)
        return score, (rng.random(count) < 1 / (1 + np.exp(-3 * score - 1))).astype(np.int64)  # too unsure by far

    score, label = drawn(60)
    new, truth = drawn(400)
    found = [venn_abers(score, label, float(each)) for each in new]
    noise = 2 * np.sqrt(0.25 / len(new)) + 2 * np.sqrt(0.25 / len(score))
    assert np.mean([each.low for each in found]) - noise < truth.mean() < np.mean([each.high for each in found]) + noise
    assert np.mean([(each.single - t) ** 2 for each, t in zip(found, truth, strict=True)]) < np.mean((0.5 - truth) ** 2)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_another_prevalence_changes_the_odds_by_bayes(p: float, known: float, wanted: float) -> None:
    """With likelihoods l1, l0 the probability is pi l1 / (pi l1 + (1 - pi) l0), whatever pi."""
    ratio = p / (1 - p) * (1 - known) / known  # l1 / l0
    expected = wanted * ratio / (wanted * ratio + 1 - wanted)
    assert Probability(p, p).at_prevalence(known, wanted).high == pytest.approx(expected)
    assert Probability(0.0, 1.0).at_prevalence(known, wanted) == Probability(0.0, 1.0)
