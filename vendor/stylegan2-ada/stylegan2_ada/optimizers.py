"""Adam beside regularisers that run only now and then (StyleGAN2, arXiv:1912.04958, appendix B).

It trains the weights, or their singular values.
"""

from typing import Any

import torch
from torch import nn

from stylegan2_ada.singular import SingularValues

BETAS = (0.0, 0.99)
EPSILON = 1e-8


Optimizer = torch.optim.Adam | SingularValues


def optimizer_of(module: nn.Module, lr: float, interval: int, *, singular: bool = False) -> Optimizer:
    """Return Adam for what is trained of `module`, corrected for a regulariser every `interval` steps.

    As in the reference implementation the correction stays where the regulariser's weight is 0: of a learning rate of
    0.002 the generator has 0.0016 (every 4 steps) and the discriminator 0.00188 (every 16).
    """
    ratio = _ratio(interval)
    betas = BETAS[0] ** ratio, BETAS[1] ** ratio
    if singular:
        return SingularValues(module, lr=lr * ratio, betas=betas, eps=EPSILON)
    parameters = [p for p in module.parameters() if p.requires_grad]
    fused = all(p.is_cuda for p in parameters)
    return torch.optim.Adam(parameters, lr=lr * ratio, betas=betas, eps=EPSILON, fused=fused)


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Go back to a state that the optimiser's `state_dict` gave, on this device's way of stepping.

    A state says how it was stepped, which would be taken over with it; on a GPU the host would then wait for each step.
    """
    if isinstance(optimizer, torch.optim.Adam):
        own = {"fused": optimizer.defaults["fused"]}
        state = state | {"param_groups": [group | own for group in state["param_groups"]]}
    optimizer.load_state_dict(state)


def set_lr(optimizer: Optimizer, lr: float, interval: int) -> None:
    """Give an optimiser of `optimizer_of` another learning rate, corrected in the same way."""
    for group in optimizer.param_groups:
        group["lr"] = lr * _ratio(interval)


def _ratio(interval: int) -> float:
    """Return the share of an optimiser's steps that the main loss takes."""
    return interval / (interval + 1)
