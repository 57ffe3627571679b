"""Whether two classifiers differ on the same test images, or two trainings over the same folds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.signal import convolve
from scipy.stats import binom, t

from classify.measuring.statistics import wilson_interval

ALIKE = 1e-9  # a spread this much smaller than the differences is rounding


def sign_flip_exact(ahead: Sequence[int], verdicts: Sequence[int], group: Sequence[int] | None = None) -> float:
    """Return the p value, both sides, of two classifiers being right equally often on the same images.

    Of each image the difference d = `ahead` / `verdicts` is known: by how many of its verdicts (several seeds) one
    classifier is ahead. If they are alike, the sum of d over a group (a patient) is as often +|d| as -|d|, so the sum
    of all has a distribution that is known exactly. With one verdict an image and one image a group this is McNemar's
    exact test (McNemar 1947). The groups must be independent. No difference at all is 1.

    Args:
        ahead: [N] from -`verdicts` to `verdicts`.
        verdicts: [N] of each classifier, at least 1.
        group: [N] number of the image's group; None where each image is its own.

    Raises `ValueError`: another number.
    """
    counts = np.asarray(verdicts, np.int64)
    if len(ahead) != len(counts) or (counts < 1).any() or (np.abs(ahead) > counts).any():
        raise ValueError("test of signs: an image has no verdict, or more of them apart than it has.")
    whole = math.lcm(*np.unique(counts).tolist())  # so that all d are whole numbers
    d = np.asarray(ahead, np.int64) * (whole // counts)
    if group is not None:
        member = np.unique(np.asarray(group), return_inverse=True)[1].reshape(-1)
        d, images = np.zeros(member.max(initial=-1) + 1, np.int64), d
        np.add.at(d, member, images)
    chances = np.ones(1)  # of each sum of those |d| whose sign is +
    for value, count in zip(*np.unique(np.abs(d[d != 0]), return_counts=True), strict=True):
        steps = np.zeros(value * count + 1)
        steps[::value] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.maximum(convolve(chances, steps), 0.0)
    middle = (len(chances) - 1) / 2
    far = np.abs(np.arange(len(chances)) - middle) >= abs(d.sum()) / 2 - 1e-6
    return min(1.0, float(chances[far].sum()))


def newcombe_interval(
    both_right: float, only_a_right: float, only_b_right: float, none_right: float
) -> tuple[float, float]:
    """Return the 95 % interval of how much larger A's share of right images is than B's, on the same images.

    Newcombe's tenth method (1998, Statistics in Medicine 17:2635-2650): Wilson's interval of each share, and the
    correlation of the two. It has a width where a bootstrap has none, as with two classifiers that are always right.
    Counts are images; means over several seeds may be broken.

    Raises `ValueError`: no image, or a negative count.
    """
    a, b, c, d = both_right, only_a_right, only_b_right, none_right
    if min(a, b, c, d) < 0:
        raise ValueError(f"Newcombe's interval: {a}, {b}, {c} and {d} images; counts are not negative.")
    n = round(a + b + c + d)
    (low_a, high_a), (low_b, high_b) = wilson_interval(a + b, n), wilson_interval(a + c, n)
    share_a, share_b, excess = (a + b) / n, (a + c) / n, float(a * d - b * c)
    if excess > 0:  # continuity correction
        excess = max(excess - n / 2, 0.0)
    spread = math.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    phi = excess / spread if spread else 0.0

    def distance(of_a: float, of_b: float) -> float:
        return math.sqrt(max(of_a**2 - 2 * phi * of_a * of_b + of_b**2, 0))

    gain = share_a - share_b
    low, high = distance(share_a - low_a, high_b - share_b), distance(high_a - share_a, share_b - low_b)
    return max(gain - low, -1.0), min(gain + high, 1.0)


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
