"""What a probability is worth, where to cut it, and what a verdict means where the disease is rare."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from classify.measuring.bootstrap import Statistic
from classify.measuring.measures import sensitivity, specificity
from classify.measuring.statistics import wilson_interval
from classify.measuring.verdicts import Flags, Integers, Values

COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are looked at
LEAST_IMAGES = 20  # that a temperature is fitted to


def fit_temperature(score: Values, label: Integers) -> float:
    """Return the temperature T in 0.05..20 for which the probabilities sigmoid(score / T) are the likeliest.

    One number divides all log-odds, so no verdict at 0.5 changes (Guo et al. 2017, arXiv:1706.04599). Fit it on
    validation images.

    Args:
        score: [V] log-odds of the positive class.
        label: [V] 0 or 1.

    Returns:
        T; above 1 the network was too sure of itself. 1 where the images cannot tell: fewer than 20, a class missing,
        or every verdict right, where the likelihood grows without end as T falls to 0 and the fit would make the
        network as sure as the bounds allow. Nearly so, T is small but fitted. 20 where most verdicts are wrong.

    Raises `ValueError`: a score that is not finite.
    """
    if not np.isfinite(score).all():
        raise ValueError("temperature: a score is not finite.")
    margin = np.where(label == 1, score, -score)  # [V], positive where the verdict is right
    if len(score) < LEAST_IMAGES or len(np.unique(label)) < 2 or (margin >= 0).all():
        return 1.0

    def loss(log_t: float) -> float:
        return float(np.logaddexp(0, -margin / math.exp(log_t)).mean())  # -log sigmoid(margin / T)

    # It is convex in 1/T, so it has one minimum in log T as well.
    bounds = (math.log(COLDEST), math.log(HOTTEST))
    return math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8}).x))


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose probability is from `low` to below `high` (the last bin holds 1 too)."""

    low: float
    high: float
    n: int  # verdicts
    mean_probability: float
    share_positive: float
    interval: tuple[float, float]  # 95 %, of the share (Wilson 1927), in which each image counts once


def reliability_bins(
    probability: Values, label: Integers, bins: int = 10, weight: Values | None = None
) -> list[ReliabilityBin]:
    """Return what a reliability diagram shows: `bins` of equal width over 0..1, without those that hold no image.

    Args:
        probability: [V] of the positive class, in 0..1.
        label: [V] 0 or 1.
        bins: how many, at least 1.
        weight: [V] that a verdict has among those on its image, 1 / their number; None for one verdict an image.

    Raises `ValueError`: no bin, or a probability outside 0..1.
    """
    if bins < 1 or not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("reliability: there must be a bin, and probabilities in 0..1.")
    edges = np.linspace(0, 1, bins + 1)
    place = np.minimum(np.searchsorted(edges, probability, side="right") - 1, bins - 1)
    weight = np.ones(len(probability)) if weight is None else weight
    found = []
    for number in np.unique(place):
        inside = place == number
        images, positives = float(weight[inside].sum()), float(weight[inside] @ label[inside])
        found.append(
            ReliabilityBin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                n=int(inside.sum()),
                mean_probability=float(np.average(probability[inside], weights=weight[inside])),
                share_positive=positives / images,
                interval=wilson_interval(positives, images),
            )
        )
    return found


def threshold_for_sensitivity(score: Values, label: Integers, sensitivity: float) -> float | None:
    """Return the largest threshold t for which enough positives have a probability sigmoid(score) > t.

    Enough is ceil(sensitivity * P) of the P positives, at least one. A verdict is strictly above its threshold, as at
    0.5, so t is the float64 just below the probability of the last positive that must be found. Sensitivity moves in
    steps of 1/P. Of other positives of the same kind, enough / (P + 1) are found on average, a little less than asked.

    Args:
        score: [V] log-odds of the positive class, of validation images.
        label: [V] 0 or 1.
        sensitivity: in 0..1, above 0.

    Returns:
        t in 0..1; None without positives. 0 where the last positive's probability is 0 in float64 (log-odds below
        -745), which no threshold finds.

    Raises `ValueError`: a sensitivity outside 0..1, or 0.
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity {sensitivity:g}: give a share above 0, at most 1.")
    found = np.sort(expit(score[label == 1]))[::-1]  # [P]
    if not len(found):
        return None
    enough = max(1, math.ceil(sensitivity * len(found) - 1e-9))  # 0.07 * 100 is a little above 7
    return float(np.nextafter(found[enough - 1], 0.0))


def precision_at_prevalence(sensitivity: float | None, specificity: float | None, prevalence: float) -> float | None:
    """Return the share of positive verdicts that are true where `prevalence` (0..1) of the patients are positive.

    Bayes' theorem. A balanced test set's precision is that at a prevalence of a half. None where a figure is undefined,
    or nothing would be called positive.

    Raises `ValueError`: a prevalence outside 0..1.
    """
    if sensitivity is None or specificity is None:
        _require_prevalence(prevalence)
        return None
    value = float(_bayes(np.array([sensitivity]), np.array([specificity]), prevalence)[0])
    return None if math.isnan(value) else value


def precision_at_prevalence_statistic(positive: Flags, label: Integers, prevalence: float) -> Statistic:
    """Return `precision_at_prevalence` of the verdicts `positive` [V] as a function of weights, for the bootstrap.

    Where no negative is called positive, it is 1 in every resample: an interval without width, and no certainty.

    Raises `ValueError`: a prevalence outside 0..1.
    """
    _require_prevalence(prevalence)

    def statistic(weights: Values) -> Values:
        return _bayes(sensitivity(positive, label, weights), specificity(positive, label, weights), prevalence)

    return statistic


def _bayes(sensitivity: Values, specificity: Values, prevalence: float) -> Values:
    """Return the precision [B], nan where undefined."""
    _require_prevalence(prevalence)
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    values: Values = np.divide(true, true + false, out=np.full(true.shape, np.nan), where=true + false > 0)
    return values


def _require_prevalence(prevalence: float) -> None:
    if not 0 <= prevalence <= 1:
        raise ValueError(f"prevalence {prevalence:g}: give a share, 0 to 1.")
