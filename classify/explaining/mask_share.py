"""How much of the evidence lies on a mask: of the lesion, of the person."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classify.measuring.statistics import mean_interval
from shared.nn.segment import Masks

Maps = npt.NDArray[np.floating]  # [N, S, S], not below 0


@dataclass(frozen=True)
class MaskShare:
    """Share of the heat that lies on the mask, beside the mask's share of the picture, over images.

    Attributes:
        segmenter: what made the masks.
        n: images with heat, and with a mask that is neither empty nor everything.
        left_out: the others.
        inside: mean share of the heat, None without images; `inside_std` its standard deviation, None of fewer than 2.
        area: mean share of the picture; what heat without a preference has.
        gain_interval: 95 % interval of the mean of inside - area (Student's t, in pairs), None of fewer than 2.
    """

    segmenter: str
    n: int
    left_out: int
    inside: float | None
    inside_std: float | None
    area: float | None
    area_std: float | None

    gain_interval: tuple[float, float] | None

    @property
    def sentence(self) -> str:
        """What it comes to in plain words."""
        if self.inside is None or self.area is None:
            return "No image has both heat and a mask, so it is not known how much of the evidence lies on masks."
        inside, area = _percent(self.inside, self.inside_std), _percent(self.area, self.area_std)
        left_out = f"; {self.left_out} more had no heat, or no mask" if self.left_out else ""
        low, high = self.gain_interval or (-math.inf, math.inf)
        verdict = "more than" if low > 0 else "less than" if high < 0 else "not shown to be more than"
        between = "" if self.gain_interval is None else f" (difference {100 * low:+.0f} to {100 * high:+.0f} points)"
        return (
            f"{inside} of the heat lies on the mask of what stands in the middle, which takes {area} of the picture "
            f"(n = {self.n} images called positive{left_out}): {verdict} for heat that prefers no place{between}."
        )


def _percent(mean: float, std: float | None) -> str:
    return f"{100 * mean:.0f}{'' if std is None else f' ± {100 * std:.0f}'} %"


def mask_share(heat: Maps, masks: Masks, segmenter: str) -> MaskShare:
    """Return how much of `heat` [N, S, S], not below 0, lies on `masks` [N, S, S]."""
    total, area = heat.sum((1, 2), dtype=np.float64), masks.mean((1, 2))
    counts = (total > 0) & (area > 0) & (area < 1)
    inside = (heat * masks).sum((1, 2), dtype=np.float64)[counts] / total[counts]
    area = area[counts]
    n = len(area)
    return MaskShare(
        segmenter=segmenter,
        n=n,
        left_out=len(heat) - n,
        inside=float(inside.mean()) if n else None,
        inside_std=float(inside.std(ddof=1)) if n > 1 else None,
        area=float(area.mean()) if n else None,
        area_std=float(area.std(ddof=1)) if n > 1 else None,
        gain_interval=mean_interval(inside - area),
    )
