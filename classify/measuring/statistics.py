"""What a confusion table says: metrics, their spread over folds, and how sure they can be."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("precision", "sensitivity", "specificity", "f1", "accuracy", "balanced_accuracy")
FLOAT32_DIGITS = 7  # torchmetrics divides in float32
ROUNDING = 1e-9  # of sums of shares
Z_95 = 1.959963984540054  # 97.5 % quantile of the normal distribution

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Confusion:
    """Test images by truth and verdict; positive is the rare class."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def n(self) -> int:
        """Number of images."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def right(self) -> int:
        """Number of images with the right verdict."""
        return self.tp + self.tn

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.tn + other.tn, self.fn + other.fn)

    def as_dict(self) -> dict[str, int]:
        """Return the four counts by name."""
        return asdict(self)


def confusion_and_metrics(predicted: npt.NDArray[np.int64], label: npt.NDArray[np.int64]) -> tuple[Confusion, Metrics]:
    """Return the counts and the metrics (0..1) of the verdicts `predicted` [N] for images of class `label` [N].

    The figures are torchmetrics' own, except that a ratio whose denominator is zero is None, where torchmetrics says 0;
    and so are precision and F1 where there is no positive to find.
    """
    import torch
    from torchmetrics.functional import classification as torchmetrics

    verdict, truth = torch.from_numpy(predicted), torch.from_numpy(label)
    (tn, fp), (fn, tp) = torchmetrics.binary_confusion_matrix(verdict, truth).tolist()
    counts = Confusion(tp=tp, fp=fp, tn=tn, fn=fn)

    def defined(denominator: int, value: "Tensor") -> float | None:
        return round(float(value), FLOAT32_DIGITS) if denominator else None

    positives, negatives = tp + fn, tn + fp
    sensitivity = defined(positives, torchmetrics.binary_recall(verdict, truth))
    specificity = defined(negatives, torchmetrics.binary_specificity(verdict, truth))
    return counts, {
        "precision": defined((tp + fp) * positives, torchmetrics.binary_precision(verdict, truth)),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": defined(positives, torchmetrics.binary_f1_score(verdict, truth)),
        "accuracy": defined(counts.n, torchmetrics.binary_accuracy(verdict, truth)),
        "balanced_accuracy": None if sensitivity is None or specificity is None else (sensitivity + specificity) / 2,
    }


@dataclass(frozen=True)
class Spread:
    """A figure over folds. One fold has no standard deviation."""

    mean: float
    std: float | None


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return mean and sample standard deviation (n - 1); None when there is no value or one of them is undefined."""
    defined = [value for value in values if value is not None]
    if not defined or len(defined) < len(values):
        return None
    std = float(np.std(defined, ddof=1)) if len(defined) > 1 else None
    return Spread(float(np.mean(defined)), std)


def wilson_interval(right: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a proportion of `right` out of `n` > 0 (Wilson, 1927).

    Raises `ValueError`: `n` is not positive, or `right` not in 0..n.
    """
    if n <= 0:
        raise ValueError(f"Wilson's interval: a proportion of {n} has none.")
    if not -ROUNDING * n <= right <= (1 + ROUNDING) * n:
        raise ValueError(f"Wilson's interval: {right} of {n} is no proportion.")
    p, z2 = min(max(right / n, 0.0), 1.0), Z_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: npt.NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return Student's t interval of the mean of `values`; None of fewer than two."""
    if len(values) < 2:
        return None
    half = float(student_t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
