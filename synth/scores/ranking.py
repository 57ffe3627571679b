"""Which cells of a grid cannot be told from the best one.

Cells are compared by the KID to the reals that choose, in pairs: fakes of the same latent seeds, and the same reals.
What the draw of images does to the difference, a bootstrap tells; what another training seed does, the scatter of KIDs
between the seeds of both cells. (That holds some of the images' part too, so the sum is a little too large.) With one
seed a cell the latter is unknown, and left out.

The first cell was chosen from among them by the same numbers, so any pair of cells might have been the one that is
compared: Holm's method counts all pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import variance

from scipy import stats

from shared.multiple import holm
from synth.scores.certainty import Compared
from synth.scores.kernels import nearer, squared_mmd

LEVEL = 0.05  # of all comparisons of a table together


@dataclass(frozen=True)
class Lead:
    """By how much the best cell is nearer than another.

    Attributes:
        kid: difference of their KIDs.
        standard_error: of it.
        p: of no difference, both sides; by Holm's method for all pairs of cells together.
    """

    kid: float
    standard_error: float
    p: float

    @property
    def is_clear(self) -> bool:
        """Whether the cells can be told apart."""
        return self.p < LEVEL and self.kid > 0


def leads(cells: Sequence[Sequence[Compared | None]]) -> list[Lead | None]:
    """Return the lead of the first cell over each of the others; None where a network of either is not at hand.

    `cells` are what the networks of each cell, one a training seed, are compared by; the best cell is the first.
    """
    pairs = len(cells) * (len(cells) - 1) // 2
    found = [_lead(cells[0], cell) for cell in cells[1:]]
    p = holm([1.0 if each is None else _two_sided(*each) for each in found], pairs)
    return [None if each is None else Lead(each[0], each[1], value) for each, value in zip(found, p, strict=True)]


def _lead(best: Sequence[Compared | None], cell: Sequence[Compared | None]) -> tuple[float, float, float] | None:
    """Return lead, standard error and degrees of freedom."""
    firsts, others = ([each for each in group if each is not None] for group in (best, cell))
    if len(firsts) < len(best) or len(others) < len(cell):
        return None
    reals, groups_of_reals = firsts[0].reals, firsts[0].groups
    lead, error = nearer(
        [each.fakes for each in others], [each.fakes for each in firsts], reals, seed=0, groups=groups_of_reals
    )
    groups = [[squared_mmd(each.fakes, reals) for each in group] for group in (firsts, others)]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return lead, error, math.inf
    scatter = sum((len(group) - 1) * variance(group) for group in groups if len(group) > 1) / freedom
    of_images, of_seeds = error**2, scatter * sum(1 / len(group) for group in groups)
    # Satterthwaite's: only the part of the variance that few seeds tell has few degrees of freedom.
    known = freedom * ((of_images + of_seeds) / of_seeds) ** 2 if of_seeds else math.inf
    return lead, math.sqrt(of_images + of_seeds), known


def _two_sided(lead: float, error: float, freedom: float) -> float:
    if error == 0:
        return 1.0
    return float(2 * stats.t.sf(abs(lead / error), freedom))  # the normal distribution for infinitely many


def in_words(found: Sequence[Lead | None], seeds: int) -> str:
    """Return which cells, counted from 2 on, cannot be told from the first; `seeds` is the least that a cell has."""
    how = f"KID in pairs, Holm's method over all pairs of cells at {100 * LEVEL:g} %"
    unclear = [str(rank) for rank, lead in enumerate(found, start=2) if lead is not None and not lead.is_clear]
    missing = [str(rank) for rank, lead in enumerate(found, start=2) if lead is None]
    sentences = []
    if len(missing) < len(found):
        which = (
            f"The {_of_rank(unclear)} cannot be told from the first"
            if unclear
            else "All compared cells can be told from the first"
        )
        sentences.append(f"{which} ({how}).")
    if missing:
        sentences.append(
            f"The {_of_rank(missing)} cannot be compared: not all networks of it or of the first are here."
        )
    if seeds == 1:
        sentences.append("What another training seed would change is not in that: there is one a cell.")
    return " ".join(sentences)


def _of_rank(ranks: Sequence[str]) -> str:
    return f"cell of rank {ranks[0]}" if len(ranks) == 1 else f"cells of ranks {', '.join(ranks)}"
