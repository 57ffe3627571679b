"""What a row of Table 2 comes to on one test set: every measure with its spread over folds and its 95 % interval."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classify.measuring.bootstrap import Interval, Resamples, Statistic
from classify.measuring.calibration import (
    ReliabilityBin,
    precision_at_prevalence,
    precision_at_prevalence_statistic,
    reliability_bins,
)
from classify.measuring.measured import Measured, bootstrapped, measured_at_verdict
from classify.measuring.measures import AT_VERDICT, auc, average_precision, brier_score, calibration_error
from classify.measuring.operating import Operating
from classify.measuring.statistics import METRICS, Confusion, Spread, spread
from classify.measuring.verdicts import Flags, Verdicts
from classify.table2.attributes import Part, accuracy_by_attribute
from classify.table2.gather import seen_images, verdicts_of
from shared.records import Record

BINS = 10


@dataclass(frozen=True)
class AtThreshold:
    """What the verdicts are at a threshold: the likelier class, or what finds enough of the validation positives."""

    sensitivity: Measured
    specificity: Measured
    precision: tuple[tuple[float, Measured], ...]  # by prevalence in practice


@dataclass(frozen=True)
class SetResult:
    """A row of Table 2 on one test set, over folds and seeds."""

    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    n: int  # distinct test images
    groups: int  # patients or cases that these are of
    confusion: Confusion  # of all verdicts: with several seeds, or on the external set, an image has several
    metrics: dict[str, Spread | None]  # over folds, the mean of a fold's seeds, 0..1; None where undefined in one
    measured: dict[str, Measured]
    at_threshold: dict[str, AtThreshold]  # "0.5" and "validation"
    reliability: dict[str, tuple[ReliabilityBin, ...]]  # "as given" and "calibrated"
    temperature: float  # the mean over models
    parts: tuple[Part, ...]
    hidden_parts: int  # values of attributes with fewer images than `least_of_part`
    least_of_part: int
    left_out: int  # external images whose group holds a study image, at most of one fold
    seen: int  # distinct test images that were seen before


def set_result(records: Sequence[Record], operating: Operating, least: int) -> tuple[SetResult, Verdicts]:
    """Return what the records of one row on one test set come to, and their verdicts.

    Attribute values of fewer than `least` images are counted and not shown.
    """
    verdicts = verdicts_of(records, operating.sensitivity)
    confusion = sum((Confusion(**record["confusion"]) for record in records), Confusion(0, 0, 0, 0))
    parts, hidden = accuracy_by_attribute(records, verdicts, least)
    resamples = Resamples(verdicts)
    result = SetResult(
        folds=tuple(sorted({record["key"]["fold"] for record in records})),
        seeds=tuple(sorted({record["key"]["seed"] for record in records})),
        n=verdicts.n_images,
        groups=len(np.unique(verdicts.group)),
        confusion=confusion,
        metrics={name: over_folds(records, name) for name in METRICS},
        measured=_measured(resamples),
        at_threshold={
            "0.5": at_threshold(resamples, verdicts.positive, operating),
            "validation": at_threshold(resamples, verdicts.positive_at_threshold, operating),
        },
        reliability={
            "as given": tuple(reliability_bins(verdicts.probability, verdicts.label, BINS, verdicts.weight_of_image)),
            "calibrated": tuple(reliability_bins(verdicts.calibrated, verdicts.label, BINS, verdicts.weight_of_image)),
        },
        temperature=float(verdicts.temperature.mean()),
        parts=parts,
        hidden_parts=hidden,
        least_of_part=least,
        left_out=max(record["left_out"] for record in records),
        seen=seen_images(records),
    )
    return result, verdicts


def over_folds(records: Sequence[Record], name: str) -> Spread | None:
    """Return a metric's spread over folds, of each fold the mean over its seeds."""
    by_fold: dict[int, list[float | None]] = defaultdict(list)
    for record in records:
        by_fold[record["key"]["fold"]].append(record["metrics"][name])
    means = [spread(values) for values in by_fold.values()]
    return spread([None if each is None else each.mean for each in means])


def _measured(resamples: Resamples) -> dict[str, Measured]:
    verdicts = resamples.verdicts
    positive, label, model, share = verdicts.positive, verdicts.label, verdicts.model, verdicts.share
    found = {name: measured_at_verdict(name, resamples, positive) for name in AT_VERDICT}
    statistics: dict[str, Statistic] = {
        "auc": lambda w: auc(verdicts.score, label, model, w, share),
        "average_precision": lambda w: average_precision(verdicts.score, label, model, w, share),
        "brier": lambda w: brier_score(verdicts.probability, label, w),
        "brier_calibrated": lambda w: brier_score(verdicts.calibrated, label, w),
    }
    # No interval: of few images it is too large, and of resamples, which are fewer still, once more.
    for name, probability in (("", verdicts.probability), ("_calibrated", verdicts.calibrated)):
        error = calibration_error(probability, label, share[None])[0]
        found[f"calibration_error{name}"] = Measured(None if np.isnan(error) else float(error), None)
    return found | {name: bootstrapped(resamples, statistic) for name, statistic in statistics.items()}


def at_threshold(resamples: Resamples, positive: Flags, operating: Operating) -> AtThreshold:
    """Return what the verdicts `positive` [V] come to, and the precision that they would have in practice."""
    found, spared = (measured_at_verdict(name, resamples, positive) for name in ("sensitivity", "specificity"))
    precision = []
    for each in operating.prevalence:
        measured = bootstrapped(resamples, precision_at_prevalence_statistic(positive, resamples.verdicts.label, each))
        precision.append((each, _widened(measured, found.value, spared.interval, each)))
    return AtThreshold(found, spared, tuple(precision))


def _widened(
    precision: Measured, sensitivity: float | None, specificity: Interval | None, prevalence: float
) -> Measured:
    """Return a precision whose interval reaches to what the ends of the specificity's make of it.

    Where no negative is called positive, the bootstrap has no width, and a rare disease makes much of little.
    """
    if precision.value is None:
        return precision
    ends = [precision_at_prevalence(sensitivity, end, prevalence) for end in specificity or ()]
    reached = [end for end in (*ends, *(precision.interval or ())) if end is not None]
    return Measured(precision.value, (min(reached), max(reached)) if reached else None)
