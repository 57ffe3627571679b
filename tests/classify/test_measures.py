"""Weighted measures, held to scikit-learn's, torchmetrics' and to data that are physically repeated."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from torchmetrics.functional.classification import binary_calibration_error

from classify.measuring.measures import (
    AT_VERDICT,
    accuracy,
    at_verdict,
    auc,
    average_precision,
    brier_score,
    calibration_error,
    mean,
)
from classify.measuring.statistics import METRICS, confusion_and_metrics

COUNTS = st.tuples(*[st.integers(0, 12)] * 4)
NAN = float("nan")


def where_positives(label: np.ndarray, value: float) -> float:
    return value if label.any() else NAN


SKLEARN: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "precision": lambda label, positive: where_positives(
        label, sklearn.precision_score(label, positive, zero_division=NAN)
    ),
    "sensitivity": lambda label, positive: sklearn.recall_score(label, positive, zero_division=NAN),
    "specificity": lambda label, positive: sklearn.recall_score(label, positive, pos_label=0, zero_division=NAN),
    "f1": lambda label, positive: where_positives(label, sklearn.f1_score(label, positive, zero_division=NAN)),
    "accuracy": sklearn.accuracy_score,
    "balanced_accuracy": lambda label, positive: (
        (
            sklearn.recall_score(label, positive, zero_division=NAN)
            + sklearn.recall_score(label, positive, pos_label=0, zero_division=NAN)
        )
        / 2
    ),
}


def data(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return scores with many ties, and labels that they tell something of."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    return np.round(rng.normal(label, 1.5), 1), label


def ones(label: np.ndarray) -> np.ndarray:
    return np.ones((1, len(label)))


def test_the_measures_at_a_verdict_are_those_of_the_tables() -> None:
    assert tuple(AT_VERDICT) == METRICS


@settings(max_examples=40)
@given(COUNTS.filter(any))
def test_with_weights_of_one_they_are_scikit_learn_s(counts: tuple[int, int, int, int]) -> None:
    label, positive = np.repeat([1, 0, 0, 1], counts), np.repeat([True, True, False, False], counts)
    of_counts = confusion_and_metrics(positive.astype(np.int64), label)[1]
    for name, measure in AT_VERDICT.items():
        value = measure(positive, label, ones(label))[0]
        assert value == pytest.approx(SKLEARN[name](label, positive), nan_ok=True), name
        known = of_counts[name]
        assert value == pytest.approx(NAN if known is None else known, abs=2e-7, nan_ok=True), name


@settings(max_examples=40)
@given(COUNTS, st.integers(0, 2**32 - 1))
def test_weights_are_repetitions(counts: tuple[int, int, int, int], seed: int) -> None:
    label, positive = np.repeat([1, 0, 0, 1], counts), np.repeat([True, True, False, False], counts)
    weights = np.random.default_rng(seed).integers(0, 3, (4, len(label))).astype(float)
    for name in AT_VERDICT:
        values = at_verdict(name, positive, label)(weights)
        assert values.shape == (4,)
        for row, value in zip(weights.astype(int), values, strict=True):
            repeated = np.repeat(label, row), np.repeat(positive, row)
            expected = SKLEARN[name](*repeated) if row.sum() else NAN
            assert value == pytest.approx(expected, nan_ok=True), name


@pytest.mark.parametrize(
    ("measure", "of_sklearn"),
    [(auc, sklearn.roc_auc_score), (average_precision, sklearn.average_precision_score)],
)
def test_rankings_are_scikit_learn_s_on_repeated_data(
    measure: Callable[..., np.ndarray], of_sklearn: Callable[..., float]
) -> None:
    score, label = data(0)
    model = np.zeros(len(label), np.int64)
    assert measure(score, label, model, ones(label))[0] == pytest.approx(of_sklearn(label, score))
    weights = np.random.default_rng(1).integers(0, 3, (20, len(label))).astype(float)
    values = measure(score, label, model, weights)
    for row, value in zip(weights.astype(int), values, strict=True):
        assert value == pytest.approx(of_sklearn(np.repeat(label, row), np.repeat(score, row)))


def test_rankings_are_made_within_models_and_averaged() -> None:
    """The second model's scores are shifted: within it nothing changes, and pooled everything would."""
    parts = [data(seed, n) for seed, n in ((0, 30), (1, 50))]
    score = np.concatenate([parts[0][0], parts[1][0] + 100])
    label, model = np.concatenate([label for _, label in parts]), np.repeat([3, 8], [30, 50])
    order = np.random.default_rng(2).permutation(80)
    expected = np.mean([sklearn.roc_auc_score(label, score) for score, label in parts])
    assert auc(score[order], label[order], model[order], ones(label))[0] == pytest.approx(expected)
    expected = np.mean([sklearn.average_precision_score(label, score) for score, label in parts])
    assert average_precision(score[order], label[order], model[order], ones(label))[0] == pytest.approx(expected)


def test_rankings_without_a_class_are_undefined() -> None:
    score, label, model = np.array([1.0, 2.0, 0.0]), np.array([1, 0, 0]), np.array([0, 0, 1])
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    first = slice(0, 2)
    np.testing.assert_array_equal(auc(score[first], label[first], model[first], weights[:, first]), [0, NAN, NAN])
    found = average_precision(score[first], label[first], model[first], weights[:, first])
    np.testing.assert_array_equal(found, [0.5, NAN, 1.0])
    assert np.isnan(auc(score, label, model, ones(label))[0])  # the second model saw no positive
    nothing = np.zeros(0)
    assert np.isnan(auc(nothing, nothing.astype(int), nothing.astype(int), np.ones((1, 0)))[0])


def test_scores_without_bounds_are_ranked_too() -> None:
    score, label = np.array([np.inf, np.inf, -np.inf, 0.0]), np.array([1, 0, 0, 1])
    assert auc(score, label, np.zeros(4, np.int64), ones(label))[0] == (0.5 + 1 + 0 + 1) / 4


def test_the_brier_score_is_scikit_learn_s_on_repeated_data() -> None:
    score, label = data(3)
    probability = 1 / (1 + np.exp(-score))
    weights = np.random.default_rng(4).integers(0, 3, (10, len(label)))
    values = brier_score(probability, label, weights.astype(float))
    for row, value in zip(weights, values, strict=True):
        assert value == pytest.approx(sklearn.brier_score_loss(np.repeat(label, row), np.repeat(probability, row)))


def test_the_calibration_error_is_torchmetrics_on_repeated_data() -> None:
    rng = np.random.default_rng(5)
    probability = np.concatenate([rng.uniform(size=80), [0.0, 1.0, 1.0, 0.99]])
    label = rng.integers(0, 2, len(probability))
    weights = rng.integers(0, 3, (10, len(label)))
    values = calibration_error(probability, label, weights.astype(float))
    for row, value in zip(weights, values, strict=True):
        repeated = torch.from_numpy(np.repeat(probability, row)), torch.from_numpy(np.repeat(label, row))
        assert value == pytest.approx(float(binary_calibration_error(*repeated, n_bins=15, norm="l1")))


def test_a_probability_of_one_has_a_calibration_bin_of_its_own_as_in_torchmetrics() -> None:
    """In one bin the two would partly make up for each other: |1.96 - 1| / 2."""
    found = calibration_error(np.array([0.96, 1.0]), np.array([1, 0]), np.ones((1, 2)))[0]
    expected = binary_calibration_error(torch.tensor([0.96, 1.0]), torch.tensor([1, 0]), n_bins=15, norm="l1")
    assert found == pytest.approx(float(expected))
    assert found == pytest.approx((0.04 + 1.0) / 2)


def test_no_weight_at_all_is_undefined() -> None:
    score, label = data(6, 5)
    nothing = np.zeros((2, 5))
    assert np.isnan(mean(score, nothing)).all()
    assert np.isnan(accuracy(score > 0, label, nothing)).all()
    assert np.isnan(calibration_error(1 / (1 + np.exp(-score)), label, nothing)).all()


@pytest.mark.parametrize("measure", [auc, average_precision])
def test_a_model_counts_as_its_verdicts_do(measure: Callable[..., np.ndarray]) -> None:
    """Two models of two and three verdicts on an image each: 1/2 and 1/3 of a verdict is what each of theirs weighs."""
    rng = np.random.default_rng(0)
    score, label, model = rng.normal(size=40), rng.integers(0, 2, 40), np.repeat([0, 1], 20)
    share, weights = np.repeat([1 / 2, 1 / 3], 20), np.ones((1, 40))
    alone = [measure(score[rows], label[rows], model[rows], weights[:, rows])[0] for rows in (model == 0, model == 1)]
    assert alone[0] != pytest.approx(alone[1])
    assert measure(score, label, model, weights, share)[0] == pytest.approx((alone[0] / 2 + alone[1] / 3) / (5 / 6))
    assert measure(score, label, model, weights)[0] == pytest.approx(np.mean(alone))
