"""A grid as an Optuna study: each cell is done once, by whichever worker comes first, and survives any of them.

A worker claims a cell under the lock of the storage (`shared.studies.storage`), and shows that it lives by a number
that it counts up. Optuna's own heartbeats cover neither journals nor trials that are asked for one by one, and compare
clocks. Here whoever looks on compares with nothing but what it has seen itself: when a number has stood still for the
worker's grace the worker is gone and the cell is free again; of workers on this machine that is known at once. What was
done until then is in the run folder.

Workers need not see each other's folders: what was done in another place is done. What failed is left alone by all
workers, until a command begins while no other works.
"""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any, Generic

import optuna
from optuna.trial import FrozenTrial, TrialState

from shared.console import say
from shared.errors import UserError
from shared.studies.claim import AGAIN, BEAT, CELL, ENDED, GRACE, PLACE, ROW, WORKER, Claim
from shared.studies.differences import in_words
from shared.studies.liveness import has_ended, is_here, worker_name
from shared.studies.patience import AWAY
from shared.studies.search import CellT, Search
from shared.studies.storage import Storage, reached, undamaged

BEATS_A_GRACE = 4
MAX_DEATHS = 3  # of workers of one cell, before it is left alone
AHEAD = 100  # cells that are enqueued at a time: it is done while others wait
MAX_REPEATS = 20  # of cells that are done, by a sampler whose ranges have no more
PLAN, ROUND = "plan", "round"
DIED = "its worker was not heard of any more"
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
ENQUEUED = "fixed_params"  # what Optuna keeps of a trial that was enqueued
WAY_OUT = "give another --out or --study, or the same options to go on"  # of who asks for another plan


@dataclass(frozen=True)
class Standing:
    """How far a study is: cells by what became of them."""

    done: int
    running: int
    doubtful: int  # of the running, those whose worker has not been seen to live yet
    failed: dict[str, str]  # name and reason


class Study(Generic[CellT]):
    """One study as one worker sees it."""

    def __init__(
        self,
        storage: Storage,
        name: str,
        search: Search[CellT],
        plan: dict[str, Any],
        *,
        amount: float,
        unit: str,
        seed: int,
        grace_s: float,
        place: Callable[[], str] = lambda: "",
        is_there: Callable[[CellT], bool] = lambda _: True,
        may_differ: Set[str] = frozenset(),
        helps: bool = False,
        way_out: str = WAY_OUT,
    ) -> None:
        """Open the study, or make it.

        Args:
            storage: where it is.
            name: of the study.
            search: what it tries.
            plan: what else must be the same for all workers and as long as it goes on.
            amount: how much is wanted of each cell; one that was done with less is done again.
            unit: of the amount; trials hold it under this name.
            seed: of the sampler.
            grace_s: how long a worker may be silent.
            place: returns what its folder is called by all who see it; called under the storage's lock.
            is_there: tells whether the result of a cell that was done in this place is still there; else it is done
                anew.
            may_differ: entries of the plan that need not be the same.
            helps: whether it is one of several workers of one command, which has opened the study already.
            way_out: what to do when the study has another plan.

        Raises `UserError`: the storage cannot be used, or has another study of this name.
        """
        self.storage, self.name, self.search, self.amount, self.unit = storage, name, search, amount, unit
        self._seed, self._grace_s, self._is_there = seed, grace_s, is_there
        self._worker = worker_name()
        # number of a trial -> its beat, since when it stands there, and whether it has been seen to move
        self._seen: dict[int, tuple[Any, float, bool]] = {}
        pruner = search.make_pruner(amount)
        with reached(storage.name), storage.lock():
            with undamaged(storage.name):
                self._study = optuna.create_study(
                    study_name=name, storage=storage.optuna, pruner=pruner, load_if_exists=True
                )
                self._id = storage.optuna.get_study_id_from_name(name)
            plan = plan | search.describe()
            if not _require_same(self._study, storage, plan, may_differ, way_out):
                self._study.set_user_attr(PLAN, _as_stored(plan))
            self._place = place()
            with undamaged(storage.name):
                trials = self._trials()
                # What failed before the first of the commands that work now began may be tried again.
                self._round = int(self._study.user_attrs.get(ROUND, 0))
            # What was done before is looked for; what is done from now on is there.
            self._before = {trial.number for trial in trials if trial.state.is_finished()}
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            failed = any(trial.state == TrialState.FAIL for trial in trials[self._round :])
            if failed and not helps and all(has_ended(str(trial.user_attrs.get(WORKER))) for trial in running):
                self._round = len(trials)
                self._study.set_user_attr(ROUND, self._round)

    def claim(self) -> Claim[CellT] | None:
        """Return a cell for this worker alone, None when there is none to be had (now: see `standing`).

        Raises `UserError` when another process has held the lock for long, and what the storage answers (`patiently`).
        """
        try:
            return self._claim()
        except AWAY:
            self._seen.clear()  # while the storage was away nobody could show that he lives
            raise

    def _claim(self) -> Claim[CellT] | None:
        with self.storage.lock():
            self._bury()
            self._enqueue()
            trials = self._trials()
            if not any(trial.state == TrialState.WAITING for trial in trials) and not self._may_sample(trials):
                return None
            # What was given back and is enqueued again does not count: an interruption changes no choice.
            chosen = sum(ENQUEUED not in trial.system_attrs for trial in trials)
            self._study.sampler = self.search.make_sampler(self._seed + chosen)
            trial = self._study.ask(self.search.distributions())
            cell = self._cell(trial.params)
            number = self.storage.optuna.get_trial_id_from_study_id_trial_number(self._id, trial.number)
            claim = Claim(cell, self._study, trial, number, self.storage.optuna, self._grace_s / BEATS_A_GRACE)
            about = {CELL: cell.name, WORKER: self._worker, GRACE: self._grace_s, PLACE: self._place}
            for name, value in (about | {self.unit: self.amount}).items():
                trial.set_user_attr(name, value)
        return claim

    def standing(self) -> Standing:
        """Return how far the study is; what the storage answers is passed on (`patiently`)."""
        trials = self._trials()
        states = self._states(trials)
        return Standing(
            done=sum(state == "done" for state, _ in states.values()),
            running=sum(state in ("waiting", "running") for state, _ in states.values()),
            doubtful=sum(trial.state == TrialState.RUNNING and not self._lives(trial) for trial in trials),
            failed={name: reason for name, (state, reason) in states.items() if state == "failed"},
        )

    def left(self) -> int:
        """Return how many cells are not done yet; of a sampler at most as many as its budget may allow."""
        with reached(self.storage.name):
            trials = self._trials()
        open_cells = sum(state in ("free", "waiting", "running") for state, _ in self._states(trials).values())
        return open_cells + (self.search.most_cells if self._may_sample(trials) else 0)

    def rows(self) -> list[dict[str, Any]]:
        """Return what was told of each cell that is done, the last time that it was."""
        with reached(self.storage.name):
            trials = self._trials()
        last = {trial.user_attrs[CELL]: trial.user_attrs[ROW] for trial in trials if trial.state in DONE}
        return [last[name] for name in self._names(trials) if name in last]

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _names(self, trials: list[FrozenTrial]) -> list[str]:
        """Return the names of all cells: of the grid, or of what was chosen so far."""
        if not self.search.chooses:
            return [cell.name for cell in self.search.cells]
        return list(dict.fromkeys(name for trial in trials if (name := self._name(trial)) is not None))

    def _name(self, trial: FrozenTrial) -> str | None:
        """Return the name of a trial's cell; None when its worker was killed before it had chosen one."""
        if CELL in trial.user_attrs:
            return str(trial.user_attrs[CELL])
        cell = self.search.cell_of(trial.params)
        return None if cell is None else cell.name

    def _cell(self, params: dict[str, Any]) -> CellT:
        """Return the cell of a trial that was asked for, and so has all values."""
        cell = self.search.cell_of(params)
        assert cell is not None
        return cell

    def _states(self, trials: list[FrozenTrial]) -> dict[str, tuple[str, str]]:
        """Return what became of each cell, by name."""
        by_name: dict[str | None, list[FrozenTrial]] = defaultdict(list)
        for trial in trials:
            by_name[self._name(trial)].append(trial)
        return {name: self._state(by_name[name]) for name in self._names(trials)}

    def _state(self, own: list[FrozenTrial]) -> tuple[str, str]:
        """Return what its trials say of a cell ("waiting", "running", "done", "failed", "free"), and why it failed."""
        for state, word in ((TrialState.WAITING, "waiting"), (TrialState.RUNNING, "running")):
            if any(trial.state == state for trial in own):
                return word, ""
        last = next((trial for trial in reversed(own) if trial.state in DONE), None)
        if last is not None and last.user_attrs[self.unit] >= self.amount and self._has_result(last):
            return "done", ""
        failed = [t.user_attrs for t in own if t.state == TrialState.FAIL and t.number >= self._round]
        final = next((about for about in failed if about.get(AGAIN) is False), None)
        if final is not None:
            return "failed", str(final.get(ENDED))
        deaths = sum(about.get(ENDED) == DIED for about in failed)
        return ("failed", f"{deaths} times {DIED}") if deaths >= MAX_DEATHS else ("free", "")

    def _has_result(self, trial: FrozenTrial) -> bool:
        elsewhere = trial.user_attrs.get(PLACE) != self._place
        return elsewhere or trial.number not in self._before or self._is_there(self._cell(trial.params))

    def _lives(self, trial: FrozenTrial) -> bool:
        """Tell whether a cell is being done, as far as is known: by a process that is here, or was seen to beat."""
        if trial.state != TrialState.RUNNING:
            return False
        worker = str(trial.user_attrs.get(WORKER))
        return (is_here(worker) and not has_ended(worker)) or self._seen.get(trial.number, (None, 0.0, False))[2]

    def _bury(self) -> None:
        """Free the cells of workers that have been silent for too long."""
        now = time.monotonic()
        for trial in self._trials():
            if trial.state != TrialState.RUNNING:
                continue
            worker = str(trial.user_attrs.get(WORKER))
            sign = (worker, trial.user_attrs.get(BEAT))
            seen, since, _ = self._seen.setdefault(trial.number, (sign, now, False))
            if seen != sign:
                self._seen[trial.number] = (sign, now, True)
            silent = seen == sign and now - since > float(trial.user_attrs.get(GRACE, self._grace_s))
            if silent or has_ended(worker):
                # It may tell its result this very moment: then the cell is done, and nothing died.
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
                    number = self.storage.optuna.get_trial_id_from_study_id_trial_number(self._id, trial.number)
                    self.storage.optuna.set_trial_user_attr(number, ENDED, DIED)
                    self._study.tell(trial.number, state=TrialState.FAIL)
                    say(f"{self._name(trial)}: {DIED} ({worker.split()[0]}); the cell is free again")

    def _enqueue(self) -> None:
        """Enqueue every cell that is neither done nor under way: at first all of them."""
        trials = self._trials()
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        free = [name for name, (state, _) in self._states(trials).items() if state == "free"]
        for name in free[: max(AHEAD - waiting, 0)]:
            cell = self._named(name, trials)
            self._study.enqueue_trial(self.search.params_of(cell), user_attrs={CELL: name})

    def _named(self, name: str, trials: list[FrozenTrial]) -> CellT:
        same = (cell for cell in self.search.cells if cell.name == name)
        return next(same, None) or next(self._cell(t.params) for t in trials if t.params and self._name(t) == name)

    def _may_sample(self, trials: list[FrozenTrial]) -> bool:
        """Tell whether the budget allows a sampler one more cell."""
        if not self.search.chooses:
            return False
        done = [trial for trial in trials if trial.state in DONE]
        if len(done) - len({self._name(trial) for trial in done}) >= MAX_REPEATS:
            return False
        rows = [trial.user_attrs[ROW] for trial in done]
        return self.search.allows(len(self._names(trials)), rows, self.amount)


def require_same_plan(
    storage: Storage,
    name: str,
    plan: dict[str, Any],
    may_differ: Set[str] = frozenset(),
    way_out: str = WAY_OUT,
) -> None:
    """Raise `UserError` when the storage has a study of this name with another plan."""
    with reached(storage.name):
        if name in optuna.get_all_study_names(storage.optuna):
            with undamaged(storage.name):
                study = optuna.load_study(study_name=name, storage=storage.optuna)
            _require_same(study, storage, plan, may_differ, way_out)


def _require_same(
    study: optuna.Study, storage: Storage, plan: dict[str, Any], may_differ: Set[str], way_out: str
) -> bool:
    """Tell whether the study has a plan at all; raise `UserError` when it is another one."""
    with undamaged(storage.name):
        stored = study.user_attrs.get(PLAN)
    different = "" if stored is None else in_words(stored, _as_stored(plan), may_change=may_differ)
    if different:
        raise UserError(
            f"{storage.name}: study {study.study_name} is of another grid or cohort ({different}); {way_out}."
        )
    return stored is not None


def _as_stored(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan as it is read back."""
    stored: dict[str, Any] = json.loads(json.dumps(plan))
    return stored


def forget_other_plan(storage: Storage, name: str, plan: dict[str, Any]) -> None:
    """Delete the study of this name when it has another plan: what was done for it stays where it is.

    Raises `UserError`: the storage cannot be used.
    """
    with reached(storage.name), storage.lock():
        if name not in optuna.get_all_study_names(storage.optuna):
            return
        with undamaged(storage.name):
            stored = optuna.load_study(study_name=name, storage=storage.optuna).user_attrs.get(PLAN)
        if stored is not None and in_words(stored, _as_stored(plan), may_change=frozenset()):
            optuna.delete_study(study_name=name, storage=storage.optuna)
