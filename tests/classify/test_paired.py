"""Paired tests, held to statsmodels, scipy, sums written out and published examples."""

import math
from fractions import Fraction
from itertools import product
from operator import mul

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC
from statsmodels.stats.contingency_tables import mcnemar

from classify.measuring.paired import corrected_resampled_t, newcombe_interval, sign_flip_exact
from classify.measuring.statistics import wilson_interval
from shared.multiple import holm

COUNTS = st.integers(0, 40)


def of_counts(only_a: int, only_b: int, alike: int = 3) -> float:
    """Return the p of images that one verdict each tells apart, or does not."""
    ahead = [1] * only_a + [-1] * only_b + [0] * alike
    return sign_flip_exact(ahead, [1] * len(ahead))


@given(COUNTS, COUNTS)
def test_with_one_verdict_an_image_it_is_mcnemar_s_test_of_statsmodels(only_a: int, only_b: int) -> None:
    expected = mcnemar([[17, only_a], [only_b, 5]], exact=True).pvalue if only_a + only_b else 1.0
    assert of_counts(only_a, only_b) == pytest.approx(expected)


@given(COUNTS, COUNTS)
def test_mcnemar_s_test_is_the_sum_of_splits_no_likelier(only_a: int, only_b: int) -> None:
    n = only_a + only_b
    unlikely = [k for k in range(n + 1) if math.comb(n, k) <= math.comb(n, only_a)]
    assert of_counts(only_a, only_b) == pytest.approx(sum(math.comb(n, k) for k in unlikely) / 2**n)


def test_mcnemar_s_test_in_closed_form_and_without_an_image_apart() -> None:
    assert of_counts(0, 5) == pytest.approx(2 / 2**5)
    assert of_counts(0, 0) == 1.0
    assert of_counts(4, 4) == pytest.approx(1.0)


IMAGES = st.lists(
    st.integers(1, 4).flatmap(lambda count: st.tuples(st.integers(-count, count), st.just(count))), max_size=9
)


@given(IMAGES)
def test_with_several_seeds_it_is_the_share_of_all_signs_that_go_as_far(images: list[tuple[int, int]]) -> None:
    shares = [Fraction(ahead, count) for ahead, count in images]
    sums = [abs(sum(map(mul, signs, shares))) for signs in product((-1, 1), repeat=len(shares))]
    expected = sum(each >= abs(sum(shares)) for each in sums) / len(sums)
    assert sign_flip_exact([a for a, _ in images], [c for _, c in images]) == pytest.approx(expected)


@given(IMAGES, st.data())
def test_images_of_a_group_have_one_sign(images: list[tuple[int, int]], data: st.DataObject) -> None:
    group = data.draw(st.lists(st.integers(5, 8), min_size=len(images), max_size=len(images)))
    shares = [
        sum(Fraction(ahead, count) for (ahead, count), own in zip(images, group, strict=True) if own == each)
        for each in sorted(set(group))
    ]
    sums = [abs(sum(map(mul, signs, shares))) for signs in product((-1, 1), repeat=len(shares))]
    expected = sum(each >= abs(sum(shares)) for each in sums) / len(sums)
    assert sign_flip_exact([a for a, _ in images], [c for _, c in images], group) == pytest.approx(expected)


def test_four_patients_of_four_photographs_are_four() -> None:
    assert sign_flip_exact([1] * 16, [1] * 16, np.repeat(np.arange(4), 4).tolist()) == pytest.approx(2 / 2**4)


def test_seeds_that_say_the_same_are_one() -> None:
    one = [1] * 9 + [-1] * 2 + [0] * 5
    assert sign_flip_exact([7 * each for each in one], [7] * len(one)) == pytest.approx(of_counts(9, 2))


@pytest.mark.parametrize(("ahead", "verdicts"), [([2], [1]), ([0], [0]), ([1, 1], [1])])
def test_images_without_verdicts_have_no_test(ahead: list[int], verdicts: list[int]) -> None:
    with pytest.raises(ValueError, match="test of signs"):
        sign_flip_exact(ahead, verdicts)


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.02, 0.09), (0.02, 0.09, 0.18), (0.03, 0.18, 0.29)])
def test_the_test_of_images_takes_chance_in_training_for_an_effect_and_both_tests_together_do_not(
    shift: float, least: float, most: float
) -> None:
    """Null studies: two rows against none, 5 folds of 190 images, and models whose accuracy differs by chance.

    `docs/classifiers.md` tells these shares: 6, 13 and 23 %. The binomial error of one in 300 is 0.014 to 0.024.
    """
    rng, studies, alone, together = np.random.default_rng(0), 300, 0, 0
    for _ in range(studies):
        hard = rng.normal(size=(5, 190)) * 0.06
        rows = [rng.random((5, 190)) < 0.93 + hard + rng.normal(size=(5, 1)) * shift for _ in range(3)]
        of_images, of_folds = [], []
        for row in rows[1:]:
            d = row.astype(int) - rows[0].astype(int)
            of_images.append(sign_flip_exact(d.ravel().tolist(), [1] * d.size))
            found = corrected_resampled_t(d.mean(axis=1).tolist(), 682, 190)
            of_folds.append(1.0 if found is None else found[1])
        sure = np.array([holm(each, 2) for each in (of_images, of_folds)]) < 0.05
        alone += bool(sure[0].any())
        together += bool(sure.all(axis=0).any())
    assert least <= alone / studies <= most
    assert together / studies <= 0.01


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


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_newcombe_s_interval_is_his_method_10(both: int, only_a: int, only_b: int, none: int) -> None:
    """Written out from the paper: Wilson's ends of both shares, joined by phi with its continuity correction."""
    n = both + only_a + only_b + none
    if n == 0:
        return
    (low_a, high_a), (low_b, high_b) = wilson_interval(both + only_a, n), wilson_interval(both + only_b, n)
    share_a, share_b = (both + only_a) / n, (both + only_b) / n
    product = both * none - only_a * only_b
    if product > n / 2:
        product -= n / 2
    elif product >= 0:
        product = 0
    margins = (both + only_a) * (only_b + none) * (both + only_b) * (only_a + none)
    phi = product / math.sqrt(margins) if margins else 0.0
    below, above = (share_a - low_a, high_b - share_b), (high_a - share_a, share_b - low_b)
    low, high = (math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0)) for x, y in (below, above))
    gain = share_a - share_b
    assert newcombe_interval(both, only_a, only_b, none) == pytest.approx((gain - low, gain + high), abs=1e-12)


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
    for place in range(4):
        counts = [5, 5, 5, 5]
        counts[place] = -1
        with pytest.raises(ValueError, match="not negative"):
            newcombe_interval(*counts)
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


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8), st.sampled_from([2.0**-40, 2.0**40]))
def test_the_corrected_t_has_no_unit(differences: list[int], unit: float) -> None:
    found, scaled = (corrected_resampled_t([unit * each for each in differences], 90, 10) for unit in (1.0, unit))
    assert scaled == (None if found is None else pytest.approx(found))


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
