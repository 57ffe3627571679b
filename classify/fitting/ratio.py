"""How many synthetic images stand beside the real ones, and what may stand in their place."""

import re
from dataclasses import dataclass

import numpy as np

from shared.errors import UserError

NONE = "none"

# What a fit gets in place of the synthetic images of its ratio, so that it learns for as long without them.
CONTROLS = {
    NONE: "synthetic images",
    "oversampling": "real positives again, as many",
    "epochs": "the real images alone, for more epochs: as many steps",
    "augmentation": "oversampling, and every image turned, zoomed and coloured at random in each epoch",
}

_RATIO = re.compile(r"([1-9][0-9]{0,5}):([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Ratio:
    """So many synthetic positives for so many real ones; 0:1 is none."""

    synthetic: int
    real: int

    @classmethod
    def parse(cls, text: str) -> "Ratio":
        """Return the ratio that `text` names: `none` or A:B; raise `UserError` for anything else."""
        if text == NONE:
            return cls(0, 1)
        match = _RATIO.fullmatch(text)
        if match is None:
            raise UserError(
                f"--ratio {text}: not a ratio of synthetic to real images; give none or A:B with whole numbers from 1, "
                "such as 1:5."
            )
        synthetic, real = int(match[1]), int(match[2])
        divisor = int(np.gcd(synthetic, real))
        return cls(synthetic // divisor, real // divisor)

    def __str__(self) -> str:
        return f"{self.synthetic}:{self.real}" if self.synthetic else NONE

    def count(self, real: int) -> int:
        """Return the number of synthetic images beside `real` ones, rounded to the nearest (halves up).

        Raises `UserError`: the ratio asks for less than one image.
        """
        count = (2 * real * self.synthetic + self.real) // (2 * self.real)
        if self.synthetic and not count:
            raise UserError(f"--ratio {self}: less than one synthetic image for {real} real ones; give a larger ratio.")
        return count


def require_control(control: str, ratio: Ratio) -> None:
    """Raise `UserError` when there is no such control, or nothing whose place it could take."""
    if control not in CONTROLS:
        raise UserError(f"--control {control}: not known; give one of {', '.join(CONTROLS)}.")
    if control != NONE and not ratio.synthetic:
        raise UserError(
            f"--control {control}: stands in the place of the synthetic images of a ratio; give --ratio 1:2 for "
            "example, or leave it out."
        )
