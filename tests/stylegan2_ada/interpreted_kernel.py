"""Run the GPU's resampling kernel in Triton's interpreter, on the CPU, and print how far it is from convolutions.

A process of its own: the interpreter is chosen when Triton is loaded.
"""

import json
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor

from stylegan2_ada import ops

# Of rank one and one in sum, as the kernel needs it, but not symmetric: a flip or an exchange of axes would show.
KERNEL = torch.outer(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.1, 0.2, 0.3]))
HEIGHT, WIDTH = 12, 8
CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "upsample2d": lambda x: ops.upsample2d(x, KERNEL),
    "downsample2d": lambda x: ops.downsample2d(x, KERNEL),
    "filter2d": lambda x: ops.filter2d(x, KERNEL),
    "after an upsampling convolution": lambda x: ops.filter2d(x, KERNEL, (1, 1), gain=4),
    "before a downsampling convolution": lambda x: ops.filter2d(x, KERNEL, (2, 2)),
}


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference; another shape is infinitely far."""
    return float((ours - theirs).detach().abs().max()) if ours.shape == theirs.shape else float("inf")


def compare(name: str, channels: int) -> dict[str, float]:
    """Compare the map, its adjoint, and the adjoint's derivative, which is the map again."""
    function = CASES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, HEIGHT, WIDTH, generator=generator).requires_grad_()
    with patch.object(ops, "_on_gpu", lambda _: True):
        y = function(x)
    expected = function(x)
    dy = torch.randn(expected.shape, generator=generator).requires_grad_()
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    (expected_dx,) = torch.autograd.grad(expected, x, dy.detach())
    again = torch.randn(x.shape, generator=generator)
    (ddy,) = torch.autograd.grad(dx, dy, again)
    assert "Resample" in type(y.grad_fn).__name__
    assert "Resample" not in type(expected.grad_fn).__name__
    return {
        "map": difference(y, expected),
        "adjoint": difference(dx, expected_dx),
        "derivative of the adjoint": difference(ddy, function(again)),
    }


if __name__ == "__main__":
    print(json.dumps({f"{name}, {channels}": compare(name, channels) for name in CASES for channels in (3, 40)}))
