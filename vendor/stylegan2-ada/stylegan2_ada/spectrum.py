"""Colour and frequency augmentations (ADA paper, appendix B)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2_ada.wavelets import filter_bank

if TYPE_CHECKING:
    from stylegan2_ada.augment import AugmentParameters

BANDS = 4
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural images (1/f), lowest band first


@dataclass(frozen=True)
class _Axes:
    """Matrices in homogeneous RGB [4, 4]: what all colour augmentations are sums and multiples of."""

    identity: Tensor
    colour: Tensor  # the identity without the homogeneous part
    along: Tensor  # projection to the grey axis
    cross: Tensor  # cross product with the grey axis
    shift: Tensor  # the same value to all channels


@functools.cache
def _axes(dtype: torch.dtype, device: torch.device) -> _Axes:
    v = torch.tensor([3**-0.5, 3**-0.5, 3**-0.5, 0.0], dtype=dtype)
    cross, shift = torch.zeros(2, 4, 4, dtype=dtype)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[i, j], cross[j, i] = -v[k], v[k]
    shift[:3, 3] = 1
    colour = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=dtype))
    matrices = torch.eye(4, dtype=dtype), colour, torch.outer(v, v), cross, shift
    return _Axes(*(matrix.to(device) for matrix in matrices))


def color_matrix(parameters: AugmentParameters, pictures: Tensor) -> Tensor | None:
    """Compose all colour augmentations to homogeneous matrices [N, 4, 4], or None when the pipe has none."""
    p = parameters
    present = [value for value in (p.brightness, p.contrast, p.lumaflip, p.hue, p.saturation) if value is not None]
    if not present:
        return None
    axes = _axes(pictures.dtype, present[0].device)
    identity, colour, along = axes.identity, axes.colour, axes.along
    steps: list[Tensor] = []
    if p.brightness is not None:
        steps.append(identity + axes.shift * p.brightness[:, None, None])
    if p.contrast is not None:
        steps.append(identity + colour * (p.contrast - 1)[:, None, None])
    if p.lumaflip is not None:
        steps.append(identity - 2 * along * p.lumaflip[:, None, None])  # Householder reflection of luma
    if p.hue is not None:
        cos, sin = p.hue.cos()[:, None, None], p.hue.sin()[:, None, None]
        steps.append(along + cos * (colour - along) + sin * axes.cross + (identity - colour))  # Rodrigues' formula
    if p.saturation is not None:
        steps.append(along + (identity - along) * p.saturation[:, None, None])
    total = steps[0]
    for step in steps[1:]:
        total = step @ total
    return total


def apply_color(pictures: Tensor, matrix: Tensor) -> Tensor:
    """Apply homogeneous matrices [N, 4, 4] to RGB pictures [N, 3, H, W]."""
    matrix = matrix.to(pictures.device, non_blocking=True)
    mixed = torch.einsum("nij,njhw->nihw", matrix[:, :3, :3], pictures)
    return mixed + matrix[:, :3, 3, None, None]


def normalized_gain(strength: Tensor, band: int) -> Tensor:
    """Amplify one band by `strength` [N] and scale all so that the expected power of an image stays: [N, BANDS]."""
    gain = torch.ones(len(strength), BANDS, device=strength.device, dtype=strength.dtype)
    gain[:, band] = strength
    power = torch.tensor(EXPECTED_POWER, device=strength.device, dtype=strength.dtype)
    return gain / (gain.square() * power).sum(dim=1, keepdim=True).sqrt()


@functools.cache
def _bank(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the filters of the bands, [4, K]."""
    return torch.from_numpy(filter_bank(BANDS)).to(device=device, dtype=dtype)


def apply_bands(pictures: Tensor, gains: Tensor) -> Tensor:
    """Amplify four octaves of pictures [N, C, H, W] by `gains` [N, 4], mirrored beyond the edges."""
    count, channels, height, width = pictures.shape
    bank = _bank(pictures.dtype, pictures.device)
    gains = gains.to(pictures.device, non_blocking=True)
    taps = (gains @ bank)[:, None].expand(-1, channels, -1).reshape(count * channels, 1, -1)  # [N C, 1, K]
    reach = taps.shape[-1] // 2
    x = pictures.reshape(1, count * channels, height, width)
    while reach > 0:  # a picture smaller than the filter is mirrored several times
        step = min(reach, height - 1, width - 1)
        x = F.pad(x, (step, step, step, step), mode="reflect")
        reach -= step
    x = F.conv2d(x, taps[:, :, None, :], groups=count * channels)
    x = F.conv2d(x, taps[:, :, :, None], groups=count * channels)
    return x.reshape(pictures.shape)
