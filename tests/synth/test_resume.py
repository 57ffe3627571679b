"""`synth train` in processes that are really killed, and on a disk that is really full."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import pytest
from runs import assert_same, command_line, outcome, run_command

from shared.cohort import Cohort
from synth.training.checkpoints import Checkpoints
from synth.training.run_folder import RunFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and mounts are POSIX")
POLL_S = 2e-4


class Running(Protocol):
    """A process that works."""

    pid: int

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, None while it still runs."""


Start = Callable[[list[str], Path], Running]


class _Forked:
    """`synth` in a fork of a server that has imported everything already."""

    def __init__(self, arguments: list[str], told: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["synth.train", "timm", "matplotlib.pyplot"])
        self.process: BaseProcess = context.Process(target=run_command, args=(arguments, told))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def wait(self, timeout_s: float) -> int | None:
        self.process.join(timeout_s)
        return self.process.exitcode


class _Launched:
    """`python -m synth`, as a user starts it."""

    def __init__(self, arguments: list[str], told: Path) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with told.open("a") as stream:
            self.process = subprocess.Popen([sys.executable, "-m", "synth", *arguments], stderr=stream, env=environment)
        self.pid = self.process.pid

    def wait(self, timeout_s: float) -> int | None:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told.txt"


def _cohort_path(cohort: Cohort) -> Path:
    assert cohort.path is not None
    return cohort.path


@dataclass(frozen=True)
class Straight:
    """A run that nothing disturbed."""

    outcome: dict[str, Any]
    lasts_s: float


@pytest.fixture(scope="module")
def straight(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    path = tmp_path_factory.mktemp("straight")
    start_s = time.monotonic()
    _finish(_Forked, command_line(_cohort_path(cohort), path / "run"), path / "told.txt")
    return Straight(outcome(path / "run"), time.monotonic() - start_s)


def _finish(start: Start, arguments: list[str], told: Path) -> None:
    assert start(arguments, told).wait(300) == 0, told.read_text()


def _kill(running: Running, run: Path, moment_s: float | None) -> bool | None:
    """Kill after `moment_s`, or with None while a state is being written.

    Returns whether a part of a file was left, None when the process ended before.
    """
    start_s = time.monotonic()
    writing = RunFolder(run).checkpoints
    while running.wait(0) is None:
        if moment_s is None:
            now = _stopped_amid(running, writing)
        else:
            now = time.monotonic() - start_s >= moment_s
        if now:
            os.kill(running.pid, signal.SIGKILL)
            if running.wait(60) != -signal.SIGKILL:
                return None
            return any(run.rglob(".*.part"))
        time.sleep(POLL_S)
    return None


def _stopped_amid(running: Running, writing: Path) -> bool:
    """Stop the process if it is writing a state, and tell whether it was caught at that."""

    def is_seen() -> bool:
        return next(writing.glob(".state-*.part"), None) is not None

    if not is_seen():
        return False
    os.kill(running.pid, signal.SIGSTOP)
    _until_stopped(running.pid)
    if is_seen():
        return True
    os.kill(running.pid, signal.SIGCONT)
    return False


def _until_stopped(pid: int) -> None:
    """Wait until SIGSTOP has arrived, where the system tells it."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        time.sleep(0.05)
        return
    while stat.read_text().rpartition(")")[2].split()[0] not in "TtZX":
        time.sleep(POLL_S)


def _killed_until_done(
    start: Start, arguments: list[str], told: Path, run: Path, kills: int, lasts_s: float
) -> list[bool]:
    """Start, kill and start again, `kills` times if the run lasts, then to its end.

    The first kill is amid a write: on a busy machine all writes can pass between two looks, and the run is begun anew.
    """
    dice = random.Random(os.environ.get("RARESCREEN_KILLS", "0"))  # another seed kills at other moments
    parts: list[bool] = []
    for number in range(kills):
        moment_s = dice.uniform(0, lasts_s) if number % 2 else None
        left = _kill(start(arguments, told), run, moment_s)
        for _ in range(20):
            if number or left is not None:
                break
            shutil.rmtree(run)
            left = _kill(start(arguments, told), run, moment_s)
        if left is None:
            break
        parts.append(left)
    _finish(start, arguments, told)
    return parts


@pytest.mark.parametrize(
    ("start", "kills"), [(_Forked, 3), pytest.param(_Launched, 14, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_resume_after_random_kills(
    cohort: Cohort, straight: Straight, tmp_path: Path, told: Path, start: Start, kills: int
) -> None:
    """SIGKILL at random moments and amid checkpoint writes: every tensor, loss and picture ends with the same bits."""
    run = tmp_path / "run"
    arguments = command_line(_cohort_path(cohort), run)
    parts = _killed_until_done(start, arguments, told, run, kills, straight.lasts_s)
    assert parts
    assert parts[0]  # the first kill waits for a write
    assert "Traceback" not in told.read_text()
    assert_same(outcome(run), straight.outcome)
    assert not list(run.rglob(".*.part"))


@pytest.mark.slow
def test_resume_after_a_signal_to_the_command(cohort: Cohort, straight: Straight, tmp_path: Path, told: Path) -> None:
    run = tmp_path / "run"
    arguments = command_line(_cohort_path(cohort), run)
    for name, code in (("SIGUSR1", 75), ("SIGTERM", 143), ("SIGINT", 130)):
        running = _Forked(arguments, told)
        before = _newest(run)
        while _newest(run) <= before:  # it trains
            assert running.wait(POLL_S) is None, told.read_text()
        os.kill(running.pid, getattr(signal, name))
        assert running.wait(60) == code
        assert told.read_text().splitlines()[-1].startswith(f"{run}: stopped by {name} and saved at ")
    _finish(_Forked, arguments, told)
    assert_same(outcome(run), straight.outcome)


def _newest(run: Path) -> int:
    return max(Checkpoints(RunFolder(run).checkpoints).nimgs(), default=-1)


def test_a_second_process_is_refused_and_a_dead_one_is_not_in_the_way(
    cohort: Cohort, tmp_path: Path, told: Path
) -> None:
    run = tmp_path / "run"
    arguments = command_line(_cohort_path(cohort), run)
    first = _Forked(arguments, told)
    while _newest(run) < 0:
        assert first.wait(POLL_S) is None, told.read_text()
    assert _Forked([*arguments, "--no-wait"], told).wait(60) == 0  # the other one has the only cell
    assert "other workers still have 1 of the cells" in " ".join(told.read_text().split())
    with RunFolder(tmp_path / "other").claim():
        there = command_line(_cohort_path(cohort), tmp_path / "other")
        assert _Forked([*there, "--no-wait"], told).wait(60) == 2
    (sentence,) = [line for line in told.read_text().splitlines() if line.startswith("error")]
    assert (
        sentence
        == f"error: {tmp_path / 'other'}: another process is training here; wait until it ends, or give another --out."
    )
    os.kill(first.pid, signal.SIGKILL)
    first.wait(60)
    _finish(_Forked, arguments, told)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB, which two states of 8 MB fill."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_resume_after_a_full_disk(cohort: Cohort, straight: Straight, told: Path, small_disk: Path) -> None:
    run = small_disk / "run"
    arguments = command_line(_cohort_path(cohort), run)
    for _ in range(2):  # the same again as long as there is no room
        told.write_text("")
        assert _Forked(arguments, told).wait(300) == 2
        *_, sentence = told.read_text().splitlines()
        assert sentence.startswith(f"error: {run}/")
        assert sentence.endswith("No space left on device; check the path, its permissions and the free space.")
        assert "Traceback" not in told.read_text()
        assert Checkpoints(RunFolder(run).checkpoints).load_newest() is not None
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    _finish(_Forked, arguments, told)
    assert_same(outcome(run), straight.outcome)


def test_outcomes_that_differ_are_noticed() -> None:
    def state(value: float) -> dict[str, Any]:
        return {"a": [{"b": value}]}

    assert_same(state(1.0), state(1.0))
    with pytest.raises(AssertionError, match="/a/0/b"):
        assert_same(state(1.0), state(1.0 + 1e-15))
