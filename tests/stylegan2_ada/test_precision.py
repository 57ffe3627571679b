"""Half precision follows full precision: bfloat16 keeps 8 bits, a relative error of 2^-9 a rounding."""

import statistics

import pytest
import torch

from stylegan2_ada import DiscriminatorConfig, GeneratorConfig, Networks, Trainer, TrainingConfig

CONFIG = TrainingConfig(batch=8, gamma=0.05, lr=0.002, ema_kimg=0.1, initial_p=0.3, ada_kimg=1e9)


def _trainer(dtype: torch.dtype) -> Trainer:
    G = GeneratorConfig(img_resolution=16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=128, channel_max=16)
    D = DiscriminatorConfig(img_resolution=16, channel_base=128, channel_max=16)
    ramp = torch.linspace(0, 255, 16).expand(3, 16, 16)
    pictures = torch.stack([ramp.rot90(turn, (1, 2)) for turn in range(4)]).to(torch.uint8)
    return Trainer(
        Networks.build(G, D, seed=0), CONFIG, pictures, None, seed=1, device=torch.device("cpu"), dtype=dtype
    )


@torch.no_grad()
def test_half_precision_draws_and_scores_nearly_the_same() -> None:
    networks = _trainer(torch.float32)
    ws = networks.G.mapping(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)), None)[:, None].expand(
        -1, networks.G.num_ws, -1
    )
    whole, half = (
        networks.G.synthesis(ws, noise_mode="const", dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    assert half.dtype == torch.float32
    assert 0 < float((whole - half).norm() / whole.norm()) < 0.02
    scores, rounded = (networks.D(whole, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert rounded.dtype == torch.float32
    assert 0 < float((scores - rounded).norm() / scores.norm()) < 0.03


def test_parameters_and_their_gradients_stay_in_full_precision() -> None:
    trainer = _trainer(torch.bfloat16)
    trainer.train_step()
    for network in (trainer.G, trainer.D, trainer.G_ema):
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert {p.grad.dtype for p in network.parameters() if p.grad is not None} <= {torch.float32}


def test_half_precision_follows_the_losses_of_full_precision() -> None:
    """Two chaotic trajectories part; their losses must stay together: 36 steps, averages of the last third."""
    losses: dict[torch.dtype, dict[str, list[float]]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        trainer = _trainer(dtype)
        steps = [trainer.train_step() for _ in range(36)]
        names = ("loss_G", "loss_D", "path_length", "r1")
        losses[dtype] = {name: [float(step[name]) for step in steps if name in step] for name in names}
    for name, whole in losses[torch.float32].items():
        half = losses[torch.bfloat16][name]
        assert half[0] == pytest.approx(whole[0], rel=0.03), name
        late = max(len(whole) // 3, 1)
        bound = 0.2 if name == "r1" else 0.02  # R1 runs three times here: its last value is one batch's
        assert statistics.mean(half[-late:]) == pytest.approx(statistics.mean(whole[-late:]), rel=bound), name
