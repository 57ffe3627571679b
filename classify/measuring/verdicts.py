"""What classifiers said of test images."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What classifiers said of test images: one row a verdict, V in all.

    An image has several when several models saw it: every fold's model judges the external set, and every seed's the
    same test images. A model is a pair of fold and seed.

    Attributes:
        image: [V] image id.
        group: [V] images that belong together: patient or case.
        label: [V] 0 or 1, the rare class.
        score: [V] log-odds of the rare class, as the network gives it.
        temperature: [V] of the model that spoke, > 0.
        threshold: [V] probability above which that model says positive when a sensitivity was asked for, before any
            temperature; 0.5 otherwise.
        fold: [V] of the model that spoke.
        seed: [V] of the model that spoke.

    Raises `ValueError`: columns of different lengths, a label other than 0 and 1, a score that is no number, a
    temperature that is not above 0, or a threshold outside 0..1.
    """

    image: npt.NDArray[np.str_]
    group: Integers
    label: Integers
    score: Values
    temperature: Values
    threshold: Values
    fold: Integers
    seed: Integers

    def __post_init__(self) -> None:
        if len({getattr(self, field.name).shape for field in fields(self)}) > 1 or self.image.ndim != 1:
            raise ValueError("verdicts: the columns have different lengths.")
        if not np.isin(self.label, (0, 1)).all():
            raise ValueError("verdicts: a label is neither 0 nor 1.")
        if np.isnan(self.score).any():  # it would pass for a negative verdict
            raise ValueError("verdicts: a score is no number; the network has diverged.")
        if not (self.temperature > 0).all():
            raise ValueError("verdicts: a temperature is not above 0.")
        if not ((self.threshold >= 0) & (self.threshold <= 1)).all():
            raise ValueError("verdicts: a threshold is no probability.")

    def __len__(self) -> int:
        return len(self.image)

    @property
    def probability(self) -> Values:
        """Of the rare class, [V], as the network gives it."""
        return np.asarray(expit(self.score), np.float64)

    @property
    def calibrated(self) -> Values:
        """Probability of the rare class, [V], after the model's temperature (Guo et al. 2017, arXiv:1706.04599)."""
        return np.asarray(expit(self.score / self.temperature), np.float64)

    @property
    def positive(self) -> Flags:
        """Whether the rare class is the likelier, [V]; a temperature does not change that."""
        return self.score > 0

    @property
    def positive_at_threshold(self) -> Flags:
        """Whether the probability is above the model's threshold, [V]."""
        return self.probability > self.threshold

    @property
    def right(self) -> Flags:
        """Whether `positive` is the truth, [V]."""
        return np.asarray(self.positive == (self.label == 1), np.bool_)

    @property
    def model(self) -> Integers:
        """Number of the model that spoke, [V], 0.. in the order of (fold, seed)."""
        return _numbered(self.fold, self.seed)[1]

    @property
    def share(self) -> Values:
        """What a verdict counts for, [V]: each fold and image for one, however many seeds judged it."""
        image = np.unique(self.image, return_inverse=True)[1].reshape(-1)
        pair = _numbered(self.fold, image)[1]
        return np.asarray(1.0 / np.bincount(pair)[pair], np.float64)

    @property
    def weight_of_image(self) -> Values:
        """One over the number of verdicts on the same image, [V]: an image counts once, whoever judged it."""
        image = np.unique(self.image, return_inverse=True)[1].reshape(-1)
        return np.asarray(1.0 / np.bincount(image)[image], np.float64)

    @property
    def n_images(self) -> int:
        """Number of distinct images."""
        return len(np.unique(self.image))

    def take(self, rows: Integers | Flags) -> "Verdicts":
        """Return the verdicts of `rows`, numbers or a mask [V]."""
        return Verdicts(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @staticmethod
    def join(parts: Sequence["Verdicts"]) -> "Verdicts":
        """Return the verdicts of all `parts`, in their order; raise `ValueError` when there is none."""
        if not parts:
            raise ValueError("verdicts: nothing to join.")
        names = [field.name for field in fields(Verdicts)]
        return Verdicts(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _numbered(major: Integers, minor: Integers) -> tuple[Integers, Integers]:
    """Return a first row of each distinct pair in order, and the number of each row's pair [V]."""
    _, first, member = np.unique(np.stack([major, minor], 1), axis=0, return_index=True, return_inverse=True)
    return first, member.reshape(-1)  # numpy 2.0 gives it another shape
