"""Several processes that train one network: each works on its share of every batch.

Every rank draws the random numbers of the whole batch from the same state and keeps its own images' share, so what a
step does is the same for any number of ranks, up to the rounding of sums. Gradients are averaged once a phase.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
Sliceable = TypeVar("Sliceable", bound=Any)  # numpy arrays are no `Sequence`


@dataclass(frozen=True)
class Ranks:
    """This process's place among `count` processes; the default is a process on its own."""

    rank: int = 0
    count: int = 1

    @classmethod
    def joined(cls) -> "Ranks":
        """Return the place in torch's default process group, or a process on its own when there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def share(self, whole: Tensor, group_size: int = 1) -> Tensor:
        """Return this rank's images of a whole batch [N, ...]: [N / count, ...].

        The minibatch standard deviation of a batch of N = G * n looks at image i beside i + n, i + 2n, ...; with
        `group_size` G a rank gets whole groups, in the order in which its own n / count groups are formed again.

        Raises ValueError: the groups cannot be dealt out equally.
        """
        size = len(whole)
        if size % (group_size * self.count):
            raise ValueError(
                f"a batch of {size} does not deal out to {self.count} process(es) in groups of {group_size}; "
                f"use a multiple of {group_size * self.count}"
            )
        if self.count == 1:
            return whole
        groups = size // group_size
        mine = groups // self.count
        columns = whole.reshape(group_size, groups, *whole.shape[1:])[:, self.rank * mine : (self.rank + 1) * mine]
        return columns.reshape(group_size * mine, *whole.shape[1:])

    def part(self, whole: Sliceable) -> Sliceable:
        """Return this rank's part of a sequence or array, in order; parts differ by one in length at most."""
        size = len(whole)
        part: Sliceable = whole[size * self.rank // self.count : size * (self.rank + 1) // self.count]
        return part

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of `x` over the ranks; gradients flow back to every rank's `x`."""
        if self.count == 1:
            return x
        result: Tensor = _Mean.apply(x, self.count)
        return result

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of `x` over the ranks, without gradients."""
        if self.count == 1:
            return x
        total = x.detach().clone()
        dist.all_reduce(total)
        return total

    @property
    def first(self) -> bool:
        """Whether this is the one rank that reads and writes files and speaks."""
        return self.rank == 0

    def most(self, value: int) -> int:
        """Return the largest `value` of all ranks, so that all take the same decision."""
        if self.count == 1:
            return value
        votes = torch.tensor(value)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return int(votes)

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what `make` gives on the first rank, the only one that calls it; what it raises, all raise."""
        if self.count == 1:
            return make()
        box: list[Any] = [None, None]
        if self.first:
            try:
                box[0] = make()
            except Exception as error:  # noqa: BLE001 - raised below, on every rank
                box[1] = error
        dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise box[1]
        result: T = box[0]
        return result

    def gather(self, part: T) -> list[T]:
        """Return every rank's `part`, in the order of the ranks, on all of them."""
        if self.count == 1:
            return [part]
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, part)
        return parts

    def average(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Replace every gradient by its mean over the ranks, in one transfer; return the mean of `loss`."""
        if self.count == 1:
            return loss.detach()
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = _mean(torch.cat([loss.reshape(1), *(g.reshape(-1) for g in gradients)]), self.count)
        start = 1
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[0]


class _Mean(torch.autograd.Function):
    """Mean over ranks. With losses that are averaged over ranks too, its gradient is the mean of the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> Tensor:
        ctx.count = count
        return _mean(x, count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _mean(gradients[0], ctx.count), None


def _mean(x: Tensor, count: int) -> Tensor:
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / count


@dataclass(frozen=True)
class Dice:
    """Random numbers for this rank's images.

    Attributes:
        generator: in the same state on all ranks.
        device: where the numbers are drawn, the generator's.
        ranks: whose share is kept.
        group_size: see `Ranks.share`.
    """

    generator: torch.Generator
    device: torch.device
    ranks: Ranks = Ranks()
    group_size: int = 1

    def uniform(self, count: int, *shape: int) -> Tensor:
        """Return float32 [count, *shape] in [0, 1), for `count` images of this rank."""
        whole = torch.rand(count * self.ranks.count, *shape, generator=self.generator, device=self.device)
        return self.ranks.share(whole, self.group_size)

    def normal(self, count: int, *shape: int) -> Tensor:
        """Return float32 [count, *shape], unit normal, for `count` images of this rank."""
        whole = torch.randn(count * self.ranks.count, *shape, generator=self.generator, device=self.device)
        return self.ranks.share(whole, self.group_size)
