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
        copies: share of fakes that are nearer to a photograph, turned and mirrored, than 95 % of the photographs are to
            any other; 5 % is expected of fakes that know the disease and not the photographs.
        kid, kid_sd: kernel distance between all photographs and all fakes, over subsets; 0 is expected of perfect ones.
    """

    n: int
    distance: Spread
    precision: Spread
    recall: Spread
    copies: Spread
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
    n = len(real) // 2
    if n < MIN_IMAGES // 2 or len(fakes) < n:
        raise UserError(
            f"{len(real)} photographs and {len(fakes)} generated images are too few to compare; give at least "
            f"{MIN_IMAGES} photographs, and half as many generated images."
        )
    rng = np.random.default_rng([seed, len(real), len(fakes)])
    near_fake = nearest(fakes, real_turned)
    near_real = nearest(real, real_turned)
    rows: list[tuple[tuple[float, float], ...]] = []
    for _ in range(HALVINGS):
        order = rng.permutation(len(real))
        a, b = order[:n], order[n : 2 * n]
        drawn = rng.choice(len(fakes), n, replace=False)
        half = Moments.of(real[a])
        candidates = (fakes[drawn], real[b])
        within = near_real[np.ix_(a, a)].copy()
        np.fill_diagonal(within, np.inf)
        limit = float(np.quantile(within.min(axis=1), NEAR))
        prc = [_precision_recall(each, real[a]) for each in candidates]
        rows.append(
            (
                tuple(frechet_distance(half, Moments.of(each)) for each in candidates),  # type: ignore[arg-type]
                (prc[0][0], prc[1][0]),
                (prc[0][1], prc[1][1]),
                (
                    float((near_fake[:, a].min(axis=1) < limit).mean()),
                    float((near_real[np.ix_(b, a)].min(axis=1) < limit).mean()),
                ),
            )
        )
    table = np.array(rows)  # [halvings, scores, 2]
    means, sds = table.mean(axis=0), table.std(axis=0, ddof=1)
    spreads = [Spread(*map(float, (m[0], s[0], m[1], s[1]))) for m, s in zip(means, sds, strict=True)]
    kid = kernel_distance(fakes, real, seed=seed)
    assert kid is not None
    distance, precision, recall, copies = spreads
    return Comparison(n, distance, precision, recall, copies, *kid)


def nearest(images: Features, real_turned: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the distance of every image [M, F] to every photograph in its nearest of eight forms [8, N, F]: [M, N]."""
    x = torch.from_numpy(np.ascontiguousarray(images))
    forms = (torch.cdist(x, torch.from_numpy(np.ascontiguousarray(form))) for form in real_turned)
    least = torch.stack(list(forms)).amin(dim=0)
    return np.asarray(least.numpy())


def _precision_recall(fakes: Features, real: Features) -> tuple[float, float]:
    result = prc_features_to_metric(
        torch.from_numpy(fakes), torch.from_numpy(real), prc_neighborhood=NEIGHBOURHOOD, verbose=False
    )
    return float(result[KEY_METRIC_PRECISION]), float(result[KEY_METRIC_RECALL])
