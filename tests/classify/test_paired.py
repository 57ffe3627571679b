"""Paired tests, held to statsmodels, scipy, sums written out and published examples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC
from statsmodels.stats.contingency_tables import mcnemar

from classify.paired import corrected_resampled_t, mcnemar_exact, newcombe_interval
from classify.statistics import wilson_interval

COUNTS = st.integers(0, 40)


@given(COUNTS, COUNTS)
def test_mcnemar_s_test_is_that_of_statsmodels(only_a: int, only_b: int) -> None:
    expected = mcnemar([[17, only_a], [only_b, 5]], exact=True).pvalue if only_a + only_b else 1.0
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected)


@given(COUNTS, COUNTS)
def test_mcnemar_s_test_is_the_sum_of_splits_no_likelier(only_a: int, only_b: int) -> None:
    n = only_a + only_b
    unlikely = [k for k in range(n + 1) if math.comb(n, k) <= math.comb(n, only_a)]
    assert mcnemar_exact(only_a, only_b) == pytest.approx(sum(math.comb(n, k) for k in unlikely) / 2**n)


def test_mcnemar_s_test_in_closed_form_and_without_a_count() -> None:
    assert mcnemar_exact(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar_exact(0, 0) == mcnemar_exact(4, 4) == 1.0
    with pytest.raises(ValueError, match="not negative"):
        mcnemar_exact(-1, 3)


def test_newcombe_s_interval_is_that_of_his_example() -> None:
    """Newcombe 1998, Statistics in Medicine 17:2635, Table II: 36, 12, 2 and 0 pairs, method 10."""
    low, high = newcombe_interval(36, 12, 2, 0)
    assert (round(low, 4), round(high, 4)) == (0.0569, 0.3404)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_newcombe_s_interval_turns_round_with_its_classifiers_and_with_right_and_wrong(
    both: int, only_a: int, only_b: int, none: int
) -> None:
    if both + only_a + only_b + none == 0:
        return
    low, high = newcombe_interval(both, only_a, only_b, none)
    gain = (only_a - only_b) / (both + only_a + only_b + none)
    assert -1 <= low <= gain <= high <= 1
    assert newcombe_interval(both, only_b, only_a, none) == pytest.approx((-high, -low))
    assert newcombe_interval(none, only_a, only_b, both) == pytest.approx((low, high))


def test_newcombe_s_interval_has_a_width_where_no_pair_differs() -> None:
    """With shares of 1 and nothing known of their correlation it is Wilson's distance from 1."""
    low, high = newcombe_interval(190, 0, 0, 0)
    assert (low, high) == pytest.approx((wilson_interval(190, 190)[0] - 1, 1 - wilson_interval(190, 190)[0]))
    assert high > 0.015


@pytest.mark.parametrize("truth", [(0.8, 0.05, 0.05), (0.7, 0.2, 0.05), (0.3, 0.3, 0.1), (0.25, 0.25, 0.25)])
def test_newcombe_s_interval_holds_the_truth_as_often_as_it_says(truth: tuple[float, float, float]) -> None:
    """Exactly, from the multinomial probabilities of all tables of 20 pairs: 95 % or more, but for the discreteness."""
    n, shares = 20, (*truth, 1 - sum(truth))
    held = 0.0
    for both in range(n + 1):
        for only_a in range(n - both + 1):
            for only_b in range(n - both - only_a + 1):
                counts = (both, only_a, only_b, n - both - only_a - only_b)
                low, high = newcombe_interval(*counts)
                if low - 1e-12 <= truth[1] - truth[2] <= high + 1e-12:
                    ways = math.factorial(n) / math.prod(map(math.factorial, counts))
                    held += ways * math.prod(p**c for p, c in zip(shares, counts, strict=True))
    assert held > 0.945


def test_counts_that_are_no_counts_have_no_interval() -> None:
    with pytest.raises(ValueError, match="not negative"):
        newcombe_interval(1, -1, 0, 0)
    with pytest.raises(ValueError, match="a proportion of 0"):
        newcombe_interval(0, 0, 0, 0)


DIFFERENCES = st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=2, max_size=10).filter(
    lambda values: len(set(values)) > 1
)


@given(DIFFERENCES)
def test_without_test_images_the_corrected_t_is_the_ordinary_one(differences: list[float]) -> None:
    expected = ttest_1samp(differences, 0)
    assert corrected_resampled_t(differences, 80, 0) == pytest.approx((expected.statistic, expected.pvalue))


@settings(max_examples=40)
@given(DIFFERENCES, st.integers(1, 500), st.integers(1, 500))
def test_the_corrected_t_is_the_formula(differences: list[float], n_train: int, n_test: int) -> None:
    k = len(differences)
    average = sum(differences) / k
    s2 = sum((each - average) ** 2 for each in differences) / (k - 1)
    found = corrected_resampled_t(differences, n_train, n_test)
    assert found is not None
    assert found[0] == pytest.approx(average / ((1 / k + n_test / n_train) * s2) ** 0.5, abs=1e-9)
    assert found[1] >= ttest_1samp(differences, 0).pvalue - 1e-9


def test_the_corrected_t_is_that_of_scikit_learn_s_published_example() -> None:
    """ "Statistical comparison of models using grid search": t = 0.750, one-sided p = 0.227 on two moons."""
    images, label = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    round_, straight = (
        cross_val_score(SVC(kernel=kernel, random_state=0), images, label, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    )
    found = corrected_resampled_t(round_ - straight, 90, 10)
    assert found is not None
    assert found[0] == pytest.approx(0.750, abs=5e-4)
    assert found[1] / 2 == pytest.approx(0.227, abs=5e-4)


def test_what_tells_no_spread_has_no_corrected_t() -> None:
    assert corrected_resampled_t([], 80, 20) is corrected_resampled_t([0.1], 80, 20) is None
    assert corrected_resampled_t([0.3 - 0.2, 0.2 - 0.1, 0.1], 80, 20) is None  # equal but for rounding
    assert corrected_resampled_t([0.0, 0.0, 0.0], 80, 20) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("differences", "n_train", "n_test"), [([0.1, np.nan], 8, 2), ([0.1, 0.2], 0, 2), ([0.1, 0.2], 8, -1)]
)
def test_impossible_trainings_are_refused(differences: list[float], n_train: int, n_test: int) -> None:
    with pytest.raises(ValueError, match="corrected t test"):
        corrected_resampled_t(differences, n_train, n_test)
