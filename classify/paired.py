"""Whether two classifiers differ on the same test images, or two trainings over the same folds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest, t

ALIKE = 1e-9  # a spread this much smaller than the differences is rounding


def mcnemar_exact(only_a_right: int, only_b_right: int) -> float:
    """Return the p value, both sides, of two classifiers being right equally often on the same images (McNemar 1947).

    Exact: of the images that only one of them gets right, each is as often either's, so their split is binomial. The
    images must be independent: one verdict each (`Verdicts.mean_over_seeds`), and for several images of a patient
    `classify.bootstrap.paired_interval` is the test. No such image gives 1.

    Raises `ValueError`: a negative count.
    """
    if min(only_a_right, only_b_right) < 0:
        raise ValueError(f"McNemar's test: {only_a_right} and {only_b_right} images; counts are not negative.")
    n = only_a_right + only_b_right
    return float(binomtest(only_a_right, n, 0.5).pvalue) if n else 1.0


def corrected_resampled_t(differences: Sequence[float], n_train: int, n_test: int) -> tuple[float, float] | None:
    """Return Nadeau and Bengio's corrected resampled t and its p value, both sides, k - 1 degrees of freedom.

    The trainings of k folds share most of their images, so their differences are less spread than those of k fresh
    trainings; the variance of the mean is taken as (1/k + n_test/n_train) s^2 instead of s^2 / k (Nadeau and Bengio
    2003, Machine Learning 52:239-281). It was derived for random splits, and is customary for folds
    (Bouckaert and Frank 2004).

    Args:
        differences: [k] of a measure, one for each fold or split.
        n_train: images of a training.
        n_test: images of its test.

    Returns:
        (t, p). Differences that are all zero give (0, 1). None where nothing tells the spread: fewer than two
        differences, or the same difference, not zero, each time.

    Raises `ValueError`: a difference that is not finite, no training image, or a negative number of test images.
    """
    found = np.asarray(differences, np.float64)  # [k]
    if not np.isfinite(found).all():
        raise ValueError("corrected t test: a difference is not finite.")
    if n_train <= 0 or n_test < 0:
        raise ValueError(f"corrected t test: {n_train} training images and {n_test} test images.")
    k = len(found)
    if k < 2:
        return None
    if not found.any():
        return 0.0, 1.0
    if np.ptp(found) <= ALIKE * np.abs(found).max():
        return None
    value = float(found.mean()) / math.sqrt((1 / k + n_test / n_train) * float(found.var(ddof=1)))
    return value, float(2 * t.sf(abs(value), k - 1))
