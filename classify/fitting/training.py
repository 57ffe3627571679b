"""The loop: epochs of cross-entropy over a mixture, the best epoch kept, resumable within each.

Every random draw of an epoch follows from the seed and the epoch's number, so a fit that was interrupted goes on to the
same tensors.
"""

import itertools
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from classify.fitting.inputs import Inputs
from classify.fitting.mixing import Entries, Mixture
from classify.fitting.schedule import OPTIMIZERS, TrainSettings, batch_ends, order_in, seeded, shown_in
from classify.fitting.score import Progress, Score, Watcher, score_of
from classify.fitting.state import moving, own_state, restore_own, snapshot
from classify.models import Classifier, trainable_state
from shared.console import say
from shared.errors import UserError
from shared.interruption import Interruption
from shared.nn.device import autocast
from shared.nn.ranks import ALONE, Ranks
from shared.nn.resume import load_state, save_state
from shared.progress import Bar

CHECKPOINT_EVERY_S = 30.0
EVALUATION_BATCH = 64


class Training:
    """One fit: its tensors, its optimizer and how far it is."""

    def __init__(
        self,
        classifier: Classifier,
        inputs: Inputs,
        mixture: Mixture,
        settings: TrainSettings,
        *,
        checkpoint: Path | None = None,
        end: Path | None = None,
        ranks: Ranks = ALONE,
        interruption: Interruption | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """Make a fit, which goes on from `checkpoint` if there is one.

        Args:
            classifier: on its device; it is left with the tensors of the best epoch.
            inputs: of its images.
            mixture: what it learns from and is chosen by.
            settings: see there.
            checkpoint: where its state is kept meanwhile; None keeps none.
            end: where its state after the last epoch is kept, for a longer fit to go on from; None keeps none.
            ranks: processes that share the batches.
            interruption: signals that ask to stop.
            watcher: is told of each epoch.

        Raises `UserError`: the checkpoint is not of this fit.
        """
        self.classifier, self.inputs, self.mixture, self.settings = classifier, inputs, mixture, settings
        self.ranks, self._interruption, self._watcher = ranks, interruption or Interruption(), watcher
        self._checkpoint, self._end = checkpoint, end
        self._parameters = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
        self._optimizer = OPTIMIZERS[settings.optimizer](self._parameters, settings.lr)
        self._label = torch.from_numpy(mixture.label).to(classifier.mean.device)
        self._best = snapshot(classifier)
        self._own: dict[str, Any] | None = None  # what this process alone had in the middle of an epoch
        self.progress = Progress()
        if checkpoint is not None:
            content = ranks.from_first(lambda: load_state(checkpoint) if checkpoint.exists() else None)
            if content is not None:
                self._resume(checkpoint, content)
        self._saved_s = self._counted_s = time.monotonic()

    def run(self, bar: Bar) -> Progress:
        """Train to the end, and leave the tensors of the best epoch in the classifier.

        The best epoch is the one with the highest class-balanced accuracy on `mixture.choice`, ties by its loss;
        without such images it is the last.

        Raises:
            UserError: the loss is no longer finite.
            shared.interruption.StopAskedError: a signal came; the state is saved.
        """
        bar.skip(len(self.progress.history) * len(self.mixture.train))
        self._counted_s = time.monotonic()
        while not self.is_over:
            epoch = self.progress.epoch
            trained = self._step_through(epoch, bar)
            self.ranks.average(moving(self.classifier))
            # The first process judges for all: rounding may differ from machine to machine, and they end together.
            scores = self.ranks.from_first(self._scores)
            self._count_time()
            self._close_epoch(epoch, trained, scores, bar)
            if self._vote():
                self._save(None, self._checkpoint)
                self._interruption.check(self.ranks)
        if self._end is not None:
            self._save(None, self._end)
        self.classifier.load_state_dict(self._best, strict=False)
        self.classifier.eval()
        return self.progress

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or enough of them without a better one."""
        return self.progress.is_over(self.settings.epochs, self.settings.patience)

    def _step_through(self, epoch: int, bar: Bar) -> dict[str, float]:
        """Train on every entry once, in an order that follows from the seed and the epoch; return loss and accuracy."""
        progress, batch = self.progress, self.settings.batch
        device, seed = self.classifier.mean.device, self.settings.seed
        shown = shown_in(self.mixture, self.settings, epoch)
        order, ends = order_in(len(shown), seed, epoch), batch_ends(len(shown), batch)
        told: list[tuple[Tensor, Tensor]] = []  # on the device, so that no step waits for it
        bar.skip([0, *ends][len(progress.losses)])
        self.classifier.train()
        with seeded(device, seed, "epoch", epoch, *([self.ranks.rank] if self.ranks.count > 1 else [])):
            if self._own is not None:  # it goes on where it was interrupted, in the middle of the epoch
                restore_own(self.classifier, self._own)
                self._own = None
            for start, end in list(itertools.pairwise([0, *ends]))[len(progress.losses) :]:
                told.append(self.step(shown[order[start:end]]))
                bar.advance(end - start)
                if end < len(order) and self._vote():
                    self._note(told)
                    self._save(own_state(self.classifier), self._checkpoint)
                    self._interruption.check(self.ranks)
        self._note(told)
        found = {"loss": math.fsum(progress.losses) / len(order), "accuracy": sum(progress.right) / len(order)}
        progress.losses, progress.right = [], []
        return found

    def step(self, entries: Entries) -> tuple[Tensor, Tensor]:
        """Train on one batch, of which this process takes its share; return its loss (sum) and how many are right.

        Raises `UserError`: the share is one image, of which a batch normalisation sees a single value.
        """
        own = entries[np.arange(self.ranks.rank, len(entries), self.ranks.count)]
        device, dtype = self._label.device, self.settings.dtype
        self._optimizer.zero_grad(set_to_none=True)
        if not len(own):
            self.ranks.add_gradients(self._parameters)
            self._optimizer.step()
            return torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
        with autocast(device, dtype):
            try:
                logits = self.inputs.logits(own).float()
            except ValueError as error:  # torch's, of a batch norm over one value a channel
                if len(own) > 1:
                    raise
                raise UserError(_too_few(self.settings.batch, self.ranks.count)) from error
        target = self._label[torch.from_numpy(own.index).to(device)]
        loss = F.cross_entropy(logits, target, reduction="sum")
        (loss / len(entries)).backward()  # type: ignore[no-untyped-call]
        self.ranks.add_gradients(self._parameters)
        self._optimizer.step()
        return loss.detach(), (logits.detach().argmax(1) == target).sum()

    def _note(self, told: list[tuple[Tensor, Tensor]]) -> None:
        """Move what steps have told from the device to `progress`."""
        if not told:
            return
        own = torch.stack([each for each, _ in told]).tolist(), torch.stack([each for _, each in told]).tolist()
        gathered = self.ranks.gather(own)
        self.progress.losses += [math.fsum(each) for each in zip(*(losses for losses, _ in gathered), strict=True)]
        self.progress.right += [sum(each) for each in zip(*(right for _, right in gathered), strict=True)]
        told.clear()

    def _close_epoch(self, epoch: int, trained: dict[str, float], scores: dict[str, Score | None], bar: Bar) -> None:
        progress, settings = self.progress, self.settings
        name, score = next(iter(scores.items()))
        losses = [trained["loss"], *(each.loss for each in scores.values() if each is not None)]
        if not all(map(math.isfinite, losses)):
            raise UserError(f"--lr {settings.lr:g}: the loss is no longer finite in epoch {epoch}; give a smaller one.")
        rows = {each: None if found is None else asdict(found) for each, found in scores.items()}
        progress.history.append({"epoch": epoch, "train": trained} | rows)
        shown = "" if score is None else f", {name} accuracy {score.accuracy:.1%}"
        bar.note(f"epoch {epoch}/{settings.epochs}, loss {trained['loss']:.3f}{shown}")
        if score is None or score.rank > progress.best_rank:
            progress.best_epoch, self._best = epoch, snapshot(self.classifier)
            progress.best_rank = progress.best_rank if score is None else score.rank
        if self._watcher is not None and score is not None:
            progress.ended = self._watcher(epoch, score)

    def _scores(self) -> dict[str, Score | None]:
        return {name: self.score(entries) for name, entries in _score_sets(self.mixture).items()}

    def score(self, entries: Entries) -> Score | None:
        """Return the score over `entries`, None when there are none."""
        if not len(entries):
            return None
        return score_of(self.logits(entries), torch.from_numpy(self.mixture.label[entries.index]))

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] float32 of `entries`, on the CPU, in evaluation mode."""
        self.classifier.eval()
        pieces = np.array_split(np.arange(len(entries)), -(-len(entries) // EVALUATION_BATCH))
        with torch.inference_mode():
            return torch.cat([self.inputs.logits(entries[rows]) for rows in pieces]).float().cpu()

    def _vote(self) -> bool:
        """Tell whether to save now: the last state is old, or a signal came; all processes find the same."""
        late = self._checkpoint is not None and time.monotonic() - self._saved_s >= CHECKPOINT_EVERY_S
        return bool(self.ranks.most(int(late or self._interruption.signal is not None)))

    def _count_time(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._counted_s
        self._counted_s = now

    def _save(self, own: dict[str, Any] | None, path: Path | None) -> None:
        self._count_time()
        everyones = self.ranks.gather(own)
        if path is not None and self.ranks.first:
            content = {
                "now": snapshot(self.classifier),
                "best": self._best,
                "optimizer": self._optimizer.state_dict(),
                "progress": asdict(self.progress),
                "own": everyones,
                "inputs": self.inputs.kind,
            }
            save_state(path, content)
        self._saved_s = time.monotonic()

    def _resume(self, path: Path, content: dict[str, Any]) -> None:
        try:
            now, best, own = content["now"], content["best"], content["own"]
            if not now.keys() == best.keys() == trainable_state(self.classifier).keys():
                raise ValueError("it holds other tensors")
            if len(own) != self.ranks.count and own[0] is not None:
                raise ValueError(f"{len(own)} processes were at work; go on with as many")
            self.progress = Progress(**content["progress"])
            self.classifier.load_state_dict(now, strict=False)
            self._optimizer.load_state_dict(content["optimizer"])
            self._best, self._own = best, own[self.ranks.rank % len(own)]
            before = content.get("inputs", self.inputs.kind)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).split("\n", 1)[0]
            raise UserError(f"{path}: not a checkpoint of this fit ({reason}); delete it and start again.") from error
        if before != self.inputs.kind:
            say(
                f"note: this fit was begun with {before} and goes on with {self.inputs.kind}, since there is another "
                "amount of free memory; its last digits may differ from those of a fit without a break."
            )


def _too_few(batch: int, processes: int) -> str:
    """Say that a batch normalisation cannot learn from one image."""
    among = "" if processes == 1 else f" among {processes} processes"
    more = (
        f"--batch {2 * processes} or more"
        if batch < 2 * processes
        else "another --batch, so that no image is left over"
    )
    return (
        f"--batch {batch}{among}: leaves a step with one image, whose last layers are a single pixel, and batch "
        f"normalisation needs the spread of several; give {more}, or a larger --image-size."
    )


def _score_sets(mixture: Mixture) -> dict[str, Entries]:
    """Return what is scored after each epoch; the first decides."""
    if mixture.is_paper:
        return {"test": mixture.choice, "validation": mixture.validation}
    return {"validation": mixture.validation}
