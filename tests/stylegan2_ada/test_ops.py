"""Resampling against reference numbers, and layers against their definitions written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import load_golden, relative_error
from torch import Tensor

from stylegan2_ada import ops
from stylegan2_ada.discriminator import minibatch_stddev
from stylegan2_ada.wavelets import SYM2, SYM6, filter_bank

GOLDEN = load_golden("resampling")
KERNEL = ops.binomial_filter()


def _golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


@pytest.mark.parametrize("channels_last", [False, True])
def test_golden_resampling(channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, weight = _golden("input").contiguous(memory_format=layout), _golden("weight_OIHW")
    results = {
        "filter_1331": KERNEL,
        "upsample2d": ops.upsample2d(x, KERNEL),
        "downsample2d": ops.downsample2d(x, KERNEL),
        "filter2d": ops.filter2d(x, KERNEL),
        "conv_same": F.conv2d(x, weight, padding=1),
        "conv_up2": ops.conv2d_up2(x, weight, KERNEL),
        "conv_down2": ops.conv2d_down2(x, weight, KERNEL),
        "conv1x1_down2": ops.conv2d_down2(x, weight[:, :, :1, :1], KERNEL),
    }
    for name, result in results.items():
        assert relative_error(result, GOLDEN[name]) < 1e-6, name


def test_constant_pictures_stay_constant_inside() -> None:
    x = torch.ones(1, 2, 16, 16)
    assert torch.allclose(ops.upsample2d(x, KERNEL)[..., 4:-4, 4:-4], torch.ones(1))
    assert torch.allclose(ops.downsample2d(x, KERNEL)[..., 2:-2, 2:-2], torch.ones(1))


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_equals_one_kernel_an_image(up: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 5, 8, 8, generator=generator)
    weight = torch.randn(4, 5, 3, 3, generator=generator)
    style = torch.randn(3, 5, generator=generator)
    ours = ops.modulated_conv2d(x, weight, style, kernel=KERNEL if up else None, demodulate=True, gain=1.5)
    for image, scale, result in zip(x, style, ours, strict=True):
        kernel = weight * scale[None, :, None, None]  # Eq. 1
        kernel = kernel / (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()  # Eq. 3
        if up:
            expected = ops.conv2d_up2(image[None], kernel, KERNEL)
        else:
            expected = F.conv2d(image[None], kernel, padding=1)
        assert torch.allclose(result, expected[0] * 1.5, atol=1e-5)


def test_minibatch_stddev_against_a_loop() -> None:
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    result = minibatch_stddev(x, group_size=3)
    groups = len(x) // 3
    for index in range(len(x)):
        members = [i for i in range(len(x)) if i % groups == index % groups]
        values = x[members].double().numpy()
        expected = np.sqrt(values.var(axis=0) + 1e-8).mean()
        assert torch.allclose(result[index, 3], torch.full((4, 4), float(expected)), atol=1e-5)
    assert torch.equal(result[:, :3], x)


def test_minibatch_stddev_refuses_a_torn_group() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        minibatch_stddev(torch.zeros(6, 1, 4, 4), group_size=4)


@pytest.mark.parametrize("taps", [SYM2, SYM6])
def test_wavelets_are_orthonormal(taps: tuple[float, ...]) -> None:
    low = np.array(taps)
    correlation = np.correlate(low, low, mode="full")[len(low) - 1 :: 2]  # with its even shifts
    assert np.allclose(correlation, np.eye(1, len(correlation))[0], atol=1e-10)
    assert np.isclose(low.sum(), np.sqrt(2))


def test_filter_bank_sums_to_the_identity() -> None:
    bank = filter_bank(4)
    impulse = np.zeros(bank.shape[1])
    impulse[bank.shape[1] // 2] = 1
    assert np.allclose(bank.sum(axis=0), impulse, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 40), st.floats(0.01, 100))
def test_second_moment_is_one(count: int, features: int, scale: float) -> None:
    x = torch.randn(count, features, generator=torch.Generator().manual_seed(count)) * scale + scale
    moments = ops.normalize_second_moment(x).square().mean(dim=1)
    assert torch.allclose(moments, torch.ones(count), atol=1e-3)


def test_half_precision_downsampling_is_that_of_full_precision() -> None:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    half = ops.downsample2d(x, ops.binomial_filter())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, ops.downsample2d(x.float(), ops.binomial_filter()).bfloat16())
