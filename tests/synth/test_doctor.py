"""`synth doctor`: the machine, and a few steps of the training that is asked about."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shared.cohort import Cohort, write_cohort
from synth.cli import cli

SMALL = ("--cfg", "tiny", "--method", "scratch", "--size", "32", "--kimg", "1", "--features", "offline")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["doctor", *map(str, arguments)])


def found(result: Result) -> dict[str, dict[str, Any]]:
    return {each["about"]: each for each in json.loads(result.stdout)}


def test_a_training_that_would_run_is_tried_and_nothing_is_left(tmp_path: Path) -> None:
    result = run(*SMALL, "--out", tmp_path / "runs", "--json")
    assert result.exit_code == 0, result.output
    rows = found(result)
    assert rows["time"]["text"].endswith("for 1 x 1 kimg with scores, one after another")
    assert " of 32 px" in rows["memory"]["text"]
    assert rows["scores"]["text"].startswith("in the features of EfficientNet-Lite0, of 1000 images")
    assert not any(row["state"] == "stop" for row in rows.values())
    assert list(tmp_path.iterdir()) == []


def test_a_cohort_and_a_grid_are_those_that_are_tried(tmp_path: Path, cohort: Cohort) -> None:
    write_cohort(tmp_path / "cohort.h5", cohort)
    cells = tmp_path / "cells.toml"
    rows = [{"gamma": gamma, "target": 0.6, "lr": 0.002} for gamma in (0.1, 0.2)]
    lines = ["format = 'rarescreen-cells'", "version = 1", "[train]", "cfg = 'tiny'", "kimg = 1"]
    lines += [line for row in rows for line in ("[[cell]]", *(f"{name} = {value}" for name, value in row.items()))]
    cells.write_text("\n".join(lines))
    result = run(tmp_path / "cohort.h5", "--cells", cells, "--features", "offline", "--json")
    assert result.exit_code == 0, result.output
    assert "for 2 x 1 kimg" in found(result)["time"]["text"]
    assert f" of {cohort.size} px" in found(result)["memory"]["text"]


def test_what_is_in_the_way_is_told_with_exit_code_2(tmp_path: Path) -> None:
    result = run(*SMALL, "--start", tmp_path / "none.pkl", "--json")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: synth train would not run: ")
    assert "none.pkl" in found(result)["training"]["text"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--start", "nosuch"), "nosuch: no such network"),
        (("--cfg", "nosuch"), "--cfg nosuch"),
        (("--size", "100"), "100"),
        (("--fold", "9"), "--fold 9"),
        (("--fold", "3", "--protocol", "paper"), "--fold 3: protocol paper trains one network for all"),
        (("--quality-fakes", "16", "--features", "inception"), "nception"),
        (("--cells", "demo", "--method", "scratch"), "the start phantom-skin-32 is given"),
    ],
)
def test_options_are_checked_without_a_trial(wrong: tuple[str, ...], told: str, tmp_path: Path) -> None:
    result = run("--no-trial", "--device", "cpu", *wrong, "--out", tmp_path / "runs", "--json")
    assert result.exit_code == 2, result.output
    assert told in found(result)["training"]["text"]
    assert not list(tmp_path.iterdir())


def test_a_preset_that_is_not_there_is_said_once() -> None:
    told = run("--cells", "nosuch").stderr.splitlines()[-1]
    assert told.startswith("error: --cells nosuch: neither a file nor a preset; the presets are ")
    assert told.count("nosuch") == 1


def test_every_fold_counts(tmp_path: Path) -> None:
    rows = {}
    for fold in ("0", "all"):
        result = run(*SMALL, "--no-trial", "--fold", fold, "--out", tmp_path / "runs", "--json")
        assert result.exit_code == 0, result.output
        rows[fold] = found(result)
    assert rows["0"]["training"]["text"].startswith("1 x 1 kimg; not tried")
    assert rows["all"]["training"]["text"].startswith("5 x 1 kimg; not tried")


def test_no_start_takes_back_that_of_a_preset() -> None:
    result = run("--no-trial", "--cells", "demo", "--start", "none", "--method", "scratch", "--size", 32, "--json")
    assert result.exit_code == 0, result.output


def test_memory_that_does_not_do_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr("synth.doctor.probe", burst)
    result = run(*SMALL, "--json")
    assert result.exit_code == 2
    assert found(result)["memory"]["state"] == "stop"
    assert "do not fit into memory" in result.stderr.splitlines()[-1]


def test_a_device_that_is_not_there_ends_the_trial_before_it_begins() -> None:
    result = run(*SMALL, "--device", "cuda:7", "--json")
    assert result.exit_code == 2
    assert found(result)["device"]["state"] == "stop"
    assert not {"training", "memory"} & found(result).keys()


@pytest.mark.parametrize("wrong", [("--size", "7"), ("--kimg", "0"), ("--cells", "none"), ("cohort.h5",)])
def test_wrong_options_are_one_sentence(wrong: tuple[str, ...]) -> None:
    result = run(*wrong)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.output


def test_large_images_on_a_processor_are_tried_only_when_asked_for(tmp_path: Path) -> None:
    result = run("--device", "cpu", "--out", tmp_path, "--size", 256, "--json")
    assert result.exit_code == 0, result.output
    assert found(result)["training"]["state"] == "?"
    assert found(result)["memory"]["text"].startswith("at least ")
    assert "not tried: training" in result.stderr
    assert "--trial" in found(result)["training"]["text"]
