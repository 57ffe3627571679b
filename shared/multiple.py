"""Several tests at once."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float], tests: int) -> list[float]:
    """Return p values that hold for `tests` tests together (Holm 1979), of which these are the ones of interest.

    Each is multiplied by the number of tests that are not yet rejected.
    """
    order = np.argsort(p)
    adjusted = np.maximum.accumulate([min(1.0, (tests - place) * p[index]) for place, index in enumerate(order)])
    result = [0.0] * len(p)
    for index, value in zip(order, adjusted, strict=True):
        result[index] = float(value)
    return result
