"""What is typical, what is different, and how many different pictures there are.

The paper's rules keep what is most like the mean of the photographs, and so the same again and again. Here an image is
typical when its distance to the nearest photographs is what photographs have among each other: neither far from all of
them, nor nearer than they are. Of the typical ones those are taken first that are farthest from all taken before.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from shared.duplicates import Prints, Thumbnails, near_copies, near_pairs
from synth.scores.groups import Rows
from synth.scores.moments import Features
from synth.selecting.originals import Distances, Mask

NEIGHBOURS = 5
VENDI_DRAWS = 10
MOST_VENDI = 500  # images a draw: the eigenvalues of more take seconds
TWINS_AT_ONCE = 4096  # kept images that are compared with each other
TOGETHER = 64  # of them, that are compared with all before


def typicality(distances: Distances) -> npt.NDArray[np.float32]:
    """Return the mean distance to the `NEIGHBOURS` nearest of N photographs, float32 [C], for distances [C, N].

    Infinite distances (to photographs of the same group) do not count.
    """
    k = min(NEIGHBOURS, distances.shape[1])
    least = np.partition(distances, k - 1, axis=1)[:, :k] if len(distances) else np.empty((0, k))
    finite = np.isfinite(least)
    total = np.where(finite, least, 0).sum(axis=1)
    mean = np.divide(total, finite.sum(axis=1), out=np.full(len(least), np.inf), where=finite.any(axis=1))
    return np.asarray(mean, np.float32)


def typical_range(reals: npt.NDArray[np.float32], sigma: float) -> tuple[float, float]:
    """Return mean - and + sigma standard deviations of the photographs' own typicality."""
    wide = np.asarray(reals[np.isfinite(reals)], np.float64)
    return float(wide.mean() - sigma * wide.std()), float(wide.mean() + sigma * wide.std())


def farthest_first(features: Features, first: int, count: int) -> Rows:
    """Return `count` rows of features [N, F]: `first`, then always the one farthest from all before.

    That is Gonzalez's algorithm (1985), which covers the set with at most twice the radius that is possible. Fewer are
    a beginning of more. Of equally far ones the first is taken.
    """
    x = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    count = min(count, len(x))
    order = np.empty(count, np.int64)
    away = torch.full((len(x),), torch.inf)
    chosen = first
    for place in range(count):
        order[place] = chosen
        torch.minimum(away, torch.linalg.vector_norm(x - x[chosen], dim=1), out=away)
        away[chosen] = -1.0  # never again, though others may be the same
        chosen = int(away.argmax())
    return order


def vendi_score(features: Features) -> float:
    """Return how many different images there seem to be among features [N, F]: from 1 to N (arXiv:2210.02410, Eq. 2).

    It is the exponential of the entropy of the eigenvalues of K / N, with cosines as the kernel K.
    """
    x = np.asarray(features, np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)
    values = np.linalg.eigvalsh(x @ x.T / len(x))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def mean_vendi(features: Features, n: int, *, seed: int) -> float:
    """Return the mean Vendi score of `n` images at a time, which depends on `n` as any count does."""
    if n >= len(features):
        return vendi_score(features)
    rng = np.random.default_rng([seed, n])
    return float(np.mean([vendi_score(features[rng.choice(len(features), n, False)]) for _ in range(VENDI_DRAWS)]))


def twins(blocks: Iterable[tuple[Rows, Thumbnails]]) -> Rows:
    """Return the rows of images that show the same as an earlier one of their block, turned in any way, in order.

    What is a twin itself has none.
    """
    found = [rows[_twins_of(thumbnails)] for rows, thumbnails in blocks]
    return np.concatenate([np.empty(0, np.int64), *found])


def _twins_of(thumbnails: Thumbnails) -> Rows:
    """Return the places of twins among thumbnails [N, 64, 64, 3], ascending.

    Each few are compared with those that have none so far: of a generator that always draws the same, that is one.
    """
    prints, known = Prints.of(thumbnails), dict[bytes, int]()
    first = [known.setdefault(each.tobytes(), place) for place, each in enumerate(thumbnails)]
    different = np.flatnonzero(np.array(first, np.int64) == np.arange(len(thumbnails)))
    kept = np.empty(0, np.int64)
    for start in range(0, len(different), TOGETHER):
        new = different[start : start + TOGETHER]
        old = {pair.first for pair in near_copies(prints[new], prints[kept])}
        new = new[[place for place in range(len(new)) if place not in old]]
        dropped: set[int] = set()
        for pair in near_pairs(prints[new]):
            if pair.first not in dropped:
                dropped.add(pair.second)
        kept = np.concatenate([kept, np.delete(new, sorted(dropped))])
    return np.setdiff1d(np.arange(len(thumbnails)), kept)


def within(values: npt.NDArray[np.float32], limits: tuple[float, float]) -> Mask:
    """Tell which values [N] are within limits, which belong to it."""
    wide = np.asarray(values, np.float64)
    return np.asarray((wide >= limits[0]) & (wide <= limits[1]))
