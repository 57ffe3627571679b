"""Differentiable augmentation against a loop over pixels."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from stylegan2_ada import Dice
from stylegan2_ada.augment import augment_randomly
from stylegan2_ada.diffaug import DiffAugParameters, augment, draw_parameters

N, SIDE = 6, 9
FAR = float(10 * SIDE)  # a square so far away that it cuts nothing out


def _pictures() -> Tensor:
    return torch.rand(N, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def _dice(seed: int = 0) -> Dice:
    return Dice(torch.Generator().manual_seed(seed), torch.device("cpu"))


def _nothing() -> DiffAugParameters:
    return DiffAugParameters(torch.zeros(N), torch.ones(N), torch.ones(N), torch.zeros(N, 2), torch.full((N, 2), FAR))


def test_parameters_that_do_nothing_do_nothing() -> None:
    torch.testing.assert_close(augment(_pictures(), _nothing()), _pictures())


def _naive(picture: np.ndarray, parameters: DiffAugParameters, index: int) -> np.ndarray:
    """Return one picture [3, S, S] augmented, pixel by pixel."""
    x = picture + float(parameters.brightness[index])
    for row in range(SIDE):
        for column in range(SIDE):
            grey = x[:, row, column].mean()
            x[:, row, column] = grey + (x[:, row, column] - grey) * float(parameters.saturation[index])
    x = x.mean() + (x - x.mean()) * float(parameters.contrast[index])
    right, down = (int(shift) for shift in parameters.shift[index])
    centre_x, centre_y = (int(each) for each in parameters.cutout_centre[index])
    moved = np.zeros_like(x)
    for row in range(SIDE):
        for column in range(SIDE):
            if 0 <= row - down < SIDE and 0 <= column - right < SIDE:
                moved[:, row, column] = x[:, row - down, column - right]
            if centre_x - 2 <= column < centre_x + 2 and centre_y - 2 <= row < centre_y + 2:  # int(9 / 2) px wide
                moved[:, row, column] = 0
    return moved


def test_augmentation_against_a_loop_over_pixels() -> None:
    pictures = _pictures()
    parameters = draw_parameters(pictures.shape, _dice())
    assert parameters.shift.abs().max() > 0
    augmented = augment(pictures, parameters)
    for index in range(N):
        expected = _naive(pictures[index].numpy().copy(), parameters, index)
        np.testing.assert_allclose(augmented[index].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_draws_cover_the_published_ranges_and_no_more() -> None:
    """Uniform, so that the extremes of n draws lie within the range and, but for e^-10, near its ends."""
    n = 20_000
    drawn = draw_parameters(torch.Size([n, 3, 32, 32]), _dice())
    for values, low, high in (
        (drawn.brightness, -0.5, 0.5),
        (drawn.saturation, 0.0, 2.0),
        (drawn.contrast, 0.5, 1.5),
    ):
        slack = 10 / n * (high - low)
        assert low <= float(values.min()) <= low + slack
        assert high - slack <= float(values.max()) <= high
    assert torch.equal(drawn.shift.unique(), torch.arange(-4.0, 5.0))  # an eighth of 32 px
    assert torch.equal(drawn.cutout_centre.unique(), torch.arange(0.0, 33.0))


def test_gradients_reach_the_pictures() -> None:
    small = _pictures()[:2, :, :4, :4].clone().requires_grad_(True)
    parameters = draw_parameters(small.shape, _dice(3))
    assert torch.autograd.gradcheck(lambda x: augment(x, _double(parameters)), small)


def _double(parameters: DiffAugParameters) -> DiffAugParameters:
    return DiffAugParameters(**{f.name: getattr(parameters, f.name).double() for f in dataclasses.fields(parameters)})


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_it_happens_at_every_strength(p: float) -> None:
    pictures = _pictures().float()
    expected = augment(pictures, draw_parameters(pictures.shape, _dice()))
    assert torch.equal(augment_randomly(pictures, "diffaug", p, _dice()), expected)
