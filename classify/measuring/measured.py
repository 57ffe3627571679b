"""A measure over verdicts with its 95 % interval, in which an image counts once, however many models judged it."""

from dataclasses import dataclass

import numpy as np

from classify.measuring.bootstrap import Interval, Resamples, Statistic
from classify.measuring.measures import at_verdict
from classify.measuring.statistics import wilson_interval
from classify.measuring.verdicts import Flags

PROPORTIONS = {"accuracy", "sensitivity", "specificity", "precision"}


@dataclass(frozen=True)
class Measured:
    """A measure over all verdicts, with its 95 % interval; None where it is undefined."""

    value: float | None
    interval: Interval | None


def bootstrapped(resamples: Resamples, statistic: Statistic) -> Measured:
    """Return a statistic of verdicts, with the interval of a bootstrap over groups."""
    return Measured(resamples.value(statistic), resamples.interval(statistic))


def measured_at_verdict(name: str, resamples: Resamples, positive: Flags) -> Measured:
    """Return a measure of the verdicts `positive` [V]; shares have Wilson's interval, in which each image counts once.

    Several photographs of a patient tell less than as many patients: where there are, the bootstrap over groups may
    make the interval wider.
    """
    verdicts = resamples.verdicts
    measured = bootstrapped(resamples, at_verdict(name, positive, verdicts.label))
    if name not in PROPORTIONS or measured.value is None:
        return measured
    asked = {
        "accuracy": np.ones(len(verdicts), bool),
        "sensitivity": verdicts.label == 1,
        "specificity": verdicts.label == 0,
        "precision": positive,
    }[name]
    images = float(verdicts.weight_of_image[asked].sum())
    low, high = wilson_interval(measured.value * images, images)
    if len(np.unique(verdicts.group)) < verdicts.n_images and measured.interval is not None:
        low, high = min(low, measured.interval[0]), max(high, measured.interval[1])
    return Measured(measured.value, (low, high))
