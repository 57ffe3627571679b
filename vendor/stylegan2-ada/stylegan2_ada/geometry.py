"""Geometric augmentations: one affine map an image, sampled through orthogonal filters (ADA paper, appendix B).

Matrices are homogeneous [N, 3, 3] in pixel coordinates whose origin is the centre of the picture. They take output
positions to input positions, hence "inverse".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2_ada.wavelets import SYM6

if TYPE_CHECKING:
    from stylegan2_ada.augment import AugmentParameters

Matrix = npt.NDArray[np.float64]

_EDGE = len(SYM6) // 4  # px that the low-pass filter reaches over the edge, at the picture's own size
FINE_MARGIN = 32  # px, up to which a picture is enlarged by no more than it must be


def _matrix(rows: list[list[Tensor | float]], like: Tensor) -> Tensor:
    """Put entries, numbers or [N], together to [N, 3, 3]."""
    matrix = like.new_zeros(*like.shape, 3, 3)
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            if isinstance(entry, Tensor) or entry != 0:
                matrix[..., i, j] = entry
    return matrix


def _translation(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]], x)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]], x)


def _rotation(theta: Tensor) -> Tensor:
    sin, cos = theta.sin(), theta.cos()
    return _matrix([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], theta)


# field of AugmentParameters -> its inverse map, in the order of the paper
_STEPS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("xflip", lambda flip: _scaling(1 - 2 * flip, torch.ones_like(flip))),
    ("rotate90", lambda turns: _rotation(turns * (math.pi / 2))),
    ("xint", lambda px: _translation(-px[:, 0], -px[:, 1])),
    ("scale", lambda factor: _scaling(1 / factor, 1 / factor)),
    ("rotate_pre", _rotation),
    ("aniso", lambda factor: _scaling(1 / factor, factor)),
    ("rotate_post", _rotation),
    ("xfrac", lambda px: _translation(-px[:, 0], -px[:, 1])),
)


def inverse_transform(parameters: AugmentParameters, pictures: Tensor) -> Tensor | None:
    """Compose all geometric augmentations to [N, 3, 3] float32, or None when the pipe has none."""
    present = ((value, step) for name, step in _STEPS if (value := getattr(parameters, name)) is not None)
    steps = [step(value) for value, step in present]
    if not steps:
        return None
    total = steps[0]
    for step in steps[1:]:
        total = total @ step
    return total.to(pictures.dtype)


def _margin(inverse: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """Return how many px (left, right, top, bottom) the batch looks beyond the picture, at most one picture."""
    cx, cy = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor(
        [[-cx, -cy, 1], [cx, -cy, 1], [cx, cy, 1], [-cx, cy, 1]], device=inverse.device, dtype=inverse.dtype
    )
    reach = (inverse @ corners.t())[:, :2]  # [N, 2, 4]
    low, high = -reach.amin(dim=(0, 2)), reach.amax(dim=(0, 2))
    extra = 2 * _EDGE
    beyond = torch.stack([low[0] - cx, high[0] - cx, low[1] - cy, high[1] - cy]) + extra
    left, right, top, bottom = (_rounded_up(int(v)) for v in beyond.ceil().clamp_min(0).tolist())
    return min(left, width - 1), min(right, width - 1), min(top, height - 1), min(bottom, height - 1)


def _rounded_up(margin: int) -> int:
    """Round a margin up, so that large pictures come in few sizes, whose resampling matrices are kept."""
    coarse = 1 if margin < FINE_MARGIN else FINE_MARGIN // 2
    return -(-margin // coarse) * coarse


def _same(scale_x: float, scale_y: float, shift_x: float = 0, shift_y: float = 0) -> Matrix:
    """Scale, then shift, all pictures alike: [3, 3]."""
    return np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]])


def warp(pictures: Tensor, inverse: Tensor) -> Tensor:
    """Move pictures [N, C, H, W] by `inverse` [N, 3, 3], best on the host, mirrored beyond their edges.

    The picture is enlarged twofold through the sym6 low-pass, sampled bilinearly and reduced through the same filter;
    since the wavelet is orthogonal, the identity map gives the picture back.
    """
    count, channels, height, width = pictures.shape
    left, right, top, bottom = _margin(inverse, height, width)
    x = F.pad(pictures, (left, right, top, bottom), mode="reflect")
    recentre = _same(1, 1, (left - right) / 2, (top - bottom) / 2)

    x = _resample_axis(_resample_axis(x, 3, up=True), 2, up=True)
    out_height, out_width = (height + 2 * _EDGE) * 2, (width + 2 * _EDGE) * 2
    double, shift, to_unit = _same(2, 2), _same(1, 1, -0.5, -0.5), _same(2 / x.shape[3], 2 / x.shape[2])
    from_unit, unshift, half = _same(out_width / 2, out_height / 2), _same(1, 1, 0.5, 0.5), _same(0.5, 0.5)
    after, before = to_unit @ shift @ double @ recentre, half @ unshift @ from_unit
    inverse = inverse.new_tensor(after) @ inverse @ inverse.new_tensor(before)
    theta = inverse[:, :2].to(x.device, non_blocking=True)
    grid = F.affine_grid(theta, [count, channels, out_height, out_width], align_corners=False)
    x = sample(x, grid)
    return _resample_axis(_resample_axis(x, 3, up=False), 2, up=False)


def _resample_axis(x: Tensor, axis: int, *, up: bool) -> Tensor:
    """Double or halve one axis (2 or 3) of [N, C, H, W] with the sym6 low-pass.

    Doubling keeps the size exact (zero beyond the edge); halving drops the `2 * _EDGE` outer samples at either end,
    which only served as surroundings. Three channels are too few for a convolution to be fast; a product with a small
    banded matrix is.
    """
    matrix = _resampling_matrix(x.shape[axis], up=up, dtype=x.dtype, device=x.device)
    return x @ matrix.t() if axis == 3 else matrix @ x


@functools.lru_cache(maxsize=256)
def _resampling_matrix(size: int, *, up: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix [S', S] that doubles or halves a row of `size` samples: the filter, applied to the identity."""
    taps = torch.tensor(SYM6, dtype=torch.float64).reshape(1, 1, -1)
    rows = torch.eye(size, dtype=torch.float64)[:, None]  # [S, 1, S]
    if up:
        columns = F.conv_transpose1d(rows, taps, stride=2, padding=len(SYM6) // 2 - 1)
    else:
        cut = 2 * _EDGE - (len(SYM6) - 2) // 2
        columns = F.conv1d(rows[..., cut : size - cut], taps, stride=2)
    return columns[:, 0].t().to(dtype=dtype, device=device).contiguous()


class _Sample(torch.autograd.Function):
    """Bilinear sampling that is differentiable twice with respect to the picture (PyTorch's own is not).

    Sampling is linear in the picture, so the derivative of its adjoint is sampling itself.
    """

    @staticmethod
    def forward(ctx: Any, picture: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = picture.shape
        return F.grid_sample(picture, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        gradient: Tensor = _SampleAdjoint.apply(gradients[0], grid, ctx.shape)
        return gradient, None


class _SampleAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        picture = gradient.new_empty(shape)  # only its shape matters: the map is linear
        bilinear, zeros = 0, 0
        result: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            gradient, picture, grid, bilinear, zeros, False, [True, False]
        )[0]
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        gradient: Tensor = _Sample.apply(gradients[0], grid)
        return gradient, None, None


def sample(pictures: Tensor, grid: Tensor) -> Tensor:
    """Sample [N, C, H, W] at `grid` [N, H', W', 2] in [-1, 1], zero outside: [N, C, H', W']."""
    result: Tensor = _Sample.apply(pictures, grid)
    return result
