"""Whether a photograph can be judged at all: sharp, lit, and large enough.

Nothing here may depend on how dark the skin is: sharpness is relative to the picture's own contrast, and light is
judged by what is lost in black or white, never by how bright the picture is on the whole.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import laplace

RARE = 0.01  # share of the model's own photographs that would be called blurred
BLACK, WHITE = 6, 250  # grey levels of 255 at and beyond which nothing is to be seen any more
MOST_LOST = 0.5  # share of pixels
LEAST_CONTRAST = 2.0  # grey levels (standard deviation): less is a blank picture

Image = npt.NDArray[np.uint8]  # [S, S, 3]


@dataclass(frozen=True)
class Measures:
    """What is measured of a prepared image.

    Attributes:
        sharpness: variance of the Laplacian (Pech-Pacheco et al. 2000) over the variance of the grey levels; blur makes
            it small, and more or less light leaves it.
        contrast: standard deviation of the grey levels, 0 to 127.5.
        black, white: shares of pixels in which nothing is to be seen.
    """

    sharpness: float
    contrast: float
    black: float
    white: float


def measure(image: Image) -> Measures:
    """Return the measures of an image."""
    grey = image.astype(np.float64) @ (0.299, 0.587, 0.114)  # luma, ITU-R BT.601
    variance = float(grey.var())
    sharpness = float(laplace(grey).var()) / variance if variance else 0.0
    return Measures(sharpness, variance**0.5, float((grey <= BLACK).mean()), float((grey >= WHITE).mean()))


def least_sharpness(measures: list[Measures]) -> float:
    """Return what the model's own photographs reach, but for `RARE` of them."""
    return float(np.quantile([each.sharpness for each in measures], RARE))


def problems(found: Measures, *, sharpness: float, side_px: int, size: int) -> list[str]:
    """Return in words what is wrong with a photograph, nothing if it is good.

    Args:
        found: of the prepared image.
        sharpness: at least.
        side_px: the photograph's shorter side as it was taken.
        size: of prepared images.
    """
    blank = found.contrast < LEAST_CONTRAST
    wrong = {
        f"it is too small ({side_px} px on its shorter side, at least {size} are needed)": side_px < size,
        "nothing can be told apart in it": blank,
        "it is blurred": not blank and found.sharpness < sharpness,
        "too much of it is black": found.black > MOST_LOST,
        "too much of it is white": found.white > MOST_LOST,
    }
    return [words for words, is_so in wrong.items() if is_so]
