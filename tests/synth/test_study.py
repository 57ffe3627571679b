"""A study: whoever takes part and dies, every cell is done once, on every storage."""

import contextlib
import json
import multiprocessing
import os
import signal
from collections import Counter
from types import SimpleNamespace
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import TrialState
from studies import CELLS, GRID, PLAN, claim_and_hang, do_all, open_study, take_part, trials
from waiting import until

from shared.errors import UserError
from shared.studies.claim import BEAT, CELL, LostCellError
from shared.studies.study import MAX_REPEATS
from shared.studies.values import Budget, Range
from synth.training.cells import Cell, product
from synth.training.search import Search

SPAWN = multiprocessing.get_context("spawn")


def test_a_grid_is_done_once_and_in_order(address):
    study = open_study(address)
    assert do_all(study) == [cell.name for cell in CELLS]
    assert study.standing().done == len(CELLS)
    assert do_all(open_study(address)) == []
    assert [row["cell"] for row in study.rows()] == [cell.name for cell in CELLS]
    found = trials(address)
    assert [(t.params["gamma"], t.params["target"], t.params["lr"]) for t in found] == [
        (cell.gamma, cell.target, cell.lr) for cell in CELLS
    ]
    assert all(t.state == TrialState.COMPLETE and t.value == 1.0 for t in found)


def test_workers_that_begin_at_once_share_a_grid(address):
    """Without a lock of our own SQLite gives the same trial to two of them."""
    go, names = SPAWN.Event(), SPAWN.Queue()
    workers = [SPAWN.Process(target=take_part, args=(address, go, names)) for _ in range(4)]
    for worker in workers:
        worker.start()
    go.set()
    done = [name for _ in workers for name in names.get(timeout=120)]
    for worker in workers:
        worker.join()
    assert Counter(done) == Counter(cell.name for cell in CELLS)
    assert len(trials(address)) == len(CELLS)


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed for those who look at others here."""
    now = [0.0]
    monkeypatch.setattr("shared.studies.study.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def beat_of(address, cell):
    return next(t.user_attrs.get(BEAT) for t in trials(address) if t.user_attrs.get(CELL) == cell.name)


@pytest.mark.parametrize("known", [True, False])
def test_a_killed_workers_cell_is_taken_up(address, monkeypatch, clock, known):
    """At once on the machine where it was killed; elsewhere once it has been silent for long enough."""
    if not known:
        monkeypatch.setattr("shared.studies.study.has_ended", lambda _: False)
    claimed = SPAWN.Event()
    worker = SPAWN.Process(target=claim_and_hang, args=(address, claimed))
    worker.start()
    assert claimed.wait(60)
    study = open_study(address, grace_s=1.0)
    rest = do_all(study)
    assert rest == [cell.name for cell in CELLS[1:]]
    assert study.claim() is None
    beats = beat_of(address, CELLS[0])
    until(lambda: beat_of(address, CELLS[0]) != beats)
    clock[0] += 10
    assert study.claim() is None  # it lives, and beats
    assert study.standing().running == 1
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    if not known:
        assert study.claim() is None
        clock[0] += 1.1
    assert do_all(study) == [CELLS[0].name]
    states = Counter(t.state for t in trials(address))
    assert states == {TrialState.COMPLETE: len(CELLS), TrialState.FAIL: 1}
    dead = next(t for t in trials(address) if t.state == TrialState.FAIL)
    assert dead.intermediate_values == {1000: 3.0}


def test_a_worker_that_was_asleep_learns_that_its_cell_is_gone(address, clock):
    asleep = open_study(address, grace_s=8.0).claim()  # its first beat would come after 2 s
    study = open_study(address)
    done = do_all(study)
    clock[0] += 8.1
    done += do_all(study)
    assert sorted(done) == sorted(cell.name for cell in CELLS)
    with asleep:
        asleep.check()  # it cannot know yet
        asleep.report(1000, 1.0)
        with pytest.raises(LostCellError, match="another worker has it"):
            asleep.check()
        asleep.finish(7.0, {"cell": "wrong", "seconds": 0.0})
    assert all(row["cell"] != "wrong" for row in study.rows())
    assert study.standing().done == len(CELLS)


def test_a_cell_that_was_given_back_is_next_and_one_that_failed_is_left_alone(address):
    study = open_study(address)
    with pytest.raises(SystemExit), study.claim() as claim:
        raise SystemExit(143)
    with study.claim() as claim:
        claim.fail("it diverged")
    assert claim.cell == CELLS[1]
    assert sorted(do_all(study)) == sorted(cell.name for cell in CELLS if cell != CELLS[1])
    assert study.standing().failed == {CELLS[1].name: "it diverged"}
    assert do_all(open_study(address)) == [CELLS[1].name]  # a new command tries it again


def test_what_failed_is_left_alone_by_commands_that_join(address):
    """Only one that begins while no other works tries it again, and none of the workers of one command does."""
    first = open_study(address)
    with first.claim() as claim:
        claim.fail("it diverged")
    assert first.standing().failed == {CELLS[0].name: "it diverged"}
    with first.claim() as claim:
        joins = open_study(address)
        assert do_all(joins) == [cell.name for cell in CELLS[2:]]
        claim.give_back("stopped")
    assert do_all(open_study(address, helps=True)) == [CELLS[1].name]
    assert do_all(open_study(address)) == [CELLS[0].name]


def test_cells_that_were_done_in_another_place_are_done(address):
    """A machine that joins late, or begins again, has no files of the others."""
    here, elsewhere = ({"place": lambda name=name: name, "is_there": lambda _: False} for name in ("here", "elsewhere"))
    assert do_all(open_study(address, **here)) == [cell.name for cell in CELLS]
    late = open_study(address, **elsewhere)
    assert do_all(late) == []
    assert len(late.rows()) == len(CELLS)
    assert do_all(open_study(address, **here)) == [cell.name for cell in CELLS]  # its files were removed


def test_a_result_that_is_told_while_its_worker_is_given_up_counts(tmp_path, monkeypatch, clock):
    address = f"sqlite:///{tmp_path}/study.db"
    late = open_study(address, grace_s=1.0).claim()
    study = open_study(address)
    tell = study._study.tell

    def telling(number, *values, **named):
        if number == late.number:
            late.finish(5.0, {"cell": late.cell.name, "seconds": 1.0})
        return tell(number, *values, **named)

    study.claim().give_back("stopped")  # the first look
    clock[0] += 1.1
    monkeypatch.setattr(study._study, "tell", telling)
    done = do_all(study)
    assert late.cell.name not in done
    assert study.standing().done == len(CELLS)
    assert trials(address)[late.number].value == 5.0


def test_a_sampler_that_has_only_done_cells_left_ends(tmp_path):
    """A range of which the names of cells tell no two numbers apart."""
    axes = {"gamma": Range(0.1, 0.1 + 1e-9, log=False), "target": (0.6,), "lr": (0.002,)}
    search = Search(axes=axes, sampler="random", budget=Budget(cells=3))
    study = open_study(f"sqlite:///{tmp_path}/study.db", search)
    assert set(do_all(study)) == {"gamma0.1_lr0.002_target0.6"}
    assert len(trials(f"sqlite:///{tmp_path}/study.db")) == MAX_REPEATS + 1


def test_many_cells_are_enqueued_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.studies.study.AHEAD", 2)
    address = f"sqlite:///{tmp_path}/study.db"
    study = open_study(address)
    first = study.claim()
    assert len(trials(address)) == 2
    first.give_back("stopped")
    assert sorted(do_all(study)) == sorted(cell.name for cell in CELLS)


def test_whoever_does_not_wait_stays_until_all_others_have_shown_that_they_live(tmp_path):
    """A worker on another machine may have died; one that beats is alive, and so is a process that is here."""
    address = f"sqlite:///{tmp_path}/study.db"
    with open_study(address, Search(cells=CELLS[:1]), grace_s=1.0).claim() as claim:
        here = open_study(address, Search(cells=CELLS[:1]))
        assert here.claim() is None
        assert (here.standing().running, here.standing().doubtful) == (1, 0)
        there = open_study(address, Search(cells=CELLS[:1]))
        with pytest.MonkeyPatch.context() as elsewhere:
            elsewhere.setattr("shared.studies.study.is_here", lambda _: False)
            elsewhere.setattr("shared.studies.study.has_ended", lambda _: False)
            assert there.claim() is None
            assert there.standing().doubtful == 1
            until(lambda: there.claim() is not None or not there.standing().doubtful)
            assert there.claim() is None
        claim.give_back("stopped")


def test_a_cell_whose_workers_always_die_is_left_alone(tmp_path, clock):
    study = open_study(f"sqlite:///{tmp_path}/study.db", Search(cells=CELLS[:1]), grace_s=1.0)
    for _ in range(3):
        assert study.claim() is not None  # and is never heard of again
        assert study.claim() is None
        clock[0] += 1.1
    assert study.claim() is None
    assert study.standing().doubtful == 0
    assert "3 times its worker was not heard of" in study.standing().failed[CELLS[0].name]


def test_more_kimg_and_a_lost_result_do_a_cell_again(address):
    do_all(open_study(address))
    assert do_all(open_study(address, kimg=5.0)) == []
    gone = CELLS[2]
    assert do_all(open_study(address, is_there=lambda cell: cell != gone))[:1] == [gone.name]
    longer = open_study(address, kimg=20.0)
    assert do_all(longer) == [cell.name for cell in CELLS]
    assert len(longer.rows()) == len(CELLS)


@pytest.mark.parametrize(
    ("search", "plan", "named"),
    [
        (Search(cells=CELLS[:5]), PLAN, "cells"),
        (GRID, PLAN | {"cohort": "def"}, "cohort abc there, def asked"),
        (Search(axes={"gamma": Range(0.1, 1)}, sampler="tpe"), PLAN, "sampler grid there, tpe asked"),
    ],
)
def test_another_grid_or_cohort_is_refused(address, search, plan, named):
    open_study(address)
    with pytest.raises(UserError, match="of another grid or cohort") as error:
        open_study(address, search, plan=plan)
    assert named in str(error.value)


AXES = {"gamma": Range(0.05, 1.0, log=True), "target": (0.5, 0.6), "lr": Range(0.001, 0.004)}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_sampler_stays_in_its_ranges_until_the_budget_is_used_up(address, sampler):
    search = Search(axes=AXES, sampler=sampler, budget=Budget(cells=7))
    study = open_study(address, search)
    assert len(do_all(study)) == 7
    points = [tuple(t.params.values()) for t in trials(address)]
    assert len(set(points)) == 7
    for gamma, target, lr in points:
        assert 0.05 <= gamma <= 1
        assert target in (0.5, 0.6)
        assert 0.001 <= lr <= 0.004
    assert do_all(open_study(address, search)) == []


def test_a_sampled_cell_that_was_stopped_goes_on_as_it_was(address):
    search = Search(axes=AXES, sampler="random", budget=Budget(cells=2))
    study = open_study(address, search)
    with contextlib.suppress(SystemExit), study.claim() as first:
        raise SystemExit(143)
    done = do_all(open_study(address, search))
    assert done[0] == first.cell.name
    assert len(done) == 2


def test_hours_and_kimg_are_budgets_too(tmp_path):
    for number, budget in enumerate((Budget(amount=25.0, unit="kimg"), Budget(hours=3.5 / 3600))):
        address = f"sqlite:///{tmp_path}/{number}.db"
        search = Search(axes=AXES, sampler="random", budget=budget)
        assert len(do_all(open_study(address, search))) == (3 if number == 0 else 4)  # 10 kimg and 1 s a cell


def test_the_median_pruner_ends_what_is_far_behind(address):
    study = open_study(address, Search(cells=CELLS, pruner="median"))
    pruned = []
    for value in (1.0, 1.0, 1.0, 1.0, 9.0, 0.5):
        with study.claim() as claim:
            for step in (1000, 2000, 3000):
                claim.report(step, value)
            pruned.append(claim.should_prune())
            claim.finish(value, {"cell": claim.cell.name, "seconds": 1.0}, pruned=pruned[-1])
    assert pruned == [False, False, False, False, True, False]
    assert study.standing().done == len(CELLS)
    assert study.claim() is None
    assert trials(address)[4].state == TrialState.PRUNED


def test_hyperband_ends_all_but_a_third(tmp_path):
    """Nine cells of nine scores in one bracket that begins with the first score: worse ones later never go on."""
    cells = product([0.1 * (1 + index) for index in range(30)], [0.6], [0.002])
    search = Search(cells=cells, pruner="hyperband")
    study = open_study(f"sqlite:///{tmp_path}/study.db", search, kimg=9.0)
    scores = []
    for value in range(30):  # each is worse than all before
        with study.claim() as claim:
            for step in range(1, 10):
                claim.report(1000 * step, float(value))
                pruned = step < 9 and claim.should_prune()
                if pruned:
                    break
            scores.append(step)
            claim.finish(value, {"cell": claim.cell.name, "seconds": 1.0}, pruned=pruned)
    assert scores[0] == 9
    assert all(step in (1, 3, 9) for step in scores)  # only at rungs
    assert 0 < sum(step == 9 for step in scores) < 20
    assert sum(step == 1 for step in scores) > 5


def test_scores_wait_for_a_storage_that_does_not_answer(tmp_path, monkeypatch):
    study = open_study(f"sqlite:///{tmp_path}/study.db", Search(cells=CELLS[:1]))
    claim = study.claim()
    storage = study.storage.optuna
    answers, away = storage.set_trial_intermediate_value, iter([True, True, False, False, False])

    def flaky(*arguments):
        if next(away):
            raise optuna.exceptions.StorageInternalError("away")
        return answers(*arguments)

    monkeypatch.setattr(storage, "set_trial_intermediate_value", flaky)
    with claim:
        claim.report(1000, 3.0)
        claim.report(2000, 2.0)
        claim.finish(2.0, {"cell": "x", "seconds": 1.0})
    assert trials(f"sqlite:///{tmp_path}/study.db")[0].intermediate_values == {1000: 3.0, 2000: 2.0}


def test_a_cell_of_a_sampler_has_a_folder_of_its_own():
    names = {Cell(gamma=0.1 + 1e-4 * i, target=0.6, lr=0.002).name for i in range(10)}
    assert len(names) == 10


def _as_the_library_opens(address):
    """Return what `optuna-dashboard` makes of the address, and what closes it."""
    if address.startswith("journal:"):
        backend = optuna.storages.journal.JournalFileBackend(address.removeprefix("journal:"))
        return optuna.storages.JournalStorage(backend), lambda: None
    storage = optuna.storages.RDBStorage(address.replace("postgresql:", "postgresql+psycopg:"))
    return storage, storage.engine.dispose


def test_the_dashboard_opens_a_study_as_it_is(address):
    """What its page asks for, while one cell is done and one is being trained."""
    dashboard = pytest.importorskip("optuna_dashboard")
    study = open_study(address)
    with study.claim() as first:
        first.report(1000, 3.0)
        first.finish(2.0, {"cell": first.cell.name, "seconds": 1.0})
    with study.claim():
        plain, close = _as_the_library_opens(address)
        app = dashboard.wsgi(plain)

        def ask(path):
            environ = {"PATH_INFO": path}
            setup_testing_defaults(environ)
            answers = []
            body = b"".join(app(environ, lambda status, *_: answers.append(status)))
            assert answers == ["200 OK"]
            return json.loads(body)

        (summary,) = ask("/api/studies")["study_summaries"]
        shown = ask(f"/api/studies/{summary['study_id']}")["trials"]
        close()
    assert [trial["state"] for trial in shown] == ["Complete", "Running"] + ["Waiting"] * (len(CELLS) - 2)
    assert shown[0]["values"] == [2.0]
    assert shown[0]["intermediate_values"] == [{"step": 1000, "value": 3.0}]
    for trial, cell in zip(shown, CELLS, strict=True):
        given = {each["name"]: float(each["param_external_value"]) for each in trial["fixed_params"]}
        assert given == {"gamma": cell.gamma, "target": cell.target, "lr": cell.lr}
