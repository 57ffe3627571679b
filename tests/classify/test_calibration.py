"""Temperature, reliability, thresholds and precision where the disease is rare."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import verdicts
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_score
from statsmodels.discrete.discrete_model import Logit
from statsmodels.stats.proportion import proportion_confint

from classify.measuring.bootstrap import group_bootstrap
from classify.measuring.calibration import (
    LEAST_IMAGES,
    fit_temperature,
    precision_at_prevalence,
    precision_at_prevalence_statistic,
    reliability_bins,
    threshold_for_sensitivity,
)
from classify.measuring.measures import mean
from classify.measuring.statistics import wilson_interval


def drawn(temperature: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return scores [n] of a network that is `temperature` times too sure, and labels [n]."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(scale=1.5, size=n)
    return temperature * honest, (rng.random(n) < expit(honest)).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_one_over_the_slope_of_a_logistic_regression_through_zero(temperature: float) -> None:
    score, label = drawn(temperature, 300)
    found = fit_temperature(score, label)
    slope = Logit(label, score[:, None]).fit(disp=0, tol=1e-12).params[0]
    assert found == pytest.approx(1 / slope, rel=1e-4)


def test_the_temperature_that_made_the_scores_is_found() -> None:
    """Its standard error is that of the slope, 1 / sqrt(sum x^2 p (1 - p)), in units of the slope."""
    score, label = drawn(2.5, 20_000)
    honest = score / 2.5
    error = 1 / np.sqrt((honest**2 * expit(honest) * expit(-honest)).sum())
    assert fit_temperature(score, label) == pytest.approx(2.5, rel=4 * error)


def test_the_same_images_twice_have_the_same_temperature_and_turned_classes_too() -> None:
    score, label = drawn(2.0, 100)
    once = fit_temperature(score, label)
    assert fit_temperature(np.tile(score, 2), np.tile(label, 2)) == pytest.approx(once, rel=1e-5)
    assert fit_temperature(-score, 1 - label) == pytest.approx(once, rel=1e-5)


def test_what_cannot_tell_a_temperature_leaves_the_scores_as_they_are() -> None:
    score, label = drawn(2.0, 100)
    few, enough = slice(0, LEAST_IMAGES - 1), slice(0, LEAST_IMAGES)
    assert fit_temperature(score[enough], label[enough]) != 1
    assert fit_temperature(score[few], label[few]) == 1.0
    assert fit_temperature(score, np.ones_like(label)) == 1.0
    separated = (score > 0).astype(np.int64)
    assert fit_temperature(score, separated) == 1.0
    assert fit_temperature(np.zeros(100), label) == 1.0
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature(np.where(label == 1, np.inf, score), label)


def test_the_temperature_stays_in_its_bounds() -> None:
    score, _ = drawn(1.0, 100)
    assert fit_temperature(score, (score < 0).astype(np.int64)) == pytest.approx(20, rel=1e-4)
    nearly = (score > 0).astype(np.int64)
    closest = np.argmin(np.abs(score))
    nearly[closest] = 1 - nearly[closest]
    assert 0.05 <= fit_temperature(score, nearly) < 0.5


def test_reliability_bins_are_scikit_learn_s_with_wilson_s_intervals() -> None:
    score, label = drawn(2.0, 200)
    probability = expit(score)
    bins = reliability_bins(probability, label)
    share, average = calibration_curve(label, probability, n_bins=10)
    np.testing.assert_allclose([each.share_positive for each in bins], share)
    np.testing.assert_allclose([each.mean_probability for each in bins], average)
    assert sum(each.n for each in bins) == 200
    for each in bins:
        inside = (probability >= each.low) & (probability < each.high)
        assert each.n == inside.sum()
        of_statsmodels = proportion_confint(label[inside].sum(), each.n, method="wilson")
        assert each.interval == pytest.approx(np.clip(of_statsmodels, 0, 1), abs=1e-12)


def test_a_bin_s_means_are_those_of_its_images() -> None:
    """Three verdicts on one image weigh a third each: it counts once beside another image's one verdict."""
    probability, label = np.array([0.10, 0.12, 0.14, 0.18]), np.array([0, 0, 0, 1])
    (found,) = reliability_bins(probability, label, bins=5, weight=np.array([1 / 3, 1 / 3, 1 / 3, 1.0]))
    assert found.n == 4
    assert found.mean_probability == pytest.approx((0.12 + 0.18) / 2)
    assert found.share_positive == pytest.approx(0.5)
    assert found.interval == pytest.approx(wilson_interval(1, 2))
    (all_of_them,) = reliability_bins(probability, label, bins=1)
    assert (all_of_them.low, all_of_them.high, all_of_them.n) == (0, 1, 4)


def test_edges_belong_to_the_bin_above_and_one_to_the_last() -> None:
    bins = reliability_bins(np.array([0.0, 0.25, 0.5, 1.0]), np.array([0, 0, 1, 1]), bins=4)
    assert [(each.low, each.high) for each in bins] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert [each.n for each in bins] == [1, 1, 1, 1]
    assert reliability_bins(np.zeros(0), np.zeros(0, np.int64)) == []
    with pytest.raises(ValueError, match="reliability"):
        reliability_bins(np.array([1.5]), np.array([1]))
    with pytest.raises(ValueError, match="reliability"):
        reliability_bins(np.array([0.5]), np.array([1]), bins=0)


SCORES = st.lists(st.tuples(st.integers(-60, 60).map(lambda each: each / 2), st.booleans()), min_size=1, max_size=40)


@given(SCORES.filter(lambda each: any(label for _, label in each)), st.integers(1, 100))
def test_the_threshold_is_the_largest_that_finds_enough(rows: list[tuple[float, bool]], percent: int) -> None:
    score, label = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], np.int64)
    threshold = threshold_for_sensitivity(score, label, percent / 100)
    assert threshold is not None
    enough = -(-percent * label.sum() // 100)  # rounded up, in whole numbers

    def found(at: float) -> int:
        return int((expit(score[label == 1]) > at).sum())

    assert 0 <= threshold < 1
    assert found(threshold) >= enough
    assert found(np.nextafter(threshold, 1)) < enough


def test_a_verdict_s_threshold_means_the_same() -> None:
    score, label = drawn(1.0, 200)
    threshold = threshold_for_sensitivity(score, label, 0.9)
    said = verdicts(score, label, threshold=np.full(200, threshold))
    positives = label.sum()
    assert said.positive_at_threshold[label == 1].sum() == math.ceil(0.9 * positives)


def test_the_threshold_finds_a_little_less_of_other_positives() -> None:
    """Of continuous scores, the expectation is enough / (P + 1): here 9 of 10 asked, so 9 / 11."""
    rng = np.random.default_rng(0)
    label, runs = np.ones(10, np.int64), 2000
    share = []
    for _ in range(runs):
        threshold = threshold_for_sensitivity(rng.normal(size=10), label, 0.9)
        share.append((expit(rng.normal(size=50)) > threshold).mean())
    assert np.mean(share) == pytest.approx(9 / 11, abs=4 * np.std(share) / np.sqrt(runs))


def test_a_threshold_without_positives_or_without_a_sense() -> None:
    assert threshold_for_sensitivity(np.ones(3), np.zeros(3, np.int64), 0.9) is None
    assert threshold_for_sensitivity(np.array([-1000.0]), np.ones(1, np.int64), 1.0) == 0.0
    for wrong in (0.0, 1.01, math.nan):
        with pytest.raises(ValueError, match="sensitivity"):
            threshold_for_sensitivity(np.ones(3), np.ones(3, np.int64), wrong)


@settings(max_examples=40)
@given(st.tuples(*[st.integers(0, 30)] * 4).filter(lambda c: c[0] + c[3] and c[1] + c[2] and c[0] + c[1]))
def test_at_the_prevalence_of_the_data_it_is_the_precision(counts: tuple[int, int, int, int]) -> None:
    tp, fp, tn, fn = counts
    label, positive = np.repeat([1, 0, 0, 1], counts), np.repeat([1, 1, 0, 0], counts)
    found = precision_at_prevalence(tp / (tp + fn), tn / (tn + fp), (tp + fn) / sum(counts))
    assert found == pytest.approx(precision_score(label, positive), abs=1e-9)


def test_a_good_test_of_a_rare_disease_is_mostly_wrong() -> None:
    """The classical example: of 10,000, 100 are ill and 99 found; of 9,900 healthy, 99 are called ill as well."""
    assert precision_at_prevalence(0.99, 0.99, 0.01) == pytest.approx(0.5)
    # Eddy 1982, breast cancer: sensitivity 79.2 %, false positives 9.6 %, prevalence 1 %: 7.7 %.
    assert precision_at_prevalence(0.792, 0.904, 0.01) == pytest.approx(0.077, abs=5e-4)


def test_precision_is_undefined_where_nothing_is_called_positive() -> None:
    assert precision_at_prevalence(0.9, 0.8, 1.0) == 1
    assert precision_at_prevalence(0.0, 1.0, 0.1) is None
    assert precision_at_prevalence(0.9, 1.0, 0.0) is None
    assert precision_at_prevalence(None, 0.9, 0.1) is precision_at_prevalence(0.9, None, 0.1) is None
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match="prevalence"):
            precision_at_prevalence(0.9, None, wrong)
        with pytest.raises(ValueError, match="prevalence"):
            precision_at_prevalence_statistic(np.ones(1, bool), np.ones(1, np.int64), wrong)


def test_its_interval_lies_around_it_and_is_that_of_the_false_positives_odds() -> None:
    """With every positive found, precision depends on specificity alone, and monotonically: so do its quantiles."""
    label = np.repeat([1, 0], [50, 100])
    said = verdicts(np.where(np.arange(150) < 60, 1.0, -1.0), label)  # 10 of 100 negatives are called positive
    statistic = precision_at_prevalence_statistic(said.positive, label, 0.02)
    assert statistic(np.ones((1, 150)))[0] == precision_at_prevalence(1.0, 0.9, 0.02)
    interval = group_bootstrap(said, statistic, resamples=500)
    false = group_bootstrap(said, partial(mean, 1.5 * ((label == 0) & said.positive)), resamples=500)
    assert interval is not None
    assert false is not None
    expected = tuple(0.02 / (0.02 + share * 0.98) for share in reversed(false))
    assert interval == pytest.approx(expected, rel=0.02)  # quantiles between two draws are interpolated
