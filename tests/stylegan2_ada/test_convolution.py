"""Convolutions that can be differentiated twice, against PyTorch's own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylegan2_ada.convolution import conv2d, conv_transpose2d, differentiable_twice

Convolution = Callable[[Tensor, Tensor], Tensor]
CASES: dict[str, tuple[Convolution, tuple[int, ...], tuple[int, ...]]] = {
    "same": (lambda x, w: conv2d(x, w, padding=1), (2, 3, 6, 5), (4, 3, 3, 3)),
    "1 x 1": (lambda x, w: conv2d(x, w), (2, 3, 4, 4), (5, 3, 1, 1)),
    "down": (lambda x, w: conv2d(x, w, stride=2), (2, 3, 9, 7), (4, 3, 3, 3)),
    "down, a row left over": (lambda x, w: conv2d(x, w, stride=2), (2, 3, 8, 9), (4, 3, 3, 3)),
    "up": (lambda x, w: conv_transpose2d(x, w, stride=2), (2, 3, 4, 5), (3, 4, 3, 3)),
}


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("name", CASES)
def test_derivatives_by_finite_differences(name: str) -> None:
    convolve, *shapes = CASES[name]
    with differentiable_twice():
        assert torch.autograd.gradcheck(convolve, tensors(*shapes))
        assert torch.autograd.gradgradcheck(convolve, tensors(*shapes))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("of", [0, 1], ids=["x", "w"])
def test_a_gradient_penalty_has_pytorch_s_gradients(name: str, of: int) -> None:
    convolve, *shapes = CASES[name]

    def gradients() -> list[Tensor]:
        inputs = tensors(*shapes)
        (first,) = torch.autograd.grad(convolve(*inputs).sin().sum(), inputs[of], create_graph=True)
        return list(torch.autograd.grad(first.square().sum(), inputs))

    theirs = gradients()
    with differentiable_twice():
        ours = gradients()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_only_within() -> None:
    x, w = tensors((1, 1, 4, 4), (1, 1, 3, 3))
    with differentiable_twice():
        assert "Convolve" in type(conv2d(x, w).grad_fn).__name__
    assert "Convolve" not in type(conv2d(x, w).grad_fn).__name__


def test_bias() -> None:
    x, w, b = tensors((2, 3, 4, 4), (5, 3, 3, 3), (5,))
    expected = conv2d(x, w, b, padding=1)
    with differentiable_twice():
        torch.testing.assert_close(conv2d(x, w, b, padding=1), expected)
