"""Cells at once, each in a process of its own: how many, and that they are the same cells whoever is killed."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from runs import assert_same, command_line, outcome

import synth.train
from shared.cohort import Cohort
from shared.errors import UserError
from shared.interruption import Interruption
from stylegan2_ada import Ranks
from synth.train import count_jobs
from synth.training.cells import product
from synth.training.launch import Place
from synth.training.options import TrainOptions
from synth.training.run_folder import RunFolder
from synth.training.search import Search

PATIENCE_S = 120.0


@pytest.mark.slow
def test_cells_at_once_are_the_same_cells_and_survive_kills(cohort: Cohort, tmp_path: Path) -> None:
    """Whoever is killed, the one that was started or a cell's process, the same command goes on to the same end."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert _start(_grid_command(cohort, straight)).wait(300) == 0
    cells = sorted(path.name for path in straight.glob("gamma*"))
    assert len(cells) == 2
    runs = [killed / cell for cell in cells]

    first = _start(_grid_command(cohort, killed))
    _wait_for_states(runs)
    orphans = _children(first.pid)
    first.kill()
    first.wait()
    _wait_until_gone(orphans)
    assert not any(RunFolder(run).network.exists() for run in runs)

    second = _start(_grid_command(cohort, killed), stderr=subprocess.PIPE)
    _wait_for_states(runs)
    os.kill(_children(second.pid)[0], signal.SIGKILL)
    _, told = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    assert b"was killed by SIGKILL" in told.replace(b"\n", b" ")
    assert b"Traceback" not in told

    third = _start(_grid_command(cohort, killed))
    _wait_for_states(runs)
    third.terminate()
    assert third.wait(PATIENCE_S) == 143

    assert _start(_grid_command(cohort, killed)).wait(300) == 0
    for cell in cells:
        assert_same(outcome(killed / cell), outcome(straight / cell))


def _grid_command(cohort: Cohort, out: Path) -> list[str]:
    assert cohort.path is not None
    grid = ["--gamma", "0.1", "--gamma", "0.5", "--kimg", "0.96", "--jobs", "2"]
    return [*command_line(cohort.path, out), *grid]


def _start(arguments: list[str], stderr: int | None = None) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"OMP_NUM_THREADS": "2"}  # so that two jobs have one each
    return subprocess.Popen([sys.executable, "-m", "synth", *arguments], env=environment, stderr=stderr)


def _children(pid: int) -> list[int]:
    """Return the processes that train cells for `pid`."""
    ours = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            of_pid = f"PPid:\t{pid}\n" in status.read_text()
            if of_pid and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                ours.append(int(status.parent.name))
    assert len(ours) == 2
    return ours


def _wait_for_states(runs: list[Path]) -> None:
    """Wait until each run has saved a state that it did not have when this began."""
    before = {state for run in runs for state in run.glob("checkpoints/state-*.pt")}
    end = time.monotonic() + PATIENCE_S
    while not all(set(run.glob("checkpoints/state-*.pt")) - before for run in runs):
        assert time.monotonic() < end
        time.sleep(0.01)


def _wait_until_gone(pids: list[int]) -> None:
    """Wait for processes that were left alone: they save and end by themselves."""
    end = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("asked", "cells", "size", "threads", "gib", "jobs"),
    [
        ("auto", 9, 32, 4, 64, 3),  # three rounds of three, not four, four and one
        ("auto", 2, 64, 4, 64, 2),
        ("auto", 9, 32, 8, 7, 3),
        ("auto", 9, 32, 8, 1, 1),
        ("auto", 9, 256, 8, 64, 1),
        ("3", 9, 256, 1, 1, 3),
        ("3", 2, 32, 1, 1, 2),
    ],
)
def test_jobs_follow_from_the_grid_and_the_machine(
    monkeypatch: pytest.MonkeyPatch, asked: str, cells: int, size: int, threads: int, gib: int, jobs: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(synth.train, "_memory_gib", lambda: gib)
    assert count_jobs(asked, cells, size, Place(torch.device("cpu"), torch.float32, Ranks())) == jobs


@pytest.mark.parametrize(("device", "jobs"), [("cuda", 3), ("cuda:1", 1), ("mps", 1)])
def test_each_gpu_takes_a_cell(monkeypatch: pytest.MonkeyPatch, device: str, jobs: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert count_jobs("auto", 9, 32, Place(torch.device(device), torch.float32, Ranks())) == jobs


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", "2000"])
def test_a_bad_number_of_jobs_is_one_sentence(asked: str) -> None:
    with pytest.raises(UserError, match=f"--jobs {asked}: .*give 1 to"):
        count_jobs(asked, 9, 32, Place(torch.device("cpu"), torch.float32, Ranks()))


def test_jobs_do_not_go_with_ranks() -> None:
    place = Place(torch.device("cpu"), torch.float32, Ranks(0, 2))
    assert count_jobs("auto", 9, 32, place) == 1
    with pytest.raises(UserError, match=r"--jobs 2: 2 processes .*leave the option out"):
        count_jobs("2", 9, 32, place)


def test_cells_at_once_are_the_cells_of_one_process(options: TrainOptions, tmp_path: Path) -> None:
    options = dataclasses.replace(options, kimg=0.016)
    cells = product([0.1, 0.5], [0.6], [0.002])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    in_turn = synth.train.train(options, cells)
    together = synth.train.train(dataclasses.replace(options, out=tmp_path / "together", jobs="2"), cells)
    torch.set_num_threads(before)
    for one, other in zip(in_turn, together, strict=True):
        assert_same(outcome(one), outcome(other))
    assert (tmp_path / "together" / "table1.json").exists()


def test_a_cell_takes_the_gpu_of_its_place(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    @contextlib.contextmanager
    def joined(device: str) -> Iterator[None]:
        asked.append(device)
        raise UserError("no such GPU here")
        yield

    monkeypatch.setattr(synth.train, "joined", joined)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cohort.path is not None
    for device in ("auto", "cuda:0"):
        options = TrainOptions(cohort=cohort.path, out=tmp_path, device=device)
        with pytest.raises(UserError):
            synth.train.OneWorker(options, Search(product([0.1], [0.6], [0.002])), (0,), "offline")(Interruption(), 3)
    assert asked == ["cuda:1", "cuda:0"]
