"""What options hold besides numbers: ranges of a hyper-parameter, and budgets."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import UserError

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(:log)?")
_AMOUNT = r"[0-9]+\.?[0-9]*|\.[0-9]+"


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`; with `log`, their logarithms are evenly likely."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}{':log' if self.log else ''}"


def read_values(name: str, texts: Sequence[str]) -> tuple[float | Range, ...]:
    """Read what `--NAME` was given.

    Raises `UserError`: it is neither numbers nor ranges.
    """
    try:
        return tuple(read_value(text) for text in texts)
    except UserError as error:
        raise UserError(f"--{name} {error}") from None


def read_value(text: str) -> float | Range:
    """Read "0.1", or a range, "0.05:1" or "0.05:1:log".

    Raises `UserError`: it is neither.
    """
    match = _RANGE.fullmatch(text)
    try:
        if match is None:
            return float(text)
        low, high, log = float(match[1]), float(match[2]), match[3] is not None
    except ValueError:
        raise UserError(f"{text}: neither a number nor a range; give 0.1, or LOW:HIGH or LOW:HIGH:log.") from None
    if not low < high or not math.isfinite(high - low):
        raise UserError(f"{text}: an empty range; give LOW:HIGH with LOW below HIGH.")
    if log and low <= 0:
        raise UserError(f"{text}: numbers up to 0 have no logarithm; give a LOW above 0, or leave :log out.")
    return Range(low, high, log)


@dataclass(frozen=True)
class Budget:
    """When no more cells are begun; None means no limit.

    Attributes:
        cells: how many.
        amount: of all cells together, in `unit`.
        hours: of all cells together.
        unit: of the amount, as users write it.
    """

    cells: int | None = None
    amount: float | None = None
    hours: float | None = None
    unit: str = ""

    @classmethod
    def read(cls, text: str, unit: str) -> "Budget":
        """Read "20cells", "12h", or with a `unit` of "kimg" "5000kimg"; the last two count all cells together.

        Raises `UserError`: it is none of them.
        """
        match = re.fullmatch(rf"({_AMOUNT})(cells|{re.escape(unit)}|h)", text)
        amount = float(match[1]) if match else 0.0
        if match is None or not amount > 0 or (match[2] == "cells" and amount % 1):
            raise UserError(f"--budget {text}: not a budget; give 20cells, 5000{unit} or 12h for example.")
        if match[2] == "cells":
            return cls(cells=int(amount))
        return cls(hours=amount) if match[2] == "h" else cls(amount=amount, unit=unit)

    def __str__(self) -> str:
        return next(
            f"{most:g} {unit}"
            for most, unit in ((self.cells, "cells"), (self.amount, self.unit), (self.hours, "h"))
            if most
        )

    def allows(self, cells: int, amount: float, hours: float) -> bool:
        """Tell whether another cell may begin when so much is done or under way."""
        used = ((self.cells, cells), (self.amount, amount), (self.hours, hours))
        return all(most is None or now < most for most, now in used)
