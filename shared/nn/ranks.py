"""Several processes for one command, as torchrun starts them, that work on shares of the same batches.

torchrun --nproc-per-node 4 -m classify fit cohort.h5 --out runs/model
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shared.console import processes
from shared.errors import UserError
from shared.nn.device import choose_device

T = TypeVar("T")

# How long a process may keep the others waiting. One that is gone is noticed in seconds by torchrun or by its closed
# connection: only one whose machine vanished is waited for.
TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Ranks:
    """This process's place among `count` processes; the default is a process on its own."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def most(self, value: int) -> int:
        """Return the largest `value` of all, so that all take the same decision."""
        if self.count == 1:
            return value
        votes = torch.tensor(value)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return int(votes)

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what `make` gives in the first process, the only one that calls it; what it raises, all raise."""
        if self.count == 1:
            return make()
        box: list[Any] = [None, None]
        if self.first:
            try:
                box[0] = make()
            except Exception as error:  # noqa: BLE001 - raised below, in every process
                box[1] = error
        dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise box[1]
        result: T = box[0]
        return result

    def gather(self, part: T) -> list[T]:
        """Return every process's `part` in the order of the ranks, in all of them."""
        if self.count == 1:
            return [part]
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, part)
        return parts

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one transfer; none counts as zero."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        _add_up([parameter.grad for parameter in parameters if parameter.grad is not None])

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor of floating numbers by its mean over the processes."""
        if self.count == 1 or not tensors:
            return
        _add_up(tensors)
        for tensor in tensors:
            tensor.div_(self.count)


ALONE = Ranks()


def _add_up(tensors: Sequence[Tensor]) -> None:
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


@contextlib.contextmanager
def joined(device_name: str) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that torchrun started, if it did; give this one's place and device.

    On CUDA, "auto" and "cuda" mean the GPU of this process's place on its machine.

    Raises `UserError`: there is no such device, or the environment tells of several processes and not how they meet.
    """
    device = choose_device(device_name)
    if processes() <= 1:
        yield Ranks(), device
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"WORLD_SIZE={processes()}: tells of several processes, but {', '.join(missing)} is not set; start them "
            "with torchrun, or unset WORLD_SIZE."
        )
    if device.type == "cuda":
        device = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
