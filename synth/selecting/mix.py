"""Who is among the photographs, the candidates and the images that are kept, and whether a filter leaves some out.

A filter towards the mean of the photographs removes first what is rare among them. Photographs have the columns of
their cohort. Generated images have none; each is given what the nearest photograph of the training part has. Skin tone
is estimated for all alike (`synth.selecting.skin_tone`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import fisher_exact

from shared.multiple import holm
from synth.selecting.originals import Mask

MOST_VALUES = 12  # of a column that is shown; numbers with more are cut at their quartiles
LEFT_OUT = 0.8  # a class whose share kept is smaller than this times that of the others (the four-fifths rule)
LEVEL = 0.05
MANY_DIGITS = 1e5  # numbers from here on are not rounded
UNKNOWN = "unknown"
ESTIMATED_TONE = "skin tone (estimated)"

Values = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Line:
    """One class of one attribute: how many are in it, of how many; and the chance of what the filter did to it.

    `p` is Fisher's exact test of the class's share kept against that of all other candidates, corrected after Holm over
    all classes of the audit; None where there is nothing to test.
    """

    attribute: str
    value: str
    reals: int
    candidates: int
    kept: int
    p: float | None
    left_out: bool


def readable(column: npt.NDArray[Any]) -> Values | None:
    """Return a column of a cohort as classes: [N] texts, None where they are too many to show, or nothing is known.

    Numbers with many values are cut at the quartiles of those that are known.
    """
    if column.dtype.kind in "iuf":
        numbers = column.astype(np.float64)
        known = np.isfinite(numbers)
        values = np.unique(numbers[known])
        if not len(values):
            return None
        if len(values) <= MOST_VALUES:
            return np.array(
                [_named(number) if finite else UNKNOWN for number, finite in zip(numbers, known, strict=True)]
            )
        edges = np.unique(np.quantile(numbers[known], [0, 0.25, 0.5, 0.75, 1]))
        place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
        names = np.array([f"{_named(low)} to {_named(high)}" for low, high in pairwise(edges)])
        return np.where(known, names[place], UNKNOWN)
    texts = np.array([str(each).strip() or UNKNOWN for each in column.tolist()])
    return texts if len(np.unique(texts)) <= MOST_VALUES else None


def _named(number: float) -> str:
    return (
        str(int(number)) if number.is_integer() else f"{number:.6g}" if abs(number) < MANY_DIGITS else f"{number:.17g}"
    )


def mix(
    reals: Mapping[str, Values], candidates: Mapping[str, Values], kept: Mask, order: Mapping[str, Sequence[str]]
) -> list[Line]:
    """Return a line a class, of attributes that reals [R] and candidates [C] both have.

    Args:
        reals: classes by attribute.
        candidates: the same of the candidates.
        kept: which of the candidates are kept, [C].
        order: the order of an attribute's classes where it has one; else they are sorted.
    """
    lines = []
    for name, values in reals.items():
        found = set(values) | set(candidates[name])
        for value in [*order[name]] if name in order else sorted(found):
            if value in found:
                mine = candidates[name] == value
                counts = (int((values == value).sum()), int(mine.sum()), int((mine & kept).sum()))
                lines.append(Line(name, value, *counts, p=_chance(mine, kept), left_out=False))
    tested = [line.p for line in lines if line.p is not None]
    corrected = iter(holm(tested, len(tested)))
    return [_judged(line if line.p is None else dataclasses.replace(line, p=next(corrected)), kept) for line in lines]


def _chance(mine: Mask, kept: Mask) -> float | None:
    table = [
        [int((mine & kept).sum()), int((mine & ~kept).sum())],
        [int((~mine & kept).sum()), int((~mine & ~kept).sum())],
    ]
    if not all(map(sum, table)) or not all(map(sum, zip(*table, strict=True))):
        return None
    return float(fisher_exact(table).pvalue)


def _judged(line: Line, kept: Mask) -> Line:
    """Say whether a class is left out: kept much more rarely than all others, and not by chance."""
    others = len(kept) - line.candidates
    if line.p is None or line.p >= LEVEL or not line.candidates or not others:
        return line
    share, share_of_others = line.kept / line.candidates, (int(kept.sum()) - line.kept) / others
    return dataclasses.replace(line, left_out=share < LEFT_OUT * share_of_others)
