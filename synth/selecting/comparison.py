"""Generated images against photographs at equal numbers, and how many are copies of photographs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from shared.errors import UserError
from synth.scores.groups import Groups
from synth.scores.halvings import NEIGHBOURHOOD, Halvings, Spread
from synth.scores.kernels import kernel_distance
from synth.scores.moments import Features
from synth.scores.quality import Images

NEAR = 0.05  # what share of photographs is nearer to another one than what counts as near
MIN_IMAGES = 2 * (NEIGHBOURHOOD + 1)


@dataclass(frozen=True)
class Comparison:
    """How near fakes are to photographs.

    Attributes:
        n: images a side.
        distance, precision, recall: see `synth.scores.halvings.AtEqualNumbers`.
        copies: share of all fakes that are nearer to any photograph, turned and mirrored, than 95 % of the photographs
            are to any of another group; about 5 % is expected of fakes that know the disease and not the photographs.
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


def compare(
    real: Features,
    real_turned: npt.NDArray[np.float64],
    fakes: Features,
    *,
    seed: int,
    groups: Groups | None = None,
) -> Comparison:
    """Compare features of fakes [M, F] with those of photographs [N, F].

    Args:
        real: of the photographs.
        real_turned: [8, N, F], of their turned and mirrored forms.
        fakes: at least half as many as photographs.
        seed: of the halves.
        groups: of the photographs; None means that all are independent.

    Raises `UserError`: too few images, or groups.
    """
    require_enough(len(real), len(fakes), "generated images:")
    groups = groups or Groups.none(len(real))
    halvings = Halvings(real, len(fakes), seed=seed, groups=groups)
    if not halvings.has_neighbours:
        raise UserError(
            f"{len(real)} photographs of {groups.count} groups, which stay together, leave {halvings.n} to compare "
            f"with as many; at least {NEIGHBOURHOOD + 1} are needed."
        )
    near = nearest(real, real_turned)
    near[groups.related] = np.inf  # what counts is the distance to another patient's
    copies = float((nearest(fakes, real_turned).min(axis=1) < _limit(near)).mean())
    found = halvings.compare(fakes)
    copies_floor = [
        float((near[np.ix_(cut.other, cut.one)].min(axis=1) < _limit(near[np.ix_(cut.one, cut.one)])).mean())
        for cut in halvings.cuts
    ]
    kid = kernel_distance(fakes, real, seed=seed, groups=groups)
    assert kid is not None
    assert found.precision is not None
    assert found.recall is not None
    return Comparison(
        found.n,
        found.distance,
        found.precision,
        found.recall,
        copies,
        float(np.mean(copies_floor)),
        kid.mean,
        kid.sd,
    )


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
        # By products for any number of images: else few would be compared in another way than many.
        away = torch.cdist(x, torch.from_numpy(np.ascontiguousarray(form)), compute_mode="use_mm_for_euclid_dist")
        torch.minimum(least, away, out=least)
    return np.asarray(least.numpy())
