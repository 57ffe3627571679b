"""Single marks on skin, each painted in a small window around its place."""

import numpy as np

from shared.phantom.fields import Field, fractal_noise, smoothstep
from shared.phantom.skin import Skin

Window = tuple[slice, slice]


def around(skin: Skin, x: float, y: float, reach: float) -> tuple[Window, Field, Field]:
    """Return the window within `reach` of (x, y) and the offsets dx, dy in it; the window may be empty."""
    grid = skin.grid

    def span(centre: float) -> slice:
        return slice(max(0, int((centre - reach) * grid)), max(0, min(grid, int((centre + reach) * grid) + 2)))

    window = (span(y), span(x))
    return window, skin.x[window] - np.float32(x), skin.y[window] - np.float32(y)


def far_apart(rng: np.random.Generator, count: int, distance: float) -> list[tuple[float, float]]:
    """Return up to `count` points of the unit square, no two closer than `distance`."""
    points: list[tuple[float, float]] = []
    for x, y in rng.uniform(0.06, 0.94, (4 * count, 2)).tolist():
        if len(points) < count and all(np.hypot(x - a, y - b) >= distance for a, b in points):
            points.append((x, y))
    return points


def roundish(rng: np.random.Generator, dx: Field, dy: Field, radius: float, wobble: float) -> Field:
    """Return the distance from a slightly irregular circle's centre, 1 on its edge."""
    stretch, angle = np.exp(rng.normal(0, wobble)), rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = (dx * c + dy * s) / np.float32(stretch), (dy * c - dx * s) * np.float32(stretch)
    return np.hypot(along, across) / np.float32(radius)


def bump(
    rng: np.random.Generator,
    skin: Skin,
    x: float,
    y: float,
    radius: float,
    *,
    height: float,
    blood: float,
    shine: float,
    halo: float = 0.0,
    dimple: float = 0.0,
) -> None:
    """Raise a dome: `height` in radii, `blood` added on it, `halo` around it, `shine` a highlight towards the lamp.

    `dimple` presses its middle in (umbilication), as a part of the height.
    """
    window, dx, dy = around(skin, x, y, 1.9 * radius)
    r = roundish(rng, dx, dy, radius, 0.07)
    dome = np.clip(1 - r**3, 0, 1) - np.float32(dimple) * np.exp(-((r / np.float32(0.38)) ** 2))
    top = smoothstep(1.08, 0.86, r)
    skin.relief[window] += np.float32(height * radius) * dome
    skin.blood[window] += np.float32(blood) * top
    if halo:
        skin.blood[window] += np.float32(halo) * np.exp(-(((r - np.float32(1.15)) / np.float32(0.28)) ** 2))
    if shine:
        to_x, to_y = (np.float32(0.36 * radius * part) for part in skin.light)
        glint = ((dx - to_x) ** 2 + (dy - to_y) ** 2) / np.float32((0.34 * radius) ** 2)
        skin.sparkle[window] += np.float32(shine) * np.exp(-glint)


def spot(
    rng: np.random.Generator,
    skin: Skin,
    x: float,
    y: float,
    radius: float,
    *,
    melanin: float = 0.0,
    blood: float = 0.0,
    softness: float = 0.2,
    wobble: float = 0.12,
) -> None:
    """Colour a flat roundish spot with added pigment and blood; `softness` is its edge in radii."""
    window, dx, dy = around(skin, x, y, (1.3 + softness) * radius)
    inside = smoothstep(1 + softness, 1 - softness, roundish(rng, dx, dy, radius, wobble))
    skin.melanin[window] += np.float32(melanin) * inside
    skin.blood[window] += np.float32(blood) * inside


def stroke(
    rng: np.random.Generator,
    skin: Skin,
    x: float,
    y: float,
    *,
    length: float,
    width: float,
    blood: float,
    crust: float,
    relief: float = 0.0,
) -> None:
    """Draw a slightly bent line of half-width `width`: a scratch, or with negative blood a pale scar."""
    angle, bend = rng.uniform(0, np.pi), rng.normal(0, 0.5)
    window, dx, dy = around(skin, x, y, 0.5 * length + 4 * width)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = dx * c + dy * s, dy * c - dx * s
    across = across + np.float32(bend) * along * along
    broken = 0.8 + 0.2 * np.sin(along * np.float32(rng.uniform(30, 70)) + np.float32(rng.uniform(0, 6)))
    line = np.exp(-((across / np.float32(width)) ** 2)) * smoothstep(0.5, 0.38, np.abs(along) / np.float32(length))
    skin.blood[window] += np.float32(blood) * line * broken.astype(np.float32)
    skin.crust[window] += np.float32(crust) * line * broken.astype(np.float32)
    skin.relief[window] += np.float32(relief) * line


def ring(
    rng: np.random.Generator,
    skin: Skin,
    x: float,
    y: float,
    radius: float,
    *,
    width: float,
    blood: float,
    scale: float,
) -> None:
    """Draw a ring-shaped plaque: a raised red border, paler inside, with scale along it."""
    window, dx, dy = around(skin, x, y, radius + 3 * width)
    r = roundish(rng, dx, dy, radius, 0.10)
    turn = np.arctan2(dy, dx)
    wave = _waves(rng, turn, 0.05, (2, 3, 5, 8))
    off = (r - 1 + wave) * np.float32(radius / width)
    border = np.exp(-(off**2))
    skin.blood[window] += np.float32(blood) * (border + np.float32(0.25) * smoothstep(1.0, 0.8, r))
    skin.relief[window] += np.float32(0.25 * width) * border
    flecks = smoothstep(0.0, 1.6, _waves(rng, turn, 1.0, (5, 9, 14, 19)))
    skin.scale[window] += np.float32(scale) * np.exp(-((off + np.float32(0.5)) ** 2) * 4) * flecks


def _waves(rng: np.random.Generator, turn: Field, amplitude: float, counts: tuple[int, ...]) -> Field:
    """Return a closed random wave around the circle, of about `amplitude`."""
    wave = np.zeros_like(turn)
    for count in counts:
        wave += np.float32(rng.normal(0, amplitude)) * np.sin(
            np.float32(count) * turn + np.float32(rng.uniform(0, 6.3))
        )
    return wave


def flake(rng: np.random.Generator, skin: Skin, area: Field, thickness: float) -> None:
    """Strew pale angular scale of uneven thickness over `area`."""
    grain = fractal_noise(rng, skin.grid, (8, 17, 34, 60), gain=0.75)
    sheets = smoothstep(0.1, 2.0, grain) * area
    skin.scale += np.float32(thickness) * sheets
    skin.relief += np.float32(0.006) * sheets
