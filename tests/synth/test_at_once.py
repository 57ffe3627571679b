"""Several processes at once: what they tell, how they fail, and how they are stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from pieces import Piece
from runs import assert_same, command_line, outcome

import synth.train
from shared.cohort import Cohort
from shared.errors import UserError
from stylegan2_ada import Ranks
from synth.at_once import Work, do_at_once
from synth.interruption import Interruption
from synth.launch import Place
from synth.run_folder import RunFolder
from synth.train import count_jobs

PATIENCE_S = 120.0


def _pieces(folder: Path, *hows: str) -> list[Work]:
    return [Work(f"piece{i}", Piece(folder / f"piece{i}", how)) for i, how in enumerate(hows)]


def test_all_are_done_two_at_a_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    do_at_once(_pieces(tmp_path, *["well"] * 3), 2, 1, Interruption())
    assert sorted(path.read_text() for path in tmp_path.iterdir()) in (["0 1", "0 1", "1 1"], ["0 1", "1 1", "1 1"])
    told = capfd.readouterr().err
    assert all(f"piece{i}: 2/2 steps" in told for i in range(3))


@pytest.mark.parametrize(
    ("how", "error", "sentence"),
    [
        ("error", UserError, "piece0: is bad; give a good one."),
        ("full", OSError, "No space left"),
        ("killed", UserError, "piece0: its process was killed by SIGKILL.*same command goes on"),
        ("wrong", RuntimeError, "piece0: its process ended with code 1"),
    ],
)
def test_one_that_fails_stops_the_others(tmp_path: Path, how: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        do_at_once(_pieces(tmp_path, how, "waits", "well"), 2, 1, Interruption())
    assert not (tmp_path / "piece2").exists()
    if (tmp_path / "piece1").exists():  # it may have been stopped before it began
        assert (tmp_path / "piece1").read_text() == "stopped"


def _receive_once_all_exist(interruption: Interruption, paths: list[Path]) -> None:
    while not all(path.exists() for path in paths):
        time.sleep(0.01)
    interruption.receive(signal.SIGUSR1, None)


def test_a_signal_stops_all(tmp_path: Path) -> None:
    interruption = Interruption()
    paths = [tmp_path / "piece0", tmp_path / "piece1"]
    sender = threading.Thread(target=_receive_once_all_exist, args=(interruption, paths), daemon=True)
    sender.start()
    with pytest.raises(SystemExit) as caught:
        do_at_once(_pieces(tmp_path, "waits", "waits", "well"), 2, 1, interruption)
    assert caught.value.code == 75
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"piece0": "stopped", "piece1": "stopped"}


def _grid_command(cohort: Cohort, out: Path, jobs: int) -> list[str]:
    assert cohort.path is not None
    return [*command_line(cohort.path, out), "--gamma", "0.1", "--gamma", "0.5", "--jobs", str(jobs)]


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "2"}  # so that two jobs have one each
    return subprocess.Popen([sys.executable, "-m", "synth", *arguments], env=environment)


@pytest.mark.slow
def test_cells_at_once_are_the_same_cells_and_survive_kills(cohort: Cohort, tmp_path: Path) -> None:
    """Whoever is killed, the one that was started or a cell's process, the same command goes on to the same end."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert _start(_grid_command(cohort, straight, 2)).wait(300) == 0
    cells = sorted(path.name for path in straight.iterdir() if path.is_dir())
    assert len(cells) == 2

    first = _start(_grid_command(cohort, killed, 2))
    _wait_for_state(killed / cells[0])
    first.kill()
    first.wait()
    _wait_until_free([killed / cell for cell in cells])

    second = _start(_grid_command(cohort, killed, 2))
    time.sleep(8)
    second.terminate()
    assert second.wait(60) in (143, 0, -signal.SIGTERM)  # the last: before it could receive it
    assert _start(_grid_command(cohort, killed, 2)).wait(300) == 0
    for cell in cells:
        assert_same(outcome(killed / cell), outcome(straight / cell))


def _wait_for_state(run: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not list(run.glob("checkpoints/state-*.pt")):
        assert time.monotonic() < end
        time.sleep(0.01)


def _wait_until_free(runs: list[Path]) -> None:
    """Wait for processes that were left alone: they save and end by themselves."""
    end = time.monotonic() + PATIENCE_S
    for run in runs:
        while True:
            with contextlib.suppress(UserError), RunFolder(run).claim():
                break
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("asked", "cells", "threads", "gib", "jobs"),
    [
        ("auto", 9, 4, 64, 4),
        ("auto", 2, 4, 64, 2),
        ("auto", 9, 8, 7, 3),
        ("auto", 9, 8, 1, 1),
        ("3", 9, 1, 1, 3),
        ("3", 2, 1, 1, 2),
    ],
)
def test_jobs_follow_from_the_grid_and_the_machine(
    monkeypatch: pytest.MonkeyPatch, asked: str, cells: int, threads: int, gib: int, jobs: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(synth.train, "_memory_gib", lambda: gib)
    assert count_jobs(asked, cells, Place(torch.device("cpu"), torch.float32, Ranks())) == jobs


@pytest.mark.parametrize(("device", "jobs"), [("cuda", 3), ("cuda:1", 1), ("mps", 1)])
def test_each_gpu_takes_a_cell(monkeypatch: pytest.MonkeyPatch, device: str, jobs: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert count_jobs("auto", 9, Place(torch.device(device), torch.float32, Ranks())) == jobs


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", "2000"])
def test_a_bad_number_of_jobs_is_one_sentence(asked: str) -> None:
    with pytest.raises(UserError, match=f"--jobs {asked}: .*give 1 to"):
        count_jobs(asked, 9, Place(torch.device("cpu"), torch.float32, Ranks()))


def test_jobs_do_not_go_with_ranks() -> None:
    place = Place(torch.device("cpu"), torch.float32, Ranks(0, 2))
    assert count_jobs("auto", 9, place) == 1
    with pytest.raises(UserError, match=r"--jobs 2: 2 processes .*leave the option out"):
        count_jobs("2", 9, place)
