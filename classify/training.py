"""The loop: epochs of cross-entropy over a mixture, the best epoch kept, resumable after each.

Every random draw of an epoch follows from the seed and the epoch's number, so a fit that was interrupted goes on to the
same tensors.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from classify.inputs import Inputs
from classify.mixing import Entries, Mixture
from classify.models import Classifier, trainable_state
from shared.errors import UserError
from shared.nn.resume import load_state, save_state
from shared.progress import Bar

CHECKPOINT_EVERY_S = 30.0
EVALUATION_BATCH = 64
_STREAMS = {"weights": 0, "epoch": 1}  # keep the random streams apart


def _can_fuse(parameters: Sequence[Tensor]) -> bool:
    """Tell whether one kernel may do the whole step, which halves the time of a small head on a CPU."""
    return all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)


OPTIMIZERS: dict[str, Callable[[Sequence[Tensor], float], torch.optim.Optimizer]] = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr, fused=_can_fuse(parameters)),
    "adamw": lambda parameters, lr: torch.optim.AdamW(parameters, lr, fused=_can_fuse(parameters)),
    "rmsprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9),
}


@dataclass(frozen=True)
class TrainSettings:
    """How long and how to step."""

    epochs: int
    lr: float
    batch: int
    optimizer: str
    seed: int


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


@contextlib.contextmanager
def seeded(device: torch.device, seed: int, stream: str, number: int = 0) -> Iterator[None]:
    """Seed torch's global generators for the block (dropout and initial weights take no other), then restore them."""
    state = np.random.SeedSequence([seed, _STREAMS[stream], number]).generate_state(1, np.uint64)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(state[0]) >> 1)
        yield


def train(
    classifier: Classifier, inputs: Inputs, mixture: Mixture, settings: TrainSettings, checkpoint: Path, bar: Bar
) -> Progress:
    """Fit `classifier` and leave the tensors of its best epoch in it.

    The best epoch is the one with the highest class-balanced accuracy on `mixture.choice`, ties by its loss; without
    such images it is the last. `checkpoint` is where an interrupted fit goes on from.

    Raises `UserError`: the loss is no longer finite, or the checkpoint does not belong to this fit.
    """
    parameters = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimizer = OPTIMIZERS[settings.optimizer](parameters, settings.lr)
    best = _snapshot(classifier)
    progress = Progress()
    if checkpoint.exists():
        progress, best = _resume(checkpoint, classifier, optimizer)
    bar.advance(len(progress.history) * len(mixture.train))
    saved_s = time.monotonic()
    for epoch in range(len(progress.history) + 1, settings.epochs + 1):
        start_s = time.monotonic()
        with seeded(classifier.mean.device, settings.seed, "epoch", epoch):
            trained = _step_through(classifier, inputs, mixture, optimizer, settings, epoch, bar)
        scores = {
            name: evaluate(classifier, inputs, mixture, entries) for name, entries in _score_sets(mixture).items()
        }
        score = next(iter(scores.values()))
        rows = {name: None if each is None else asdict(each) for name, each in scores.items()}
        losses = [trained["loss"], *(each.loss for each in scores.values() if each is not None)]
        if not all(map(math.isfinite, losses)):
            raise UserError(f"--lr {settings.lr:g}: the loss is no longer finite in epoch {epoch}; give a smaller one.")
        progress.history.append({"epoch": epoch, "train": trained} | rows)
        progress.seconds += time.monotonic() - start_s
        shown = "" if score is None else f", {next(iter(scores))} accuracy {score.accuracy:.1%}"
        bar.note(f"epoch {epoch}/{settings.epochs}, loss {trained['loss']:.3f}{shown}")
        if score is None or score.rank > progress.best_rank:
            progress.best_epoch, best = epoch, _snapshot(classifier)
            progress.best_rank = progress.best_rank if score is None else score.rank
        if time.monotonic() - saved_s >= CHECKPOINT_EVERY_S:
            _save(checkpoint, classifier, optimizer, progress, best)
            saved_s = time.monotonic()
    classifier.load_state_dict(best, strict=False)
    classifier.eval()
    return progress


def _step_through(
    classifier: Classifier,
    inputs: Inputs,
    mixture: Mixture,
    optimizer: torch.optim.Optimizer,
    settings: TrainSettings,
    epoch: int,
    bar: Bar,
) -> dict[str, float]:
    """Train on every entry once, in an order that follows from the seed and the epoch; return loss and accuracy."""
    classifier.train()
    device = classifier.mean.device
    label = torch.from_numpy(mixture.label)
    order = np.random.default_rng([settings.seed, _STREAMS["epoch"], epoch]).permutation(len(mixture.train))
    losses, right = [], []  # on the device, so that no step waits for it
    for start in range(0, len(order), settings.batch):
        entries = mixture.train[order[start : start + settings.batch]]
        logits = inputs.logits(entries)
        target = label[entries.index].to(device)
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach() * len(entries))
        right.append((logits.detach().argmax(1) == target).sum())
        bar.advance(len(entries))
    mean_loss = float(torch.stack(losses).cpu().double().sum()) / len(order)
    return {"loss": mean_loss, "accuracy": int(torch.stack(right).sum()) / len(order)}


def _score_sets(mixture: Mixture) -> dict[str, Entries]:
    """Return what is scored after each epoch; the first decides."""
    if mixture.choice is mixture.validation:
        return {"validation": mixture.validation}
    return {"test": mixture.choice, "validation": mixture.validation}


def evaluate(classifier: Classifier, inputs: Inputs, mixture: Mixture, entries: Entries) -> Score | None:
    """Return the score over `entries`, None when there are none."""
    if not len(entries):
        return None
    classifier.eval()
    pieces = np.array_split(np.arange(len(entries)), -(-len(entries) // EVALUATION_BATCH))
    with torch.inference_mode():
        logits = torch.cat([inputs.logits(entries[rows]) for rows in pieces]).cpu()
    target = torch.from_numpy(mixture.label[entries.index])
    losses = F.cross_entropy(logits, target, reduction="none").double()
    right = (logits.argmax(1) == target).double()
    by_class = [target == value for value in torch.unique(target)]
    return Score(
        loss=float(losses.mean()),
        accuracy=float(right.mean()),
        balanced_loss=float(torch.stack([losses[rows].mean() for rows in by_class]).mean()),
        balanced_accuracy=float(torch.stack([right[rows].mean() for rows in by_class]).mean()),
    )


def _snapshot(classifier: Classifier) -> dict[str, Tensor]:
    return {name: tensor.cpu().clone() for name, tensor in trainable_state(classifier).items()}


def _save(
    path: Path, classifier: Classifier, optimizer: torch.optim.Optimizer, progress: Progress, best: dict[str, Tensor]
) -> None:
    content = {
        "now": _snapshot(classifier),
        "best": best,
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
    }
    save_state(path, content)


def _resume(path: Path, classifier: Classifier, optimizer: torch.optim.Optimizer) -> tuple[Progress, dict[str, Tensor]]:
    content = load_state(path)
    try:
        now, best = content["now"], content["best"]
        if not now.keys() == best.keys() == trainable_state(classifier).keys():
            raise ValueError("it holds other tensors")
        progress = Progress(**content["progress"])
        classifier.load_state_dict(now, strict=False)
        optimizer.load_state_dict(content["optimizer"])
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{path}: not a checkpoint of this fit ({reason}); delete it and start again.") from error
    return progress, best
