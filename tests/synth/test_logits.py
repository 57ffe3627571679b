import numpy as np
import pytest
import torch

from stylegan2_ada import Discriminator, DiscriminatorConfig
from synth.selecting.logits import choose_partners, discriminator_logits

GROUP = 4


def discriminator(c_dim: int = 0) -> Discriminator:
    torch.manual_seed(0)
    config = DiscriminatorConfig(
        img_resolution=16, c_dim=c_dim, channel_base=128, channel_max=8, mbstd_group_size=GROUP
    )
    return Discriminator(config).eval().requires_grad_(False)


def noise(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)  # of different contrast, so that company matters
    return (
        (128 + rng.normal(size=(count, 16, 16, 3)) * rng.uniform(1, 60, (count, 1, 1, 1))).clip(0, 255).astype(np.uint8)
    )


@pytest.fixture(scope="module")
def D() -> Discriminator:
    return discriminator()


@pytest.fixture(scope="module")
def partners() -> np.ndarray:
    return choose_partners(noise(10, 1), GROUP, seed=0)


def alone(D: Discriminator, image: np.ndarray, partners: np.ndarray, c: torch.Tensor | None = None) -> float:
    """The definition: a batch of one group, made of the image and its partners."""
    batch = torch.tensor(np.concatenate([image[None], partners])).permute(0, 3, 1, 2) / 127.5 - 1
    return float(D(batch, c)[0, 0])


def test_a_logit_is_that_of_the_image_among_its_partners(D, partners):
    images = noise(13, 2)
    expected = [alone(D, image, partners) for image in images]
    np.testing.assert_allclose(discriminator_logits(D, images, partners), expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected) > 1e-3


def test_company_would_matter(D, partners):
    image = noise(1, 2)
    other = choose_partners(noise(10, 3), GROUP, seed=0)
    assert abs(discriminator_logits(D, image, partners) - discriminator_logits(D, image, other)).max() > 1e-4


def test_order_and_subset_do_not_matter(D, partners):
    images = noise(29, 2)
    logits = discriminator_logits(D, images, partners)
    order = np.random.default_rng(0).permutation(29)
    np.testing.assert_allclose(discriminator_logits(D, images[order], partners), logits[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(discriminator_logits(D, images[7:12], partners), logits[7:12], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(discriminator_logits(D, images, partners), logits)


def test_a_conditional_discriminator_is_asked_about_one_class(partners):
    D, images = discriminator(c_dim=2), noise(5, 2)
    for index in (0, 1):
        c = torch.nn.functional.one_hot(torch.full((GROUP,), index), 2).float()
        expected = [alone(D, image, partners, c) for image in images]
        got = discriminator_logits(D, images, partners, class_index=index)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_partners_are_different_reals_chosen_by_seed():
    reals = noise(10, 1)
    chosen = [choose_partners(reals, GROUP, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])
    rows = [[bool((real == partner).all()) for real in reals].index(True) for partner in chosen[0]]
    assert len(set(rows)) == GROUP - 1
    assert len(choose_partners(reals[:2], 8, seed=0)) == 7


def test_no_images_no_logits(D, partners):
    assert discriminator_logits(D, noise(0, 0), partners).shape == (0,)
