"""Run the GPU's resampling kernel in Triton's interpreter, on the CPU, and print how far it is from convolutions.

A process of its own: the interpreter is chosen when Triton is loaded.
"""

import json
from collections.abc import Callable

import torch
from torch import Tensor

from stylegan2_ada import ops
from stylegan2_ada.resampling_kernel import Geometry, resample

# Of rank one and one in sum, as the kernel needs it, but not symmetric: a flip or an exchange of axes would show.
KERNEL = torch.outer(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.1, 0.2, 0.3]))
HEIGHT, WIDTH = 12, 8
CASES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Geometry, float]] = {
    "upsample2d": (ops.upsample2d, Geometry(2, 1, 2, 2 * HEIGHT, 2 * WIDTH), 4),
    "downsample2d": (ops.downsample2d, Geometry(1, 2, 1, HEIGHT // 2, WIDTH // 2), 1),
    "filter2d": (ops.filter2d, Geometry(1, 1, 2, HEIGHT, WIDTH), 1),
    "after an upsampling convolution": (
        lambda x, kernel: ops.filter2d(x, kernel, (1, 1), gain=4),
        Geometry(1, 1, 1, HEIGHT - 1, WIDTH - 1),
        4,
    ),
    "before a downsampling convolution": (
        lambda x, kernel: ops.filter2d(x, kernel, (2, 2)),
        Geometry(1, 1, 2, HEIGHT + 1, WIDTH + 1),
        1,
    ),
}


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference; another shape is infinitely far."""
    return float((ours - theirs).abs().max()) if ours.shape == theirs.shape else float("inf")


def compare(name: str, channels: int) -> dict[str, float]:
    """Compare the map, its adjoint, and the adjoint's derivative, which is the map again."""
    convolve, geometry, gain = CASES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, HEIGHT, WIDTH, generator=generator).requires_grad_()
    y, expected = resample(x, KERNEL, geometry, gain), convolve(x, KERNEL)
    dy = torch.randn(expected.shape, generator=generator).requires_grad_()
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    (expected_dx,) = torch.autograd.grad(expected, x, dy.detach())
    again = torch.randn(x.shape, generator=generator)
    (ddy,) = torch.autograd.grad(dx, dy, again)
    return {
        "map": difference(y, expected),
        "adjoint": difference(dx, expected_dx),
        "derivative of the adjoint": difference(ddy, convolve(again, KERNEL)),
    }


if __name__ == "__main__":
    print(json.dumps({f"{name}, {channels}": compare(name, channels) for name in CASES for channels in (1, 3, 80)}))
