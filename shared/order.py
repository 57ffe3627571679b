"""The order in which people expect names."""

import re

_DIGITS = 20  # of longer numbers the order is that of their text


def natural(name: str) -> str:
    """Return what names are sorted by: numbers within them by size, so that 2 stands before 10."""
    return re.sub("[0-9]+", lambda number: number[0].zfill(_DIGITS), name)
