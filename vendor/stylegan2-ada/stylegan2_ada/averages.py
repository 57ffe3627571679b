"""Power-function averages of the weights, whose width is chosen after training (arXiv:2312.02696, section 3).

The average at time t weighs the weights of time tau by p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1). Its width is the
standard deviation of that profile over t. Two of them are kept while training; from snapshots of these the average of
any other width, at any time until then, is put together.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

KEPT_WIDTHS = (0.05, 0.10)  # of the averages that are kept (the paper's choice)
MAX_WIDTH = 0.28  # of the profile that falls to zero at time 0: a little below gamma = 0, which is the plain mean


@dataclass(frozen=True)
class Profile:
    """One average: how wide, and at which time (any unit, but of one kind)."""

    width: float
    time: float


@functools.lru_cache
def exponent_of(width: float) -> float:
    """Return gamma of the profile whose standard deviation is `width` times t.

    The profile is a beta distribution: width^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), whose only root above 0 is
    wanted.

    Raises ValueError: no such profile rises from zero.
    """
    if not 0 < width <= MAX_WIDTH:
        raise ValueError(f"a width of {width:g} is out of range; it must be above 0 and at most {MAX_WIDTH:g}")
    inverse = width**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


@dataclass(frozen=True)
class Mixture:
    """How kept averages make another one: a factor each, 1 in sum, and how far the profiles then are, relative."""

    factors: tuple[float, ...]
    residual: float


def mixture(kept: Sequence[Profile], wanted: Profile) -> Mixture:
    """Return the factors of kept averages whose sum is nearest to the wanted one, by least squares over the profiles.

    Few or late snapshots cannot make every width, and a sum below 1 would shrink the weights: so the factors are held
    to 1 in sum, by a Lagrange multiplier, and the residual tells whether the width can be had.
    """
    count = len(kept)
    A = np.array([[_inner(a, b) for b in kept] for a in kept])
    b = np.array([_inner(a, wanted) for a in kept])
    scale = float(np.diag(A).mean())  # so that the multiplier's row weighs as much as the others
    system = np.block([[A / scale, np.ones((count, 1))], [np.ones((1, count)), np.zeros((1, 1))]])
    x = np.linalg.lstsq(system, np.append(b / scale, 1.0), rcond=1e-12)[0][:count]
    whole = _inner(wanted, wanted)
    left = max(float(x @ A @ x - 2 * x @ b) + whole, 0.0)
    return Mixture(tuple(map(float, x)), math.sqrt(left / whole))


def _inner(a: Profile, b: Profile) -> float:
    """Integrate the product of two profiles, from 0 to the earlier time."""
    first, last = (a, b) if a.time <= b.time else (b, a)
    m, n = exponent_of(first.width), exponent_of(last.width)
    return (m + 1) * (n + 1) / (m + n + 1) * math.exp(n * math.log(first.time / last.time)) / last.time


class PowerAverages:
    """The averages of a network's parameters in `KEPT_WIDTHS`, kept up to date step by step.

    Args:
        network: whose parameters are averaged; what it is at step 1 counts first, its start not at all.
    """

    def __init__(self, network: nn.Module) -> None:
        self.step = 0
        parameters = dict(network.named_parameters())
        self.averages = [{name: p.detach().clone() for name, p in parameters.items()} for _ in KEPT_WIDTHS]
        self._exponents = [exponent_of(width) for width in KEPT_WIDTHS]

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the parameters after one more step: beta = (1 - 1/t)^(gamma + 1)."""
        self.step += 1
        parameters = dict(network.named_parameters())
        for exponent, average in zip(self._exponents, self.averages, strict=True):
            beta = (1 - 1 / self.step) ** (exponent + 1)
            torch._foreach_lerp_([average[name] for name in parameters], list(parameters.values()), 1 - beta)

    def state_dict(self) -> dict[str, Any]:
        """Return the step and the averages, by width."""
        return {"step": self.step, "averages": dict(zip(map(str, KEPT_WIDTHS), self.averages, strict=True))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state_dict` gave."""
        self.step = state["step"]
        for width, average in zip(KEPT_WIDTHS, self.averages, strict=True):
            stored: Mapping[str, Tensor] = state["averages"][str(width)]
            for name, tensor in average.items():
                tensor.copy_(stored[name])
