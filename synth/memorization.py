"""Whether generated images are copies of photographs, and whether their generator knows these by heart.

A candidate that is nearer to a photograph than photographs of other patients are to each other is a copy. That says
nothing of a generator whose images lean towards the photographs that it was trained on without being copies; so these
are compared with as many that were held out. What is nearest of many is nearer than what is nearest of few, hence the
equal numbers. What is expected of a generator that knows the disease and no photograph is what photographs themselves
show that were in neither set.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.groups import Groups, Rows
from synth.originals import Distances, Mask, Originals

GATE = 0.01  # quantile of the photographs' distances to the nearest one of another group
DRAWS = 200
SUBSETS = 10  # of the training photographs, for each of them
LEVEL = 0.95
MIN_HELD_OUT = 8  # groups, below which a comparison with them shows nothing
MIN_PHOTOGRAPHS = 2  # groups that were trained on


@dataclass(frozen=True)
class Share:
    """A share of candidates beside that of photographs in their place.

    Attributes:
        value, low, high: of the candidates, with a 95 % interval over photographs and candidates.
        expected: of photographs that were trained on, beside others that were.
        excess_low, excess_high: 95 % interval of the difference.
    """

    value: float
    low: float
    high: float
    expected: float
    excess_low: float
    excess_high: float


@dataclass(frozen=True)
class Leaning:
    """How far candidates lean towards the photographs that were trained on.

    Attributes:
        n: photographs a side, trained on and held out; 0 where too few were held out to tell.
        candidates: how many were looked at.
        nearer_to_training: share that is nearer to the former; None where `n` is 0.
        authenticity: share that is farther from its nearest training photograph than that is from all of other groups
            (arXiv:2102.08921, Eq. 8).
        authenticity_of_held_out: the same of the photographs held out; None where there are none.
    """

    n: int
    candidates: int
    nearer_to_training: Share | None
    authenticity: float | None
    authenticity_of_held_out: float | None

    def as_json(self) -> dict[str, Any]:
        """Return it as a bundle keeps it."""
        return dataclasses.asdict(self)


def gate_of(originals: Originals, quantile: float) -> float:
    """Return the distance below which an image is a copy: of the photographs' to the nearest one of another group.

    Where all are of one group it is 0, and pixels alone tell.
    """
    nearest = originals.others.min(axis=1)
    finite = nearest[np.isfinite(nearest)]
    return float(np.quantile(finite, quantile)) if len(finite) else 0.0


def leaning(candidates: Distances, originals: Originals, *, seed: int) -> Leaning:
    """Compare candidates, by their distances [C, M] to all photographs, with those trained on and those held out."""
    trained = originals.trained
    n, share = _nearer_to_training(candidates, originals, seed)
    held_out = originals.others[trained:, :trained]
    return Leaning(
        n=n,
        candidates=len(candidates),
        nearer_to_training=share,
        authenticity=_authenticity(candidates[:, :trained], originals),
        authenticity_of_held_out=_authenticity(held_out, originals),
    )


def _authenticity(distances: Distances, originals: Originals) -> float | None:
    """Return the share of images, by their distances [N, T] to the T trained on, that are farther than others are."""
    trained = originals.trained
    to_others = originals.others[:trained, :trained].min(axis=1)
    if not len(distances) or not np.isfinite(to_others).any():
        return None
    return float((distances.min(axis=1) > to_others[distances.argmin(axis=1)]).mean())


def _nearer_to_training(candidates: Distances, originals: Originals, seed: int) -> tuple[int, Share | None]:
    """Return how many photographs a side are compared, and the share of candidates nearer to those trained on.

    The intervals are a bootstrap's, of candidates and of whole groups of photographs.
    """
    trained, others = originals.trained, originals.others
    training, held_out = Groups.of(originals.groups.index[:trained]), Groups.of(originals.groups.index[trained:])
    n = min(len(held_out), len(training) // 2)  # half of the others stay to say what is expected
    if held_out.count < MIN_HELD_OUT or training.count < 2 * MIN_HELD_OUT or not len(candidates):
        return 0, None
    rng = np.random.default_rng([seed, n, len(candidates)])
    every = np.arange(len(candidates))
    value, expected = _shares(candidates, others, every, np.arange(trained), held_out.some(rng, n), training, n, rng)
    draws = []
    for _ in range(DRAWS):
        rows, away = _drawn_anew(training, rng), rng.permutation(_drawn_anew(held_out, rng))[:n]
        draws.append(_shares(candidates, others, rng.choice(every, len(every)), rows, away, training, n, rng))
    shares, baselines = np.transpose(draws)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high, excess_low, excess_high = (
        float(end) for end in (*np.quantile(shares, ends), *np.quantile(shares - baselines, ends))
    )
    return n, Share(value, low, high, expected, excess_low, excess_high)


def _shares(
    candidates: Distances,
    others: Distances,
    drawn: Rows,
    rows: Rows,
    held_out: Rows,
    training: Groups,
    n: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the share of candidates nearer to training photographs, and that of such photographs in their place.

    Of `rows`, which may repeat, `n` are taken at a time, in whole groups, `SUBSETS` times; the photographs of all other
    groups are then those in the place of candidates.
    """
    trained = len(training)
    away = trained + held_out
    far, far_of_others = candidates[:, away].min(axis=1), others[:trained, away].min(axis=1)
    found = []
    for _ in range(SUBSETS):
        place = rng.permutation(training.count)
        near = rows[np.argsort(place[training.index[rows]], kind="stable")[:n]]
        left = rows[~np.isin(training.index[rows], training.index[near])]
        share = _share(candidates[:, near].min(axis=1), far)[drawn].mean()
        found.append((share, _share(others[np.ix_(left, near)].min(axis=1), far_of_others[left]).mean()))
    share, baseline = np.mean(found, axis=0)
    return float(share), float(baseline)


def _share(near: npt.NDArray[np.float64], far: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return 1 where the first is smaller, 0 where the second is, and a half where they are equal."""
    return np.asarray((near < far) + 0.5 * (near == far))


def _drawn_anew(groups: Groups, rng: np.random.Generator) -> Rows:
    """Return the photographs of as many groups drawn with replacement."""
    return np.repeat(np.arange(len(groups)), groups.draws(rng, 1)[0].astype(np.int64))


def is_copy(distance: npt.NDArray[np.floating], same: Rows, gate: float) -> Mask:
    """Tell which images [N] are copies: nearer to some photograph than the gate, or the same by their pixels."""
    return np.asarray((distance < gate) | (same >= 0))


def shareable(found: Leaning, kept: int, unknown: int, photographs: int) -> tuple[bool, str]:
    """Return whether images may be given to those who may not see the photographs, and why.

    Args:
        found: what is known of their generator.
        kept: how many they are, none of which is a copy.
        unknown: photographs that the generator saw and that could not be compared with.
        photographs: how many were.
    """
    if unknown:
        return (
            False,
            f"its generator saw photographs that are not in this cohort ({unknown}), so nobody could compare with them",
        )
    share = found.nearer_to_training
    if share is None:
        return False, (
            "too few photographs were held out from the training to tell whether the generator knows its own by heart"
        )
    words = (
        f"{100 * share.value:.0f} % of the candidates are nearer to {found.n} photographs trained on than to as many "
        f"held out, where {100 * share.expected:.0f} % are expected"
    )
    interval = f"difference {100 * share.excess_low:+.0f} to {100 * share.excess_high:+.0f} points"
    if share.excess_low > 0:
        return False, f"the generator leans on its training photographs: {words} ({interval})"
    return True, f"none of the {kept} images is a copy of one of {photographs} photographs, and {words} ({interval})"
