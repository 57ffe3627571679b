import numpy as np
import pytest
import torch
from exporting import moved, pictures
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from classify.exporting.pixels import Normalized, Squared, lanczos, resampling, triangle
from shared.images import to_square


def whole(length: int, out: int, kernel: object = triangle) -> torch.Tensor:
    return resampling(length, torch.scalar_tensor(length, dtype=torch.float64), out, kernel)


@given(st.integers(1, 70), st.integers(1, 70))
def test_the_weights_are_those_of_torchs_antialiased_resizing(length: int, out: int) -> None:
    x = torch.rand(1, 1, length, length, generator=torch.Generator().manual_seed(length))
    weights = whole(length, out).float()
    expected = F.interpolate(x, size=(out, out), mode="bilinear", antialias=True)
    torch.testing.assert_close(weights @ x @ weights.T, expected, rtol=1e-5, atol=1e-5)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100))
def test_a_plain_photograph_stays_plain(length: int, side: int, out: int) -> None:
    window = torch.scalar_tensor(min(length, side), dtype=torch.float64)
    for kernel in (triangle, lanczos):
        sums = resampling(length, window, out, kernel).sum(1)
        torch.testing.assert_close(sums, torch.ones(out, dtype=torch.float64), rtol=0, atol=1e-12)


@given(st.integers(1, 64))
def test_prepared_images_stay_as_they_are(size: int) -> None:
    images = torch.from_numpy(pictures(2, size, size))
    squared = Squared(size)
    for same in (squared(images), squared.squared(images)):  # also when they go through the products
        assert torch.equal(same, images.permute(0, 3, 1, 2).float())


@given(st.integers(8, 90), st.integers(0, 60), st.sampled_from([8, 31, 48, 64]))
def test_photographs_are_squared_to_the_pixels_of_preparing(height: int, more: int, size: int) -> None:
    photographs = pictures(1, height, height + more, seed=size)
    found = Squared(size)(torch.from_numpy(photographs))[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, to_square(photographs[0], size, "crop"))


@pytest.mark.parametrize(("height", "width"), [(71, 53), (200, 90), (31, 20), (300, 200)])
def test_tall_photographs_are_squared_as_in_preparing_whatever_pass_comes_first(height: int, width: int) -> None:
    size = 48
    photographs = pictures(2, height, width, low=90, high=160)  # no pass leaves 0..255, where their order would tell
    expected = np.stack([to_square(each, size, "crop") for each in photographs])
    found = Squared(size)(torch.from_numpy(photographs)).permute(0, 2, 3, 1).numpy()
    # Either order loses half a grey level in its first pass, which the second spreads, and half a one at the end.
    window = torch.scalar_tensor(min(height, width), dtype=torch.float64)
    spread = max(float(resampling(each, window, size, lanczos).abs().sum(1).max()) for each in (height, width))
    assert abs(found - expected).max() <= 1 + spread


@pytest.mark.parametrize("stored", [48, 64, 100])
@pytest.mark.parametrize("name", ["custom_cnn", "efficientnet_lite0", "resnet50"])
def test_a_backbone_gets_what_the_classifier_gives_it(name: str, stored: int) -> None:
    classifier = moved(name, 64)
    images = torch.from_numpy(pictures(2, stored, stored))
    found = Normalized(classifier, stored)(images.permute(0, 3, 1, 2).float())
    torch.testing.assert_close(found, classifier.prepare(images), rtol=1e-5, atol=1e-5)
