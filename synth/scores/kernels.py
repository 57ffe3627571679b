"""Kernel distance (KID), and how sure it is.

Unlike the Frechet distance it has no bias from few images, so it is what checkpoints and cells are chosen by.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.scores.groups import Groups, Rows
from synth.scores.moments import Features

KID_SUBSETS = 100
KID_SUBSET_SIZE = 100  # at most: 100 subsets of 100 use all images of any part that fits the paper's scale
RESAMPLES = 1000
MOST_PAIRS = 2000  # fakes and reals, at most: of M images there are M^2 kernel values
LEVEL = 0.95


@dataclass(frozen=True)
class KernelDistance:
    """KID: mean and standard deviation over subsets of `subset_size`, and a bootstrap's 95 % interval from low to high.

    The interval is of the same distance between all images (the first `MOST_PAIRS` of each). Two reals of one group
    (`synth.scores.groups`) are no pair in either: their likeness says nothing of how alike reals are.
    """

    mean: float
    sd: float
    low: float
    high: float
    subset_size: int


def kernel_distance(
    fakes: Features, reals: Features, *, seed: int, subset: int | None = None, groups: Groups | None = None
) -> KernelDistance | None:
    """Return KID (arXiv:1801.01401) between fakes [M, F] and reals [N, F]; None for fewer than 2 images.

    `subset` images are in each of its subsets: by default 100, or as many as there are. The interval's bootstrap draws
    whole `groups` of reals.
    """
    size = subset or min(len(fakes), len(reals), KID_SUBSET_SIZE)
    groups = groups or Groups.none(len(reals))
    if size < 2 or groups.count < 2:
        return None
    subsets = _of_subsets(fakes, reals, groups, size, seed)
    fakes, reals, groups = fakes[:MOST_PAIRS], reals[:MOST_PAIRS], groups.first(MOST_PAIRS)
    distances = _resampled(_kernel(fakes, fakes), _kernel(reals, reals), _kernel(fakes, reals), seed, groups)
    low, high = np.nanquantile(distances[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return KernelDistance(float(np.nanmean(subsets)), float(np.nanstd(subsets)), float(low), float(high), size)


def _of_subsets(fakes: Features, reals: Features, groups: Groups, size: int, seed: int) -> npt.NDArray[np.float64]:
    """Return the squared distance of each subset, which are drawn as torch-fidelity draws them."""
    rng = np.random.RandomState(seed)  # the library's numbers
    once = np.ones((1, size))
    found = []
    for _ in range(KID_SUBSETS):
        rows, columns = (rng.choice(len(each), size, replace=False) for each in (fakes, reals))
        x, y = fakes[rows], reals[columns]
        within = _mean_of_pairs(_kernel(x, x), once) + _mean_of_pairs(_kernel(y, y), once, groups.index[columns])
        found.append(float(within[0] - 2 * _kernel(x, y).mean()))
    return np.array(found)


def nearer(
    usual: Sequence[Features],
    other: Sequence[Features],
    reals: Features,
    *,
    seed: int,
    groups: Groups | None = None,
) -> tuple[float, float]:
    """Return by how much `other` has a smaller KID to reals [N, F] than `usual`, and the standard error of that.

    The error is a bootstrap's, of reals and of fakes, which go in pairs: what both sets owe to the same seeds and the
    same reals does not count as noise. Of many images the first `MOST_PAIRS` are looked at.

    Args:
        usual: features [M, F], of one generator or several, whose distances are averaged.
        other: of the same latent seeds, drawn by one other generator or several.
        reals: [N, F].
        seed: of the bootstrap.
        groups: of the reals; None means that all are independent.
    """
    reals = reals[:MOST_PAIRS]
    (first_within, first_across), (within, across) = (_mean_kernels(each, reals) for each in (usual, other))
    distances = _resampled(first_within - within, None, first_across - across, seed, groups)
    return float(distances[0]), float(np.nanstd(distances[1:], ddof=1))


def squared_mmd(fakes: Features, reals: Features) -> float:
    """Return the unbiased squared distance between all images, of which KID is the mean over subsets."""
    one = np.ones((1, len(fakes))), np.ones((1, len(reals)))
    within = _mean_of_pairs(_kernel(fakes, fakes), one[0]) + _mean_of_pairs(_kernel(reals, reals), one[1])
    return float(within[0] - 2 * _kernel(fakes, reals).mean())


def _mean_kernels(
    generators: Sequence[Features], reals: Features
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the kernel values of some generators' fakes with each other and with reals, averaged over generators."""
    kept = [fakes[:MOST_PAIRS] for fakes in generators]
    within = np.mean([_kernel(fakes, fakes) for fakes in kept], axis=0)
    return within, np.mean([_kernel(fakes, reals) for fakes in kept], axis=0)


def _kernel(a: Features, b: Features) -> npt.NDArray[np.float64]:
    """Return KID's polynomial kernel (arXiv:1801.01401, Eq. 4): [M, N]."""
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def _resampled(
    fake_fake: npt.NDArray[np.float64],
    real_real: npt.NDArray[np.float64] | None,
    across: npt.NDArray[np.float64],
    seed: int,
    groups: Groups | None,
) -> npt.NDArray[np.float64]:
    """Return the unbiased squared distance of given kernel values: as it is, then `RESAMPLES` times drawn anew.

    An image that is drawn twice is no pair with itself. `real_real` is left out where it would cancel.
    """
    rng = np.random.default_rng(seed)
    independent, n = Groups.none(len(across)), across.shape[1]
    of_reals = (groups or Groups.none(n)).first(n)
    fakes, reals = (
        np.concatenate([np.ones((1, len(each))), each.draws(rng, RESAMPLES)]) for each in (independent, of_reals)
    )
    distances = _mean_of_pairs(fake_fake, fakes)
    distances -= 2 * ((fakes @ across) * reals).sum(axis=1) / (fakes.sum(axis=1) * reals.sum(axis=1))
    return distances if real_real is None else distances + _mean_of_pairs(real_real, reals, of_reals.index)


def _mean_of_pairs(
    kernel: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], index: Rows | None = None
) -> npt.NDArray[np.float64]:
    """Return the mean of kernel values [M, M] over pairs of images of different groups, for counts [R, M]: [R].

    `index` [M] tells the groups; without it each image is one. It is NaN where there is no pair.
    """
    unrelated = ~np.eye(len(kernel), dtype=bool) if index is None else index[:, None] != index
    pairs = ((counts @ unrelated) * counts).sum(axis=1)
    total = ((counts @ (kernel * unrelated)) * counts).sum(axis=1)
    return np.asarray(np.divide(total, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))
