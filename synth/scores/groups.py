"""Which photographs belong together: those of one patient, or copies of each other.

They say less than as many independent ones. So they stay on one side where photographs are compared with each other,
and are drawn together where chance is imitated: else a floor is too low, and an interval too narrow.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of every one of N images, as an index [N] among `count` groups."""

    index: Rows
    count: int

    @classmethod
    def of(cls, group_id: npt.NDArray[np.int64]) -> "Groups":
        """Take any numbers [N], one a group."""
        names, index = np.unique(group_id, return_inverse=True)
        return cls(index.reshape(-1).astype(np.int64), len(names))

    @classmethod
    def none(cls, n: int) -> "Groups":
        """Take `n` images as independent."""
        return cls(np.arange(n), n)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.index)

    def first(self, n: int) -> "Groups":
        """Return the groups of the first `n` images."""
        return self if n >= len(self) else Groups.of(self.index[:n])

    @property
    def half(self) -> int:
        """How many images both sides of any cut by `halves` have, at least."""
        largest = int(np.bincount(self.index).max(initial=0))
        return (len(self) - largest + 1) // 2

    def halves(self, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Return the images of some groups and those of all others, cut where the sides are most equal."""
        place = np.argsort(rng.permutation(self.count))  # of each group in a random order
        order = np.argsort(place[self.index], kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(place[self.index], minlength=self.count))])
        cut = ends[np.abs(2 * ends - len(self)).argmin()]
        return order[:cut], order[cut:]

    def some(self, rng: np.random.Generator, n: int) -> Rows:
        """Return `n` images of groups in a random order, all but the last of them whole."""
        place = np.argsort(rng.permutation(self.count))
        return np.argsort(place[self.index], kind="stable")[:n]

    def half_of_groups(self, rng: np.random.Generator) -> Rows:
        """Return the images of half of the groups, rounded down."""
        chosen = np.zeros(self.count, bool)
        chosen[rng.permutation(self.count)[: self.count // 2]] = True
        return np.flatnonzero(chosen[self.index])

    def draws(self, rng: np.random.Generator, times: int) -> npt.NDArray[np.float64]:
        """Return how often each image is in as many groups drawn with replacement: [times, N]."""
        counts = rng.multinomial(self.count, np.full(self.count, 1 / self.count), times)
        return counts[:, self.index].astype(np.float64)

    @property
    def related(self) -> npt.NDArray[np.bool_]:
        """Whether two images are of one group, as every image is with itself: [N, N]."""
        return np.asarray(self.index[:, None] == self.index)
