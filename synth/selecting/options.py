"""Everything that `synth select` can be told; each default stands here and nowhere else."""

import math
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from synth.choices import TYPICAL
from synth.selecting.memorization import GATE
from synth.selecting.selection import RULES

MAX_SIGMA = 1000.0
REFERENCES = ("train", "validation")


@dataclass(frozen=True)
class SelectOptions:
    """Options of `synth select`.

    Attributes:
        candidates, cohort, network: what is selected from, and by what.
        out: the bundle to write; audit and pictures go beside it.
        sigma, rule: thresholds are so many standard deviations from the reals' mean, and which of them count.
        reference: the part of the reals that sets them, "train" or "validation".
        keep: how many are wanted at most, of the rule that has an order.
        gate: an image is a copy below this quantile of the photographs' distances to the nearest of another group.
        require_shareable: whether to write nothing unless the images may be passed on.
        features: the feature space.
        seed: chooses the reals that the discriminator sees beside each image, and draws of the audit.
    """

    candidates: Path
    cohort: Path
    network: str | Path
    out: Path
    sigma: float = 2.0
    rule: str = "union"
    reference: str = "train"
    keep: int | None = None
    gate: float = GATE
    require_shareable: bool = False
    features: str = "auto"
    seed: int = 0
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and 0 <= self.sigma <= MAX_SIGMA):
            raise UserError(f"--sigma {self.sigma:g}: out of range; give 0 to {MAX_SIGMA:g}.")
        if not (math.isfinite(self.gate) and 0 <= self.gate <= 1):
            raise UserError(f"--gate {self.gate:g}: out of range; give a share of the photographs, 0 to 1.")
        if self.rule not in RULES:
            raise UserError(f"--rule {self.rule}: no such rule; give one of {', '.join(RULES)}.")
        if self.reference not in REFERENCES:
            raise UserError(f"--reference {self.reference}: no such part; give one of {', '.join(REFERENCES)}.")
        if self.keep is not None and self.rule != TYPICAL:
            raise UserError(f"--keep {self.keep}: --rule {self.rule} has no order; give --rule {TYPICAL}.")
        if self.keep is not None and self.keep < 1:
            raise UserError(f"--keep {self.keep}: out of range; give 1 or more.")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: out of range; give 0 to {2**32 - 1}.")
