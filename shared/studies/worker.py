"""A worker of one command: it claims cells of studies until none is left, and does each."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from shared.console import say
from shared.errors import BusyError, UserError
from shared.interruption import Interruption
from shared.studies.claim import Claim, LostCellError
from shared.studies.patience import patiently
from shared.studies.search import CellT
from shared.studies.study import Study

POLL_S = 5.0
T = TypeVar("T")


class Ranks(Protocol):
    """Processes that do each cell together."""

    @property
    def count(self) -> int:
        """How many there are."""

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what `make` gives in the first process, the only one that calls it; what it raises, all raise."""


@dataclass(frozen=True)
class Done:
    """What came of a cell: the value that the study minimises, what is told of it, and whether it was ended early."""

    value: float
    row: dict[str, Any]
    pruned: bool = False


class Shop(Protocol[CellT]):
    """Where the cells of one study are done."""

    @property
    def is_single(self) -> bool:
        """Whether there is but one cell, whose failure is the command's."""

    def do(self, cell: CellT, interruption: Interruption, claim: Claim[CellT] | None) -> Done:
        """Do a cell; `claim`, of the first process alone, is told of scores on the way.

        Raises:
            UserError: the cell cannot be done.
            BusyError: another process is in its folder.
        """


@dataclass(frozen=True)
class Turn(Generic[CellT]):
    """What the first rank has decided: which cell of which study is next, or how many others have still."""

    number: int = 0
    cell: CellT | None = None
    elsewhere: int = 0
    doubtful: int = 0  # of these, whose workers may have died


class Worker(Generic[CellT]):
    """One process, or several ranks that do each cell together; the first rank alone speaks with the studies."""

    def __init__(
        self,
        shops: Sequence[Shop[CellT]],
        studies: Sequence[Study[CellT]],
        interruption: Interruption,
        ranks: Ranks,
        *,
        wait: bool,
        patient: bool | None = None,
    ) -> None:
        """Take part in studies, each with a shop of its own.

        With `wait`, a worker stays while others have cells, and takes up those of workers that die; without it until
        each of them has shown that it lives. A `patient` one waits for a cell's folder in which a process is still that
        was silent and lost the cell; None means that who waits is patient.
        """
        self.shops, self.studies, self.interruption, self.ranks, self.wait = shops, studies, interruption, ranks, wait
        self.patient = wait if patient is None else patient
        self._claim: Claim[CellT] | None = None
        self._said: set[str] = set()

    def go(self) -> None:
        """Do cells until none is left; the study knows which cannot be done.

        Raises:
            UserError: the storage cannot be used, a cell cannot be done by several ranks, or a folder is busy.
            OSError: something cannot be written.
            SystemExit: a signal asked to stop; the state is saved, and the cell is free again.
        """
        while True:
            turn = self.ranks.from_first(self._next)
            if turn.cell is not None:
                self._do(self.shops[turn.number], turn.cell)
            elif turn.doubtful or (turn.elsewhere and self.wait):
                cells = f"{turn.elsewhere} {'cell is' if turn.elsewhere == 1 else 'cells are'}"
                self._say_once(f"{cells} with other workers: waiting for them, or for what they leave behind")
                self.interruption.sleep(POLL_S)
            else:
                return

    def _next(self) -> Turn[CellT]:
        for number, study in enumerate(self.studies):
            self._claim = self._patiently(study, study.claim)
            if self._claim is not None:
                return Turn(number, self._claim.cell)
        standings = [self._patiently(study, study.standing) for study in self.studies]
        return Turn(
            elsewhere=sum(each.running for each in standings), doubtful=sum(each.doubtful for each in standings)
        )

    def _patiently(self, study: Study[CellT], call: Callable[[], T]) -> T:
        return patiently(call, f"{study.storage.name}:", sleep=self.interruption.sleep)

    def _do(self, shop: Shop[CellT], cell: CellT) -> None:
        with self._claim or nullcontext() as claim:
            try:
                done = self._when_free(shop, cell, claim)
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
                if not shop.is_single:
                    say(f"{cell.name}: {error}")
                return
            if claim is not None:
                claim.finish(done.value, done.row, pruned=done.pruned)

    def _when_free(self, shop: Shop[CellT], cell: CellT, claim: Claim[CellT] | None) -> Done:
        """Do a cell, after waiting for its folder if need be.

        Raises `BusyError`: this worker does not wait, or is of several ranks, which would wait for each other.
        """
        while True:
            try:
                return shop.do(cell, self.interruption, claim)
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
