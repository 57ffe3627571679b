"""Train a few steps as one rank of several, and write what came out.

`ddp_worker.py STORE RANK COUNT STEPS OUT KIND [STATE]`; with STATE the steps go on from there.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from projection import projected_networks

from stylegan2_ada import DiscriminatorConfig, GeneratorConfig, Networks, Ranks, Trainer, TrainingConfig

CONFIG = TrainingConfig(
    batch=16, gamma=0.5, lr=0.002, ema_kimg=0.1, ema_rampup=None, initial_p=0.5, ada_kimg=1.0, d_reg_interval=2
)


# Adam's own, 1e-8, divides a gradient that is all rounding by itself: a step of the full size, in a direction that the
# order of a sum decides. Beside this one such a gradient stays as small as it is, and a wrong scale shows as well.
EPS = 1e-3


def build(ranks: Ranks, kind: str = "plain") -> Trainer:
    """Return a trainer that is the same on every rank: conditional at 8 px, or of the projected discriminator's tests.

    `kind` is "plain", "singular" or "projected".
    """
    trainer = _trainer(ranks, kind)
    for optimizer in (trainer.G_optimizer, trainer.D_optimizer):
        for group in optimizer.param_groups:
            group["eps"] = EPS
    return trainer


def _trainer(ranks: Ranks, kind: str) -> Trainer:
    if kind == "projected":
        images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        config = dataclasses.replace(CONFIG, gamma=0.0, pl_weight=0.0, loss="hinge", augpipe="diffaug")
        return Trainer(projected_networks(), config, images, None, seed=1, device=torch.device("cpu"), ranks=ranks)
    G = GeneratorConfig(img_resolution=8, z_dim=8, w_dim=8, c_dim=2, mapping_layers=2, channel_base=64, channel_max=8)
    D = DiscriminatorConfig(img_resolution=8, c_dim=2, channel_base=64, channel_max=8)
    networks = Networks.build(G, D, seed=0)
    with torch.no_grad():  # noise starts at strength 0, which would hide an error in its shares
        for name, parameter in networks.G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.nn.functional.one_hot(torch.arange(40) % 2, 2).float()
    config = dataclasses.replace(CONFIG, singular=kind == "singular")
    return Trainer(networks, config, images, labels, seed=1, device=torch.device("cpu"), ranks=ranks)


def run(ranks: Ranks, steps: int, state: dict[str, Any] | None = None, kind: str = "plain") -> dict[str, Any]:
    """Return the losses of every step and the state behind the last."""
    trainer = build(ranks, kind)
    if state is not None:
        trainer.load_state_dict(state)
    losses = [{name: float(value) for name, value in trainer.train_step().items()} for _ in range(steps)]
    return {"losses": losses, "state": trainer.state_dict()}


def main() -> None:
    store, rank, count, steps, out, kind, *state = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(count), device_id=None
    )
    ranks = Ranks.joined()
    result = run(ranks, int(steps), torch.load(state[0], weights_only=True) if state else None, kind)
    result["most"] = [ranks.most(0), ranks.most(ranks.rank)]
    result["first"] = ranks.from_first(lambda: f"of rank {ranks.rank}")
    result["gathered"] = ranks.gather(ranks.part(range(5))[0])
    torch.save(result, Path(out))
    dist.destroy_process_group()
    os._exit(0)  # torch's threads may abort a process that takes itself apart (torch 2.15, gloo)


if __name__ == "__main__":
    main()
