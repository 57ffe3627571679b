"""Smooth random fields and sampling on the unit square, all as products of small matrices."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating[Any]]  # [G, G] or a window of it, float32

_SPLINE_RMS = (
    0.479  # a cubic B-spline's mean squared weight along one axis: it scales white noise back to unit variance
)


@lru_cache(maxsize=64)
def spline_matrix(grid: int, cells: int) -> Field:
    """Return the uniform cubic B-spline's weights, [grid, cells + 3], at the centres of `grid` pixels on [0, 1]."""
    position = (np.arange(grid) + 0.5) / grid * cells
    left = np.floor(position).astype(np.int64)
    t = position - left
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    matrix = np.zeros((grid, cells + 3), np.float32)
    matrix[np.arange(grid)[:, None], left[:, None] + np.arange(4)] = weights
    return matrix


def smooth_noise(rng: np.random.Generator, grid: int, cells: int) -> Field:
    """Return smooth noise [grid, grid] of about unit variance whose features span 1 / cells of the side."""
    lattice = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    matrix = spline_matrix(grid, cells)
    return (matrix @ lattice @ matrix.T) / np.float32(_SPLINE_RMS)


def fractal_noise(rng: np.random.Generator, grid: int, cells: tuple[int, ...], gain: float = 0.5) -> Field:
    """Return a sum of octaves of smooth noise, each `gain` times the one before, of about unit variance."""
    total = np.zeros((grid, grid), np.float32)
    for octave, count in enumerate(cells):
        total += np.float32(gain**octave) * smooth_noise(rng, grid, count)
    return total / np.float32(np.sqrt(sum(gain ** (2 * octave) for octave in range(len(cells)))))


def smoothstep(low: float, high: float, value: Field) -> Field:
    """Return the cubic step from 0 (value <= low) to 1 (value >= high); low > high makes it fall."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    step: Field = t * t * (3 - 2 * t)
    return step


@lru_cache(maxsize=16)
def box_matrix(size: int, grid: int) -> Field:
    """Return the mean over grid / size neighbours as a matrix [size, grid]; `grid` is a multiple of `size`."""
    return np.repeat(np.eye(size, dtype=np.float32), grid // size, axis=1) * np.float32(size / grid)


def optics_matrix(size: int, grid: int, blur: float) -> Field:
    """Return Gaussian blur (standard deviation `blur`, in sides) followed by pixel averaging, [size, grid]."""
    at = (np.arange(grid, dtype=np.float32) + 0.5) / grid
    kernel = np.exp(-0.5 * ((at[:, None] - at[None, :]) / np.float32(max(blur, 1e-4))) ** 2)
    kernel[kernel < 1e-6] = 0  # denormal weights would make the products ten times slower
    optics: Field = box_matrix(size, grid) @ (kernel / kernel.sum(axis=1, keepdims=True))
    return optics
