"""The phantom's negative class: diffuse scaly red patches, scratched and crusted, without herpes."""

import numpy as np

from shared.phantom.fields import Field, fractal_noise, smoothstep
from shared.phantom.marks import bump, far_apart, flake, stroke
from shared.phantom.skin import MILD, MODERATE, SEVERE, Skin, inflamed_area, redden


def eczema_ground(rng: np.random.Generator, skin: Skin, *, activity: float) -> Field:
    """Redden an area and cover it with scale, scratches and crusts, more of each at higher `activity`; return it."""
    area = inflamed_area(rng, skin)
    redden(rng, skin, area)
    if rng.random() < 0.85:
        flake(rng, skin, area, activity * rng.uniform(0.2, 1.1))
    for _ in range(rng.poisson(1.2 * activity)):
        x, y = rng.uniform(0.15, 0.85, 2)
        length, width = rng.uniform(0.15, 0.5), rng.uniform(0.010, 0.022)
        stroke(rng, skin, x, y, length=length, width=width, blood=rng.uniform(0.4, 1.1), crust=rng.uniform(0, 0.5))
    return area


def paint_eczema(rng: np.random.Generator, skin: Skin) -> int:
    """Paint an eczema patch with raw, oozing or crusted parts; a few are bumpy. Return the severity 1..3."""
    activity = rng.uniform(0.3, 1.3)
    area = eczema_ground(rng, skin, activity=activity)
    _raw_patches(rng, skin, area, activity)
    if rng.random() < 0.2:
        _follicular_bumps(rng, skin)
    return MILD if activity < 0.6 else MODERATE if activity < 1.0 else SEVERE


def _raw_patches(rng: np.random.Generator, skin: Skin, area: Field, activity: float) -> None:
    """Darken, wet and crust ragged parts: the colours of erosions and vesicles without their shapes."""
    raw = area * smoothstep(0.7, 1.5, fractal_noise(rng, skin.grid, (5, 10, 21, 42), gain=0.7))
    skin.blood += np.float32(activity * rng.uniform(0.0, 1.1)) * raw
    skin.relief -= np.float32(0.004) * raw
    if rng.random() < 0.35:
        skin.crust += np.float32(activity * rng.uniform(0.2, 1.2)) * raw
    wet = area * smoothstep(0.9, 2.2, fractal_noise(rng, skin.grid, (9, 19, 40), gain=0.8))
    skin.sparkle += np.float32(rng.uniform(0.0, 0.20)) * wet


def _follicular_bumps(rng: np.random.Generator, skin: Skin) -> None:
    """Raise small bumps around hair follicles, evenly apart: what a vesicle may be mistaken for."""
    radius = rng.uniform(0.020, 0.036)
    for x, y in far_apart(rng, int(rng.integers(4, 18)), rng.uniform(3.5, 5) * radius):
        blood, shine = rng.uniform(-0.1, 0.3), rng.uniform(0, 0.12)
        bump(rng, skin, x, y, radius, height=rng.uniform(0.2, 0.45), blood=blood, shine=shine, halo=0.1)
