"""Gaussians in a feature space, and the Frechet distance between them."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.scores.groups import Groups

Features = npt.NDArray[np.float64]  # [N, F]
SIZES = 15  # of subsets, through which the line to infinitely many goes (the paper's choice)
RESAMPLES = 100


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean [F], and a root [R, F] of the covariance: root.T @ root, R at most the number of features or of rows."""

    mean: npt.NDArray[np.float64]
    root: npt.NDArray[np.float64]

    @classmethod
    def of(cls, features: Features) -> "Moments":
        """Return the moments of features [N, F], N >= 2, the covariance divided by N - 1."""
        mean = features.mean(axis=0)
        root = (features - mean) / math.sqrt(len(features) - 1)
        if len(root) > root.shape[1]:
            root = np.asarray(np.linalg.qr(root, mode="r"))
        return cls(mean, root)

    @property
    def spread(self) -> float:
        """Trace of the covariance: the mean squared distance from the mean."""
        return float(np.square(self.root).sum())


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return |mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), between Gaussians (arXiv:1706.08500, Eq. 6).

    With S = R^T R, the eigenvalues of S_a S_b are the squared singular values of R_a R_b^T, so the last trace is their
    sum. That needs no square root of a singular matrix, and for fewer images than features little time.
    """
    cross = np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum()
    distance = np.square(a.mean - b.mean).sum() + np.square(a.root).sum() + np.square(b.root).sum() - 2 * cross
    return max(float(distance), 0.0)


class RunningMoments:
    """Moments of any number of features, taken in batch by batch: memory for F x F numbers, whatever N is."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._mean = np.zeros(width)
        self._scatter = np.zeros((width, width))  # sum of the outer products of what is left of the mean

    def add(self, features: Features) -> None:
        """Take in features [n, F], by the pairwise update of mean and scatter (Chan, Golub and LeVeque 1979)."""
        if len(features):
            mean = features.mean(axis=0)
            self._merge(len(features), mean, (features - mean).T @ (features - mean))

    def merge(self, other: "RunningMoments") -> None:
        """Take in what another has taken in."""
        if other.count:
            self._merge(other.count, other._mean, other._scatter)

    def _merge(self, count: int, mean: npt.NDArray[np.float64], scatter: npt.NDArray[np.float64]) -> None:
        total, away = self.count + count, mean - self._mean
        self._scatter += scatter + np.outer(away, away) * (self.count * count / total)
        self._mean += away * (count / total)
        self.count = total

    def moments(self) -> Moments:
        """Return the moments of all that was taken in, at least two features."""
        values, vectors = np.linalg.eigh(self._scatter / (self.count - 1))
        return Moments(self._mean.copy(), np.sqrt(values.clip(min=0))[:, None] * vectors.T)


def fakes_to_extrapolate(width: int) -> int:
    """Return how many fakes `extrapolated` needs with `width` features: half of them must be as many as these."""
    return 2 * max(width, 2)


def extrapolated(reals: Moments, fakes: Features, *, seed: int) -> float | None:
    """Return the distance that infinitely many fakes would have (arXiv:1911.07023, section 4).

    The distance of N fakes exceeds it by about a multiple of 1/N: a line through those of `SIZES` numbers of fakes,
    taken in one random order, meets 1/N = 0 there. It still depends on the number of reals. The paper begins at a tenth
    of 50,000; we begin at half. Numbers below that of the features lie far off the line: None is returned if there are.

    Args:
        reals: what to be near to.
        fakes: features [M, F].
        seed: of the order.
    """
    if len(fakes) < fakes_to_extrapolate(fakes.shape[1]):
        return None
    order = np.random.default_rng(seed).permutation(len(fakes))
    sizes = np.unique(np.linspace(len(fakes) // 2, len(fakes), SIZES).astype(int))
    distances = [frechet_distance(reals, Moments.of(fakes[order[:size]])) for size in sizes]
    return float(np.polyfit(1 / sizes, distances, 1)[1])


def standard_error(reals: Features, fakes: Features, *, seed: int, groups: Groups | None = None) -> float:
    """Return the standard error of the distance between reals [N, F] and fakes [M, F].

    At least four of each are needed, and of the reals' groups (without which all are independent).

    It is the deviation of the distances of random halves (the delete-half jackknife: Shao and Wu 1989), `RESAMPLES` of
    them. A bootstrap, which draws images twice, tells twice as much where there are fewer images than features.

    All that a distance needs are inner products, so these are computed once: of the covariances' product what is looked
    for is the sum of the singular values of the centred products.
    """
    within = np.square(reals).sum(axis=1), np.square(fakes).sum(axis=1)
    real_real, fake_fake, across = reals @ reals.T, fakes @ fakes.T, reals @ fakes.T
    rng = np.random.default_rng(seed)
    sides = groups or Groups.none(len(reals)), Groups.none(len(fakes))
    distances = []
    for _ in range(RESAMPLES):
        rows, columns = (side.half_of_groups(rng) for side in sides)
        products = across[np.ix_(rows, columns)]
        middle = products - products.mean(axis=0) - products.mean(axis=1, keepdims=True) + products.mean()
        n, m = len(rows) - 1, len(columns) - 1
        root = np.linalg.svd(middle, compute_uv=False).sum() / math.sqrt(n * m)
        squares = real_real[np.ix_(rows, rows)].mean(), fake_fake[np.ix_(columns, columns)].mean()  # of the means
        spreads = (
            (within[0][rows].sum() - len(rows) * squares[0]) / n,
            (within[1][columns].sum() - len(columns) * squares[1]) / m,
        )
        distances.append(sum(squares) - 2 * products.mean() + sum(spreads) - 2 * root)
    return float(np.std(distances, ddof=1))
