"""A worker of one command: it claims cells of the studies of all folds until none is left, and trains each."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

from shared.console import say
from shared.errors import UserError
from shared.interruption import Interruption
from shared.studies.claim import Claim, LostCellError
from shared.studies.patience import patiently
from shared.studies.study import Study
from synth.cells import Cell
from synth.fold_grid import FoldGrid, Result
from synth.run_folder import BusyError

POLL_S = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Turn:
    """What the first rank has decided: which cell of which grid is next, or how many others have still."""

    grid: int = 0
    cell: Cell | None = None
    elsewhere: int = 0
    doubtful: int = 0  # of these, whose workers may have died


class Worker:
    """One process, or several ranks that train each cell together; the first rank alone speaks with the studies."""

    def __init__(
        self,
        grids: Sequence[FoldGrid],
        studies: Sequence[Study[Cell]],
        interruption: Interruption,
        *,
        wait: bool,
        patient: bool,
    ) -> None:
        """Take part in the studies of some grids, one a fold.

        With `wait`, a worker stays while others have cells, and takes up those of workers that die; without it until
        each of them has shown that it lives. A `patient` one waits for a cell's folder in which a process is still that
        was silent and lost the cell.
        """
        self.grids, self.studies, self.interruption, self.wait = grids, studies, interruption, wait
        self.patient = patient
        self.ranks = grids[0].place.ranks
        self._claim: Claim[Cell] | None = None
        self._said: set[str] = set()

    def go(self) -> None:
        """Train cells until none is left; the study knows which cannot be trained.

        Raises:
            UserError: the storage cannot be used, a cell cannot be trained by several ranks, or a folder is busy.
            OSError: something cannot be written.
            SystemExit: a signal asked to stop; the state is saved, and the cell is free again.
        """
        while True:
            turn = self.ranks.from_first(self._next)
            if turn.cell is not None:
                self._train(self.grids[turn.grid], turn.cell)
            elif turn.doubtful or (turn.elsewhere and self.wait):
                cells = f"{turn.elsewhere} {'cell is' if turn.elsewhere == 1 else 'cells are'}"
                self._say_once(f"{cells} with other workers: waiting for them, or for what they leave behind")
                self.interruption.sleep(POLL_S)
            else:
                return

    def _next(self) -> Turn:
        for index, study in enumerate(self.studies):
            self._claim = self._patiently(study, study.claim)
            if self._claim is not None:
                return Turn(index, self._claim.cell)
        standings = [self._patiently(study, study.standing) for study in self.studies]
        return Turn(
            elsewhere=sum(each.running for each in standings), doubtful=sum(each.doubtful for each in standings)
        )

    def _patiently(self, study: Study[Cell], call: Callable[[], T]) -> T:
        return patiently(call, f"{study.storage.name}:", sleep=self.interruption.sleep)

    def _train(self, grid: FoldGrid, cell: Cell) -> None:
        with self._claim or nullcontext() as claim:
            try:
                result = self._when_free(grid, cell, claim)
            except LostCellError as error:
                say(str(error))
                return
            except BusyError:
                raise  # the cell is given back
            except UserError as error:
                if claim is not None:
                    claim.fail(str(error))
                if self.ranks.count > 1:  # the others have not failed, and would be waited for
                    raise
                if not grid.search.is_single:
                    say(f"{cell.name}: {error}")
                return
            if claim is not None:
                claim.finish(result.row["criterion"], result.row, pruned=result.pruned)

    def _when_free(self, grid: FoldGrid, cell: Cell, claim: Claim[Cell] | None) -> Result:
        """Train a cell, after waiting for its folder if need be.

        Raises `BusyError`: this worker does not wait, or is of several ranks, which would wait for each other.
        """
        while True:
            try:
                return grid.train(cell, self.interruption, claim)
            except BusyError as error:
                if claim is None or self.ranks.count > 1 or not self.patient:
                    raise
                claim.check()
                self._say_once(str(error))
                self.interruption.sleep(POLL_S)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            say(text)
