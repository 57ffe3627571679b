"""How sure a measure is: the bootstrap over groups.

Percentile intervals (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13) of clusters that are drawn
whole (Field and Welsh 2007, J R Stat Soc B 69:369).

Groups (patients, cases) are drawn with replacement, with all verdicts of all their images. So photographs of one
patient count as one source, and so do the verdicts of five models on one external image. It tells what other patients
would change; what another training would change, it does not.

Three limits. A share near 0 or 1 has too narrow an interval, and one where all verdicts agree has none at all: a share
of 97.3 % in 188 independent images is held by 88 % of the intervals and by 96 % of Wilson's, one of 95 % in 475 by 95 %
and 96 % (exactly, from binomial probabilities). So `classify.measuring.statistics.wilson_interval` is the better one
where each image is its own group. Few groups make it narrow too: by a factor of sqrt(1 - 1/n) for n groups of a
stratum. And a stratum of one group never varies.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from classify.measuring.verdicts import Integers, Values, Verdicts

RESAMPLES = 2000
MOST_UNDEFINED = 0.05  # share of resamples without a value, above which the rest say too little
NUMBERS_AT_ONCE = 2_000_000  # weights of a block of resamples: 16 MB

Interval = tuple[float, float]
Statistic = Callable[[Values], Values]
"""From weights [B, V], how much each verdict counts in each of B resamples, to values [B]; undefined is nan."""


class Resamples:
    """Resamples of the groups of V `verdicts`, drawn once for all statistics that are asked for.

    A verdict's weight is how often its group was drawn, times its share (`Verdicts.share`). Groups are drawn within
    strata: the fold that judges them (those that several judge are together), and whether they hold a positive. So
    every resample has positives wherever the data has them, and negatives too unless all of a fold's negatives share
    groups with positives. The same groups and seed give the same resamples, whatever the order of the verdicts.
    """

    def __init__(self, verdicts: Verdicts, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        groups, self._member = np.unique(verdicts.group, return_inverse=True)
        self.verdicts, self._groups, self._share = verdicts, len(groups), verdicts.share
        self._count, self._seed = resamples, seed
        self._strata = _strata(verdicts, groups)

    @cached_property
    def _draws(self) -> list[npt.NDArray[np.uint32]]:
        """How often each group was drawn, [B, G] for each block of resamples."""
        streams = [np.random.default_rng([self._seed, number]) for number in range(len(self._strata))]
        block = max(1, NUMBERS_AT_ONCE // len(self.verdicts))
        blocks = []
        for start in range(0, self._count, block):
            counts = np.empty((min(block, self._count - start), self._groups), np.uint32)
            for rng, places in zip(streams, self._strata, strict=True):
                n, rows = len(places), np.arange(len(counts))
                drawn = rng.integers(0, n, (len(rows), n)) + n * rows[:, None]  # each row has numbers of its own
                counts[:, places] = np.bincount(drawn.ravel(), minlength=len(rows) * n).reshape(len(rows), n)
            blocks.append(counts)
        return blocks

    def value(self, statistic: Statistic) -> float | None:
        """Return a statistic of the verdicts themselves, None where it is undefined."""
        if not self._groups:
            return None
        value = float(statistic(self._share[None])[0])
        return None if np.isnan(value) else value

    def interval(self, statistic: Statistic) -> Interval | None:
        """Return the 95 % percentile interval of a statistic.

        None when it is undefined on the verdicts themselves, or in more than 5 % of the resamples; fewer are left out.
        """
        if self.value(statistic) is None:
            return None
        values = np.concatenate([statistic(counts[:, self._member] * self._share) for counts in self._draws])
        defined = values[~np.isnan(values)]
        if len(defined) < (1 - MOST_UNDEFINED) * self._count:
            return None
        low, high = np.quantile(defined, (0.025, 0.975))
        return float(low), float(high)


def group_bootstrap(
    verdicts: Verdicts, statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Return the 95 % percentile interval of one `statistic` of `verdicts` (see `Resamples`)."""
    return Resamples(verdicts, resamples=resamples, seed=seed).interval(statistic)


def _strata(verdicts: Verdicts, groups: npt.NDArray[np.int64]) -> list[Integers]:
    """Return the places in `groups` [G], sorted, of each stratum's groups."""
    member = np.searchsorted(groups, verdicts.group)
    lowest, highest = np.full(len(groups), np.iinfo(np.int64).max), np.full(len(groups), np.iinfo(np.int64).min)
    np.minimum.at(lowest, member, verdicts.fold)
    np.maximum.at(highest, member, verdicts.fold)
    positive = np.bincount(member, weights=verdicts.label, minlength=len(groups)) > 0
    several = lowest != highest
    keys = np.stack([several, np.where(several, 0, lowest), positive], 1)
    stratum = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    return [np.flatnonzero(stratum == number) for number in np.unique(stratum)]
