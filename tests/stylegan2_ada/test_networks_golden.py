"""Forward passes, losses, regularisers and all their gradients against the reference numbers."""

import pytest
import torch
from reference import NETWORKS, GoldenNetworks, build_golden, relative_error
from torch import Tensor, nn

from stylegan2_ada import losses

FORWARD = 1e-5
GRADIENT = 1e-4


@pytest.fixture(params=NETWORKS)
def golden(request: pytest.FixtureRequest) -> GoldenNetworks:
    return build_golden(request.param)


def _assert_gradients(golden: GoldenNetworks, module: nn.Module, prefix: str) -> None:
    gradients = {name: p.grad for name, p in module.named_parameters()}
    expected = {key.removeprefix(prefix): value for key, value in golden.arrays.items() if key.startswith(prefix)}
    assert expected
    for name, reference in expected.items():
        gradient = gradients[name]
        assert gradient is not None, name
        assert relative_error(gradient, reference) < GRADIENT, name
    # What the reference lists no gradient for must have none here, or zero.
    for name in gradients.keys() - expected.keys():
        gradient = gradients[name]
        assert gradient is None or not gradient.any(), name


def test_golden_forward(golden: GoldenNetworks) -> None:
    G, D, z, c = golden.G, golden.D, golden.tensor("z"), golden.label
    with torch.no_grad():
        results = {
            "w": G.mapping(z, c),
            "image": G(z, c),
            "image_psi07": G(z, c, truncation_psi=0.7),
            "image_psi05_cutoff3": G(z, c, truncation_psi=0.5, truncation_cutoff=3),
            "logits_fake": D(G(z, c), c),
            "logits_real": D(golden.tensor("real"), c),
        }
    for name, result in results.items():
        assert relative_error(result, golden.arrays[name]) < FORWARD, name


def test_golden_generator_loss(golden: GoldenNetworks) -> None:
    loss = losses.generator_loss(golden.D(golden.G(golden.tensor("z"), golden.label), golden.label))
    loss.backward()
    assert relative_error(loss, golden.arrays["loss_G"]) < FORWARD
    _assert_gradients(golden, golden.G, "grad_loss_G/")


def test_golden_discriminator_loss(golden: GoldenNetworks) -> None:
    c = golden.label
    with torch.no_grad():
        fake = golden.G(golden.tensor("z"), c)
    loss = losses.discriminator_loss_fake(golden.D(fake, c))
    loss = loss + losses.discriminator_loss_real(golden.D(golden.tensor("real"), c))
    loss.backward()
    assert relative_error(loss, golden.arrays["loss_D"]) < FORWARD
    _assert_gradients(golden, golden.D, "grad_loss_D/")


def test_golden_r1(golden: GoldenNetworks) -> None:
    real = golden.tensor("real").requires_grad_(True)
    penalty = losses.r1_penalty(golden.D(real, golden.label), real)
    (penalty / 2).mean().backward()
    assert relative_error(penalty, golden.arrays["r1_penalty"]) < FORWARD
    _assert_gradients(golden, golden.D, "grad_r1_halved_mean/")


def test_golden_path_length(golden: GoldenNetworks) -> None:
    G = golden.G
    ws = G.styles(golden.tensor("z"), golden.label)
    fake: Tensor = G.synthesis(ws, noise_mode="const")
    noise = golden.tensor("pl_noise") * G.img_resolution  # the reference stores it divided by sqrt(H W)
    lengths = losses.path_lengths(fake, ws, noise)
    penalty, pl_mean = losses.path_length_penalty(lengths, lengths.mean(), torch.zeros([]), decay=0.01)
    (penalty * 2).backward()
    assert relative_error(lengths, golden.arrays["pl_lengths"]) < FORWARD
    assert relative_error(pl_mean, golden.arrays["pl_mean_after"]) < FORWARD
    assert relative_error(penalty * 2, golden.arrays["pl_loss_weight2"]) < GRADIENT
    _assert_gradients(golden, G, "grad_pl/")
