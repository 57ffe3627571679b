"""Several processes for one command, as torchrun starts them.

    torchrun --nproc-per-node 4 -m synth train cohort.h5 --out runs/gan
    synth train cohort.h5 --out runs/gan --gpus 4        # the same on one machine

Each process works on its share of every batch. When one of them dies, torchrun says why and ends the others.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from shared.errors import UserError
from shared.nn import ranks as shared_ranks
from shared.nn.device import choose_compile, choose_precision, describe_device, describe_precision
from stylegan2_ada import Ranks

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"  # which torchrun passes on; by default not the last


@dataclass(frozen=True)
class Place:
    """Where and how this process works.

    Attributes:
        device: of networks and images.
        dtype: of the large convolutions.
        ranks: its place among others.
        compiled: whether `torch.compile` fuses the networks.
    """

    device: torch.device
    dtype: torch.dtype
    ranks: Ranks
    compiled: bool = False

    @classmethod
    def choose(cls, precision: str, compile_: str, device: torch.device, ranks: Ranks) -> "Place":
        """Resolve `--precision` and `--compile` for a device.

        Raises `UserError`: it does not have that.
        """
        return cls(device, choose_precision(precision, device), ranks, choose_compile(compile_, device))

    def __str__(self) -> str:
        """Return all of it in words, for the first line that a command says."""
        processes = f", {self.ranks.count} processes" if self.ranks.count > 1 else ""
        compiled = ", compiled" if self.compiled else ""
        return f"{describe_device(self.device)}, {describe_precision(self.dtype, self.device)}{compiled}{processes}"


@contextlib.contextmanager
def joined(device_name: str) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that torchrun started, if it did; give this one's rank and device.

    On CUDA, "auto" and "cuda" mean the GPU of this process's place on its machine.

    Raises `UserError`: there is no such device.
    """
    with shared_ranks.joined(device_name) as (_, device):
        choose_precision("fp32", device)  # pictures and scores are exact unless a command asks otherwise
        yield Ranks.joined(), device


def relaunch(gpus: int) -> None:
    """Become torchrun with `gpus` processes that each run this command line; in one of those do nothing.

    Raises `UserError`: not that many GPUs.
    """
    if "WORLD_SIZE" in os.environ:  # torchrun's, even for one process
        return
    have = torch.cuda.device_count()
    if not 1 <= gpus <= have:
        raise UserError(
            f"--gpus {gpus}: this machine has {have} CUDA {'GPU' if have == 1 else 'GPUs'}; give 1 to {have}."
            if have
            else f"--gpus {gpus}: this machine has no CUDA GPU; leave the option out to train on its processor."
        )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus)]
    os.execv(sys.executable, [*command, "--signals-to-handle", SIGNALS, "-m", "synth", *sys.argv[1:]])
