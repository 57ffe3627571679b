"""Which candidates are kept: by likeness to the mean real feature, by the discriminator's logit, or by both.

The paper keeps what scores at least mean - 2 sigma of the real images on either scale: of its 1000 candidates 192 by
similarity, 297 by discriminator and 425 by union.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Verdicts = npt.NDArray[np.bool_]

RULES: Mapping[str, Callable[[Verdicts, Verdicts], Verdicts]] = {
    "union": np.logical_or,
    "intersection": np.logical_and,
    "similarity": lambda by_similarity, by_discriminator: by_similarity,  # noqa: ARG005
    "discriminator": lambda by_similarity, by_discriminator: by_discriminator,  # noqa: ARG005
}


@dataclass(frozen=True, eq=False)
class ScorePair:
    """Both scores of N images, float32 [N] each: cosine to the mean real feature, and logit."""

    similarity: Scores
    discriminator: Scores

    def __len__(self) -> int:
        return len(self.similarity)

    @classmethod
    def joined(cls, parts: Sequence["ScorePair"]) -> "ScorePair":
        """Return the scores of several parts, in their order."""
        return cls(
            np.concatenate([part.similarity for part in parts]), np.concatenate([part.discriminator for part in parts])
        )


@dataclass(frozen=True)
class Thresholds:
    """The smallest scores that pass."""

    similarity: float
    discriminator: float


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


def thresholds_of(reals: ScorePair, sigma: float) -> Thresholds:
    """Return the thresholds that the reals' scores set."""
    return Thresholds(lower_threshold(reals.similarity, sigma), lower_threshold(reals.discriminator, sigma))


def passes(scores: ScorePair, thresholds: Thresholds) -> tuple[Verdicts, Verdicts]:
    """Return which images pass by similarity and which by discriminator, bool [N] each."""
    return (
        np.asarray(scores.similarity, np.float64) >= thresholds.similarity,
        np.asarray(scores.discriminator, np.float64) >= thresholds.discriminator,
    )


def kept_by_rule(scores: ScorePair, thresholds: Thresholds) -> dict[str, Verdicts]:
    """Return what each rule keeps, bool [N] each."""
    by_similarity, by_discriminator = passes(scores, thresholds)
    return {name: rule(by_similarity, by_discriminator) for name, rule in RULES.items()}
