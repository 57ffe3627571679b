"""Adaptation in the space of singular values (FSGAN, arXiv:2010.11943).

A weight W [O, I, K, K], seen as a matrix [O, I K^2], is U diag(s) V^T. The singular vectors U and V stay as the start
network has them, and only s is trained: min(O, I K^2) values a layer.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2_ada.layers import FullyConnected

TOLERANCE = 1e-3  # relative: far above the rounding of a decomposition, far below any other network


def decomposed_layers(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield name and weight of every convolution of a network and of every layer that makes a convolution's style."""
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter):
            continue
        style = isinstance(module, FullyConnected) and name.endswith(".affine")
        if weight.ndim == 4 or style:
            yield f"{name}.weight", weight


class SingularValues:
    """An optimiser of weights that moves them along their singular values only.

    The derivative of a loss by s_r is that by W, seen along the r-th pair of singular vectors: u_r^T (dL/dW) v_r. So
    networks, losses and the second derivatives of regularisers are those of ordinary training, and the weights are
    written anew after each step.

    Args:
        network: whose layers (`decomposed_layers`) are trained; all that is left of it must not be.
        lr, betas, eps: Adam's, on the singular values.
    """

    def __init__(self, network: nn.Module, *, lr: float, betas: tuple[float, float], eps: float) -> None:
        self.weights = [weight for _, weight in decomposed_layers(network) if weight.requires_grad]
        self.values: list[nn.Parameter] = []
        self._left: list[Tensor] = []  # U, [O, R]
        self._right: list[Tensor] = []  # V^T, [R, I K^2]
        for weight in self.weights:
            u, s, vt = torch.linalg.svd(weight.detach().flatten(1).double(), full_matrices=False)
            self.values.append(nn.Parameter(s.float()))
            self._left.append(u.float())
            self._right.append(vt.float())
        self.adam = torch.optim.Adam(self.values, lr=lr, betas=betas, eps=eps)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Adam's groups, whose learning rate may be changed."""
        return self.adam.param_groups

    def zero_grad(self, *, set_to_none: bool = True) -> None:  # noqa: ARG002 - as torch's optimisers have it
        """Forget all gradients."""
        for parameter in (*self.weights, *self.values):
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the singular values by the gradients of the weights, and write the weights."""
        for weight, s, u, vt in zip(self.weights, self.values, self._left, self._right, strict=True):
            if weight.grad is not None:
                s.grad = ((weight.grad.flatten(1) @ vt.t()) * u).sum(dim=0)
        self.adam.step()
        for weight, s, u, vt in zip(self.weights, self.values, self._left, self._right, strict=True):
            weight.copy_(((u * s) @ vt).view(weight.shape))

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's state and the singular values; the vectors are the start network's."""
        return {"adam": self.adam.state_dict(), "values": [s.detach() for s in self.values]}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` gave, for weights that are loaded already.

        Raises ValueError: the weights are not of the start network that this optimiser has the vectors of.
        """
        self.adam.load_state_dict(state["adam"])
        for weight, s, u, vt, value in zip(
            self.weights, self.values, self._left, self._right, state["values"], strict=True
        ):
            s.copy_(value)
            away = ((u * s) @ vt).view(weight.shape) - weight
            if away.norm() > TOLERANCE * weight.norm():
                raise ValueError("the singular vectors are those of another start network")
