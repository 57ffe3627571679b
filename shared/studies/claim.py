"""A cell that one worker has claimed: it shows that it lives, tells its scores, and says how it ended."""

import contextlib
import threading
from types import TracebackType
from typing import Any, Generic

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from shared.errors import UserError
from shared.studies.patience import AWAY, patiently
from shared.studies.search import CellT

# names of what a trial says of itself
CELL, WORKER, BEAT, ENDED, AGAIN, ROW = "cell", "worker", "beat", "ended", "again", "row"
GRACE, PLACE = "grace", "place"


class LostCellError(UserError):
    """Another worker has the cell, since this one was not heard of for too long."""


class Claim(Generic[CellT]):
    """One cell, from the moment that it was claimed until one of `finish`, `fail` and `give_back`.

    Within its block it is beaten for, every `beat_s`; whatever ends the block gives the cell back if nothing was told.
    """

    def __init__(
        self, cell: CellT, study: optuna.Study, trial: optuna.Trial, trial_id: int, storage: BaseStorage, beat_s: float
    ) -> None:
        self.cell, self.number = cell, trial.number
        self._study, self._trial, self._id, self._storage = study, trial, trial_id, storage
        self._beat_s = beat_s
        self._beats = 0
        self._lost = False
        self._told = False
        self._reported: set[int] = set()
        self._unsent: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"beat of {cell.name}", daemon=True)

    def __enter__(self) -> "Claim[CellT]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._told and not self._lost:
                self.give_back("stopped" if kind is None or not isinstance(error, Exception) else str(error))
        finally:
            self._stop.set()
            self._thread.join()

    def check(self) -> None:
        """Raise `LostCellError` when the cell is another worker's by now."""
        if self._lost:
            raise LostCellError(
                f"{self.cell.name}: not heard of for too long, so another worker has it now; this one ends here."
            )

    def report(self, step: int, value: float) -> None:
        """Tell the score at `step`; when the storage does not answer, with the next one."""
        if step not in self._reported:  # after going back a score comes again
            self._reported.add(step)
            self._unsent[step] = value
        with contextlib.suppress(*AWAY):
            self._send()

    def should_prune(self) -> bool:
        """Tell whether the scores so far are so far behind those of other cells that the rest is not worth its time."""
        try:
            return bool(self._trial.should_prune())  # some pruners answer with a number of NumPy
        except AWAY:
            return False

    def finish(self, value: float, row: dict[str, Any], *, pruned: bool = False) -> None:
        """Tell the result; `row` goes to the table of all cells.

        Raises `UserError`: the storage does not answer; what was done is complete, and the same command tells it.
        """
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        patiently(lambda: self._end(state, value, {ROW: row}), f"{self.cell.name}: trained, but")

    def fail(self, reason: str) -> None:
        """Tell that the cell cannot be trained; no other worker takes it up before all have ended.

        Raises `UserError`: the storage does not answer.
        """
        patiently(
            lambda: self._end(TrialState.FAIL, None, {ENDED: reason, AGAIN: False}), f"{self.cell.name}: failed, and"
        )

    def give_back(self, reason: str) -> None:
        """Let any worker go on with the cell, at once."""
        with contextlib.suppress(*AWAY):  # then the others find out by themselves
            self._end(TrialState.FAIL, None, {ENDED: reason, AGAIN: True})

    def _end(self, state: TrialState, value: float | None, about: dict[str, Any]) -> None:
        try:
            self._send()
            for name, what in about.items():
                self._storage.set_trial_user_attr(self._id, name, what)
            self._study.tell(self.number, value if state == TrialState.COMPLETE else None, state)
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
            self._lost = True  # whoever has it now comes to the same result
        self._told = True

    def _send(self) -> None:
        try:
            while self._unsent:
                step = next(iter(self._unsent))
                self._trial.report(self._unsent[step], step)
                del self._unsent[step]
        except optuna.exceptions.UpdateFinishedTrialError:
            self._lost = True
            self._unsent.clear()

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_s):
            self._beats += 1
            try:
                self._storage.set_trial_user_attr(self._id, BEAT, self._beats)
            except optuna.exceptions.UpdateFinishedTrialError:
                self._lost = not self._told
                return
            except AWAY:
                continue  # the grace is several beats long
