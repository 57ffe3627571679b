"""Adaptation of singular values alone: nothing changes at the start, and then only what should."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from stylegan2_ada import DiscriminatorConfig, GeneratorConfig, Networks, Trainer, TrainingConfig
from stylegan2_ada.losses import discriminator_loss_real
from stylegan2_ada.singular import SingularValues, decomposed_layers

CPU = torch.device("cpu")
G_CONFIG = GeneratorConfig(img_resolution=16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=128, channel_max=16)
D_CONFIG = DiscriminatorConfig(img_resolution=16, channel_base=128, channel_max=16)
CONFIG = TrainingConfig(
    batch=4, gamma=0.05, lr=0.01, ema_kimg=0.1, initial_p=0.3, g_reg_interval=2, d_reg_interval=3, singular=True
)


def _networks(seed: int = 0) -> Networks:
    return Networks.build(G_CONFIG, D_CONFIG, seed)


def _pictures() -> Tensor:
    return torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _trainer(networks: Networks, **changes: object) -> Trainer:
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    return Trainer(networks, config, _pictures(), None, seed=1, device=CPU)


def _optimizers(trainer: Trainer) -> tuple[SingularValues, SingularValues]:
    G, D = trainer.G_optimizer, trainer.D_optimizer
    assert isinstance(G, SingularValues)
    assert isinstance(D, SingularValues)
    return G, D


def test_every_convolution_and_style_layer_is_decomposed() -> None:
    networks = _networks()
    names = {name for name, _ in decomposed_layers(networks.G)}
    layers = {"conv0", "conv1", "torgb"}
    expected = {
        f"synthesis.b{size}.{layer}.{part}weight"
        for size in (4, 8, 16)
        for layer in (layers - {"conv0"} if size == 4 else layers)
        for part in ("", "affine.")
    }
    assert names == expected
    assert {name for name, _ in decomposed_layers(networks.D)} == {
        name for name, parameter in networks.D.named_parameters() if parameter.ndim == 4
    }


def test_a_layer_has_as_many_values_as_its_rank() -> None:
    trainer = _trainer(_networks())
    for optimizer in _optimizers(trainer):
        for weight, factors in zip(optimizer.weights, optimizer.factors, strict=True):
            out, *rest = weight.shape
            assert factors.shape == (min(out, math.prod(rest)),)


def test_the_network_is_unchanged_at_the_start() -> None:
    """A step without a gradient writes U diag(s) V^T back: the same network to rounding, and the same pictures."""
    networks = _networks()
    before = copy.deepcopy(networks)
    optimizer = SingularValues(networks.G, lr=0.1, betas=(0.0, 0.99), eps=1e-8)
    optimizer.step()
    for name, weight in networks.G.state_dict().items():
        torch.testing.assert_close(weight, before.G.state_dict()[name], rtol=1e-5, atol=1e-6)
    z = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(networks.G(z), before.G(z), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_factors_themselves() -> None:
    """Against autograd through W = U diag(lambda s) V^T."""
    D = _networks().D
    pictures = _pictures().float() / 127.5 - 1
    optimizer = SingularValues(D, lr=0.0, betas=(0.0, 0.99), eps=1e-8)
    weights, leaves = {}, []
    for name, weight in decomposed_layers(D):
        u, s, vt = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
        leaves.append(torch.ones_like(s).requires_grad_(True))
        weights[name] = ((u * (leaves[-1] * s)) @ vt).view(weight.shape)
    logits: Tensor = functional_call(D, weights, (pictures,))
    expected = torch.autograd.grad(discriminator_loss_real(logits), leaves)

    discriminator_loss_real(D(pictures)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for factor, gradient in zip(optimizer.factors, expected, strict=True):
        assert factor.grad is not None
        assert float((factor.grad - gradient).norm()) < 1e-3 * float(gradient.norm())


def test_a_first_step_moves_every_value_by_the_learning_rate_of_itself() -> None:
    """Adam's first step is the learning rate, whatever the gradient: so FSGAN's factors begin with 1 -+ lr."""
    D = _networks().D
    before = {name: torch.linalg.svdvals(weight.detach().flatten(1).double()) for name, weight in decomposed_layers(D)}
    optimizer = SingularValues(D, lr=1e-3, betas=(0.0, 0.99), eps=1e-8)
    discriminator_loss_real(D(_pictures().float() / 127.5 - 1)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for factor in optimizer.factors:
        torch.testing.assert_close((factor.detach() - 1).abs(), torch.full_like(factor, 1e-3), rtol=1e-3, atol=0)
    for name, weight in decomposed_layers(D):
        after = torch.linalg.svdvals(weight.detach().flatten(1).double())
        assert float((after - before[name]).norm() / before[name].norm()) == pytest.approx(1e-3, rel=0.05), name


def _moved(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    old = dict(before.named_parameters())
    return {name: (now - old[name]).detach() for name, now in after.named_parameters()}


def test_only_singular_values_are_trained() -> None:
    networks = _networks()
    start = copy.deepcopy(networks)
    trainer = _trainer(networks)
    for _ in range(6):
        trainer.train_step()
    for before, after in ((start.G, trainer.G), (start.D, trainer.D)):
        decomposed = dict(decomposed_layers(before))
        for name, change in _moved(before, after).items():
            if name not in decomposed:
                assert not change.any(), name
                continue
            u, _, vt = torch.linalg.svd(decomposed[name].detach().flatten(1).double(), full_matrices=False)
            seen = u.t() @ change.flatten(1).double() @ vt.t()
            beside = seen - torch.diag(seen.diagonal())
            assert seen.diagonal().norm() > 1e-3, name
            assert beside.norm() < 1e-3 * seen.diagonal().norm(), name
            outside = change.flatten(1).double() - u @ seen @ vt
            assert outside.norm() < 1e-3 * seen.norm(), name


def test_frozen_layers_of_the_discriminator_stay() -> None:
    networks = _networks()
    start = copy.deepcopy(networks)
    trainer = _trainer(networks, freeze_d=3)
    trainer.train_step()
    moved = _moved(start.D, trainer.D)
    assert not any(moved[f"b16.{layer}.weight"].any() for layer in ("fromrgb", "conv0", "conv1"))
    assert moved["b8.conv0.weight"].any()


def test_going_on_gives_the_same_bits() -> None:
    trainer = _trainer(_networks())
    for _ in range(3):
        trainer.train_step()
    state = copy.deepcopy(trainer.state_dict())
    other = _trainer(_networks())
    other.load_state_dict(state)
    for _ in range(3):
        assert {n: float(v) for n, v in trainer.train_step().items()} == {
            n: float(v) for n, v in other.train_step().items()
        }
    for name, tensor in trainer.G_ema.state_dict().items():
        assert torch.equal(tensor, other.G_ema.state_dict()[name]), name


def test_another_start_is_refused() -> None:
    state = _trainer(_networks()).state_dict()
    with pytest.raises(ValueError, match="another start"):
        _trainer(_networks(seed=1)).load_state_dict(state)
