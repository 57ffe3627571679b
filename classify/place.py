"""Where and with what classifiers are fitted."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from shared.console import say
from shared.errors import UserError
from shared.interruption import Interruption, StopAskedError, watching_signals
from shared.nn.device import choose_device, device_of_slot
from shared.nn.ranks import ALONE, Ranks, joined
from shared.weights import ANYWHERE, WeightSource


@dataclass(frozen=True)
class Place:
    """Where and with what fits are made.

    Attributes:
        device: of networks and images.
        weights: where ImageNet weights may come from.
        cache: folder for what frozen layers give, shared between fits; None keeps none.
        ranks: this process's place among several that share each batch.
        interruption: signals that ask to stop.
    """

    device: torch.device
    weights: WeightSource = ANYWHERE
    cache: Path | None = None
    ranks: Ranks = ALONE
    interruption: Interruption = field(default_factory=Interruption)


def _require_folder(cache: Path | None) -> None:
    if cache is None:
        return
    there = next(each for each in (cache.absolute(), *cache.absolute().parents) if each.exists())
    if not there.is_dir():
        raise UserError(f"--cache {cache}: {there} is a file, where a folder must be; give another.")


@contextlib.contextmanager
def working(
    device: str, *, weights: Path | None = None, offline: bool = False, cache: Path | None = None
) -> Iterator[Place]:
    """Give a place for the block, and end the process with a signal's code when one asked to stop within it.

    Raises:
        UserError: there is no such device, or `cache` cannot be a folder.
        SystemExit: a signal asked to stop; what ran has saved its state.
    """
    _require_folder(cache)
    with watching_signals() as interruption, joined(device) as (ranks, chosen):
        try:
            yield Place(chosen, WeightSource(weights, offline), cache, ranks, interruption)
        except StopAskedError:
            say("stopped; the state is saved, and the same command goes on.")
            raise SystemExit(interruption.exit_code) from None


@contextlib.contextmanager
def helping(
    device: str, slot: int, interruption: Interruption, *, weights: Path | None = None, offline: bool = False
) -> Iterator[Place]:
    """Give a place to one of several processes that a command started, which gets its signals from `interruption`.

    It is on GPU `slot`, if there are GPUs to choose from.

    Raises: as `working`.
    """
    try:
        yield Place(
            choose_device(device_of_slot(device, slot)), WeightSource(weights, offline), interruption=interruption
        )
    except StopAskedError:
        raise SystemExit(interruption.exit_code) from None
