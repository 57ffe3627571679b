"""Probabilities with an interval that makes no assumption but that images are alike: Venn-Abers predictors.

Vovk, Petej and Fedorova 2015 (arXiv:1511.00213), the inductive kind: the scores of a calibration set are joined by the
new image's, once as a negative and once as a positive, and isotonic regression gives a probability each time. One of
the two is perfectly calibrated, whatever the model; how far they lie apart says how much the calibration set knows.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from classify.measuring.verdicts import Integers, Values


@dataclass(frozen=True)
class Probability:
    """Of the positive class: the two ends, and one number between them for who wants one."""

    low: float  # p0, the image counted as a negative
    high: float  # p1, counted as a positive

    @property
    def single(self) -> float:
        """The one number with the least regret, p1 / (1 - p0 + p1) (section 4 there)."""
        return self.high / (1 - self.low + self.high)

    def at_prevalence(self, known: float, wanted: float) -> "Probability":
        """Return what it is where `wanted` instead of `known` of the images are positive (0..1, exclusive).

        The odds change by the ratio of the two prevalences' odds: positives and negatives look as they did, and there
        are more or fewer of them (label shift; Saerens et al. 2002).
        """
        ratio = wanted / (1 - wanted) * (1 - known) / known

        def shifted(p: float) -> float:
            return ratio * p / (ratio * p + (1 - p))

        return Probability(shifted(self.low), shifted(self.high))


def venn_abers(score: Values, label: Integers, new: float) -> Probability:
    """Return the probability of an image with the score `new`.

    Args:
        score: [V] of calibration images, which nothing was fitted on; larger is more positive.
        label: [V] 0 or 1.
        new: the image's own score.
    """
    ends = []
    for assumed in (0, 1):
        fitted = IsotonicRegression().fit(np.append(score, new), np.append(label, assumed))
        ends.append(min(max(float(fitted.predict(np.array([new]))[0]), 0.0), 1.0))  # but for rounding it is in there
    return Probability(*ends)
