"""Several commands that share one grid, as on several machines: kills, late comers, and samplers."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from runs import assert_same, command_line, outcome

from shared.cohort import Cohort
from shared.errors import UserError
from shared.studies.storage import open_storage
from shared.studies.values import Range
from synth.networks.provenance import find_network
from synth.train import train
from synth.training.cells import product
from synth.training.options import TrainOptions, resolve_cells
from synth.training.run_folder import RunFolder

PATIENCE_S = 300.0
GAMMAS = ("0.1", "0.2", "0.5", "1")
CELL = product([0.1], [0.6], [0.002])


def _worker(cohort: Cohort, out: Path, *more: str) -> "subprocess.Popen[bytes]":
    assert cohort.path is not None
    gammas = [argument for gamma in GAMMAS for argument in ("--gamma", gamma)]
    arguments = [*command_line(cohort.path, out), *gammas[2:], "--kimg", "0.48", "--jobs", "1", *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "synth", *arguments], env=environment)


def _trials(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=open_storage(storage, Path()).optuna).trials


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_a_killed_worker_s_cell_goes_on_elsewhere(postgresql, cohort: Cohort, tmp_path: Path, known: bool) -> None:
    """Two workers of a grid in PostgreSQL; one is killed in the middle of a cell. To the other one it was on another
    machine, if `known` is false. Each cell is done once, and ends as it does without all this."""
    storage, out = postgresql(), tmp_path / "grid"
    grace = ["--grace", "4"] if not known else []
    shared = ["--storage", storage, "--study", "s", *grace]
    workers = [_worker(cohort, out, *shared) for _ in range(2)]
    end = time.monotonic() + PATIENCE_S
    while len([run for run in out.glob("gamma*") if list(run.glob("checkpoints/state-*.pt"))]) < 2:
        assert time.monotonic() < end
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.05)
    if not known:
        _rename_worker(storage, workers[0].pid)
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait()
    assert workers[1].wait(PATIENCE_S) == 0
    states = Counter((t.user_attrs["cell"], t.state) for t in _trials(storage, "s"))
    cells = {name for name, _ in states}
    assert len(cells) == len(GAMMAS)
    assert all(states[name, TrialState.COMPLETE] == 1 for name in cells)
    assert sum(count for (_, state), count in states.items() if state == TrialState.FAIL) == 1
    alone = tmp_path / "alone"
    assert _worker(cohort, alone).wait(PATIENCE_S) == 0
    for name in cells:
        assert_same(outcome(out / name), outcome(alone / name))
    assert find_network(out) == out / find_network(alone).relative_to(alone)


def _rename_worker(storage: str, pid: int) -> None:
    """Make one worker look as if it ran on another machine."""
    opened = open_storage(storage, Path()).optuna
    study = opened.get_study_id_from_name("s")
    (trial,) = (
        each
        for each in opened.get_all_trials(study, deepcopy=False)
        if each.state == TrialState.RUNNING and f" {pid} " in each.user_attrs["worker"]
    )
    opened.set_trial_user_attr(trial._trial_id, "worker", "elsewhere / 1 1")


def _options(options: TrainOptions, **changes) -> TrainOptions:
    return dataclasses.replace(options, **{"kimg": 0.016, "checkpoint_every": 0.008} | changes)


def test_a_finished_grid_is_left_as_it_is(options: TrainOptions, capsys: pytest.CaptureFixture[str]) -> None:
    cells = product([0.1, 0.5], [0.6], [0.002])
    train(_options(options), cells)
    before = {path: path.stat().st_mtime_ns for path in options.out.rglob("*.pt")}
    capsys.readouterr()
    train(_options(options), cells)
    assert before == {path: path.stat().st_mtime_ns for path in options.out.rglob("*.pt")}
    assert "kimg/s" not in capsys.readouterr().err


def test_a_cell_whose_folder_is_gone_is_trained_again(options: TrainOptions) -> None:
    cells = product([0.1, 0.5], [0.6], [0.002])
    train(_options(options), cells)
    network = (options.out / cells[1].name / "network.safetensors").read_bytes()
    shutil.rmtree(options.out / cells[1].name)
    train(_options(options), cells)
    assert (options.out / cells[1].name / "network.safetensors").read_bytes() == network


def test_runs_from_before_studies_are_taken_as_they_are(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = product([0.1, 0.5], [0.6], [0.002])
    train(_options(options), cells)
    (options.out / "study.db").unlink()
    capsys.readouterr()
    train(_options(options), cells)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count(": complete") == 2
    assert "kimg/s" not in said


def test_another_grid_in_the_same_folder_is_one_sentence(options: TrainOptions) -> None:
    train(_options(options), product([0.1, 0.5], [0.6], [0.002]))
    with pytest.raises(UserError, match=r"study table1 is of another grid or cohort \(cells .* there, .* asked\)"):
        train(_options(options), product([0.1, 0.2], [0.6], [0.002]))
    with pytest.raises(UserError, match=r"another configuration \(seed 0 there, 5 asked\)"):
        train(_options(options, seed=5), product([0.1, 0.5], [0.6], [0.002]))


def test_a_dry_run_refuses_what_the_run_would(options: TrainOptions, tmp_path: Path) -> None:
    """And leaves everything as it is."""
    cells = product([0.1, 0.5], [0.6], [0.002])
    train(_options(options), cells)
    dry = _options(options, dry_run=True)
    before = {path: path.stat().st_mtime_ns for path in sorted(options.out.rglob("*"))}
    with pytest.raises(UserError, match=r"cells gamma0.5_lr0.002_target0.6 only there, gamma0.2_.* only asked"):
        train(dry, product([0.1, 0.2], [0.6], [0.002]))
    train(dry, cells)
    notes = tmp_path / "notes"
    notes.write_text("mine")
    for address in (f"journal:{notes}", f"sqlite:///{notes}"):
        with pytest.raises(UserError, match=str(notes)):
            train(dataclasses.replace(dry, storage=address, out=tmp_path / "new"), cells)
    assert not (tmp_path / "new").exists()
    after = {path: path.stat().st_mtime_ns for path in sorted(options.out.rglob("*")) if ".lock" not in path.name}
    assert after == {path: time for path, time in before.items() if ".lock" not in path.name}


def test_a_folder_of_something_else_is_left_alone(options: TrainOptions) -> None:
    options.out.mkdir()
    (options.out / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty and not a grid's folder"):
        train(_options(options), product([0.1, 0.5], [0.6], [0.002]))
    assert [path.name for path in options.out.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(("sampler", "pruner", "count"), [("tpe", "none", 3), ("random", "median", 5)])
def test_a_sampler_tries_cells_in_its_ranges(
    options: TrainOptions, tmp_path: Path, sampler: str, pruner: str, count: int
) -> None:
    asked = {"cohort": options.cohort, "out": tmp_path / "s", "cfg": "tiny", "batch": 8, "quality_fakes": 16}
    asked |= {"features": "offline", "device": "cpu", "offline": True, "kimg": 0.032, "checkpoint_every": 0.016}
    asked |= {"gamma": (Range(0.05, 1.0, log=True),), "lr": (Range(0.001, 0.004),), "sampler": sampler}
    runs = train(*resolve_cells(asked | {"pruner": pruner, "budget": f"{count}cells"}))
    assert len(set(runs)) == count
    for run in runs:
        cell = RunFolder(run).read_config()["cell"]
        assert 0.05 <= cell["gamma"] <= 1
        assert 0.001 <= cell["lr"] <= 0.004
        assert cell["target"] == 0.6
    text = (tmp_path / "s" / "table1.md").read_text()
    assert text.count(f"\n| {count} |") == 2  # in both tables of ours
    assert train(*resolve_cells(asked | {"pruner": pruner, "budget": f"{count}cells"})) == runs
    assert len(train(*resolve_cells(asked | {"pruner": pruner, "budget": f"{count + 1}cells"}))) == count + 1


def test_a_cell_far_behind_is_ended_and_says_so(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a pruner that always prunes, after the first score that it is asked about."""
    monkeypatch.setattr("synth.training.search.NopPruner.prune", lambda *_: True)
    runs = train(_options(options, kimg=0.032), product([0.1, 0.5], [0.6], [0.002]))
    for run in runs:
        assert RunFolder(run).read_log()[-1]["kimg"] == 0
        assert RunFolder(run).network.exists()
    assert "ended early" in (options.out / "table1.md").read_text()
    before = [RunFolder(run).log.stat().st_mtime_ns for run in runs]
    train(_options(options, kimg=0.032), product([0.1, 0.5], [0.6], [0.002]))
    assert before == [RunFolder(run).log.stat().st_mtime_ns for run in runs]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"gamma": (Range(0.1, 1),)}, "--gamma 0.1:1: a range, which has no cells for a grid; add --sampler"),
        ({"budget": "3cells"}, "--budget: when a sampler ends"),
        ({"sampler": "tpe"}, "--sampler tpe: never ends by itself; add --budget"),
        ({"sampler": "tpe", "budget": "3cells", "cells": "paper"}, "--sampler tpe: chooses cells, and --cells lists"),
        ({"sampler": "tpe", "budget": "3"}, "--budget 3: not a budget"),
        ({"sampler": "tpe", "budget": "3cells", "seeds": (0, 1)}, "--seed: several are of a grid"),
        (
            {"sampler": "tpe", "budget": "3cells", "gamma": (Range(0.1, 1), 2.0)},
            "--gamma 0.1:1: a range and more",
        ),
        ({"sampler": "tpe", "budget": "3cells", "lr": (Range(0.1, 5),)}, "--lr 5: out of range"),
        (
            {"sampler": "tpe", "budget": "3cells"},
            "--budget 3cells: more than the 1 cell that the values make; give a range",
        ),
        ({"sampler": "tpe", "budget": "1h", "lr": (0.001, 0.002)}, "--budget 1h: more than the 2 cells"),
        ({"storage": "sqlite:///."}, "--storage sqlite:///.: not a storage for studies"),
        ({"study": "mine"}, "--study mine: names a study in --storage; give both"),
        ({"study": "", "storage": "journal"}, "--study : names a study in --storage; give both"),
        (
            {"pruner": "hyperband", "kimg": 4.0, "lr": (0.001, 0.002)},
            "--pruner hyperband: judges cells by scores on the way",
        ),
        ({"pruner": "hyperband"}, "--pruner hyperband: compares a cell with others, and there is 1 in all"),
        (
            {"pruner": "median", "lr": (0.001, 0.002)},
            "--pruner median: compares a cell with 4 others that came to their end, and there are 2 in all",
        ),
        ({"method": "projected", "gamma": (0.1, 1.0)}, "--gamma: the weight of R1, which --method projected"),
        ({"storage": "journal:"}, "--storage journal:: names no file; give"),
        ({"storage": "journal:/"}, "--storage journal:/: names no file; give"),
        ({"storage": "sqlite:////"}, "--storage sqlite:////: not a storage for studies"),
        ({"storage": "journal:/no/such.log"}, "--storage journal:/no/such.log: there is no folder /no; make it"),
        ({"storage": "sqlite:////no/such.db"}, "there is no folder /no; make it"),
        ({"pruner": "magic"}, "--pruner magic: unknown; use one of none, median, hyperband"),
        ({"sampler": "magic"}, "--sampler magic: unknown; use one of grid, tpe, random"),
        ({"grace": 0.5}, "--grace 0.5: out of range; give 1 to 100000 seconds"),
        ({"storage": "postgresql://me@127.0.0.1:1/x"}, "--storage .* cannot be used"),
    ],
)
def test_bad_searches_are_one_sentence(options: TrainOptions, asked, message: str) -> None:
    usual = {"cohort": options.cohort, "out": options.out, "cfg": "tiny", "device": "cpu", "offline": True}
    usual |= {"features": "offline", "method": "scratch", "batch": 8}
    for dry_run in (False, True):
        with pytest.raises(UserError, match=message):
            train(*resolve_cells(usual | asked | {"dry_run": dry_run}))
        assert not options.out.exists() or list(options.out.iterdir()) == []


def test_a_machine_that_would_score_in_another_space_is_refused(options: TrainOptions) -> None:
    """Before it trains, and before its folder has anything of the grid."""
    storage = f"sqlite:///{options.out.parent}/s.db"
    shared = {"storage": storage, "study": "s", "kimg": 0.008}
    train(_options(options, **shared), CELL)
    other = _options(options, **shared, features="lite1", out=options.out.parent / "other")
    with pytest.raises(UserError, match=r"study s is of another grid or cohort .*features"):
        train(other, CELL)


def test_a_cell_whose_folder_is_busy_is_waited_for(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was silent and lost the cell may be in its folder still: no trial fails for that."""
    monkeypatch.setattr("shared.studies.worker.POLL_S", 0.1)
    folder = RunFolder(options.out)
    leaving = threading.Event()

    def stay() -> None:
        with folder.claim():
            entered.set()
            leaving.wait(60)

    entered = threading.Event()
    other = threading.Thread(target=stay)
    other.start()
    entered.wait(60)
    said: list[str] = []
    monkeypatch.setattr("shared.studies.worker.say", lambda text: (said.append(text), leaving.set()))
    train(_options(options, kimg=0.008), CELL)
    other.join()
    assert "another process is training here" in said[0]
    assert [trial.state for trial in _trials(f"sqlite:///{options.out}/study.db", "table1")] == [TrialState.COMPLETE]
