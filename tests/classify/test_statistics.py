import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp
from sklearn import metrics as sklearn
from statsmodels.stats.proportion import proportion_confint

from classify.measuring.statistics import Confusion, confusion_and_metrics, mean_interval, spread, wilson_interval

COUNTS = st.tuples(*[st.integers(0, 40)] * 4).filter(any)


def verdicts(tp: int, fp: int, tn: int, fn: int) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and truths with these counts, in a fixed shuffled order."""
    predicted, label = np.repeat([1, 1, 0, 0], [tp, fp, tn, fn]), np.repeat([1, 0, 0, 1], [tp, fp, tn, fn])
    order = np.random.default_rng(0).permutation(len(label))
    return predicted[order], label[order]


@settings(max_examples=40)
@given(COUNTS)
def test_counts_and_metrics_are_those_of_scikit_learn(counts: tuple[int, int, int, int]) -> None:
    predicted, label = verdicts(*counts)
    confusion, metrics = confusion_and_metrics(predicted, label)
    assert confusion == Confusion(*counts)
    tp, fp, tn, fn = counts
    nan = float("nan")
    expected = {
        "precision": sklearn.precision_score(label, predicted, zero_division=nan),
        "sensitivity": sklearn.recall_score(label, predicted, zero_division=nan),
        "specificity": sklearn.recall_score(label, predicted, pos_label=0, zero_division=nan),
        "f1": sklearn.f1_score(label, predicted, zero_division=nan),
        "accuracy": sklearn.accuracy_score(label, predicted),
    }
    for name, value in expected.items():
        assert metrics[name] == (None if np.isnan(value) else pytest.approx(value, abs=2e-7)), name
    both = tp + fn and tn + fp
    assert metrics["balanced_accuracy"] == (
        pytest.approx(sklearn.balanced_accuracy_score(label, predicted), abs=2e-7) if both else None
    )


def test_negatives_alone_have_no_sensitivity_and_undefined_is_none() -> None:
    _, metrics = confusion_and_metrics(*verdicts(0, 0, 183, 0))
    assert metrics["accuracy"] == metrics["specificity"] == 1.0
    assert metrics["precision"] is metrics["sensitivity"] is metrics["f1"] is metrics["balanced_accuracy"] is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_spread_is_mean_and_sample_standard_deviation(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_one_fold_has_no_standard_deviation_and_an_undefined_fold_no_mean() -> None:
    one = spread([0.25])
    assert one is not None
    assert (one.mean, one.std) == (0.25, None)
    assert spread([]) is spread([0.5, None]) is None


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    expected = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert wilson_interval(*counts) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))
    of_statsmodels = proportion_confint(*counts, alpha=0.05, method="wilson")
    assert wilson_interval(*counts) == pytest.approx(np.clip(of_statsmodels, 0, 1), abs=1e-12)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_that_of_newcombe_s_examples(right: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857-872), Table I, the score method without continuity correction."""
    assert wilson_interval(right, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("right", "n"), [(0, 0), (1, 0), (3, 2), (-1, 5)])
def test_what_is_no_proportion_has_no_interval(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="Wilson"):
        wilson_interval(right, n)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12, unique_by=lambda v: round(v, 3)), st.floats(0.5, 0.999))
def test_the_interval_of_a_mean_is_that_of_a_t_test(values: list[float], confidence: float) -> None:
    expected = ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert mean_interval(np.array(values), confidence) == pytest.approx(tuple(expected), abs=1e-9)


def test_the_interval_of_a_mean_has_95_percent_unless_asked_and_one_value_has_none() -> None:
    values = np.array([1.0, 2.0, 4.0])
    assert mean_interval(values) == pytest.approx(tuple(ttest_1samp(values, 0.0).confidence_interval(0.95)))
    assert mean_interval(values[:1]) is None


@given(COUNTS, COUNTS)
def test_counts_of_two_tests_add_up(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> None:
    both = Confusion(*one) + Confusion(*two)
    assert both.as_dict() == dict(zip(("tp", "fp", "tn", "fn"), np.add(one, two).tolist(), strict=True))
    assert (both.n, both.right) == (sum(one) + sum(two), one[0] + one[2] + two[0] + two[2])
