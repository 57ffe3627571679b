"""What a training takes, counted and timed in a few steps of a small batch before hours are spent."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from stylegan2_ada import Trainer
from stylegan2_ada.averages import KEPT_WIDTHS

MOMENTS = 2  # of Adam, a parameter
TIMED_STEPS = 2


@dataclass(frozen=True)
class Estimate:
    """What one training takes.

    Attributes:
        g_parameters, d_parameters: trained parameters.
        flops: floating-point operations for every image shown, of products and convolutions in all phases.
        state_bytes: weights, their averages, gradients and the optimisers' moments.
        activation_bytes: the most that is kept for gradients at one moment of a step of the whole batch.
        seconds: for every image shown, without scores.
    """

    g_parameters: int
    d_parameters: int
    flops: float
    state_bytes: int
    activation_bytes: int
    seconds: float


def estimate(trainer: Trainer, batch: int) -> Estimate:
    """Take a few steps with a trainer (which is of no use afterwards), and conclude to steps of `batch` images.

    The lazy regularisers count with the share of the steps that they run in.
    """
    config, dice = trainer.config, trainer.generator.get_state()  # which decide how much is augmented and mixed
    plain, activations = _counted(trainer, 1, dice)
    with_lengths, more = _counted(trainer, config.g_reg_interval, dice)
    with_both, most = _counted(trainer, 0, dice)
    flops = plain + (with_lengths - plain) / config.g_reg_interval + (with_both - with_lengths) / config.d_reg_interval
    seconds = _timed(trainer) * flops / plain
    G, D = trained_parameters(trainer)
    return Estimate(
        G,
        D,
        flops / config.batch,
        state_bytes(trainer),
        round(max(activations, more, most) * batch / config.batch),
        seconds / config.batch,
    )


def trained_parameters(trainer: Trainer) -> tuple[int, int]:
    """Return how many parameters of generator and discriminator are trained."""
    G, D = (sum(p.numel() for p in trained) for trained in (trainer.G_parameters, trainer.D_parameters))
    return G, D


def state_bytes(trainer: Trainer) -> int:
    """Return the bytes of weights, their averages, gradients and the optimisers' moments, without taking a step."""
    whole, other = (sum(p.numel() for p in network.parameters()) for network in (trainer.G, trainer.D))
    return 4 * (whole * (2 + len(KEPT_WIDTHS)) + other + sum(trained_parameters(trainer)) * (1 + MOMENTS))


def _counted(trainer: Trainer, step: int, dice: Tensor) -> tuple[float, int]:
    """Return the operations of one step, which runs the regularisers of its number, and the most bytes it keeps."""
    trainer.step = step
    trainer.generator.set_state(dice)
    tally = _Tally()
    with _Operations() as operations, saved_tensors_hooks(tally.pack, _Kept.unpack):
        trainer.train_step()
    return float(operations.total), tally.most


def _timed(trainer: Trainer) -> float:
    """Return the seconds of a step without regularisers, the fastest of a few."""
    times = []
    for _ in range(TIMED_STEPS):
        trainer.step = 1
        _wait(trainer.device)
        started = time.monotonic()
        trainer.train_step()
        _wait(trainer.device)
        times.append(time.monotonic() - started)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts as torch's own counter does, which cannot follow gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


class _Tally:
    """Bytes of tensors that autograd keeps now, and the most so far; those that share memory count once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._holders: Counter[int] = Counter()

    def pack(self, tensor: Tensor) -> "_Kept":
        return _Kept(tensor, self)

    def hold(self, key: int, size: int) -> None:
        self._holders[key] += 1
        if self._holders[key] == 1:
            self.now += size
            self.most = max(self.most, self.now)

    def drop(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if self._holders[key] == 0:
            self.now -= size


class _Kept:
    """A tensor as long as autograd keeps it."""

    def __init__(self, tensor: Tensor, tally: _Tally) -> None:
        self.tensor, self._tally = tensor, tally
        storage = tensor.untyped_storage()
        self._of = storage.data_ptr(), storage.nbytes()
        tally.hold(*self._of)

    @staticmethod
    def unpack(kept: Any) -> Tensor:
        tensor: Tensor = kept.tensor
        return tensor

    def __del__(self) -> None:
        self._tally.drop(*self._of)
