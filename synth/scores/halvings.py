"""Fakes against one half of the reals, and the other half against it, at equal numbers, many times anew.

Few reals make every distance large and uncertain. The other half's score is the floor of the fakes': what perfect ones
would reach at that number. Scores that differ by less than they scatter over halves are best taken as equal.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from synth.scores.groups import Groups, Rows
from synth.scores.moments import Features, Moments, frechet_distance

HALVINGS = 20
NEIGHBOURHOOD = 3  # of precision and recall, as published (arXiv:1904.06991)
MOST = 1000  # images a side: more tell little, and a distance of thousands takes seconds


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over halvings, of the fakes and of the other half in their place."""

    mean: float
    sd: float
    floor: float
    floor_sd: float


@dataclass(frozen=True)
class AtEqualNumbers:
    """What `n` fakes are beside `n` reals, over halvings.

    Attributes:
        n: images a side.
        distance: Frechet distance.
        precision: share of fakes within the reals' neighbourhoods (fidelity); None for fewer than four images a side.
        recall: share of reals within the fakes' (diversity); None likewise.
    """

    n: int
    distance: Spread
    precision: Spread | None
    recall: Spread | None


@dataclass(frozen=True, eq=False)
class _Cut:
    """Which reals are compared with, which others and which fakes are compared, and the scores of the others."""

    one: Rows
    other: Rows
    fakes: Rows
    floor: tuple[float, ...]


class Halvings:
    """Cuts of some reals, made once for any number of generators of which `fakes` images each are compared."""

    def __init__(
        self, real: Features, fakes: int, *, seed: int, groups: Groups | None = None, most: int = MOST
    ) -> None:
        """Cut reals [N, F], and none of their groups; without these all are independent. `most` go to a side.

        Where `n` is below two there is nothing to compare.
        """
        groups = groups or Groups.none(len(real))
        self.n = min(groups.half, fakes, most, MOST)
        self._real = real
        rng = np.random.default_rng([seed, len(real), fakes])
        self.cuts: list[_Cut] = []
        for _ in range(HALVINGS if self.n >= 2 else 0):
            one, other = (rows[: self.n] for rows in groups.halves(rng))
            taken = rng.choice(fakes, self.n, replace=False)
            self.cuts.append(_Cut(one, other, taken, self._scores(real[other], real[one])))

    @property
    def has_neighbours(self) -> bool:
        """Whether there are enough images for precision and recall."""
        return self.n > NEIGHBOURHOOD

    def _scores(self, candidates: Features, half: Features) -> tuple[float, ...]:
        distance = frechet_distance(Moments.of(half), Moments.of(candidates))
        return (distance, *precision_recall(candidates, half)) if self.has_neighbours else (distance,)

    def compare(self, fakes: Features) -> AtEqualNumbers:
        """Compare features [M, F] of as many fakes as the cuts were made for."""
        rows = np.array([self._scores(fakes[cut.fakes], self._real[cut.one]) for cut in self.cuts])
        floors = np.array([cut.floor for cut in self.cuts])
        columns = [rows.mean(axis=0), rows.std(axis=0, ddof=1), floors.mean(axis=0), floors.std(axis=0, ddof=1)]
        distance, *others = (Spread(*map(float, column)) for column in np.transpose(columns))
        precision, recall = others or (None, None)
        return AtEqualNumbers(self.n, distance, precision, recall)


def precision_recall(fakes: Features, real: Features) -> tuple[float, float]:
    """Return improved precision and recall (arXiv:1904.06991) of as many fakes as reals, [N, F]."""
    result = prc_features_to_metric(
        torch.from_numpy(fakes), torch.from_numpy(real), prc_neighborhood=NEIGHBOURHOOD, verbose=False
    )
    return float(result[KEY_METRIC_PRECISION]), float(result[KEY_METRIC_RECALL])
