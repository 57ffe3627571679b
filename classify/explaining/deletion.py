"""Does a heat map show what the network relies on? The picture is deleted, warmest places first (RISE).

The deletion curve (Petsiuk et al. 2018, arXiv:1806.07421) is the probability of the positive class over the share of
pixels that have been replaced by the picture's mean colour. Where a map shows what matters, it falls early: the area
under it is small. Beside it stand random places, in blobs like those of a map, since lone pixels of noise
would disturb a network more than any map.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import trapezoid
from torch.nn import functional as F

from classify.measuring.statistics import mean_interval

STEPS = 20  # of a curve
RANDOM_ORDERS = 2  # an image
GRID = 8  # cells along a random map

Image = npt.NDArray[np.uint8]  # [S, S, 3]
Images = npt.NDArray[np.uint8]  # [N, S, S, 3]
Values = npt.NDArray[np.float64]
Maps = npt.NDArray[np.floating]  # [N, S, S]
Probability = Callable[[Images], Values]  # of the positive class, [N]
SHARES: Values = np.linspace(0, 1, STEPS + 1)


@dataclass(frozen=True, eq=False)
class Deletion:
    """Deletion curves of N images.

    Attributes:
        by_map: probabilities [N, STEPS + 1] at the `SHARES`, warmest pixels first.
        at_random: the same in random order, the mean over `RANDOM_ORDERS`.
    """

    by_map: Values
    at_random: Values

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.by_map)

    @property
    def areas(self) -> tuple[Values, Values]:
        """Areas under the curves of each image, [N] by the map and [N] at random."""
        return area(self.by_map), area(self.at_random)

    @property
    def gain(self) -> tuple[float, tuple[float, float] | None]:
        """By how much the area at random is larger, over images, with its 95 % interval (Student's t, in pairs)."""
        by_map, at_random = self.areas
        return float((at_random - by_map).mean()), mean_interval(at_random - by_map)

    @property
    def sentence(self) -> str:
        """What it comes to in plain words."""
        if not self.n:
            return "No image is called positive, so there is no probability to fall when places are deleted."
        by_map, at_random = map(_spread, self.areas)
        gain, interval = self.gain
        between = "" if interval is None else f" ({interval[0]:+.2f} to {interval[1]:+.2f})"
        if interval is None:
            verdict = "one image shows nothing"
        elif interval[0] > 0:
            verdict = "so the network does rely on what is warm"
        elif interval[1] < 0:
            verdict = "so the network relies less on what is warm than on other places; do not trust the maps"
        else:
            verdict = "so it is not shown that the network relies on what is warm"
        return (
            f"When the warmest places are deleted first, the area under the probability is {by_map}, at random "
            f"{at_random} (n = {self.n} images called positive); that is {gain:+.2f}{between}, {verdict}."
        )


def _spread(values: Values) -> str:
    return f"{values.mean():.2f}" + (f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else "")


def area(curve: Values) -> Values:
    """Return the area under probabilities [..., STEPS + 1] at the `SHARES`, by the trapezoid rule."""
    return np.asarray(trapezoid(curve, SHARES, axis=-1), np.float64)


def deletion_curves(
    probability: Probability,
    images: Images,
    maps: Maps,
    *,
    seed: int,
    advance: Callable[[float], None] = lambda _: None,
) -> Deletion:
    """Return the curves of `images` by their `maps`, larger values first, and at random.

    `advance` is told of each image.
    """
    rng = np.random.default_rng(seed)
    by_map, at_random = np.empty((2, len(images), STEPS + 1))
    for number, (image, own) in enumerate(zip(images, maps, strict=True)):
        by_map[number] = probability(deleted(image, own))
        orders = [probability(deleted(image, random_map(rng, len(image)))) for _ in range(RANDOM_ORDERS)]
        at_random[number] = np.mean(orders, axis=0)
        advance(1)
    return Deletion(by_map, at_random)


def deleted(image: Image, heat: npt.NDArray[np.floating]) -> Images:
    """Return `image` with each of the `SHARES` of its pixels in its mean colour, those of the most `heat` first."""
    order = np.argsort(-heat, axis=None, kind="stable")
    rank = np.empty(heat.size, np.int64)
    rank[order] = np.arange(heat.size)
    gone = rank.reshape(heat.shape) < np.round(SHARES * heat.size)[:, None, None]  # [STEPS + 1, S, S]
    mean = np.round(image.mean((0, 1))).astype(np.uint8)
    return np.where(gone[..., None], mean, image)


def random_map(rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
    """Return a map [size, size] of random blobs, as smooth as a heat map of `GRID` cells along its side."""
    cells = torch.from_numpy(rng.random((1, 1, GRID, GRID)))
    smooth = F.interpolate(cells, size=(size, size), mode="bilinear", align_corners=False)
    return np.asarray(smooth[0, 0].numpy(), np.float64)
