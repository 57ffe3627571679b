"""One run: nothing is lost by kills, signals and full disks, and what goes wrong is said."""

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from long_run import STEPS, growth
from runs import CONFIG, OPTIONS, assert_same, make_run, outcome, saving_every_step, train_to_the_end, train_until
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import synth.training.run
from shared.errors import UserError
from shared.interruption import watching_signals
from stylegan2_ada import Trainer, load_networks
from stylegan2_ada.finite_steps import MAX_BAD_STEPS
from synth.training.checkpoints import Checkpoints
from synth.training.health import COLLAPSE_SPREAD
from synth.training.run_folder import RunFolder

LONG = dataclasses.replace(OPTIONS, kimg=0.2)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run that nothing disturbs leaves."""
    path = tmp_path_factory.mktemp("straight") / "run"
    train_to_the_end(path)
    return outcome(path)


class Killed(BaseException):
    """Stands for SIGKILL: from then on the process does nothing any more."""


class Death:
    """Lets the process die at its n-th operation on files, before or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.fatal = 0, -1
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, self._mortal(getattr(owner, name)))

    def _mortal(self, operation: Any) -> Any:
        def mortal(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            if 0 <= self.fatal <= self.count:
                raise Killed
            return operation(*arguments, **named)

        return mortal

    def at(self, operation: int) -> None:
        self.count, self.fatal = 0, operation


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_resume_after_a_kill_between_any_two_writes(
    tmp_path: Path, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    death = Death(monkeypatch)
    train_to_the_end(tmp_path / "count")
    operations = death.count
    assert operations > 30
    for fatal in range(5, operations + 1, every):
        path = tmp_path / f"run{fatal}"
        death.at(fatal)
        with pytest.raises(Killed):
            train_to_the_end(path)
        death.at(-1)
        train_to_the_end(path)
        assert_same(outcome(path), straight, f"killed at {fatal}")
        assert not list(path.rglob("*.part"))


def test_resume_from_a_state_that_the_clock_saved(
    tmp_path: Path, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(synth.training.run.time, "monotonic", lambda: float(next(clock)))  # a save at every step
    options = saving_every_step()
    path = tmp_path / "run"
    train_until(path, 44, options=options)  # neither a mark nor a multiple of the steps between two logs
    assert max(Checkpoints(RunFolder(path).checkpoints).nimgs()) == 40  # the state before the last step
    train_to_the_end(path, options=options)
    assert_same(outcome(path), straight)


def _signalling(name: str, at_step: int) -> Any:
    """Send this process a signal within a step."""

    def spoil(trainer: Trainer) -> None:
        step = trainer.train_step

        def train_step() -> Any:
            if trainer.step == at_step:
                os.kill(os.getpid(), getattr(signal, name))
            return step()

        trainer.train_step = train_step  # type: ignore[method-assign]

    return spoil


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 75)])
@pytest.mark.parametrize("at_step", [2, 7, 19])  # anywhere, before a mark, in the last step
def test_resume_after_a_signal(
    tmp_path: Path, straight: dict[str, Any], name: str, code: int, at_step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run"
    with watching_signals() as interruption, pytest.raises(SystemExit) as caught:
        train_to_the_end(path, interruption=interruption, spoil=_signalling(name, at_step))
    assert caught.value.code == code
    assert f"stopped by {name} and saved at 0.0" in capsys.readouterr().err
    assert max(Checkpoints(RunFolder(path).checkpoints).nimgs()) == 4 * (at_step + 1)  # within one step
    train_to_the_end(path)
    assert_same(outcome(path), straight)


def test_resume_after_a_signal_during_a_score(
    tmp_path: Path, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, calls = synth.training.run.draw, []

    def drawing(*arguments: Any, **how: Any) -> np.ndarray:
        calls.append(arguments)
        if len(calls) == 3:  # the samples of the first score came second
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(*arguments, **how)

    monkeypatch.setattr(synth.training.run, "draw", drawing)
    path = tmp_path / "run"
    with watching_signals() as interruption, pytest.raises(SystemExit):
        train_to_the_end(path, interruption=interruption)
    state = Checkpoints(RunFolder(path).checkpoints).load(32)
    assert [line["kimg"] for line in state["log"]["lines"] if "quality" in line] == [0.0]  # that score is still due
    train_to_the_end(path)
    assert_same(outcome(path), straight)


@pytest.mark.parametrize("late", [False, True])
def test_resume_after_a_signal_while_it_finishes(
    tmp_path: Path, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    """While the best network's pictures are drawn it stops; once they are it is sooner done than stopped."""
    path = tmp_path / "run"
    sure, finish = synth.training.run.certainty, synth.training.run.Run._finish

    def stopping(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return sure(*arguments)

    def finishing(run: Any) -> None:
        if late:
            monkeypatch.setattr(synth.training.run, "certainty", stopping)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        finish(run)

    monkeypatch.setattr(synth.training.run.Run, "_finish", finishing)
    with watching_signals() as interruption:
        if late:
            train_to_the_end(path, interruption=interruption)
        else:
            with pytest.raises(SystemExit) as caught:
                train_to_the_end(path, interruption=interruption)
            assert caught.value.code == 143
            assert not RunFolder(path).network.exists()
            monkeypatch.undo()
            train_to_the_end(path)
    assert_same(outcome(path), straight)


def _scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    board = EventAccumulator(str(path), {"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def test_tensorboard_after_resume_is_that_of_a_straight_run(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, checkpoint_every=0.04)
    train_to_the_end(tmp_path / "straight", options=options)
    train_until(tmp_path / "run", 76, options=options)  # the losses of 64 were written, the newest state is that of 40
    train_to_the_end(tmp_path / "run", options=options)
    assert _scalars(tmp_path / "run") == _scalars(tmp_path / "straight")


def test_fewer_kimg_end_a_run_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with watching_signals() as interruption, pytest.raises(SystemExit):
        train_to_the_end(path, options=LONG, interruption=interruption, spoil=_signalling("SIGTERM", 17))
    train_to_the_end(path, options=dataclasses.replace(LONG, kimg=0.02))
    scored = [line["kimg"] for line in RunFolder(path).read_log() if "quality" in line]
    assert scored == [0.0, 0.032, 0.064, 0.072]
    assert RunFolder(path).is_finished(0.02)
    assert not RunFolder(path).is_finished(0.08)


def _poisoned(trainer: Trainer, steps: set[int]) -> None:
    """Show NaN instead of photographs in some steps, counted over the process's life."""
    clean, step, count = trainer.images, trainer.train_step, iter(range(10**6))

    def train_step() -> Any:
        trainer.images = clean * torch.tensor(float("nan")) if next(count) in steps else clean
        return step()

    trainer.train_step = train_step  # type: ignore[method-assign]


def test_bad_steps_are_counted_and_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", spoil=lambda trainer: _poisoned(trainer, {3, 4}))
    notes = ["", *(moment.note for moment in run.go() if moment.kimg_done)]
    assert "bad" not in notes[3]
    assert notes[4].endswith(", 1 bad step")
    assert notes[5].endswith(", 2 bad steps")
    losses = [line for line in RunFolder(tmp_path / "run").read_log() if "loss_G" in line]
    assert losses[0]["bad_steps"] == 2
    assert losses[0]["not_finite"] == ["loss_D"]


def test_divergence_goes_back_once_with_other_random_numbers(
    tmp_path: Path, straight: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil = lambda trainer: _poisoned(trainer, set(range(9, 29)))  # noqa: E731
    train_to_the_end(tmp_path / "run", options=LONG, spoil=spoil)
    assert "going on from 0.032 kimg with other random numbers, this once" in capsys.readouterr().err
    ours = outcome(tmp_path / "run")
    (line,) = [line for line in ours["log"] if "rollback" in line]
    assert (line["kimg"], line["rollback"]) == (0.032, 1)
    assert line["diverged_bad_steps"] >= MAX_BAD_STEPS
    assert ours["state"]["rollbacks"] == 1
    assert not torch.equal(ours["state"]["trainer"]["generator"], straight["state"]["trainer"]["generator"])


def _failing_at(nimg: int) -> Any:
    """NaN from a number of images on, whatever happened before: it comes again after each resume."""

    def spoil(trainer: Trainer) -> None:
        clean, step = trainer.images, trainer.train_step

        def train_step() -> Any:
            trainer.images = clean * torch.tensor(float("nan")) if trainer.cur_nimg >= nimg else clean
            return step()

        trainer.train_step = train_step  # type: ignore[method-assign]

    return spoil


def test_divergence_that_comes_again_is_one_sentence(tmp_path: Path) -> None:
    for _ in range(2):  # the same command changes nothing
        with pytest.raises(UserError, match=r"lower the learning rate or raise gamma, in another --out, since .*\.$"):
            train_to_the_end(tmp_path / "run", options=LONG, spoil=_failing_at(40))


def test_resume_goes_back_as_a_straight_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States that the clock saved amid bad steps do not change where a run goes back to."""
    spoil = lambda trainer: _failing_once(trainer, 40)  # noqa: E731
    train_to_the_end(tmp_path / "straight", options=LONG, spoil=spoil)
    clock = iter(range(10**6))
    monkeypatch.setattr(synth.training.run.time, "monotonic", lambda: float(next(clock)))
    options = saving_every_step(LONG)
    for nimg in (60, 104):
        train_until(tmp_path / "run", nimg, options=options, spoil=spoil)
    train_to_the_end(tmp_path / "run", options=options, spoil=spoil)
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "straight"))


def _failing_once(trainer: Trainer, nimg: int) -> None:
    """NaN from a number of images on, until the random numbers are others."""
    clean, step = trainer.images, trainer.train_step

    def train_step() -> Any:
        ours = trainer.generator.initial_seed() == 1
        trainer.images = clean * torch.tensor(float("nan")) if ours and trainer.cur_nimg >= nimg else clean
        return step()

    trainer.train_step = train_step  # type: ignore[method-assign]


def test_a_generator_of_one_picture_has_collapsed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spoil(trainer: Trainer) -> None:
        step = trainer.train_step

        def train_step() -> Any:
            losses = step()
            if trainer.step >= 4:
                with torch.no_grad():
                    for layer in (trainer.G_ema.mapping.fc0, trainer.G_ema.mapping.fc1):
                        layer.weight.zero_()
            return losses

        trainer.train_step = train_step  # type: ignore[method-assign]

    train_to_the_end(tmp_path / "run", spoil=spoil)
    scored = [line for line in RunFolder(tmp_path / "run").read_log() if "quality" in line]
    assert [line.get("collapsed", False) for line in scored] == [False, True, True, True]
    assert scored[1]["quality"]["spread"] < 1e-6 < COLLAPSE_SPREAD
    told = capsys.readouterr().err
    assert told.count("collapse at 0.032 kimg: the pictures are nearly all alike, with 0.0% of the reals'") == 1
    assert told.count("collapse") == 1


def test_p_at_its_bound_for_long_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dataclasses.replace(CONFIG, max_p=0.5, target=-1.0, ada_kimg=0.2)  # every r_t above -1 raises p
    train_to_the_end(tmp_path / "run", config=config, options=LONG)
    log = RunFolder(tmp_path / "run").read_log()
    assert max(line["p"] for line in log if "p" in line) == 0.5
    assert [line["kimg"] for line in log if line.get("p_saturated")] == [0.128]
    assert capsys.readouterr().err.count("p has been at its bound of 0.5 for 0.05 kimg") == 1


def test_another_feature_space_is_refused(tmp_path: Path) -> None:
    train_to_the_end(tmp_path / "done")
    state = Checkpoints(RunFolder(tmp_path / "done").checkpoints)
    changed = state.load(80)
    for line in changed["log"]["lines"]:
        if "quality" in line:
            line["quality"]["extractor"] = "eyes"
    state.save(80, changed, [])
    with pytest.raises(UserError, match="its scores have extractor eyes and new ones would have pixels"):
        make_run(tmp_path / "done")


def test_the_finished_network_is_the_best_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run"
    train_to_the_end(path)
    run = make_run(path)
    best = run.log.best()
    state = run.checkpoints.load(round(best["kimg"] * 1000))["trainer"]
    G_ema = load_networks(RunFolder(path).network).G_ema.state_dict()
    assert all(torch.equal(G_ema[name], state["G_ema"][name]) for name in G_ema)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can become larger than 60 kB, which a state is: as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_resume_after_a_writer_failed(tmp_path: Path, straight: dict[str, Any], request: pytest.FixtureRequest) -> None:
    path = tmp_path / "run"
    train_until(path, 40)
    states = {state: state.read_bytes() for state in RunFolder(path).checkpoints.iterdir()}
    assert all(len(content) > 60_000 for content in states.values())
    request.getfixturevalue("small_files")
    with pytest.raises(OSError, match=r"File too large: .*state-0000000\.064\.pt"):
        train_to_the_end(path)
    assert {state: state.read_bytes() for state in RunFolder(path).checkpoints.iterdir()} == states


@pytest.mark.slow
def test_memory_stands_still(tmp_path: Path) -> None:
    """2,000 steps after the first 208 keep the new lines of the log, and nothing a step: no tensor, and no float."""
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:  # other tests' threads and caches come and go
        grown, log, tensors, resident = alone.submit(growth, tmp_path / "run").result()
    assert log > 125 * sys.getsizeof({})
    assert grown < log + sys.getsizeof(0.0) * STEPS
    assert tensors == 0
    assert resident < 16 << 20
