import math

import numpy as np
import pytest
import torch

from stylegan2_ada import Generator, GeneratorConfig
from synth.drawing.pictures import draw, latents, to_pixels

SEEDS = [7, 0, 4_000_000_000, 3, 12]


def small_generator(c_dim: int = 0) -> Generator:
    torch.manual_seed(1)
    config = GeneratorConfig(
        img_resolution=16, z_dim=8, c_dim=c_dim, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8
    )
    generator = Generator(config).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.5)
    return generator


@pytest.fixture(scope="module")
def G() -> Generator:
    return small_generator()


def test_latents_are_numpys_legacy_stream():
    z = latents(SEEDS, 5)
    for row, seed in zip(z, SEEDS, strict=True):
        np.testing.assert_array_equal(row.numpy(), np.random.RandomState(seed).randn(1, 5)[0].astype(np.float32))


def test_pixels_are_floored_and_clamped():
    values = np.linspace(-1.5, 1.5, 3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)
    pixels = to_pixels(torch.tensor(values))
    assert pixels.shape == (1, 8, 8, 3)
    for (n, c, y, x), value in np.ndenumerate(values):
        assert pixels[n, y, x, c] == min(max(math.floor(np.float32(value * np.float32(127.5)) + 128), 0), 255)


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_a_picture_depends_on_its_seed_alone(G, noise):
    together = draw(G, SEEDS, noise=noise).astype(int)
    for batch in (1, 2, 3, 64):
        assert np.abs(draw(G, SEEDS, noise=noise, batch=batch) - together).max() <= 1  # rounding
    for row, seed in zip(together, SEEDS, strict=True):
        assert np.abs(draw(G, [seed], noise=noise)[0] - row).max() <= 1
    assert np.abs(together[0] - together[1]).max() > 1


def test_the_same_call_gives_the_same_bytes(G):
    for noise in ("const", "random"):
        assert draw(G, SEEDS, noise=noise).tobytes() == draw(G, SEEDS, noise=noise).tobytes()


def test_noise_modes_differ(G):
    const, random, none = (draw(G, SEEDS, noise=noise).astype(int) for noise in ("const", "random", "none"))
    for a, b in ((const, random), (const, none), (random, none)):
        assert np.abs(a - b).max() > 5


def test_full_truncation_draws_the_mean_alone(G):
    images = draw(G, SEEDS, truncation=0.0)
    assert (images == images[0]).all()
    half, whole = (np.std(draw(G, SEEDS, truncation=psi).astype(float), axis=0).mean() for psi in (0.5, 1.0))
    assert 0 < half < whole


def test_a_conditional_network_draws_the_class_asked_for():
    G = small_generator(c_dim=2)
    zero, one = (draw(G, [4, 5], class_index=index) for index in (0, 1))
    assert np.abs(zero.astype(int) - one).max() > 1
    np.testing.assert_array_equal(draw(G, [4, 5]), np.stack([zero[0], one[1]]))


def test_no_seeds_no_pictures(G):
    assert draw(G, []).shape == (0, 16, 16, 3)
