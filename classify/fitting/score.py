"""How far a fit is, and how good: what is told of each epoch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Score:
    """Loss (cross-entropy) and accuracy (0..1) over a set; `balanced_…` weigh the classes equally."""

    loss: float
    accuracy: float
    balanced_loss: float
    balanced_accuracy: float

    @property
    def rank(self) -> tuple[float, float]:
        """Order of epochs: by balanced accuracy, ties by balanced loss."""
        return self.balanced_accuracy, -self.balanced_loss


@dataclass
class Progress:
    """Where a fit stands: what a checkpoint holds beside the tensors."""

    history: list[dict[str, Any]] = field(default_factory=list)  # one row an epoch
    best_epoch: int = 0
    best_rank: tuple[float, float] = (-math.inf, -math.inf)
    seconds: float = 0.0
    ended: bool = False  # by a watcher
    # of the epoch that is under way, a number a step
    losses: list[float] = field(default_factory=list)  # sums over the batch
    right: list[int] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The number of the epoch that is under way, from 1."""
        return len(self.history) + 1

    def is_over(self, epochs: int, patience: int | None) -> bool:
        """Tell whether all epochs are done, or enough of them without a better one."""
        done = len(self.history)
        late = patience is not None and self.best_epoch and done - self.best_epoch >= patience
        return self.ended or bool(late) or done >= epochs


Watcher = Callable[[int, Score], bool]  # told of each epoch; True ends the fit


def score_of(logits: Tensor, target: Tensor) -> Score:
    """Return the score of `logits` [E, 2] float32 for the classes `target` [E]."""
    losses = F.cross_entropy(logits, target, reduction="none").double()
    right = (logits.argmax(1) == target).double()
    by_class = [target == value for value in torch.unique(target)]
    return Score(
        loss=float(losses.mean()),
        accuracy=float(right.mean()),
        balanced_loss=float(torch.stack([losses[rows].mean() for rows in by_class]).mean()),
        balanced_accuracy=float(torch.stack([right[rows].mean() for rows in by_class]).mean()),
    )
