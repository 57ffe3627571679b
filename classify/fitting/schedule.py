"""What a fit shows its network in which epoch, in which batches, and how it steps."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from classify.fitting.mixing import Entries, Mixture

FROZEN_VARIATIONS = 4  # of each image under random changes, when layers are frozen whose features are kept
MAX_LR = 1e6  # far beyond what any network learns with: a step of 3e38 is no number in float32
STREAMS = {"weights": 0, "epoch": 1}  # keep the random streams apart


def _can_fuse(parameters: Sequence[Tensor]) -> bool:
    """Tell whether one kernel may do the whole step, which halves the time of a small head on a CPU."""
    return all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)


OPTIMIZERS: dict[str, Callable[[Sequence[Tensor], float], torch.optim.Optimizer]] = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr, fused=_can_fuse(parameters)),
    "adamw": lambda parameters, lr: torch.optim.AdamW(parameters, lr, fused=_can_fuse(parameters)),
    "rmsprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9, fused=_can_fuse(parameters)),
}


@dataclass(frozen=True)
class TrainSettings:
    """How long and how to step."""

    epochs: int
    lr: float
    batch: int
    optimizer: str
    seed: int
    patience: int | None = None  # epochs without a better one, after which it ends
    dtype: torch.dtype = torch.float32  # of convolutions and products
    variations: int = 0  # random changes of each image, in turn; 0: images as they are


@dataclass(frozen=True)
class Shown:
    """All that a fit shows to its network: what it trains on, in the precision of the fit, and what it is scored on."""

    trained: Sequence[Entries]
    scored: Sequence[Entries]

    @property
    def all(self) -> list[Entries]:
        """Both of them."""
        return [*self.trained, *self.scored]


@contextlib.contextmanager
def seeded(device: torch.device, seed: int, stream: str, *number: int) -> Iterator[None]:
    """Seed torch's global generators for the block (dropout and initial weights take no other), then restore them."""
    state = np.random.SeedSequence([seed, STREAMS[stream], *(number or (0,))]).generate_state(1, np.uint64)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(state[0]) >> 1)
        yield


def order_in(count: int, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the order in which an epoch goes through `count` entries."""
    return np.random.default_rng([seed, STREAMS["epoch"], epoch]).permutation(count)


def batch_ends(count: int, batch: int) -> list[int]:
    """Return where in an epoch of `count` entries each batch ends.

    A single entry that is left over goes with the batch before: batch normalisation has no spread of one value.
    """
    ends = [*range(batch, count, batch), count]
    if batch > 1 and len(ends) > 1 and count % batch == 1:
        del ends[-2]
    return ends


def shown_in(mixture: Mixture, settings: TrainSettings, epoch: int) -> Entries:
    """Return what is shown in an epoch, from 1: the training entries, under a random change if there are any."""
    if not settings.variations:
        return mixture.train
    return mixture.train.varied(1 + (epoch - 1) % settings.variations)


def all_shown(mixture: Mixture, settings: TrainSettings) -> Shown:
    """Return all that a fit shows to its network."""
    epochs = range(1, min(max(settings.variations, 1), settings.epochs) + 1)
    trained = [shown_in(mixture, settings, epoch) for epoch in epochs]
    return Shown(trained, [mixture.validation, mixture.choice])
