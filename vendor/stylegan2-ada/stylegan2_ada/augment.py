"""The augmentations of the ADA paper (arXiv:2006.06676, appendix B), chance split from deed.

`draw_parameters` rolls the dice for a batch, each augmentation of each image with probability p; `augment` applies
given parameters, so that any augmentation can be replayed. They may be on the host: there the small matrices are
composed without a GPU having to be waited for, and only the result goes to the pictures.

Everything is differentiable twice with respect to the pictures, as R1 needs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2_ada import diffaug, geometry, spectrum
from stylegan2_ada.config import AugPipe
from stylegan2_ada.ranks import Dice

GROUPS: dict[str, tuple[str, ...]] = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
_LETTERS = {"b": "blit", "g": "geom", "c": "color", "f": "filter", "n": "noise"}

# Strengths (ADA paper, appendix B): fractions of the image side, log2 units, or multiples of pi.
XINT_MAX = 0.125
SCALE_STD = 0.2
ANISO_STD = 0.2
XFRAC_STD = 0.125
BRIGHTNESS_STD = 0.2
CONTRAST_STD = 0.5
SATURATION_STD = 1.0
IMGFILTER_STD = 1.0
NOISE_STD = 0.1
CUTOUT_SIZE = 0.5


def augmentations_of(pipe: AugPipe) -> frozenset[str]:
    """Return the names of the augmentations in a pipe: "bgc" is blit, geometry and colour, "bgcfnc" adds the rest."""
    if pipe == "none":
        return frozenset()
    if pipe in GROUPS:
        return frozenset(GROUPS[pipe])
    groups = [_LETTERS[letter] for letter in pipe[:5]] + (["cutout"] if pipe == "bgcfnc" else [])
    return frozenset(name for group in groups for name in GROUPS[group])


@dataclass(frozen=True)
class AugmentParameters:
    """What happens to each of N images; None means that the augmentation is not in the pipe.

    Attributes:
        xflip: 0 or 1, [N].
        rotate90: quarter turns, [N].
        xint: shift in whole px (x, y), [N, 2].
        scale: size factor, [N].
        rotate_pre, rotate_post: angles in radians before and after `aniso`, [N].
        aniso: factor on x, its inverse on y, [N].
        xfrac: shift in px (x, y), [N, 2].
        brightness: added value, [N].
        contrast, saturation: factors, [N].
        lumaflip: 0 or 1, [N].
        hue: angle in radians, [N].
        imgfilter: gain of each of four frequency bands, [N, 4].
        noise_std: standard deviation, [N].
        noise: unit normal noise, [N, C, H, W].
        cutout_centre: x and y in fractions of the side, [N, 2].
        cutout_size: fraction of the side, [N].
    """

    xflip: Tensor | None = None
    rotate90: Tensor | None = None
    xint: Tensor | None = None
    scale: Tensor | None = None
    rotate_pre: Tensor | None = None
    aniso: Tensor | None = None
    rotate_post: Tensor | None = None
    xfrac: Tensor | None = None
    brightness: Tensor | None = None
    contrast: Tensor | None = None
    lumaflip: Tensor | None = None
    hue: Tensor | None = None
    saturation: Tensor | None = None
    imgfilter: Tensor | None = None
    noise_std: Tensor | None = None
    noise: Tensor | None = None
    cutout_centre: Tensor | None = None
    cutout_size: Tensor | None = None


class _Rolls:
    """Draws for N images, each augmentation with probability p."""

    def __init__(self, count: int, p: float, dice: Dice, pixel_dice: Dice) -> None:
        self.count, self.p, self.dice, self.pixel_dice = count, p, dice, pixel_dice
        self.device = dice.device

    def uniform(self, *shape: int) -> Tensor:
        return self.dice.uniform(self.count, *shape)

    def normal(self, *shape: int) -> Tensor:
        return self.dice.normal(self.count, *shape)

    def with_probability(self, value: Tensor, otherwise: float, probability: float | None = None) -> Tensor:
        """Keep each image's value with probability p, else take `otherwise`."""
        happens = self.uniform() < (self.p if probability is None else probability)
        return torch.where(happens.reshape(-1, *[1] * (value.ndim - 1)), value, torch.full_like(value, otherwise))


def _draw_xint(rolls: _Rolls, shape: torch.Size) -> Tensor:
    size = torch.tensor([shape[3], shape[2]], device=rolls.device)
    return rolls.with_probability(((rolls.uniform(2) * 2 - 1) * XINT_MAX * size).round(), 0)


def _draw_xfrac(rolls: _Rolls, shape: torch.Size) -> Tensor:
    size = torch.tensor([shape[3], shape[2]], device=rolls.device)
    return rolls.with_probability(rolls.normal(2) * XFRAC_STD * size, 0)


def _draw_angle(rolls: _Rolls, _: torch.Size) -> Tensor:
    # Two rotations stand for one: P(at least one) = p, hence 1 - sqrt(1 - p) each (ADA paper, appendix B).
    return rolls.with_probability((rolls.uniform() * 2 - 1) * math.pi, 0, 1 - math.sqrt(1 - min(rolls.p, 1.0)))


def _draw_imgfilter(rolls: _Rolls, _: torch.Size) -> Tensor:
    gains = torch.ones(rolls.count, spectrum.BANDS, device=rolls.device)
    for band in range(spectrum.BANDS):
        strength = rolls.with_probability(torch.exp2(rolls.normal() * IMGFILTER_STD), 1)
        gains = gains * spectrum.normalized_gain(strength, band)
    return gains


def _draw_noise(rolls: _Rolls, shape: torch.Size) -> Tensor:
    return rolls.pixel_dice.normal(rolls.count, *shape[1:])


# name of the augmentation -> the fields it fills and how each is drawn
_DRAWS: dict[str, dict[str, Callable[[_Rolls, torch.Size], Tensor]]] = {
    "xflip": {"xflip": lambda rolls, _: rolls.with_probability((rolls.uniform() * 2).floor(), 0)},
    "rotate90": {"rotate90": lambda rolls, _: rolls.with_probability((rolls.uniform() * 4).floor(), 0)},
    "xint": {"xint": _draw_xint},
    "scale": {"scale": lambda rolls, _: rolls.with_probability(torch.exp2(rolls.normal() * SCALE_STD), 1)},
    "rotate": {"rotate_pre": _draw_angle, "rotate_post": _draw_angle},
    "aniso": {"aniso": lambda rolls, _: rolls.with_probability(torch.exp2(rolls.normal() * ANISO_STD), 1)},
    "xfrac": {"xfrac": _draw_xfrac},
    "brightness": {"brightness": lambda rolls, _: rolls.with_probability(rolls.normal() * BRIGHTNESS_STD, 0)},
    "contrast": {"contrast": lambda rolls, _: rolls.with_probability(torch.exp2(rolls.normal() * CONTRAST_STD), 1)},
    "lumaflip": {"lumaflip": lambda rolls, _: rolls.with_probability((rolls.uniform() * 2).floor(), 0)},
    "hue": {"hue": lambda rolls, _: rolls.with_probability((rolls.uniform() * 2 - 1) * math.pi, 0)},
    "saturation": {
        "saturation": lambda rolls, _: rolls.with_probability(torch.exp2(rolls.normal() * SATURATION_STD), 1)
    },
    "imgfilter": {"imgfilter": _draw_imgfilter},
    "noise": {
        "noise_std": lambda rolls, _: rolls.with_probability(rolls.normal().abs() * NOISE_STD, 0),
        "noise": _draw_noise,
    },
    "cutout": {
        "cutout_size": lambda rolls, _: rolls.with_probability(torch.full_like(rolls.uniform(), CUTOUT_SIZE), 0),
        "cutout_centre": lambda rolls, _: rolls.uniform(2),
    },
}


def draw_parameters(
    pipe: AugPipe, p: float, shape: torch.Size, dice: Dice, pixel_dice: Dice | None = None
) -> AugmentParameters:
    """Roll the dice for a batch of `shape` [N, C, H, W], each augmentation of each image with probability `p`.

    `pixel_dice` are for noise, which is as large as the pictures and best drawn where they are.
    """
    rolls = _Rolls(shape[0], p, dice, pixel_dice or dice)
    names = augmentations_of(pipe)
    fields = {
        field: draw(rolls, shape) for name, draws in _DRAWS.items() if name in names for field, draw in draws.items()
    }
    return AugmentParameters(**fields)


def augment(pictures: Tensor, parameters: AugmentParameters) -> Tensor:
    """Apply `parameters` to pictures [N, 3, H, W] in [-1, 1], in the paper's order: geometry, colour, filter, noise."""
    inverse = geometry.inverse_transform(parameters, pictures)
    if inverse is not None:
        pictures = geometry.warp(pictures, inverse)
    matrix = spectrum.color_matrix(parameters, pictures)
    if matrix is not None:
        pictures = spectrum.apply_color(pictures, matrix)
    if parameters.imgfilter is not None:
        pictures = spectrum.apply_bands(pictures, parameters.imgfilter)
    if parameters.noise is not None and parameters.noise_std is not None:
        std = parameters.noise_std.to(pictures.device, non_blocking=True)
        pictures = pictures + parameters.noise.to(pictures.device) * std[:, None, None, None]
    if parameters.cutout_centre is not None and parameters.cutout_size is not None:
        pictures = pictures * _outside_square(pictures, parameters.cutout_centre, parameters.cutout_size)
    return pictures


def _outside_square(pictures: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    """Return 1 outside and 0 inside of each image's square, [N, 1, H, W]."""
    height, width = pictures.shape[2:]
    centre, size = (value.to(pictures.device, non_blocking=True) for value in (centre, size))
    x = (torch.arange(width, device=pictures.device) + 0.5) / width
    y = (torch.arange(height, device=pictures.device) + 0.5) / height
    far_x = (x - centre[:, :1]).abs() >= size[:, None] / 2  # [N, W]
    far_y = (y - centre[:, 1:]).abs() >= size[:, None] / 2  # [N, H]
    return (far_x[:, None, None, :] | far_y[:, None, :, None]).to(pictures.dtype)


def augment_randomly(pictures: Tensor, pipe: AugPipe, p: float, dice: Dice, pixel_dice: Dice | None = None) -> Tensor:
    """Augment pictures [N, 3, H, W] with strength `p`; at 0 they come back as they are.

    "diffaug" knows no strength.
    """
    if pipe == "diffaug":
        return diffaug.augment(pictures, diffaug.draw_parameters(pictures.shape, dice))
    if p <= 0 or pipe == "none":
        return pictures
    return augment(pictures, draw_parameters(pipe, p, pictures.shape, dice, pixel_dice))


__all__ = ["AugmentParameters", "augment", "augment_randomly", "augmentations_of", "draw_parameters"]
