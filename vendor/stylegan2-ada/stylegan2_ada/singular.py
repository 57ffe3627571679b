"""Adaptation in the space of singular values (FSGAN, arXiv:2010.11943).

A weight W [O, I, K, K], seen as a matrix [O, I K^2], is U diag(s) V^T. The singular vectors U and V stay as the start
network has them, and only s is trained, as factors lambda of what it was: min(O, I K^2) values a layer.
"""

import contextlib
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

    With W = U diag(lambda s) V^T, the derivative of a loss by lambda_r is that by W, seen along the r-th pair of
    singular vectors: s_r u_r^T (dL/dW) v_r. So networks, losses and the second derivatives of regularisers are those of
    ordinary training, and the weights are written anew after each step.

    Args:
        network: whose layers (`decomposed_layers`) are trained; all that is left of it must not be.
        lr, betas, eps: Adam's, on the factors, which begin at 1.
    """

    def __init__(self, network: nn.Module, *, lr: float, betas: tuple[float, float], eps: float) -> None:
        self.weights = [weight for _, weight in decomposed_layers(network) if weight.requires_grad]
        self.factors: list[nn.Parameter] = []  # lambda, [R]
        self._left: list[Tensor] = []  # U diag(s), [O, R]
        self._right: list[Tensor] = []  # V^T, [R, I K^2]
        for weight in self.weights:
            # On the CPU: there all devices get the same vectors, and not every device has doubles.
            u, s, vt = torch.linalg.svd(weight.detach().cpu().flatten(1).double(), full_matrices=False)
            self.factors.append(nn.Parameter(torch.ones(len(s), device=weight.device)))
            self._left.append((u * s).float().to(weight.device))
            self._right.append(vt.float().to(weight.device))
        self.adam = torch.optim.Adam(self.factors, lr=lr, betas=betas, eps=eps)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Adam's groups, whose learning rate may be changed."""
        return self.adam.param_groups

    def zero_grad(self, *, set_to_none: bool = True) -> None:  # noqa: ARG002 - as torch's optimisers have it
        """Forget all gradients."""
        for parameter in (*self.weights, *self.factors):
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the singular values by the gradients of the weights, and write the weights."""
        layers = list(zip(self.weights, self.factors, self._left, self._right, strict=True))
        with _full_precision():
            for weight, factor, us, vt in layers:
                if weight.grad is not None:
                    factor.grad = ((weight.grad.flatten(1) @ vt.t()) * us).sum(dim=0)
            self.adam.step()
            for weight, factor, us, vt in layers:
                weight.copy_(((us * factor) @ vt).view(weight.shape))

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's state and the factors; all else is the start network's."""
        return {"adam": self.adam.state_dict(), "factors": [factor.detach() for factor in self.factors]}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` gave, for weights that are loaded already.

        Raises ValueError: the weights are not of the start network that this optimiser has the vectors of.
        """
        self.adam.load_state_dict(state["adam"])
        layers = zip(self.weights, self.factors, self._left, self._right, state["factors"], strict=True)
        with _full_precision():
            for weight, factor, us, vt, value in layers:
                factor.copy_(value)
                away = ((us * factor) @ vt).view(weight.shape) - weight
                if away.norm() > TOLERANCE * weight.norm():
                    raise ValueError("the singular vectors are those of another start network")


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Keep TF32 out: its rounding of a weight is larger than a step, and leaves the span of the singular vectors."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
