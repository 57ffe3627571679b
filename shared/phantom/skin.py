"""A patch of skin as fields on the unit square: pigment, blood, relief and what lies on top."""

from dataclasses import dataclass, field

import numpy as np

from shared.phantom.fields import Field, fractal_noise, smooth_noise, smoothstep

TONES = 6
MILD, MODERATE, SEVERE = 1, 2, 3
_FINEST_GRID = 128  # scenes are laid out on at least so many pixels and averaged down, so small images do not alias

# Optical densities (natural log, linear RGB) for one unit of each absorber, fitted by eye to Fitzpatrick's six types.
_MELANIN = np.array([0.80, 1.00, 1.14], np.float32)
_BLOOD = np.array([0.22, 1.00, 0.88], np.float32)
_DERMIS = np.array([0.93, 0.78, 0.63], np.float32)
_SCALE = np.array([0.80, 0.74, 0.68], np.float32)
_CRUST = np.array([0.40, 0.22, 0.075], np.float32)
_MELANIN_OF_TONE = (0.10, 0.25, 0.50, 0.90, 1.50, 2.30)


def working_grid(size: int) -> int:
    """Return the pixels on a side on which a scene for images of `size` pixels is laid out, a multiple of `size`."""
    return size * max(1, -(-_FINEST_GRID // size))


@dataclass(eq=False)
class Skin:
    """Fields [G, G] float32 over the unit square (x right, y down); lesions add to them.

    melanin, blood: optical densities; relief: height in sides; scale, crust: thickness t (opacity 1 - exp(-t));
    sparkle: mirrored light.
    """

    light: tuple[float, float]  # unit vector in the image plane, towards the lamp
    x: Field
    y: Field
    melanin: Field
    blood: Field
    relief: Field
    scale: Field = field(init=False)
    crust: Field = field(init=False)
    sparkle: Field = field(init=False)

    def __post_init__(self) -> None:
        self.scale, self.crust, self.sparkle = (np.zeros_like(self.x) for _ in range(3))

    @property
    def grid(self) -> int:
        """Pixels on a side."""
        return len(self.x)


def tone_of(index: int) -> int:
    """Return the skin tone 1..6 of a class's picture number `index`: the six in turn, so classes are balanced."""
    return index % TONES + 1


def bare_skin(rng: np.random.Generator, tone: int, grid: int) -> Skin:
    """Return healthy skin of `tone` 1..6 with mottled pigment, fine relief, pores, creases and now and then hairs."""
    centres = (np.arange(grid, dtype=np.float32) + 0.5) / grid
    y, x = np.meshgrid(centres, centres, indexing="ij")
    azimuth = rng.uniform(0, 2 * np.pi)
    level = _MELANIN_OF_TONE[tone - 1] * np.exp(rng.normal(0, 0.10))
    mottle = fractal_noise(rng, grid, (3, 7, 16))
    flush = fractal_noise(rng, grid, (2, 5, 11))
    fine = fractal_noise(rng, grid, (28, 56, 110), gain=0.8)
    skin = Skin(
        light=(float(np.cos(azimuth)), float(np.sin(azimuth))),
        x=x,
        y=y,
        melanin=np.float32(level) * (1 + np.float32(0.07) * mottle + np.float32(0.04) * fine),
        blood=np.float32(rng.uniform(0.10, 0.24)) * (1 + np.float32(0.28) * flush),
        relief=np.float32(0.0011) * fine,
    )
    _crease(rng, skin)
    _pores(rng, skin)
    if rng.random() < 0.2:
        _hairs(rng, skin)
    return skin


def _crease(rng: np.random.Generator, skin: Skin) -> None:
    """Cross two families of wavering furrows, the net that the skin of a close-up shows."""
    first = rng.uniform(0, np.pi)
    strength = rng.uniform(0.3, 1.0)
    for angle in (first, first + rng.uniform(0.9, 1.6)):
        across = skin.x * np.float32(np.cos(angle)) + skin.y * np.float32(np.sin(angle))
        waver = np.float32(0.022) * fractal_noise(rng, skin.grid, (4, 9))
        ridge = np.abs(np.sin(np.float32(np.pi * rng.uniform(9, 17)) * (across + waver)))
        furrow = np.exp(-((ridge / np.float32(0.28)) ** 2)) * (
            np.float32(0.6) + np.float32(0.4) * smooth_noise(rng, skin.grid, 7)
        )
        skin.relief -= np.float32(0.0016 * strength) * furrow
        skin.blood += np.float32(0.035 * strength) * furrow
        skin.melanin *= 1 + np.float32(0.05 * strength) * furrow


def _pores(rng: np.random.Generator, skin: Skin) -> None:
    pore = smoothstep(1.5, 2.6, smooth_noise(rng, skin.grid, 34))
    depth = rng.uniform(0.3, 1.0)
    skin.relief -= np.float32(0.003 * depth) * pore
    skin.melanin += np.float32(0.10 * depth) * pore


def _hairs(rng: np.random.Generator, skin: Skin) -> None:
    lean = rng.uniform(0, np.pi)
    for _ in range(rng.integers(1, 5)):
        angle = lean + rng.normal(0, 0.25)
        along, across = _axes(skin, rng.uniform(0, 1), rng.uniform(0, 1), angle)
        across = across + np.float32(rng.normal(0, 0.5)) * along * along
        hair = np.exp(-((across / np.float32(0.006)) ** 2)) * smoothstep(0.34, 0.26, np.abs(along))
        skin.melanin += np.float32(rng.uniform(0.5, 1.1)) * hair


def _axes(skin: Skin, x: float, y: float, angle: float) -> tuple[Field, Field]:
    """Return coordinates [G, G] along and across a direction, from the point (x, y)."""
    dx, dy = skin.x - np.float32(x), skin.y - np.float32(y)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return dx * c + dy * s, dy * c - dx * s


def inflamed_area(rng: np.random.Generator, skin: Skin) -> Field:
    """Return an irregular soft-edged area [G, G] 0..1 in the middle part of the picture; nothing is painted yet."""
    radius = rng.uniform(0.24, 0.62)
    along, across = _axes(skin, rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), rng.uniform(0, np.pi))
    aspect = np.float32(np.exp(rng.normal(0, 0.25)))
    distance = np.hypot(along / aspect, across * aspect)
    edge = distance + np.float32(0.075) * fractal_noise(rng, skin.grid, (3, 6, 12, 24), gain=0.65)
    softness = rng.uniform(0.05, 0.16)
    return smoothstep(radius + softness, radius - softness, edge)


def redden(rng: np.random.Generator, skin: Skin, area: Field) -> None:
    """Flush `area` with blood: mottled, a little swollen, and on dark skin darker as well."""
    strength = rng.uniform(0.28, 0.80)
    mottled = 1 + np.float32(0.22) * fractal_noise(rng, skin.grid, (6, 13, 27), gain=0.7)
    skin.blood += np.float32(strength) * area * mottled
    skin.melanin *= 1 + np.float32(rng.uniform(0.02, 0.16)) * area
    skin.relief += np.float32(0.006) * area


def reflectance(skin: Skin) -> Field:
    """Return the skin's diffuse linear RGB reflectance, [3, G, G]: absorbers in the skin, then what covers it."""
    density = _MELANIN[:, None, None] * skin.melanin + _BLOOD[:, None, None] * skin.blood
    colour: Field = _DERMIS[:, None, None] * np.exp(-np.maximum(density, 0))
    for opacity, cover in ((skin.crust, _CRUST), (skin.scale, _SCALE)):
        if opacity.any():
            # Crust and scale are thin: they keep part of the tone below.
            seen = cover[:, None, None] * np.float32(0.5) + colour * np.float32(0.5)
            colour = colour + (1 - np.exp(-np.maximum(opacity, 0))) * (seen - colour)
    return colour
