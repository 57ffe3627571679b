"""Several workers of one study of Table 2: kills, signals, separate folders, and processes of one command."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from optuna.trial import TrialState
from table_studies import (
    BURSTS,
    NAMES,
    QUICK,
    SPAWN,
    begin,
    command_line,
    die,
    figures,
    fits,
    share,
    trials,
    verdicts,
    write_files,
    write_preset,
)

from classify.cli import cli
from classify.fitting.training import Training
from classify.study import study
from classify.studying.options import StudyOptions
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import UserError

PATIENCE_S = 300


@pytest.fixture
def options(tmp_path: Path, make_cohort: Callable[..., Cohort], make_bundle: Callable[..., Bundle]) -> StudyOptions:
    """A study of five cells, a moment each."""
    return write_files(tmp_path / "study", make_cohort, make_bundle)


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, make_cohort: Callable[..., Cohort], make_bundle: Callable[..., Bundle]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The verdicts and the table of one worker that nobody helped or disturbed."""
    options = write_files(tmp_path_factory.mktemp("alone") / "study", make_cohort, make_bundle)
    study(options)
    return verdicts(options.records), figures(options.table)


@pytest.fixture(params=["journal", pytest.param("postgresql", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a study of several machines may be."""
    return f"journal:{tmp_path}/j" if request.param == "journal" else request.getfixturevalue("postgresql")()


def in_place(options: StudyOptions, name: str, **changes: Any) -> StudyOptions:
    """Return the same study in a folder of another machine."""
    place = options.cohort.parent / name
    place.mkdir()
    return replace(options, out=place / "m", records=place / "r.jsonl", table=place / "t.md", **changes)


def ended(options: StudyOptions) -> Counter[tuple[str, str]]:
    """Count what became of each cell."""
    return Counter((trial.user_attrs["cell"], trial.state.name) for trial in trials(options))


ONCE = Counter((name, "COMPLETE") for name in NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True])
def test_two_workers_share_the_cells(
    options: StudyOptions, alone: tuple[Any, Any], storage: str, tmp_path: Path, apart: bool
) -> None:
    """In one folder, or in two that have nothing in common: then the tables of both have all cells."""
    shared = replace(options, storage=storage, study_name="s")
    both = [in_place(shared, name) if apart else shared for name in "ab"]
    barrier = SPAWN.Barrier(2)
    workers = [begin(share, each, barrier) for each in both]
    for worker in workers:
        worker.join(PATIENCE_S)
        assert worker.exitcode == 0
    assert ended(shared) == ONCE
    assert len({trial.user_attrs["worker"] for trial in trials(shared)}) == 2
    assert sum(len(fits(out)) for out in {each.out for each in both}) == len(NAMES)
    for each in both:
        assert verdicts(each.records) == alone[0]
        assert figures(each.table) == alone[1]


def test_a_killed_worker_s_cell_is_done_by_another(
    options: StudyOptions, alone: tuple[Any, Any], storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `kill -9` between two steps, while the other one waits for what it leaves behind."""
    shared = replace(options, storage=storage, study_name="s")
    reached, go = SPAWN.Event(), SPAWN.Event()
    victim = begin(die, shared, reached, go)
    assert reached.wait(PATIENCE_S)
    assert (options.out / NAMES[0] / "checkpoint.pt").exists()
    monkeypatch.setattr("shared.studies.worker.POLL_S", 0.1)
    monkeypatch.setattr("shared.studies.worker.say", lambda text: go.set() if "waiting for" in text else None)
    study(shared)
    victim.join(PATIENCE_S)
    assert victim.exitcode == -signal.SIGKILL
    assert ended(shared) == ONCE + Counter({(NAMES[0], "FAIL"): 1})
    assert not list(options.out.rglob("checkpoint.pt"))
    assert verdicts(options.records) == alone[0]
    assert figures(options.table) == alone[1]


def test_a_worker_that_does_not_wait_leaves_the_table_to_the_last(
    options: StudyOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    reached, go = SPAWN.Event(), SPAWN.Event()
    victim = begin(die, options, reached, go)
    assert reached.wait(PATIENCE_S)
    assert study(replace(options, wait=False)) is None
    assert "other workers still have 1 of the cells; the last one writes the table" in capsys.readouterr().err
    assert not options.table.exists()
    go.set()
    victim.join(PATIENCE_S)
    assert study(replace(options, wait=False)) is not None


def test_records_of_another_place_replace_those_of_another_fit(options: StudyOptions, tmp_path: Path) -> None:
    """A table must not mix what this place found with other settings into what the study found."""
    first = in_place(options, "a", storage=f"journal:{tmp_path}/j", study_name="s", bundles=())
    write_preset(options.cohort.parent, QUICK)
    study(first)
    write_preset(options.cohort.parent, QUICK.replace("1e-3", "2e-3"))
    second = in_place(first, "b", force=True)
    study(second)
    table = study(replace(first, force=True))  # has nothing to do: the cell is done in the other place
    assert table is not None
    assert verdicts(first.records) == verdicts(second.records)
    assert figures(first.table) == figures(second.table)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 75)])
def test_a_signal_in_a_cell_ends_it_and_the_same_command_goes_on(
    options: StudyOptions,
    alone: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    steps = []

    def step(training: Training, entries: Any) -> Any:
        steps.append(entries)
        if len(steps) == 8:
            os.kill(os.getpid(), number)
        return trained(training, entries)

    trained = Training.step
    monkeypatch.setattr(Training, "step", step)
    stopped = CliRunner().invoke(cli, command_line(options))
    assert stopped.exit_code == code
    assert "stopped; the state is saved, and the same command goes on" in stopped.stderr
    assert len(steps) == 8
    assert len(list(options.out.rglob("checkpoint.pt"))) == 1
    done = fits(options.out)
    assert 0 < len(done) < len(NAMES)
    again = CliRunner().invoke(cli, command_line(options))
    assert again.exit_code == 0, again.output
    assert f"5 cells, {5 - len(done)} to do" in again.stderr
    assert {name: at for name, at in fits(options.out).items() if name in done} == done
    assert verdicts(options.records) == alone[0]
    assert figures(options.table) == alone[1]


def test_a_signal_between_two_cells_begins_no_more(options: StudyOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example while a model is tested, which is not interrupted."""
    from classify.studying import cells as stage

    evaluate = stage.evaluate

    def interrupted(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments, **named)

    monkeypatch.setattr(stage, "evaluate", interrupted)
    with pytest.raises(SystemExit) as stopped:
        study(options)
    assert stopped.value.code == 143
    assert list(fits(options.out)) == NAMES[:1]
    states = ended(options)
    assert states[NAMES[0], "COMPLETE"] == 1
    assert states[NAMES[1], "FAIL"] == 1  # given back, before anything was fitted


@pytest.mark.slow
def test_several_processes_of_one_command(options: StudyOptions, alone: tuple[Any, Any]) -> None:
    study(replace(options, jobs=2))
    assert ended(options) == ONCE
    assert verdicts(options.records) == alone[0]
    assert figures(options.table) == alone[1]


@pytest.mark.slow
def test_a_signal_ends_all_processes_of_a_command(options: StudyOptions) -> None:
    """Each saves its state and gives its cell back; the command ends with the signal's code."""
    write_preset(options.cohort.parent, f'{QUICK}, fold = "all"'.replace("epochs = 1", "epochs = 1000000"))
    command = subprocess.Popen([sys.executable, "-m", "classify", *command_line(options, "--jobs", "2")])
    try:
        while not all((options.out / name / "config.json").exists() for name in NAMES[:2]):
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with code {command.wait(0.05)}")
        command.terminate()
        assert command.wait(PATIENCE_S) == 143
    finally:
        command.kill()
    assert {trial.state for trial in trials(options)} == {TrialState.FAIL}
    assert [trial.user_attrs["again"] for trial in trials(options)] == [True, True]
    assert len(list(options.out.rglob("checkpoint.pt"))) == 2


@pytest.mark.slow
def test_a_cell_that_fails_in_one_of_several_processes_stops_no_other(options: StudyOptions) -> None:
    rows = [f'{QUICK}, fold = "all"', f'{BURSTS}, ratio = "1:1"']
    write_preset(options.cohort.parent, *rows)
    with pytest.raises(UserError, match=r"^custom_cnn/1to1/fold0: --lr 1e\+06: the loss is no longer finite"):
        study(replace(options, jobs=2))
    assert sorted(fits(options.out)) == NAMES[:2]
    assert options.table.exists()
