"""One command in several processes, as torchrun starts them: the same results, written once."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shared.bundle import read_bundle, read_candidates
from shared.cohort import Cohort
from shared.errors import UserError
from stylegan2_ada import load_networks
from synth.cli import cli
from synth.training.checkpoints import Checkpoints
from synth.training.launch import SIGNALS, relaunch
from synth.training.run_folder import RunFolder

TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("--signals-to-handle", SIGNALS, "-m", "synth"),
)
SMALL = "--gamma 0.1 --cfg tiny --batch 8 --kimg 0.032 --quality-fakes 32 --features offline --device cpu --offline"
TRAIN = (*SMALL.split(), "--precision", "fp32")
OFTEN = ("--checkpoint-every", "0.016kimg")


def _together(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*TORCHRUN, *arguments], capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def runs(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of one process, and the same one of two."""
    folder = tmp_path_factory.mktemp("runs")
    alone, together = folder / "alone", folder / "together"
    result = CliRunner().invoke(cli, ["train", str(cohort.path), "--out", str(alone), *TRAIN], catch_exceptions=False)
    assert result.exit_code == 0
    done = _together("train", str(cohort.path), "--out", str(together), *TRAIN)
    assert done.returncode == 0, done.stderr
    assert "fp32, 2 processes" in done.stderr
    assert done.stderr.count("best at") == 1  # one of the two speaks
    return alone, together


def test_ddp_training_gives_what_one_process_gives(runs: tuple[Path, Path]) -> None:
    alone, together = (load_networks(run / "network.safetensors") for run in runs)
    for (name, ours), theirs in zip(together.G_ema.named_parameters(), alone.G_ema.parameters(), strict=True):
        assert float((ours - theirs).norm()) <= 2e-3 * float(theirs.norm()) + 1e-4, name
    logs = [RunFolder(run).read_log() for run in runs]
    values = [[line["quality"]["value"] for line in log if "quality" in line] for log in logs]
    assert len(values[0]) >= 2
    assert values[1] == pytest.approx(values[0], rel=0.01)


def test_ddp_one_process_writes(runs: tuple[Path, Path]) -> None:
    names = [{path.relative_to(run) for path in run.rglob("*") if "tfevents" not in path.name} for run in runs]
    assert names[0] == names[1]
    assert len(list(runs[1].glob("events.out.tfevents*"))) == 1


def test_ddp_generate_draws_the_same_pictures(runs: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ["generate", str(runs[0]), "--count", "7", "--batch", "2", "--device", "cpu"]
    result = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "alone.h5")], catch_exceptions=False)
    assert result.exit_code == 0
    done = _together(*arguments, "--out", str(tmp_path / "together.h5"))
    assert done.returncode == 0, done.stderr
    alone, together = (read_candidates(tmp_path / f"{name}.h5") for name in ("alone", "together"))
    assert together.seed.tolist() == list(range(7))
    difference = np.asarray(alone.images).astype(int) - np.asarray(together.images)
    assert np.abs(difference).max() <= 1


def test_ddp_select_keeps_the_same_candidates(runs: tuple[Path, Path], cohort: Cohort, tmp_path: Path) -> None:
    drawn = tmp_path / "candidates.h5"
    CliRunner().invoke(cli, ["generate", str(runs[0]), "--count", "9", "--out", str(drawn)], catch_exceptions=False)
    options = ["--cohort", str(cohort.path), "--network", str(runs[0]), "--features", "offline", "--device", "cpu"]
    arguments = ["select", str(drawn), *options, "--offline"]
    CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "alone.h5")], catch_exceptions=False)
    done = _together(*arguments, "--out", str(tmp_path / "together.h5"))
    assert done.returncode == 0, done.stderr
    alone, together = (read_bundle(tmp_path / f"{name}.h5") for name in ("alone", "together"))
    for name in ("similarity", "discriminator"):
        assert together.candidates[name] == pytest.approx(alone.candidates[name], abs=1e-4)
    assert together.candidates["seed"].tolist() == list(range(9))


@dataclass(frozen=True)
class Job:
    """A training of two processes that would go on for long."""

    out: Path
    told: Path
    torchrun: subprocess.Popen[bytes]
    processes: list[int]


@pytest.fixture
def job(cohort: Cohort, tmp_path: Path) -> Iterator[Job]:
    out, told = tmp_path / "run", tmp_path / "told"
    arguments = ["train", str(cohort.path), "--out", str(out), *TRAIN, "--kimg", "100", *OFTEN]
    with told.open("w") as stream:
        torchrun = subprocess.Popen([*TORCHRUN, *arguments], stderr=stream, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + 120
        while len(RunFolder(out).read_log()) < 2:
            assert time.monotonic() < end, told.read_text()
            time.sleep(0.1)
        children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
        assert len(children) == 2
        yield Job(out, told, torchrun, [int(child) for child in children])
    finally:
        torchrun.kill()
        torchrun.wait()


def test_ddp_a_rank_that_dies_ends_the_others(job: Job, cohort: Cohort) -> None:
    """And the job goes on with another number of processes."""
    os.kill(job.processes[1], signal.SIGKILL)
    assert job.torchrun.wait(timeout=60) != 0
    assert "Signal 9 (SIGKILL)" in job.told.read_text()
    assert not any(Path(f"/proc/{process}").exists() for process in job.processes)
    reached = RunFolder(job.out).read_log()[-1]["kimg"]
    go_on = ["train", str(cohort.path), "--out", str(job.out), *TRAIN, "--kimg", str(reached + 0.016), *OFTEN]
    result = CliRunner().invoke(cli, go_on, catch_exceptions=False)
    assert result.exit_code == 0
    assert RunFolder(job.out).read_log()[-1]["kimg"] == pytest.approx(reached + 0.016)


def test_ddp_a_signal_to_one_rank_stops_all_with_their_state_saved(job: Job) -> None:
    os.kill(job.processes[1], signal.SIGUSR1)
    _assert_saved(job)


def test_ddp_a_signal_to_the_launcher_stops_all_with_their_state_saved(job: Job) -> None:
    """As a scheduler sends it; torchrun passes it on."""
    job.torchrun.send_signal(signal.SIGUSR1)
    _assert_saved(job)


def _assert_saved(job: Job) -> None:
    assert job.torchrun.wait(timeout=60) != 0
    (kimg,) = re.findall(r"stopped by SIGUSR1 and saved at ([0-9.]+) kimg", job.told.read_text())
    state = Checkpoints(RunFolder(job.out).checkpoints).load_newest()
    assert state is not None
    assert state["trainer"]["cur_nimg"] == pytest.approx(1000 * float(kimg))
    assert not any(Path(f"/proc/{process}").exists() for process in job.processes)


def test_gpus_that_are_not_there_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="--gpus 2: this machine has no CUDA GPU; leave"):
        relaunch(2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="--gpus 2: this machine has 1 CUDA GPU; give 1 to 1"):
        relaunch(2)


def test_gpus_start_torchrun_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    monkeypatch.setattr(sys, "argv", ["synth", "train", "cohort.h5", "--gpus", "3"])
    relaunch(3)
    assert started[0][-6:] == ["-m", "synth", "train", "cohort.h5", "--gpus", "3"]
    assert started[0][started[0].index("--nproc-per-node") + 1] == "3"
    for processes in ("3", "1"):
        monkeypatch.setenv("WORLD_SIZE", processes)
        relaunch(int(processes))
    assert len(started) == 1


def test_a_batch_that_does_not_deal_out_is_refused_before_training(cohort: Cohort, tmp_path: Path) -> None:
    done = _together("train", str(cohort.path), "--out", str(tmp_path / "run"), *TRAIN, "--batch", "12")
    assert done.returncode != 0
    assert "groups of 4, on 2 processes; give a multiple of 8" in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()
