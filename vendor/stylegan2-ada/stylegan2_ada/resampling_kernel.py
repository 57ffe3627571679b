"""Low-pass filter with zero insertion or decimation in one pass over a GPU's memory, written in Triton.

A depthwise convolution of four by four taps has no fast path in the convolution library; this kernel walks down the
picture and keeps the last four rows, filtered horizontally, in registers, so that every pixel is fetched about once.

Shapes: N images, C channels, H x W pixels, channels last.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TAPS = 4
ROWS = 8  # input rows of one program, or so; even, so that the parity of a row is known when the kernel is compiled
BLOCK = 512  # (pixel, channel) pairs of one program


@dataclass(frozen=True)
class Geometry:
    """Insert `up` - 1 zeros, put `pad` zeros before, convolve and keep every `down`-th pixel, to `height` x `width`.

    As many zeros stand behind as the size asks for. `transposed` correlates with the filter instead.
    """

    up: int
    down: int
    pad: int
    height: int
    width: int
    transposed: bool = False

    def transpose(self, height: int, width: int) -> "Geometry":
        """Return the adjoint map, back to `height` x `width`: insertion and decimation change places."""
        return Geometry(self.down, self.up, TAPS - 1 - self.pad, height, width, not self.transposed)


@triton.jit
def _tap(kernel, i, ALONG: tl.constexpr, ACROSS: tl.constexpr):
    # Of a filter of rank one that sums to one: the sum over the other axis.
    kernel += i * ALONG
    one, two = tl.load(kernel), tl.load(kernel + ACROSS)
    three, four = tl.load(kernel + 2 * ACROSS), tl.load(kernel + 3 * ACROSS)
    return one + two + three + four


# One binary for all sizes: nothing is gained by knowing them, and each would be compiled for a second or more.
@triton.jit(do_not_specialize=["in_height", "in_width", "out_height", "out_width", "channels"])
def _walk_down(
    x, y, kernel, in_height, in_width, out_height, out_width, channels, gain,
    PAD: tl.constexpr, UP: tl.constexpr, DOWN: tl.constexpr, FLIP: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    strips = tl.cdiv(out_height, ROWS)
    image = (tl.program_id(0) // strips).to(tl.int64)
    first = tl.program_id(0) % strips * ROWS
    pair = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    out_x = pair // channels
    channel = pair % channels
    inside = out_x < out_width
    x += image * in_height * in_width * channels
    y += image * out_height * out_width * channels + pair

    v0 = _tap(kernel, 3 if FLIP else 0, 4, 1)
    v1 = _tap(kernel, 2 if FLIP else 1, 4, 1)
    v2 = _tap(kernel, 1 if FLIP else 2, 4, 1)
    v3 = _tap(kernel, 0 if FLIP else 3, 4, 1)
    h0 = _tap(kernel, 3 if FLIP else 0, 1, 4)
    h1 = _tap(kernel, 2 if FLIP else 1, 1, 4)
    h2 = _tap(kernel, 1 if FLIP else 2, 1, 4)
    h3 = _tap(kernel, 0 if FLIP else 3, 1, 4)
    r1 = tl.zeros([BLOCK], tl.float32)
    r2 = tl.zeros([BLOCK], tl.float32)
    r3 = tl.zeros([BLOCK], tl.float32)
    for t in tl.static_range((ROWS - 1) * DOWN + 4):
        r0 = r1
        r1 = r2
        r2 = r3
        r3 = tl.zeros([BLOCK], tl.float32)
        if (t - PAD) % UP == 0:  # else it is a row of inserted zeros
            row = first * DOWN + t - PAD
            has_row = (row >= 0) & (row < in_height * UP)
            for j in tl.static_range(4):
                column = out_x * DOWN + j - PAD
                there = inside & has_row & (column >= 0) & (column < in_width * UP) & (column % UP == 0)
                offset = (row // UP * in_width + column // UP) * channels + channel
                tap = h0 if j == 0 else h1 if j == 1 else h2 if j == 2 else h3
                # "!= 0", since Triton's interpreter, which the tests run it in, takes no other masks.
                r3 += tap * tl.load(x + offset, mask=there != 0, other=0.0).to(tl.float32)
        if t >= 3 and (t - 3) % DOWN == 0:
            out_y = first + (t - 3) // DOWN
            value = (v0 * r0 + v1 * r1 + v2 * r2 + v3 * r3) * gain
            there = inside & (out_y < out_height)
            tl.store(y + out_y * out_width * channels, value.to(y.dtype.element_ty), mask=there != 0)


class _Resample(torch.autograd.Function):
    """Linear in the picture, and its adjoint is of the same kind: so it can be differentiated any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, geometry: Geometry, gain: float) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.back = geometry.transpose(x.shape[2], x.shape[3])
        ctx.gain = gain
        count, channels, in_height, in_width = x.shape
        x = x.contiguous(memory_format=torch.channels_last)
        y = torch.empty(
            (count, channels, geometry.height, geometry.width),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )
        rows = ROWS // geometry.down
        grid = (count * triton.cdiv(geometry.height, rows), triton.cdiv(geometry.width * channels, BLOCK))
        with torch.cuda.device_of(x):  # where Triton starts it, and not on the current GPU
            _walk_down[grid](
                x, y, kernel, in_height, in_width, geometry.height, geometry.width, channels, gain,
                PAD=geometry.pad, UP=geometry.up, DOWN=geometry.down, FLIP=not geometry.transposed,
                ROWS=rows, BLOCK=BLOCK,
            )  # fmt: skip
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (kernel,) = ctx.saved_tensors
        gradient: Tensor = _Resample.apply(gradients[0], kernel, ctx.back, ctx.gain)
        return gradient, None, None, None


def resample(x: Tensor, kernel: Tensor, geometry: Geometry, gain: float = 1.0) -> Tensor:
    """Filter [N, C, H, W] of any floating type to [N, C, height, width]; sums are of float32.

    Args:
        x: pictures.
        kernel: low-pass filter, float32 [4, 4], of rank one and one in sum.
        geometry: what happens before and after it.
        gain: factor on the result.
    """
    y: Tensor = _Resample.apply(x, kernel, geometry, gain)
    return y
