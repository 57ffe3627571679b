"""Searches that are interrupted, or shared by several workers."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from searches import LONG, PATIENCE_S, found, interrupting, share, trials_of, write_search
from table_studies import SPAWN, begin

from classify.fitting.training import Training
from classify.tune import tune
from classify.tuning.options import TuneOptions
from shared.cohort import Cohort


@pytest.fixture
def options(make_cohort: Callable[..., Cohort], tmp_path: Path) -> TuneOptions:
    """A search of three trials, a moment each."""
    return write_search(tmp_path, make_cohort)


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("random", marks=pytest.mark.slow)])
def test_an_interrupted_search_goes_on_to_the_same_trials(
    options: TuneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """In the middle of an epoch of one trial, and of another one; the pruner judges both as if nothing had been."""
    whole, broken = (replace(options, out=tmp_path / name, sampler=sampler, **LONG) for name in ("a", "b"))
    tune(whole)
    monkeypatch.setattr(Training, "step", interrupting(Training.step, {8, 53}))
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            tune(broken)
        assert stopped.value.code == 143
    tune(broken)
    assert found(broken.out) == found(whole.out)
    assert not list(tmp_path.rglob("checkpoint.pt"))
    epochs = {row["name"]: row["epochs"] for row in found(broken.out)["trials"]}
    for trial in trials_of(broken):
        if trial.state != TrialState.FAIL:  # what another trial told before it was interrupted counts for this one
            assert list(trial.intermediate_values) == list(range(1, epochs[trial.user_attrs["cell"]] + 1))


def test_a_trial_that_is_ended_and_interrupted_at_once_stays_ended(
    options: TuneOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes in the epoch after which the pruner would not let it go on."""
    score, scored = Training.score, []

    def interrupted(*arguments: Any) -> Any:
        scored.append(arguments)
        if len(scored) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return score(*arguments)

    monkeypatch.setattr(Training, "score", interrupted)
    monkeypatch.setattr("classify.tuning.search.NopPruner.prune", lambda _, study, trial: trial.last_step == 2)
    few = replace(options, epochs=4, budget="1cells")
    with pytest.raises(SystemExit):
        tune(few)
    tune(few)
    assert [(row["epochs"], row["pruned"]) for row in found(options.out)["trials"]] == [(2, True)]


def test_a_state_of_other_settings_is_not_taken_up(
    options: TuneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a search left that was interrupted, when its study is gone and another one has a trial of the same name."""
    monkeypatch.setattr(Training, "step", interrupting(Training.step, {2}))
    with pytest.raises(SystemExit):
        tune(options)
    assert list(options.out.rglob("checkpoint.pt"))
    (options.out / "study.db").unlink()
    other = replace(options, batch=16)
    tune(other)
    tune(replace(other, out=tmp_path / "fresh"))
    assert found(other.out) == found(tmp_path / "fresh")


@pytest.mark.slow
def test_two_workers_share_the_trials(options: TuneOptions, tmp_path: Path) -> None:
    """From folders that have nothing in common; the ranking of each has all trials."""
    shared = replace(options, budget="4cells", storage=f"journal:{tmp_path}/j", study_name="s")
    both = [replace(shared, out=tmp_path / name) for name in "ab"]
    barrier = SPAWN.Barrier(2)
    workers = [begin(share, each, barrier) for each in both]
    for worker in workers:
        worker.join(PATIENCE_S)
        assert worker.exitcode == 0
    trials = trials_of(shared, "s")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2
    assert found(both[0].out) == found(both[1].out)
    assert len(found(both[0].out)["trials"]) == 4


@pytest.mark.slow
def test_several_processes_of_one_command(options: TuneOptions) -> None:
    tune(replace(options, jobs=2, budget="4cells"))
    assert [trial.state for trial in trials_of(options)] == [TrialState.COMPLETE] * 4
    assert len(found(options.out)["trials"]) == 4
