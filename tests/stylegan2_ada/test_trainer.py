"""The training step: exact resume, averages against a naive loop, what moves and what stays."""

import collections
import copy
import dataclasses
from collections import Counter

import pytest
import torch
from torch import Tensor

from stylegan2_ada import (
    DiscriminatorConfig,
    GeneratorConfig,
    Networks,
    Trainer,
    TrainingConfig,
    TrainingDivergedError,
    losses,
)
from stylegan2_ada.data import DataOrder
from stylegan2_ada.finite_steps import MAX_BAD_STEPS
from stylegan2_ada.networks import freezable_layers
from stylegan2_ada.optimizers import optimizer_of, set_lr

CONFIG = TrainingConfig(batch=4, gamma=0.1, lr=0.002, ema_kimg=0.1, ema_rampup=0.05, initial_p=0.5, ada_kimg=1.0)


def make_trainer(config: TrainingConfig = CONFIG, *, c_dim: int = 0, seed: int = 1) -> Trainer:
    G = GeneratorConfig(
        img_resolution=8, z_dim=8, w_dim=8, c_dim=c_dim, mapping_layers=2, channel_base=64, channel_max=8
    )
    D = DiscriminatorConfig(img_resolution=8, c_dim=c_dim, channel_base=64, channel_max=8)
    images = torch.randint(0, 256, (10, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.nn.functional.one_hot(torch.arange(10) % c_dim, c_dim).float() if c_dim else None
    return Trainer(Networks.build(G, D, seed=0), config, images, labels, seed=seed, device=torch.device("cpu"))


def _tensors(trainer: Trainer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value
        for name in ("G_ema", "G", "D")
        for key, value in getattr(trainer, name).state_dict().items()
    }


def test_resume_gives_the_same_bits() -> None:
    straight, first, second = make_trainer(), make_trainer(), make_trainer(seed=99)
    for _ in range(7):
        straight.train_step()
    for _ in range(3):
        first.train_step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(4):
        second.train_step()
    expected, result = _tensors(straight), _tensors(second)
    assert all(torch.equal(result[name], tensor) for name, tensor in expected.items())
    assert (second.ada, second.step, second.cur_nimg) == (straight.ada, straight.step, straight.cur_nimg)
    assert torch.equal(second.pl_mean, straight.pl_mean)


def test_average_against_a_naive_loop() -> None:
    trainer = make_trainer()
    average = {name: p.detach().clone() for name, p in trainer.G.named_parameters()}
    for step in range(1, 6):
        trainer.train_step()
        half_life = min(CONFIG.ema_kimg * 1000, step * CONFIG.batch * 0.05)
        beta = 0.5 ** (CONFIG.batch / half_life)
        for name, current in trainer.G.named_parameters():
            average[name] = average[name] * beta + current.detach() * (1 - beta)
    for name, parameter in trainer.G_ema.named_parameters():
        assert torch.allclose(parameter, average[name], atol=1e-6), name


def test_regularisers_run_every_few_steps() -> None:
    config = dataclasses.replace(CONFIG, g_reg_interval=2, d_reg_interval=3)
    trainer = make_trainer(config)
    counts = Counter(name for _ in range(6) for name in trainer.train_step())
    assert counts == {"loss_G": 6, "loss_D": 6, "path_length": 3, "path_length_penalty": 3, "r1": 2}


def test_regularisers_can_be_left_out() -> None:
    trainer = make_trainer(dataclasses.replace(CONFIG, gamma=0.0, pl_weight=0.0))
    assert trainer.train_step().keys() == {"loss_G", "loss_D"}


def test_controller_sees_every_real_image(monkeypatch: pytest.MonkeyPatch) -> None:
    logits: list[Tensor] = []

    def loss(logits_real: Tensor) -> Tensor:
        logits.append(logits_real.detach().clone())
        return torch.nn.functional.softplus(-logits_real).mean()

    watched = dataclasses.replace(losses.LOSSES["logistic"], discriminator_real=loss)
    monkeypatch.setitem(losses.LOSSES, "logistic", watched)
    trainer = make_trainer(dataclasses.replace(CONFIG, ada_interval=4))
    for _ in range(3):
        trainer.train_step()
        assert trainer.ada.p == 0.5
    trainer.train_step()
    assert len(torch.cat(logits)) == 4 * CONFIG.batch
    assert trainer.ada.last_r_t == pytest.approx(float(torch.cat(logits).sign().mean()))
    assert abs(trainer.ada.p - 0.5) == pytest.approx(4 * CONFIG.batch / (CONFIG.ada_kimg * 1000))


@pytest.mark.parametrize("frozen", [0, 1, 3, 6])
def test_frozen_layers_do_not_move(frozen: int) -> None:
    trainer = make_trainer(dataclasses.replace(CONFIG, freeze_d=frozen))
    layers = freezable_layers(trainer.D)
    assert len(layers) == 4  # one block at 8 px: fromrgb, conv0, conv1, skip
    before = [layer.weight.detach().clone() for layer in layers]
    trainer.train_step()
    trainer.train_step()
    moved = [not torch.equal(layer.weight, old) for layer, old in zip(layers, before, strict=True)]
    assert moved == [index >= frozen for index in range(4)]


def test_conditional_networks_learn_their_labels() -> None:
    trainer = make_trainer(c_dim=2)
    before = trainer.D.mapping.embed.weight.detach().clone()
    trainer.train_step()
    assert not torch.equal(trainer.D.mapping.embed.weight, before)
    z = torch.randn(1, 8)
    pictures = [trainer.G_ema(z, torch.eye(2)[index : index + 1]) for index in range(2)]
    assert not torch.allclose(*pictures)


def test_gradients_that_are_not_finite_are_counted_and_never_applied() -> None:
    trainer = make_trainer()
    trainer.train_step()
    before = _tensors(trainer)
    images = trainer.images
    trainer.images = images.float() * float("nan")
    D_before = {name: tensor.clone() for name, tensor in before.items() if name.startswith("D/")}
    trainer.train_step()
    assert trainer.finite_steps.total > 0
    assert all(torch.equal(_tensors(trainer)[name], tensor) for name, tensor in D_before.items())
    with torch.no_grad():
        trainer.G.synthesis.b4.const.fill_(float("nan"))
    with pytest.raises(TrainingDivergedError, match="lower the learning rate"):
        collections.deque((trainer.train_step() for _ in range(40)), maxlen=0)


def test_data_order_shows_every_image_equally_often() -> None:
    order = DataOrder(7, seed=3)
    seen = torch.cat([order.take(5) for _ in range(7)])
    assert Counter(seen.tolist()) == dict.fromkeys(range(7), 5)
    assert sorted(seen[:7].tolist()) == list(range(7))


def test_initialisation_leaves_the_process_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_trainer()
    assert torch.equal(torch.rand(3), expected)


def test_a_phase_that_never_is_finite_is_not_hidden_by_others() -> None:
    trainer = make_trainer(dataclasses.replace(CONFIG, g_reg_interval=2))
    trainer.config = dataclasses.replace(trainer.config, pl_weight=float("inf"))
    with pytest.raises(TrainingDivergedError, match="path length"):
        collections.deque((trainer.train_step() for _ in range(2 * MAX_BAD_STEPS)), maxlen=0)
    assert trainer.finite_steps.total == MAX_BAD_STEPS
    assert trainer.finite_steps.in_a_row == {"generator": 0, "path length": 20, "discriminator": 0, "R1": 0}


def test_one_bad_batch_does_not_stay_in_the_mean_path_length(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    trainer.train_step()
    before = trainer.pl_mean.clone()
    monkeypatch.setattr(losses, "path_lengths", lambda picture, ws, noise: ws.sum(dim=(1, 2)) * float("nan"))
    trainer.step = 0
    trainer.train_step()
    assert trainer.finite_steps.total == 1
    assert torch.equal(trainer.pl_mean, before)


def test_adam_is_corrected_for_lazy_regularisation() -> None:
    """With a regulariser every 4 steps, 4 of 5 optimiser steps are the main loss's (arXiv:1912.04958, appendix B)."""
    optimizer = optimizer_of(torch.nn.Linear(1, 1), lr=0.0025, interval=4)
    (group,) = optimizer.param_groups
    assert group["lr"] == pytest.approx(0.002)
    assert group["betas"] == pytest.approx((0.0, 0.99**0.8))
    set_lr(optimizer, 0.005, interval=4)
    assert group["lr"] == pytest.approx(0.004)
