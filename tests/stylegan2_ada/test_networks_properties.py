"""What holds for every network: pictures and scores do not depend on their neighbours; `skip` by construction."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylegan2_ada import Dice, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from stylegan2_ada.config import Architecture
from stylegan2_ada.discriminator import minibatch_stddev

CPU = torch.device("cpu")
COUNT = 6


def _generator(c_dim: int = 0) -> Generator:
    torch.manual_seed(3)
    G = Generator(
        GeneratorConfig(img_resolution=16, z_dim=8, w_dim=8, c_dim=c_dim, channel_base=128, channel_max=16)
    ).requires_grad_(False)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.5)
    return G


G = _generator()
Z = torch.randn(COUNT, 8, generator=torch.Generator().manual_seed(0))
PICTURES = G(Z)


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(COUNT)), batch=st.integers(1, COUNT))
def test_batch_and_order_never_change_a_picture(order: list[int], batch: int) -> None:
    drawn = torch.cat([G(Z[order[start : start + batch]]) for start in range(0, COUNT, batch)])
    assert torch.allclose(drawn, PICTURES[order], atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(COUNT)), architecture=st.sampled_from(["resnet", "orig", "skip"]))
def test_batch_and_order_never_change_a_score(order: list[int], architecture: Architecture) -> None:
    torch.manual_seed(4)
    D = Discriminator(
        DiscriminatorConfig(
            img_resolution=16, architecture=architecture, channel_base=128, channel_max=16, mbstd_group_size=1
        )
    ).requires_grad_(False)
    scores = D(PICTURES)
    assert torch.allclose(D(PICTURES[order]), scores[order], atol=1e-5)
    assert torch.allclose(torch.cat([D(picture[None]) for picture in PICTURES]), scores, atol=1e-5)


def test_a_score_depends_on_its_group_alone() -> None:
    torch.manual_seed(4)
    D = Discriminator(
        DiscriminatorConfig(img_resolution=16, channel_base=128, channel_max=16, mbstd_group_size=2)
    ).requires_grad_(False)
    scores = D(PICTURES)  # groups of image i and i + 3
    others = PICTURES.clone()
    others[[1, 4]] = 0
    assert torch.allclose(D(others)[[0, 2, 3, 5]], scores[[0, 2, 3, 5]], atol=1e-5)
    assert not torch.allclose(D(PICTURES[[0, 1, 2, 4, 3, 5]])[0], scores[0], atol=1e-5)  # 0 now stands with 4


def test_random_noise_is_each_pictures_own() -> None:
    def generators(seeds: list[int]) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    together = G(Z, noise_mode="random", generators=generators(list(range(COUNT))))
    alone = torch.cat(
        [G(Z[seed : seed + 1], noise_mode="random", generators=generators([seed])) for seed in range(COUNT)]
    )
    assert torch.allclose(together, alone, atol=1e-5)
    shared = G(Z, noise_mode="random", generators=Dice(torch.Generator().manual_seed(0), CPU))
    assert not torch.allclose(shared, together, atol=1e-2)


def _naive_layer(x: Tensor, weight: Tensor, bias: Tensor, *, down: bool = False) -> Tensor:
    gain = math.sqrt(2) / math.sqrt(weight[0].numel())
    if down:
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        blur = (taps[:, None] * taps[None, :]).expand(x.shape[1], 1, 4, 4)
        x = F.conv2d(F.pad(x, (2, 2, 2, 2)), blur, groups=x.shape[1])
        y = F.conv2d(x, weight * gain, stride=2)
    else:
        y = F.conv2d(x, weight * gain, padding=weight.shape[-1] // 2)
    return F.leaky_relu(y + math.sqrt(2) * bias[:, None, None], 0.2)


def test_skip_discriminator_against_a_naive_loop() -> None:
    """StyleGAN2, figure 7b: every resolution reads the picture, reduced to it, and adds it to the activations."""
    torch.manual_seed(5)
    config = DiscriminatorConfig(img_resolution=16, architecture="skip", channel_base=128, channel_max=16)
    D = Discriminator(config).requires_grad_(False)
    for parameter in D.parameters():
        parameter.normal_()
    p = dict(D.named_parameters())
    image, x = PICTURES[:4], torch.zeros(1)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    blur = (taps[:, None] * taps[None, :]).expand(3, 1, 4, 4)
    for size in (16, 8):
        x = x + _naive_layer(image, p[f"b{size}.fromrgb.weight"], p[f"b{size}.fromrgb.bias"])
        x = _naive_layer(x, p[f"b{size}.conv0.weight"], p[f"b{size}.conv0.bias"])
        x = _naive_layer(x, p[f"b{size}.conv1.weight"], p[f"b{size}.conv1.bias"], down=True)
        image = F.conv2d(image, blur, stride=2, padding=1, groups=3)
    x = x + _naive_layer(image, p["b4.fromrgb.weight"], p["b4.fromrgb.bias"])
    x = _naive_layer(minibatch_stddev(x, 4), p["b4.conv.weight"], p["b4.conv.bias"])
    hidden = x.flatten(1) @ p["b4.fc.weight"].t() * (math.sqrt(2) / 16) + math.sqrt(2) * p["b4.fc.bias"]
    logits = F.leaky_relu(hidden, 0.2) @ p["b4.out.weight"].t() / 4 + p["b4.out.bias"]
    assert D(PICTURES[:4]).flatten().tolist() == pytest.approx(logits.flatten().tolist(), rel=1e-4)
