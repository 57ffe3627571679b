"""Which candidates are kept: by likeness to the mean real feature, by the discriminator's logit, or by typicality.

The paper keeps what scores at least mean - 2 sigma of the real images on either of the first two scales: of its 1000
candidates 192 by similarity, 297 by discriminator and 425 by union. Typicality (`synth.selecting.diversity`) has two
sides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.choices import TYPICAL
from synth.selecting.diversity import typical_range, within

Scores = npt.NDArray[np.float32]
Verdicts = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The scores of N images, float32 [N] each: cosine to the mean real feature, logit, and typicality."""

    similarity: Scores
    discriminator: Scores
    typicality: Scores

    def __len__(self) -> int:
        return len(self.similarity)

    @classmethod
    def joined(cls, parts: Sequence["ScoreTable"]) -> "ScoreTable":
        """Return the scores of several parts, in their order."""
        names = ("similarity", "discriminator", "typicality")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Thresholds:
    """The smallest scores that pass, and the smallest and largest typicality."""

    similarity: float
    discriminator: float
    typicality_low: float
    typicality_high: float


@dataclass(frozen=True, eq=False)
class Passes:
    """Which images pass by each score, bool [N] each."""

    similarity: Verdicts
    discriminator: Verdicts
    typicality: Verdicts


RULES: Mapping[str, Callable[[Passes], Verdicts]] = {
    "union": lambda by: by.similarity | by.discriminator,
    "intersection": lambda by: by.similarity & by.discriminator,
    "similarity": lambda by: by.similarity,
    "discriminator": lambda by: by.discriminator,
    TYPICAL: lambda by: by.typicality,
}


def cosine_similarity(features: npt.NDArray[np.floating], direction: npt.NDArray[np.floating]) -> Scores:
    """Return the cosine between each of features [N, F] and `direction` [F], float32 [N]; 0 where a length is 0."""
    rows, axis = np.asarray(features, np.float64), np.asarray(direction, np.float64)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(axis)
    products = rows @ axis
    cosines: Scores = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0).astype(np.float32)
    return cosines


def lower_threshold(scores: Scores, sigma: float) -> float:
    """Return mean - sigma * standard deviation (of the population, divided by N)."""
    wide = np.asarray(scores, np.float64)
    return float(wide.mean() - sigma * wide.std())


def thresholds_of(reals: ScoreTable, sigma: float) -> Thresholds:
    """Return the thresholds that the reals' scores set."""
    return Thresholds(
        lower_threshold(reals.similarity, sigma),
        lower_threshold(reals.discriminator, sigma),
        *typical_range(reals.typicality, sigma),
    )


def passes(scores: ScoreTable, thresholds: Thresholds) -> Passes:
    """Return which images pass by which score."""
    return Passes(
        np.asarray(scores.similarity, np.float64) >= thresholds.similarity,
        np.asarray(scores.discriminator, np.float64) >= thresholds.discriminator,
        within(scores.typicality, (thresholds.typicality_low, thresholds.typicality_high)),
    )


def kept_by_rule(scores: ScoreTable, thresholds: Thresholds) -> dict[str, Verdicts]:
    """Return what each rule keeps, bool [N] each."""
    by = passes(scores, thresholds)
    return {name: rule(by) for name, rule in RULES.items()}
