"""Generated images against photographs at equal numbers, beside what photographs reach against each other.

Few photographs make every distance large and uncertain. So the photographs are cut into two halves, many times anew:
fakes against one half is the score, the other half against it is its floor, and both have the same n. How far the
halves' scores scatter is the least that two scores must differ by.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from shared.errors import UserError
from synth.quality import Features, Images, Moments, frechet_distance, kernel_distance

HALVINGS = 20
NEIGHBOURHOOD = 3  # of precision and recall, as published (arXiv:1904.06991)
NEAR = 0.05  # what share of photographs is nearer to another one than what counts as near
RESAMPLES = 1000
MOST_PAIRS = 2000  # of M fakes there are M^2 kernel values
MIN_IMAGES = 2 * (NEIGHBOURHOOD + 1)


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over halvings, of the fakes and of the other half in their place."""

    mean: float
    sd: float
    floor: float
    floor_sd: float


@dataclass(frozen=True)
class Comparison:
    """How near fakes are to photographs.

    Attributes:
        n: images a side.
        distance: Frechet distance.
        precision: share of fakes within the photographs' neighbourhoods (fidelity).
        recall: share of photographs within the fakes' (diversity).
        copies: share of all fakes that are nearer to any photograph, turned and mirrored, than 95 % of the photographs
            are to any other; about 5 % is expected of fakes that know the disease and not the photographs.
        copies_floor: the same of one half of the photographs against the other.
        kid, kid_sd: kernel distance between all photographs and all fakes, over subsets; 0 is expected of perfect ones.
    """

    n: int
    distance: Spread
    precision: Spread
    recall: Spread
    copies: float
    copies_floor: float
    kid: float
    kid_sd: float


def turned(images: Images) -> list[Images]:
    """Return images [N, S, S, 3] in their eight turned and mirrored forms."""
    return [
        np.ascontiguousarray(np.rot90(each, quarter, axes=(1, 2)))
        for each in (images, images[:, :, ::-1])
        for quarter in range(4)
    ]


def compare(real: Features, real_turned: npt.NDArray[np.float64], fakes: Features, *, seed: int) -> Comparison:
    """Compare features of fakes [M, F] with those of photographs [N, F].

    Args:
        real: of the photographs.
        real_turned: [8, N, F], of their turned and mirrored forms.
        fakes: at least half as many as photographs.
        seed: of the halves.

    Raises `UserError`: too few images.
    """
    require_enough(len(real), len(fakes), "generated images:")
    n = len(real) // 2
    rng = np.random.default_rng([seed, len(real), len(fakes)])
    near = nearest(real, real_turned)
    np.fill_diagonal(near, np.inf)  # to any other
    copies = float((nearest(fakes, real_turned).min(axis=1) < _limit(near)).mean())
    rows: list[list[tuple[float, float]]] = []  # [halvings, scores, 2]
    copies_floor: list[float] = []
    for _ in range(HALVINGS):
        order = rng.permutation(len(real))
        a, b = order[:n], order[n : 2 * n]
        candidates = (fakes[rng.choice(len(fakes), n, replace=False)], real[b])
        half = Moments.of(real[a])
        distances = [frechet_distance(half, Moments.of(each)) for each in candidates]
        (precision, recall), (precision_floor, recall_floor) = (_precision_recall(each, real[a]) for each in candidates)
        rows.append([(distances[0], distances[1]), (precision, precision_floor), (recall, recall_floor)])
        copies_floor.append(float((near[np.ix_(b, a)].min(axis=1) < _limit(near[np.ix_(a, a)])).mean()))
    table = np.array(rows)
    means, sds = table.mean(axis=0), table.std(axis=0, ddof=1)
    distance, precision_spread, recall_spread = (
        Spread(*map(float, (m[0], s[0], m[1], s[1]))) for m, s in zip(means, sds, strict=True)
    )
    kid = kernel_distance(fakes, real, seed=seed)
    assert kid is not None
    return Comparison(n, distance, precision_spread, recall_spread, copies, float(np.mean(copies_floor)), *kid)


def nearer(usual: Features, other: Features, real: Features, *, seed: int) -> tuple[float, float]:
    """Return by how much `other` has a smaller KID to `real` than `usual`, and the standard error of that.

    The error is a bootstrap's, of photographs and of fakes, which go in pairs: what both sets owe to the same seeds and
    the same photographs does not count as noise. Of many fakes the first `MOST_PAIRS` are looked at.

    Args:
        usual: features [M, F].
        other: those of the same seeds, drawn in another way.
        real: [N, F].
        seed: of the bootstrap.
    """
    usual, other = usual[:MOST_PAIRS], other[:MOST_PAIRS]
    within = _kernel(usual, usual) - _kernel(other, other)
    np.fill_diagonal(within, 0.0)
    across = _kernel(usual, real) - _kernel(other, real)
    rng = np.random.default_rng(seed)
    pairs = _counts(rng, len(usual))
    photographs = _counts(rng, len(real))
    first = ((pairs @ within) * pairs).sum(axis=1) / (len(usual) ** 2 - np.square(pairs).sum(axis=1))
    second = ((pairs @ across) * photographs).sum(axis=1) / (len(usual) * len(real))
    differences = first - 2 * second
    return float(differences[0]), float(differences[1:].std(ddof=1))


def _kernel(a: Features, b: Features) -> npt.NDArray[np.float64]:
    """Return KID's polynomial kernel (arXiv:1801.01401, Eq. 4): [M, N]."""
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def _counts(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """Return how often each of `n` is drawn: once in the first row, then with replacement: [1 + RESAMPLES, n]."""
    return np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)]).astype(np.float64)


def require_enough(photographs: int, fakes: int, option: str) -> None:
    """Raise `UserError` when there are too few to compare; `option` is what sets the number of fakes."""
    n = photographs // 2
    if photographs < MIN_IMAGES:
        raise UserError(f"{photographs} photographs are too few to compare with; at least {MIN_IMAGES} are needed.")
    if fakes < n:
        raise UserError(f"{option} {fakes}: fewer than half of the {photographs} photographs; give at least {n}.")


def _limit(near: npt.NDArray[np.float64]) -> float:
    """Return the distance to the nearest other photograph that `NEAR` of the photographs fall below."""
    return float(np.quantile(near.min(axis=1), NEAR))


def nearest(images: Features, real_turned: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the distance of every image [M, F] to every photograph in its nearest of eight forms [8, N, F]: [M, N]."""
    x = torch.from_numpy(np.ascontiguousarray(images))
    least = torch.full((len(images), real_turned.shape[1]), torch.inf, dtype=torch.float64)
    for form in real_turned:
        torch.minimum(least, torch.cdist(x, torch.from_numpy(np.ascontiguousarray(form))), out=least)
    return np.asarray(least.numpy())


def _precision_recall(fakes: Features, real: Features) -> tuple[float, float]:
    result = prc_features_to_metric(
        torch.from_numpy(fakes), torch.from_numpy(real), prc_neighborhood=NEIGHBOURHOOD, verbose=False
    )
    return float(result[KEY_METRIC_PRECISION]), float(result[KEY_METRIC_RECALL])
