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

from synth.scores.groups import Groups, Rows
from synth.selecting.originals import Distances, Mask, Originals

GATE = 0.01  # quantile of the photographs' distances to the nearest one of another group
DRAWS = 200
SUBSETS = 10  # of the training photographs, for each of them
LEVEL = 0.95
MIN_HELD_OUT = 8  # groups of photographs, or of candidates, below which a comparison with them shows nothing


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
        authenticity_of_held_out: the same of the photographs held out; None where `n` is 0.
        excess_low, excess_high: 95 % interval of the difference of these two; None likewise.
    """

    n: int
    candidates: int
    nearer_to_training: Share | None
    authenticity: float | None
    authenticity_of_held_out: float | None
    excess_low: float | None
    excess_high: float | None

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
    """Compare candidates, by their distances [C, M] to all photographs, with those trained on and those held out.

    The intervals are a bootstrap's, of whole groups of photographs, and of candidates by their nearest photograph:
    those of a generator that draws few things again and again say no more than few.
    """
    trained, end = originals.trained, originals.compared
    training, held_out = (Groups.of(originals.groups.index[part]) for part in (slice(trained), slice(trained, end)))
    own = _authentic(candidates[:, :trained], originals)
    n = min(len(held_out), len(training) // 2)  # half of the others stay to say what is expected
    alike = Groups.of(candidates[:, :end].argmin(axis=1))
    if min(held_out.count, alike.count) < MIN_HELD_OUT or training.count < 2 * MIN_HELD_OUT:
        return Leaning(0, len(candidates), None, float(own.mean()) if len(own) else None, None, None, None)
    rng = np.random.default_rng([seed, n, len(candidates)])
    sides = _Sides(candidates, originals.others, training, held_out, n)
    of_held_out = _authentic(originals.others[trained:end, :trained], originals)
    every = np.arange(len(candidates))
    value, expected = sides.shares(every, np.arange(trained), np.arange(len(held_out)), rng)
    draws = []
    for _ in range(DRAWS):
        drawn, away = _drawn_anew(alike, rng), _drawn_anew(held_out, rng)
        share, baseline = sides.shares(drawn, _drawn_anew(training, rng), away, rng)
        draws.append((share, share - baseline, own[drawn].mean() - of_held_out[away].mean()))
    if not np.isfinite([expected, *np.ravel(draws)]).all():  # one group is so large that nothing is left beside it
        return Leaning(0, len(candidates), None, float(own.mean()), None, None, None)
    ends = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    (low, excess_low, less), (high, excess_high, more) = ends.tolist()
    share_found = Share(value, low, high, expected, excess_low, excess_high)
    return Leaning(n, len(candidates), share_found, float(own.mean()), float(of_held_out.mean()), less, more)


def _authentic(distances: Distances, originals: Originals) -> Mask:
    """Tell which images, by their distances [N, T] to the T trained on, are farther than these are from others."""
    trained = originals.trained
    to_others = originals.others[:trained, :trained].min(axis=1)
    return np.asarray(distances.min(axis=1) > to_others[distances.argmin(axis=1)])


@dataclass(frozen=True, eq=False)
class _Sides:
    """Candidates by their distances [C, M] to photographs, and these [M, M] to those of other groups."""

    candidates: Distances
    others: Distances
    training: Groups
    held_out: Groups
    n: int

    def shares(self, drawn: Rows, near: Rows, away: Rows, rng: np.random.Generator) -> tuple[float, float]:
        """Return the share of candidates nearer to training photographs, and that of such photographs in their place.

        Of training photographs `near` and held-out ones `away`, which may repeat, `n` are taken at a time in whole
        groups, `SUBSETS` times; the training photographs of all other groups are then those in the place of candidates.
        """
        trained, found = len(self.training), []
        for _ in range(SUBSETS):
            far, rows = _some(self.held_out, away, self.n, rng), _some(self.training, near, self.n, rng)
            rows, far = rows[: len(far)], trained + far[: len(rows)]
            left = near[~np.isin(self.training.index[near], self.training.index[rows])]
            share = _nearer(self.candidates, rows, far)[drawn].mean()
            found.append((share, _nearer(self.others[left], rows, far).mean() if len(left) else np.nan))
        share, baseline = np.mean(found, axis=0)
        return float(share), float(baseline)


def _nearer(distances: Distances, rows: Rows, far: Rows) -> npt.NDArray[np.float64]:
    """Return 1 for images nearer to `rows` than to `far`, 0 for others, and a half for those as near to both."""
    one, other = distances[:, rows].min(axis=1), distances[:, far].min(axis=1)
    return np.asarray((one < other) + 0.5 * (one == other))


def _some(groups: Groups, rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """Return `n` of `rows`, which may repeat, in whole groups but for the last one."""
    place = rng.permutation(groups.count)
    return rows[np.argsort(place[groups.index[rows]], kind="stable")[:n]]


def _drawn_anew(groups: Groups, rng: np.random.Generator) -> Rows:
    """Return the images of as many groups drawn with replacement."""
    return np.repeat(np.arange(len(groups)), groups.draws(rng, 1)[0].astype(np.int64))


def is_copy(distance: npt.NDArray[np.floating], same: Rows, gate: float) -> Mask:
    """Tell which images [N] are copies: nearer to some photograph than the gate, or the same by their pixels."""
    return np.asarray((distance < gate) | (same >= 0))
