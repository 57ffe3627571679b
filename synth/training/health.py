"""Signs that a training goes wrong, each with its threshold: saturation of p, collapse, divergence."""

from dataclasses import dataclass
from typing import Any

import numpy as np

SATURATION_SHARE = 0.25  # of `ada_kimg`: p at its bound for as long as it needs to travel a quarter of its way
# Of the reals' spread, in the features of the quality score. On the phantom at 32 px the shipped network has 0.84, new
# networks have 0.44 to 0.50, and training from scratch has no less than 0.19 in its first 4 kimg; one picture has 0.
COLLAPSE_SPREAD = 0.1
MAX_ROLLBACKS = 1


@dataclass
class SaturationWatch:
    """Notices when p stays at its bound, where ADA can do no more against overfitting.

    Attributes:
        max_p: the bound; one of 0 is never watched.
        patience_kimg: how long p may stay there.
        since_kimg: since when it is there, None when it is not.
        told: whether that was said, which is done once a run.
    """

    max_p: float
    patience_kimg: float
    since_kimg: float | None = None
    told: bool = False

    def observe(self, p: float, kimg: float) -> bool:
        """Return True the first time that p has been at its bound for long."""
        if self.max_p <= 0 or p < self.max_p:
            self.since_kimg = None
            return False
        if self.since_kimg is None:
            self.since_kimg = kimg
        if self.told or kimg - self.since_kimg < self.patience_kimg:
            return False
        self.told = True
        return True

    def in_words(self) -> str:
        """Return what saturation means."""
        return (
            f"p has been at its bound of {self.max_p:g} for {self.patience_kimg:g} kimg, so the discriminator overfits "
            "as far as ADA can tell; more images, a larger --gamma or fewer --kimg help"
        )


def has_collapsed(quality: dict[str, Any]) -> bool:
    """Tell whether a score's fakes hardly differ from each other, however good each may be."""
    spread = quality["spread"]
    return spread is not None and spread < COLLAPSE_SPREAD


def collapse_in_words(quality: dict[str, Any], kimg: float) -> str:
    """Return what a collapse means."""
    return (
        f"collapse at {kimg:g} kimg: the pictures are nearly all alike, with {quality['spread']:.1%} of the reals' "
        "diversity; a larger --gamma or a smaller --lr helps, and an earlier checkpoint may be kept"
    )


def seed_after_rollback(seed: int, rollbacks: int) -> int:
    """Return another seed for what follows a rollback: the same random numbers would diverge again."""
    return int(np.random.SeedSequence([seed, rollbacks]).generate_state(1, np.uint64)[0] >> np.uint64(1))
