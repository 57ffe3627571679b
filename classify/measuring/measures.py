"""Measures of verdicts under weights, many weightings at a time.

Each takes weights [B, V], how often each of V verdicts counts in each of B resamples, and returns values [B]; nan where
a denominator is zero. With weights of one they are scikit-learn's and torchmetrics' measures.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from classify.measuring.bootstrap import Statistic
from classify.measuring.verdicts import Flags, Integers, Values

CALIBRATION_BINS = 15

AtVerdict = Callable[[Flags, Integers, Values], Values]


def mean(values: Values, weights: Values) -> Values:
    """Return the weighted mean of `values` [V]."""
    return _ratio(weights @ values, weights.sum(1))


def accuracy(positive: Flags, label: Integers, weights: Values) -> Values:
    """Return the share of verdicts `positive` [V] that are the truth, `label` [V] 0 or 1."""
    return mean((positive == (label == 1)).astype(np.float64), weights)


def sensitivity(positive: Flags, label: Integers, weights: Values) -> Values:
    """Return the share of positives that are called so: TP / (TP + FN)."""
    return _share(positive, label == 1, weights)


def specificity(positive: Flags, label: Integers, weights: Values) -> Values:
    """Return the share of negatives that are called so: TN / (TN + FP)."""
    return _share(~positive, label == 0, weights)


def precision(positive: Flags, label: Integers, weights: Values) -> Values:
    """Return the share of positives among what is called so: TP / (TP + FP); nan without any positive to call so."""
    return _where_positives(label, weights, _share(label == 1, positive, weights))


def f1(positive: Flags, label: Integers, weights: Values) -> Values:
    """Return the harmonic mean of precision and sensitivity: 2 TP / (2 TP + FP + FN); nan without positives."""
    true, false = positive & (label == 1), positive != (label == 1)
    twice = 2 * _sum(true, weights)
    return _where_positives(label, weights, _ratio(twice, twice + _sum(false, weights)))


def balanced_accuracy(positive: Flags, label: Integers, weights: Values) -> Values:
    """Return the mean of sensitivity and specificity."""
    return (sensitivity(positive, label, weights) + specificity(positive, label, weights)) / 2


AT_VERDICT: Mapping[str, AtVerdict] = {
    "precision": precision,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "f1": f1,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
}


def at_verdict(name: str, positive: Flags, label: Integers) -> Statistic:
    """Return the measure `name` of the verdicts `positive` [V] as a function of weights alone, for the bootstrap.

    Raises `KeyError`: no measure of that name in `AT_VERDICT`.
    """
    return partial(AT_VERDICT[name], positive, label)


def auc(score: Values, label: Integers, model: Integers, weights: Values, share: Values | None = None) -> Values:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties half (Mann and Whitney).

    It is computed within each model (`Verdicts.model`) and averaged over them, since scores of different models have
    no common scale; a model counts as its verdicts do, `share` [V] (`Verdicts.share`). nan where one lacks a class.
    """
    return _mean_over_models(_auc, score, label, model, weights, share)


def average_precision(
    score: Values, label: Integers, model: Integers, weights: Values, share: Values | None = None
) -> Values:
    """Return the average precision, sum over thresholds of (R_n - R_(n-1)) P_n, without interpolation.

    Within each model and averaged, as `auc`. nan where a model lacks positives. It depends on their share.
    """
    return _mean_over_models(_average_precision, score, label, model, weights, share)


def brier_score(probability: Values, label: Integers, weights: Values) -> Values:
    """Return the mean squared distance of `probability` [V] to the truth, over all models together (Brier 1950)."""
    return mean((probability - label) ** 2, weights)


def calibration_error(probability: Values, label: Integers, weights: Values) -> Values:
    """Return the expected calibration error of the positive class's `probability` [V], over all models together.

    The mean over bins of |share of positives - mean probability|, each by its weight. The bins are those of
    torchmetrics' `binary_calibration_error(n_bins=15, norm="l1")`: 15 of equal width on the probability of the positive
    class (not on the confidence in the verdict), the lower edge included, and a probability of exactly 1 in one of its
    own. Few images make it too large: a well calibrated model's is not 0 (Kumar et al. 2019, arXiv:1909.10155).
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    place = np.searchsorted(edges, probability, side="right") - 1
    # w_b |sum w y / w_b - sum w p / w_b| = |sum w (y - p)| in each bin: an empty bin needs no care.
    excess = np.zeros((len(probability), CALIBRATION_BINS + 1))
    excess[np.arange(len(probability)), place] = label - probability
    return _ratio(np.abs(weights @ excess).sum(1), weights.sum(1))


def _sum(which: Flags, weights: Values) -> Values:
    return weights @ which.astype(np.float64)


def _where_positives(label: Integers, weights: Values, values: Values) -> Values:
    """Return `values` [B], nan in resamples without positives: 0 would say that none of them was found."""
    return np.where(_sum(label == 1, weights) > 0, values, np.nan)


def _share(part: Flags, whole: Flags, weights: Values) -> Values:
    return _ratio(_sum(part & whole, weights), _sum(whole, weights))


def _ratio(above: Values, below: Values) -> Values:
    values: Values = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return values


def _mean_over_models(
    measure: Callable[[Values, Values], Values],
    score: Values,
    label: Integers,
    model: Integers,
    weights: Values,
    share: Values | None,
) -> Values:
    rows = [np.flatnonzero(model == number) for number in np.unique(model)]
    if not rows:
        return np.full(len(weights), np.nan)
    values = [measure(*_by_score(score[each], label[each], weights[:, each])) for each in rows]
    counts = [1.0 if share is None else float(share[each].mean()) for each in rows]
    return np.asarray(np.average(values, axis=0, weights=counts), np.float64)


def _by_score(score: Values, label: Integers, weights: Values) -> tuple[Values, Values]:
    """Return the weights of positives and of negatives at each distinct score, ascending: two arrays [B, U]."""
    order = np.argsort(score, kind="stable")
    ascending = score[order]
    starts = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    ordered, positive = weights[:, order], label[order] == 1
    return np.add.reduceat(ordered * positive, starts, axis=1), np.add.reduceat(ordered * ~positive, starts, axis=1)


def _auc(positives: Values, negatives: Values) -> Values:
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = positives.sum(1) * negatives.sum(1)
    return _ratio((positives * (below + negatives / 2)).sum(1), pairs)


def _average_precision(positives: Values, negatives: Values) -> Values:
    found, called = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in (positives, positives + negatives))
    at_score = np.divide(found, called, out=np.zeros(found.shape), where=called > 0)
    return _ratio((positives * at_score).sum(1), positives.sum(1))
