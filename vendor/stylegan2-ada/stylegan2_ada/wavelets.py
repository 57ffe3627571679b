"""Orthogonal wavelet filters that the augmentations resample and filter with (ADA paper, appendix B; Daubechies 1992).

Low-pass taps of the symlets with 12 and 4 taps; each has unit energy and a sum of sqrt(2), which makes "twice as
large, then back" the identity.
"""

import numpy as np
import numpy.typing as npt

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)

Taps = npt.NDArray[np.float64]


def filter_bank(bands: int = 4) -> Taps:
    """Split the spectrum into octaves: [bands, K] zero-phase filters that sum to the identity, lowest band first."""
    low = np.array(SYM2)
    high = low * (-1.0) ** np.arange(low.size)
    low2 = np.convolve(low, low[::-1]) / 2  # analysis and synthesis in one
    high2 = np.convolve(high, high[::-1]) / 2
    bank = np.eye(bands, 1)
    for band in range(1, bands):
        spread = np.zeros((bands, 2 * bank.shape[1] - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, low2) for row in spread])
        start = (bank.shape[1] - high2.size) // 2
        bank[band, start : start + high2.size] += high2
    return bank
