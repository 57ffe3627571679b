"""Accuracy by the value of an attribute: skin tone, sex, site, or thirds of an age."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classify.measuring.bootstrap import Resamples
from classify.measuring.measured import Measured, measured_at_verdict
from classify.measuring.verdicts import Verdicts
from classify.table2.gather import attributes_of
from shared.order import natural
from shared.records import Record

NOT_GIVEN = "not given"
MOST_NUMBERS = 8  # distinct ones that are values of their own; of more, thirds are
PIECES = 3


@dataclass(frozen=True)
class Part:
    """The images of one value of an attribute."""

    attribute: str
    value: str
    n: int
    accuracy: Measured


def accuracy_by_attribute(records: Sequence[Record], verdicts: Verdicts, least: int) -> tuple[tuple[Part, ...], int]:
    """Return the accuracy for each value of each attribute, and how many values have fewer than `least` images.

    `verdicts` are those of `records`, in their order (`classify.table2.gather.verdicts_of`).
    """
    shown, hidden = [], 0
    for name, values in attributes_of(records):
        texts = value_names(values)
        for value in dict.fromkeys(texts[_order(values, texts)].tolist()):
            own = verdicts.take(texts == value)
            if own.n_images < least:
                hidden += 1
            else:
                shown.append(
                    Part(name, value, own.n_images, measured_at_verdict("accuracy", Resamples(own), own.positive))
                )
    return tuple(shown), hidden


def value_names(values: Sequence[Any]) -> npt.NDArray[np.str_]:
    """Return the name of each value [V]; numbers of more than eight kinds are named by the third that they lie in."""
    texts = np.array([NOT_GIVEN if value in (None, "") else str(value) for value in values], dtype=object)
    given = [value for value in values if value not in (None, "")]
    if not all(_is_number(value) for value in given) or len(set(given)) <= MOST_NUMBERS:
        return texts.astype(np.str_)
    there = texts != NOT_GIVEN
    numbers = np.array([float(value) for value in given])
    ends = np.quantile(numbers, np.arange(1, PIECES) / PIECES, method="inverted_cdf")
    piece = np.searchsorted(ends, numbers)  # up to and with an end
    spans = [numbers[piece == number] for number in range(PIECES)]
    names = [f"{span.min():g} to {span.max():g}" if len(span) else "" for span in spans]
    texts[there] = np.array(names, dtype=object)[piece]
    return texts.astype(np.str_)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(values: Sequence[Any], texts: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """Return the order in which values are shown: numbers by size, also within names; what is not given last."""

    def key(row: int) -> tuple[bool, float, str]:
        value = values[row]
        return texts[row] == NOT_GIVEN, float(value) if _is_number(value) else 0.0, natural(str(texts[row]))

    return np.array(sorted(range(len(values)), key=key), np.int64)
