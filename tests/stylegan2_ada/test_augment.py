"""What holds for every augmentation, whatever its numbers."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from stylegan2_ada.augment import AugmentParameters, augment, augment_randomly, augmentations_of, draw_parameters
from stylegan2_ada.geometry import sample
from stylegan2_ada.ranks import Dice

CPU = torch.device("cpu")


def dice(seed: int) -> Dice:
    return Dice(torch.Generator().manual_seed(seed), CPU)


def _pictures(count: int = 4) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_strength_zero_is_the_identity() -> None:
    pictures = _pictures()
    assert augment_randomly(pictures, "bgcfnc", 0.0, dice(0)) is pictures
    drawn = draw_parameters("bgcfnc", 0.0, pictures.shape, dice(0))
    assert torch.allclose(augment(pictures, drawn), pictures, atol=1e-5)


def _error(result: Tensor, expected: Tensor) -> float:
    return float((result - expected).norm() / expected.norm())


def test_flips_and_turns() -> None:
    """The sym6 filter is nearly symmetric: a turned picture is right but for its finest detail, and no other is."""
    pictures = _pictures(2)
    for turns in range(4):
        result = augment(pictures, AugmentParameters(rotate90=torch.full((2,), float(turns))))
        errors = [_error(result, torch.rot90(pictures, other, (2, 3))) for other in range(4)]
        (right,) = [other for other in range(4) if errors[other] < 0.3]
        assert right == turns
        assert all(errors[other] > 0.9 for other in range(4) if other != right)
    assert _error(augment(pictures, AugmentParameters(xflip=torch.ones(2))), pictures.flip(3)) < 0.3


def test_an_image_does_not_see_its_neighbours() -> None:
    pictures = _pictures(4)
    drawn = draw_parameters("bgcfnc", 0.8, pictures.shape, dice(2))
    together = augment(pictures, drawn)
    for index in range(4):
        own = {name: value[index : index + 1] for name, value in vars(drawn).items() if value is not None}
        alone = augment(pictures[index : index + 1], AugmentParameters(**own))
        assert torch.allclose(alone, together[index : index + 1], atol=1e-4)


@pytest.mark.parametrize("p", [0.1, 0.6])
def test_published_probabilities(p: float) -> None:
    """Counts of images that each augmentation changes; bounds at 5 standard deviations: a false alarm in 10^5 runs."""
    count = 20_000
    drawn = draw_parameters("bgcfnc", p, torch.Size([count, 3, 16, 16]), dice(7))
    # a flip is drawn with p and is then the identity half the time; a quarter turn a quarter of the time; a shift, of
    # -2 to 2 px rounded, a quarter of the time in each direction
    either_rotation = 1 - math.sqrt(1 - p)
    expected = {
        "xflip": p / 2,
        "rotate90": p * 3 / 4,
        "scale": p,
        "rotate_pre": either_rotation,
        "rotate_post": either_rotation,
        "aniso": p,
        "brightness": p,
        "contrast": p,
        "lumaflip": p / 2,
        "hue": p,
        "saturation": p,
        "xint": p * 15 / 16,
        "xfrac": p,
        "imgfilter": 1 - (1 - p) ** 4,  # each of four bands on its own
        "noise_std": p,
        "cutout_size": p,
    }
    neutral = {"scale": 1.0, "aniso": 1.0, "contrast": 1.0, "saturation": 1.0, "imgfilter": 1.0}
    for name, probability in expected.items():
        values = getattr(drawn, name).reshape(count, -1)
        changed = float((values != neutral.get(name, 0.0)).any(dim=1).double().mean())
        bound = 5 * math.sqrt(probability * (1 - probability) / count)
        assert abs(changed - probability) < bound, name


def test_published_strengths() -> None:
    """At p = 1 every value follows its distribution of appendix B; Kolmogorov and Smirnov at 10^-6 a value."""
    count = 20_000
    drawn = draw_parameters("bgcfnc", 1.0, torch.Size([count, 3, 16, 16]), dice(8))
    assert drawn.noise is not None
    whole_turn = stats.uniform(-math.pi, 2 * math.pi)
    expected = {
        "scale": stats.lognorm(0.2 * math.log(2)),
        "rotate_pre": whole_turn,
        "rotate_post": whole_turn,
        "aniso": stats.lognorm(0.2 * math.log(2)),
        "xfrac": stats.norm(0, 0.125 * 16),
        "brightness": stats.norm(0, 0.2),
        "contrast": stats.lognorm(0.5 * math.log(2)),
        "hue": whole_turn,
        "saturation": stats.lognorm(math.log(2)),
        "noise_std": stats.halfnorm(0, 0.1),
        "cutout_centre": stats.uniform(0, 1),
    }
    for name, distribution in expected.items():
        values = getattr(drawn, name).reshape(-1).double().numpy()
        assert stats.kstest(values, distribution.cdf).pvalue > 1e-6, name
    assert stats.kstest(drawn.noise[:200].reshape(-1).double().numpy(), "norm").pvalue > 1e-6
    assert drawn.cutout_size is not None
    assert (drawn.cutout_size == 0.5).all()
    assert drawn.xint is not None
    counts = torch.stack([(drawn.xint == shift).sum() for shift in range(-2, 3)])
    shares = torch.tensor([1, 2, 2, 2, 1]) / 8  # of the rounded uniform shift
    assert stats.chisquare(counts.numpy(), (shares * counts.sum()).numpy()).pvalue > 1e-6


def test_pipes() -> None:
    assert augmentations_of("none") == frozenset()
    assert augmentations_of("bg") < augmentations_of("bgc") < augmentations_of("bgcfnc")
    assert augmentations_of("bgcfnc") - augmentations_of("bgcfn") == {"cutout"}


def test_second_derivative_of_sampling() -> None:
    """Sampling is linear, so its adjoint's derivative is sampling itself; gradgradcheck compares with differences."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 1, 5, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    grid = torch.rand(2, 4, 4, 2, dtype=torch.float64, generator=generator) * 2 - 1
    assert torch.autograd.gradcheck(sample, (pictures, grid))
    assert torch.autograd.gradgradcheck(sample, (pictures, grid))


def test_augmented_pictures_are_differentiable_twice() -> None:
    pictures = _pictures(2).requires_grad_(True)
    drawn = draw_parameters("bgcfnc", 1.0, pictures.shape, dice(3))
    scale = torch.ones([], requires_grad=True)
    out = (augment(pictures, drawn) * scale).square().sum()
    (first,) = torch.autograd.grad(out, pictures, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), scale)
    # out = scale^2 |A x|^2, so |d out / dx|^2 grows with scale^4
    assert torch.isclose(second, 4 * first.detach().square().sum(), rtol=1e-3)
