"""The comparison of methods: which checkpoints it takes, and what it makes of their scores."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from synth.scores.halvings import Spread
from synth.selecting.comparison import Comparison
from synth.training.averages import AverageFolder
from synth.training.methods import METHODS as SYNTH_METHODS
from synth.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def fewshot(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("fewshot")


def _run(folder: Path, seconds: list[float]) -> Path:
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for index, each in enumerate(seconds):
        lines += [{"kimg": 4.0 * index, "processor_seconds": each, "seconds": each / 2, "quality": {}}]
        lines += [{"kimg": 4.0 * index + 2, "processor_seconds": each + 1, "seconds": each / 2 + 1}]  # no checkpoint
    RunFolder(folder).write_log(lines)
    return folder


def test_every_row_names_a_method(fewshot: ModuleType) -> None:
    for arguments in fewshot.METHODS.values():
        assert arguments[arguments.index("--method") + 1] in SYNTH_METHODS


def test_the_last_checkpoint_before_each_time_is_taken_once(fewshot: ModuleType, tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", [0.0, 50.0, 110.0, 130.0, 290.0])
    clock = fewshot.CLOCKS["processor"]
    taken = [(line["kimg"], at) for line, at in fewshot.moments(folder, [1, 2, 3, 4, 6], clock)]
    # 50 s of 60, 110 of 120, 130 of 180 and of 240; nobody knows what 360 s would give
    assert taken == [(4.0, [1]), (8.0, [2]), (12.0, [3, 4])]
    assert fewshot.moments(_run(tmp_path / "short", [0.0]), [1], clock) == []
    assert fewshot.reached(folder, clock) == 290.0
    assert fewshot.reached(tmp_path / "missing", clock) == 0.0
    # by the wall's clock all is done in half the time
    wall = fewshot.CLOCKS["wall"]
    assert [(line["kimg"], at) for line, at in fewshot.moments(folder, [0.5, 1, 2], wall)] == [
        (4.0, [0.5]),
        (8.0, [1]),
        (12.0, [2]),
    ]
    assert fewshot.reached(folder, wall) == 145.0


def test_rows_train_with_the_networks_asked_for(
    fewshot: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    class Done:
        returncode = 0

        def __init__(self, command: list[str], **_: Any) -> None:
            called.append(command)

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(fewshot.subprocess, "Popen", Done)
    options = ["--cfg", "auto", "--start", "n.pkl", "--clock", "wall", "--at-once", "1", "--seeds", "0"]
    monkeypatch.setattr("sys.argv", ["fewshot.py", "train", "c.h5", "--out", str(tmp_path), *options])
    with pytest.raises(SystemExit, match="0"):
        fewshot.main()
    assert len(called) == len(fewshot.METHODS)
    for command, row in zip(called, fewshot.METHODS.values(), strict=True):
        assert command[command.index("--cfg") + 1] == "auto"
        assert ("n.pkl" in command) == ("--start" in command) == (fewshot.START in row)
        assert fewshot.START not in command


def test_runs_are_told_apart(fewshot: ModuleType, tmp_path: Path) -> None:
    methods = list(fewshot.METHODS)
    names = {fewshot.folder_of(tmp_path, method, seed).name for method in methods for seed in (0, 1, 11)}
    assert len(names) == 3 * len(methods)
    for method in methods:
        for seed in (0, 11):
            path = fewshot.folder_of(tmp_path, method, seed)
            path.with_name(path.name + ".scores.json").write_text(json.dumps([{"kimg": seed, "minutes": 1}]))
    processor, wall = (fewshot.CLOCKS[clock] for clock in ("processor", "wall"))
    expected = {seed: [{"kimg": seed, "minutes": 1}] for seed in (0, 11)}
    assert fewshot.runs(tmp_path, processor) == dict.fromkeys(methods, expected)
    assert fewshot.runs(tmp_path, wall) == {}


def test_a_row_shows_the_last_scores_within_the_time(fewshot: ModuleType) -> None:
    def scores(at: list[float], minutes: float, mean: float) -> dict[str, Any]:
        spread = {"mean": mean, "sd": 1.5, "floor": 60.0, "floor_sd": 2.5}
        share = {"mean": 0.5, "sd": 0.1, "floor": 0.8, "floor_sd": 0.2}
        found = {"distance": spread, "precision": share, "recall": share, "copies": 0.02, "copies_floor": 0.05}
        return {
            "kimg": 10 * minutes,
            "minutes": minutes,
            "at": at,
            "spaces": {"S": found | {"kid": 0.01, "kid_sd": 0.002}},
        }

    rows = {"scratch": {0: [scores([5], 5, 200.0), scores([20], 19, 100.0)]}, "svd": {1: [scores([5], 5, 1.0)]}}
    lines = fewshot.table(rows, 20, "S", fewshot.CLOCKS["processor"]).splitlines()
    assert lines[2] == "| scratch | 0 | 19.0 | 190 | 100.0 ± 1.5 | 10.0 ± 2.0 | 0.50 ± 0.10 | 0.50 ± 0.10 | 2.0 % |"
    assert lines[3] == "| *photographs* | | | | 60.0 ± 2.5 | 0 | 0.80 ± 0.20 | 0.80 ± 0.20 | 5.0 % |"
    assert len(lines) == 4  # svd has not come so far


def test_scores_of_a_run_that_was_trained_anew_are_made_anew(
    fewshot: ModuleType, cohort: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a score follows from decides whether it is kept, and each time belongs to one checkpoint alone."""
    drawn: list[int] = []

    def judge(fakes: Any) -> Any:
        return Comparison(1, *[Spread(float(fakes), 1.0, 1.0, 1.0)] * 3, 0.0, 0.0, 0.0, 0.0)

    def train(seconds: list[float], content: str) -> None:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        folder = _run(tmp_path / "run", seconds)
        (folder / "config.json").write_text("{}")
        (folder / "averages").mkdir()
        for index in range(len(seconds)):
            AverageFolder(folder / "averages").path(4000 * index).write_text(f"{content} {index}")

    def scores(*at: float) -> list[tuple[float, list[float]]]:
        drawn.clear()
        options = {"cohort": cohort.path, "out": tmp_path, "fakes": 3, "clock": "processor", "device": "cpu"}
        fewshot.score(argparse.Namespace(**options, at=list(at)))
        return [(row["kimg"], row["at"]) for row in json.loads((tmp_path / "run.scores.json").read_text())]

    judge.name = "S"  # type: ignore[attr-defined]
    monkeypatch.setattr(fewshot, "Judge", lambda *_: judge)
    monkeypatch.setattr(fewshot, "drawn", lambda _, nimg, *__: drawn.append(nimg) or nimg)
    train([0.0, 50.0, 110.0, 130.0], "first")
    assert scores(1, 2) == [(4.0, [1]), (8.0, [2])]
    assert drawn == [4000, 8000]
    assert scores(1, 2) == [(4.0, [1]), (8.0, [2])]
    assert drawn == []
    train([0.0, 50.0, 110.0, 119.0], "first")  # the same, but faster: at 2 minutes there is more
    assert scores(2) == [(4.0, [1]), (8.0, []), (12.0, [2])]
    assert drawn == [12000]
    train([0.0, 50.0, 110.0, 119.0], "second")
    assert scores(1, 2) == [(4.0, [1]), (12.0, [2])]
    assert drawn == [4000, 12000]
