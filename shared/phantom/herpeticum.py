"""The phantom's positive class: crops of small vesicles and punched-out erosions on inflamed, often eczematous skin."""

import numpy as np

from shared.phantom.eczema import eczema_ground
from shared.phantom.fields import Field, fractal_noise, smoothstep
from shared.phantom.marks import around, bump, roundish
from shared.phantom.skin import MILD, MODERATE, SEVERE, Skin

_LESIONS = {MILD: (5, 8), MODERATE: (9, 16), SEVERE: (17, 30)}  # vesicles and erosions together, lowest and highest


def paint_herpeticum(rng: np.random.Generator, skin: Skin) -> int:
    """Paint eczema and, in one to three crops, small vesicles and erosions over it; return the severity 1..3."""
    area = eczema_ground(rng, skin, activity=rng.uniform(0.2, 0.8))
    severity = int(rng.choice([MILD, MODERATE, SEVERE], p=[0.2, 0.45, 0.35]))
    low, high = _LESIONS[severity]
    radius = rng.uniform(0.040, 0.060)
    places = crops(rng, area, int(rng.integers(low, high + 1)), 1 + int(rng.integers(0, severity)), radius)
    eroded = rng.choice([0.0, 0.35, 0.85], p=[0.4, 0.35, 0.25])
    clarity = rng.uniform(0.65, 1.1)  # how plainly the vesicles stand out
    _flush(rng, skin, places, radius)
    for x, y in places:
        size = radius * np.exp(rng.normal(0, 0.18))
        if rng.random() < eroded:
            erosion(rng, skin, x, y, size)
        else:
            vesicle(rng, skin, x, y, size, clarity)
    return severity


def crops(rng: np.random.Generator, area: Field, count: int, groups: int, radius: float) -> list[tuple[float, float]]:
    """Return up to `count` places in `groups` dense groups inside the red `area`, no two lesions overlapping."""
    tries = rng.uniform(0.15, 0.85, (40, 2))
    redness = area[tuple((tries[:, ::-1] * len(area)).astype(np.int64).T)]
    centres = tries[np.argsort(-redness, kind="stable")[::3][:groups]]
    spread = radius * 1.2 * np.sqrt(count / groups)
    points: list[tuple[float, float]] = []
    for _ in range(12 * count):
        x, y = (centres[rng.integers(groups)] + rng.normal(0, spread, 2)).tolist()
        inside = -0.02 < x < 1.02 and -0.02 < y < 1.02
        if inside and all(np.hypot(x - a, y - b) >= 2.15 * radius for a, b in points):
            points.append((x, y))
        if len(points) == count:
            break
    return points


def _flush(rng: np.random.Generator, skin: Skin, places: list[tuple[float, float]], radius: float) -> None:
    """Redden the skin that carries a crop, so that the lesions of one crop share one red base."""
    depth = np.zeros_like(skin.blood)
    for x, y in places:
        window, dx, dy = around(skin, x, y, 5 * radius)
        depth[window] += np.exp(-(dx * dx + dy * dy) / np.float32((2.1 * radius) ** 2))
    mottled = 1 + np.float32(0.2) * fractal_noise(rng, skin.grid, (8, 17))
    skin.blood += np.float32(rng.uniform(0.15, 0.45)) * (1 - np.exp(-depth)) * mottled


def vesicle(rng: np.random.Generator, skin: Skin, x: float, y: float, radius: float, clarity: float) -> None:
    """Raise a small tense dome of clear fluid, red around its foot, now and then umbilicated.

    The scale of the ground lifts off it.
    """
    window, dx, dy = around(skin, x, y, 1.3 * radius)
    skin.scale[window] *= 1 - np.float32(0.8) * smoothstep(1.2, 0.8, np.hypot(dx, dy) / np.float32(radius))
    bump(
        rng,
        skin,
        x,
        y,
        radius,
        height=0.55 * clarity,
        blood=rng.uniform(-0.28, 0.06) * clarity,
        shine=rng.uniform(0.06, 0.28) * clarity,
        halo=rng.uniform(0.15, 0.45) * clarity,
        dimple=rng.choice([0.0, 0.7], p=[0.55, 0.45]),
    )


def erosion(rng: np.random.Generator, skin: Skin, x: float, y: float, radius: float) -> None:
    """Punch out a small round sharp-edged hole: dark red and wet, or covered by a haemorrhagic crust."""
    window, dx, dy = around(skin, x, y, 1.6 * radius)
    r = roundish(rng, dx, dy, radius, 0.06)
    hole = smoothstep(1.06, 0.90, r)
    skin.blood[window] += np.float32(rng.uniform(0.7, 1.3)) * hole
    skin.melanin[window] *= 1 + np.float32(0.25) * hole
    skin.relief[window] -= np.float32(0.22 * radius) * hole
    skin.scale[window] *= 1 - hole
    rim = np.exp(-(((r - np.float32(1.18)) / np.float32(0.16)) ** 2))
    skin.blood[window] -= np.float32(0.10) * rim
    if rng.random() < 0.35:
        skin.crust[window] += np.float32(rng.uniform(0.5, 1.6)) * smoothstep(0.85, 0.5, r)
    else:
        to_x, to_y = (np.float32(0.3 * radius * part) for part in skin.light)
        glint = ((dx + to_x) ** 2 + (dy + to_y) ** 2) / np.float32((0.3 * radius) ** 2)
        skin.sparkle[window] += np.float32(rng.uniform(0.0, 0.10)) * np.exp(-glint)
