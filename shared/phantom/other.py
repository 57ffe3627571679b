"""Phantom skin with lesions of other diseases, on which a small generator is pretrained.

None of them is what makes the phantom's positive class: no crops of small vesicles, no punched-out erosions. Round
spots and domes are there, but single or far apart.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from shared.phantom.camera import STUDY_CAMERA, photograph
from shared.phantom.marks import bump, far_apart, flake, ring, spot, stroke
from shared.phantom.skin import Skin, bare_skin, inflamed_area, redden, working_grid

Painter = Callable[[np.random.Generator, Skin], None]


def other_lesion(rng: np.random.Generator, tone: int, size: int) -> npt.NDArray[np.uint8]:
    """Return one picture [size, size, 3] of skin of `tone` with one or two kinds of lesions, often on red skin."""
    skin = bare_skin(rng, tone, working_grid(size))
    if rng.random() < 0.7:
        redden(rng, skin, inflamed_area(rng, skin))
    for kind in rng.choice(len(_PAINTERS), size=1 if rng.random() < 0.65 else 2, replace=False):
        _PAINTERS[kind](rng, skin)
    return photograph(rng, skin, STUDY_CAMERA, size)


def _moles(rng: np.random.Generator, skin: Skin) -> None:
    for x, y in far_apart(rng, int(rng.integers(1, 4)), 0.3):
        radius = rng.uniform(0.035, 0.16)
        spot(rng, skin, x, y, radius, melanin=rng.uniform(0.5, 1.3), blood=rng.uniform(0, 0.3), softness=0.25)
        spot(rng, skin, x, y, 0.5 * radius, melanin=rng.uniform(0, 0.6), softness=0.6)
        if rng.random() < 0.4:
            bump(rng, skin, x, y, radius, height=rng.uniform(0.1, 0.35), blood=0, shine=rng.uniform(0, 0.15))


def _freckles(rng: np.random.Generator, skin: Skin) -> None:
    for x, y in far_apart(rng, int(rng.integers(5, 13)), 0.15):
        spot(rng, skin, x, y, rng.uniform(0.018, 0.05), melanin=rng.uniform(0.2, 0.6), softness=0.4)


def _red_spots(rng: np.random.Generator, skin: Skin) -> None:
    for x, y in far_apart(rng, int(rng.integers(3, 10)), 0.18):
        spot(rng, skin, x, y, rng.uniform(0.03, 0.075), blood=rng.uniform(0.4, 1.1), softness=0.3)


def _papules(rng: np.random.Generator, skin: Skin) -> None:
    for x, y in far_apart(rng, int(rng.integers(2, 7)), 0.21):
        radius = rng.uniform(0.05, 0.13)
        shine = rng.uniform(0.0, 0.25)
        bump(rng, skin, x, y, radius, height=rng.uniform(0.3, 0.7), blood=rng.uniform(0.1, 0.6), shine=shine, halo=0.15)


def _pustules(rng: np.random.Generator, skin: Skin) -> None:
    for x, y in far_apart(rng, int(rng.integers(2, 6)), 0.24):
        radius = rng.uniform(0.04, 0.07)
        halo = rng.uniform(0.3, 0.6)
        bump(rng, skin, x, y, radius, height=0.5, blood=-0.15, shine=rng.uniform(0.1, 0.35), halo=halo)


def _blister(rng: np.random.Generator, skin: Skin) -> None:
    x, y = rng.uniform(0.3, 0.7, 2)
    radius = rng.uniform(0.09, 0.22)
    shine = rng.uniform(0.25, 0.6)
    bump(rng, skin, x, y, radius, height=rng.uniform(0.4, 0.8), blood=rng.uniform(-0.15, 0.2), shine=shine, halo=0.4)


def _rings(rng: np.random.Generator, skin: Skin) -> None:
    for x, y in far_apart(rng, int(rng.integers(1, 3)), 0.45):
        width, blood = rng.uniform(0.03, 0.06), rng.uniform(0.4, 0.9)
        ring(rng, skin, x, y, rng.uniform(0.13, 0.33), width=width, blood=blood, scale=rng.uniform(0, 0.7))


def _scratches(rng: np.random.Generator, skin: Skin) -> None:
    for x, y in rng.uniform(0.15, 0.85, (rng.integers(1, 5), 2)).tolist():
        length, width = rng.uniform(0.3, 0.8), rng.uniform(0.009, 0.02)
        blood, crust = rng.uniform(0.5, 1.3), rng.uniform(0, 0.5)
        stroke(rng, skin, x, y, length=length, width=width, blood=blood, crust=crust)


def _scar(rng: np.random.Generator, skin: Skin) -> None:
    x, y = rng.uniform(0.3, 0.7, 2)
    length, width = rng.uniform(0.5, 1.0), rng.uniform(0.02, 0.05)
    stroke(rng, skin, x, y, length=length, width=width, blood=-0.15, crust=0, relief=rng.uniform(0.2, 0.5) * width)


def _plaque(rng: np.random.Generator, skin: Skin) -> None:
    area = inflamed_area(rng, skin)
    redden(rng, skin, area)
    flake(rng, skin, area, rng.uniform(0.3, 1.2))


_PAINTERS: tuple[Painter, ...] = (
    _moles, _freckles, _red_spots, _papules, _pustules, _blister, _rings, _scratches, _scar, _plaque,
)  # fmt: skip
