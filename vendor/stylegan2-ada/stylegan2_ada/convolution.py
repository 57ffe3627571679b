"""Convolutions whose second derivatives cost as much as their first ones.

R1 and the path length differentiate a gradient. PyTorch's own second derivative of a convolution takes the gradient of
the weight as a convolution with kernels as large as the picture, for which the libraries have no fast path: on a GPU
it took a third of all time. Within `differentiable_twice` every derivative is a convolution of the ordinary kind: the
three maps (x, w) -> y, (y', w) -> x' and (y', x) -> w' are derivatives of each other.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_twice = False


@contextlib.contextmanager
def differentiable_twice() -> Iterator[None]:
    """Make the convolutions within ready for gradients of gradients; the first ones cost a little more on the host."""
    global _twice
    before, _twice = _twice, True
    try:
        yield
    finally:
        _twice = before


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Cross-correlate [N, I, H, W] with [O, I, K, K]."""
    if not _twice:
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)
    y: Tensor = _Convolve.apply(x, weight, _Geometry(stride, padding))
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d(x: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """Do the adjoint of a cross-correlation: [N, I, H, W] with [I, O, K, K]."""
    if not _twice:
        return F.conv_transpose2d(x, weight, stride=stride)
    y: Tensor = _Convolve.apply(x, weight, _Geometry(stride, 0, transposed=True))
    return y


@dataclass(frozen=True)
class _Geometry:
    stride: int
    padding: int
    transposed: bool = False
    beyond: tuple[int, int] = (0, 0)  # rows and columns that a transposed convolution adds behind, to meet a size

    def adjoint(self, size: torch.Size, result: torch.Size, kernel: int) -> "_Geometry":
        """Return the map from results [..., H', W'] back to pictures [..., H, W] with the same weight."""
        if self.transposed:
            return _Geometry(self.stride, self.padding)
        height, width = (
            size[axis] - ((result[axis] - 1) * self.stride - 2 * self.padding + kernel) for axis in (-2, -1)
        )
        return _Geometry(self.stride, self.padding, transposed=True, beyond=(height, width))

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Stride, padding, dilation, transposed, output padding and groups, as torch's operators have them."""
        return [self.stride] * 2, [self.padding] * 2, [1, 1], self.transposed, list(self.beyond), 1


class _Convolve(torch.autograd.Function):
    """(x, w) -> y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        y: Tensor = torch.ops.aten.convolution(x, weight, None, *geometry.arguments)
        ctx.adjoint = geometry.adjoint(x.shape, y.shape, weight.shape[-1])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        dx = _Convolve.apply(gradients[0], weight, ctx.adjoint) if ctx.needs_input_grad[0] else None
        dw = _WeightGradient.apply(gradients[0], x, weight.detach(), ctx.geometry) if ctx.needs_input_grad[1] else None
        return dx, dw, None


class _WeightGradient(torch.autograd.Function):
    """(y', x) -> w', of a weight of which only shape and layout matter."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor, like: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(dy, x)
        ctx.geometry = geometry
        ctx.adjoint = geometry.adjoint(x.shape, dy.shape, like.shape[-1])
        which = [False, True, False]
        dw: Tensor = torch.ops.aten.convolution_backward(dy, x, like, None, *geometry.arguments, which)[1]
        return dw

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        dy, x = ctx.saved_tensors
        ddy = _Convolve.apply(x, gradients[0], ctx.geometry) if ctx.needs_input_grad[0] else None
        dx = _Convolve.apply(dy, gradients[0], ctx.adjoint) if ctx.needs_input_grad[1] else None
        return ddy, dx, None, None
