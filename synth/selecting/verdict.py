"""From scores to a choice: what a rule keeps, without copies of photographs and without twins, in the rule's order."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.duplicates import Thumbnails, thumbnails_of
from shared.progress import Bar
from shared.stored import AnyImages, read_rows
from synth.choices import TYPICAL
from synth.scores.moments import Features
from synth.selecting.diversity import TWINS_AT_ONCE, farthest_first, twins
from synth.selecting.memorization import is_copy
from synth.selecting.scoring import SCORE_AT_ONCE, Judged
from synth.selecting.selection import RULES, Passes, Thresholds, Verdicts

MOST_ORDERED = 2000  # images that are put in order by how different they are; others follow by their seeds

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates whose features are kept: their rows [P], in ascending order, and features [P, F]."""

    rows: Rows
    features: Features

    def of(self, chosen: Verdicts) -> Features:
        """Return the features of those that are chosen [C]."""
        return self.features[chosen[self.rows]]


@dataclass(frozen=True, eq=False)
class Choice:
    """What became of C candidates.

    Attributes:
        by: what passes by each score.
        copies: which are copies of photographs.
        twins: which of what the rule keeps show the same as an earlier one.
        rows: of those selected, in the order in which the rule chose them.
    """

    by: Passes
    copies: Verdicts
    twins: Verdicts
    rows: Rows

    @property
    def selected(self) -> Verdicts:
        """Which candidates are selected, [C]."""
        chosen = np.zeros(len(self.copies), bool)
        chosen[self.rows] = True
        return chosen


def choose(
    images: AnyImages,
    judged: Judged,
    by: Passes,
    thresholds: Thresholds,
    pool: Pool,
    *,
    rule: str,
    gate: float,
    keep: int | None,
    bar: Bar,
) -> Choice:
    """Apply a rule to candidates; `keep` is how many are wanted at most, and `gate` the distance of a copy.

    What is asked for fewer is the beginning of what is asked for more.
    """
    copies = is_copy(judged.distance, judged.same, gate)
    passing = RULES[rule](by) & ~copies
    doubled = np.zeros(len(passing), bool)
    doubled[twins(_thumbnails(images, np.flatnonzero(passing), bar))] = True
    kept = np.flatnonzero(passing & ~doubled)
    if rule == TYPICAL:
        kept = _most_different_first(kept, judged, thresholds, pool, keep)[:keep]
    return Choice(by, copies, doubled, kept)


def _thumbnails(images: AnyImages, rows: Rows, bar: Bar) -> Iterator[tuple[Rows, Thumbnails]]:
    for start in range(0, len(rows), TWINS_AT_ONCE):
        part = rows[start : start + TWINS_AT_ONCE]
        pieces = range(0, len(part), SCORE_AT_ONCE)
        yield part, np.concatenate([_small(images, part[at : at + SCORE_AT_ONCE], bar) for at in pieces])


def _small(images: AnyImages, rows: Rows, bar: Bar) -> Thumbnails:
    bar.advance(len(rows))
    return thumbnails_of(read_rows(images, rows))


def _most_different_first(kept: Rows, judged: Judged, thresholds: Thresholds, pool: Pool, keep: int | None) -> Rows:
    """Return kept rows [K] in the order of their choice: the most typical first, then the farthest from all before.

    Only candidates of the pool, and no more than `MOST_ORDERED` of them, are put in that order.
    """
    here = np.isin(pool.rows, kept)
    rows, features = pool.rows[here], pool.features[here]
    if not len(rows):
        return kept
    middle = (thresholds.typicality_low + thresholds.typicality_high) / 2
    first = int(np.abs(judged.scores.typicality[rows] - middle).argmin())
    ordered = rows[farthest_first(features, first, min(keep or MOST_ORDERED, MOST_ORDERED))]
    return np.concatenate([ordered, kept[~np.isin(kept, ordered)]])
