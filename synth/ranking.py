"""Which cells of a grid cannot be told from the best one.

Cells are compared by the KID to the reals that choose, in pairs: fakes of the same latent seeds, the same reals, and of
several training seeds the same ones. What the draw of images alone does to the difference, a bootstrap tells; what
another training seed does, the scatter between seeds, pooled over all cells. With one seed a cell that is unknown, and
left out.

The best cell is chosen by the same numbers, so its lead is a little too large: a cell that cannot be told from it in
spite of that is one to keep in mind, and one that can may still be as good.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import variance
from typing import Any

import numpy as np
from scipy import stats

from synth.certainty import Compared
from synth.kernels import nearer

LEVEL = 0.05  # of all comparisons of a table together

Row = dict[str, Any]


@dataclass(frozen=True)
class Lead:
    """By how much the best cell is nearer than another.

    Attributes:
        kid: difference of their KIDs.
        standard_error: of it.
        p: of no difference, both sides; by Holm's method for all cells together.
    """

    kid: float
    standard_error: float
    p: float

    @property
    def is_clear(self) -> bool:
        """Whether the cells can be told apart."""
        return self.p < LEVEL


def leads(cells: Sequence[Sequence[Row]], read: Callable[[Row], Compared]) -> list[Lead]:
    """Return the lead of the first cell over each of the others.

    Args:
        cells: rows of each cell, one a training seed, the best cell first.
        read: returns what a row's network is compared by.
    """
    best = {row["seed"]: row for row in cells[0]}
    scatter, freedom = _between_seeds(cells)
    found: list[tuple[float, float, float]] = []  # lead, standard error, degrees of freedom
    for cell in cells[1:]:
        pairs = [(read(best[row["seed"]]), read(row)) for row in cell if row["seed"] in best]
        if not pairs:
            found.append((math.nan, math.nan, math.inf))
            continue
        firsts, others = zip(*pairs, strict=True)
        lead, error = nearer([each.fakes for each in others], [each.fakes for each in firsts], firsts[0].reals, seed=0)
        of_images, of_seeds = error**2, 2 * scatter / len(pairs)
        # Satterthwaite's: only the part of the variance that few seeds tell has few degrees of freedom.
        known = freedom * ((of_images + of_seeds) / of_seeds) ** 2 if of_seeds else math.inf
        found.append((lead, math.sqrt(of_images + of_seeds), known))
    p = holm([_two_sided(*each) for each in found])
    return [Lead(lead, error, value) for (lead, error, _), value in zip(found, p, strict=True)]


def _between_seeds(cells: Sequence[Sequence[Row]]) -> tuple[float, int]:
    """Return the criterion's variance between training seeds, pooled over the cells, and its degrees of freedom."""
    groups = [[float(row["criterion"]) for row in cell] for cell in cells if len(cell) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0, 0
    return sum((len(group) - 1) * variance(group) for group in groups) / freedom, freedom


def _two_sided(lead: float, error: float, freedom: float) -> float:
    if math.isnan(lead) or error == 0:
        return 1.0
    return float(2 * stats.t.sf(abs(lead / error), freedom))  # the normal distribution for infinitely many


def holm(p: Sequence[float]) -> list[float]:
    """Return p values that hold for all tests together (Holm 1979): each times the number of those not yet rejected."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate([min(1.0, (len(p) - place) * p[index]) for place, index in enumerate(order)])
    result = [0.0] * len(p)
    for index, value in zip(order, adjusted, strict=True):
        result[index] = float(value)
    return result


def in_words(found: Sequence[Lead], seeds: int) -> str:
    """Return which cells, counted from 2 on, cannot be told from the first."""
    unclear = [str(rank) for rank, lead in enumerate(found, start=2) if not lead.is_clear]
    how = f"KID in pairs, Holm's method at {100 * LEVEL:g} %"
    noise = "" if seeds > 1 else " What another training seed would change is not in that: there is one a cell."
    if not unclear:
        return f"All other cells can be told from the first ({how}).{noise}"
    which = "The cell of rank" if len(unclear) == 1 else "The cells of ranks"
    return f"{which} {', '.join(unclear)} cannot be told from the first ({how}).{noise}"
