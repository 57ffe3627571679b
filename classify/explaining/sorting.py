"""Test images sorted by what was said of them, and which of each kind are worth looking at."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from classify.measuring.verdicts import Flags, Integers, Values

# Name of a kind: the truth, and what was said.
KINDS: Mapping[str, tuple[int, bool]] = {
    "true_positives": (1, True),
    "false_positives": (0, True),
    "false_negatives": (1, False),
    "true_negatives": (0, False),
}


@dataclass(frozen=True, eq=False)
class Shown:
    """Images of one kind: their number, and the rows of those that are shown.

    `confident` lie farthest from the threshold, the farthest first: what the network takes for clear, and the errors
    that it would not doubt. `near` lie nearest to it, the nearest first: where a little would have turned the verdict.
    """

    n: int
    confident: Integers
    near: Integers

    @property
    def rows(self) -> Integers:
        """All that are shown."""
        return np.concatenate([self.confident, self.near])


def sort_out(score: Values, label: Integers, called: Flags, count: int) -> dict[str, Shown]:
    """Return for each of `KINDS` up to `count` images: half of them the most confident, the rest the nearest ones.

    Args:
        score: [N] log-odds of the positive class.
        label: [N] 0 or 1.
        called: [N] whether the score is above the threshold.
        count: of a kind; all are among the confident where there are no more.
    """
    found = {}
    for name, (truth, said) in KINDS.items():
        rows = np.flatnonzero((label == truth) & (called == said))
        ordered = rows[np.argsort(-score[rows] if said else score[rows], kind="stable")]
        few = len(ordered) <= count
        confident = ordered if few else ordered[: (count + 1) // 2]
        near = ordered[:0] if few else ordered[::-1][: count // 2]
        found[name] = Shown(len(ordered), confident, near)
    return found
