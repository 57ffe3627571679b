"""`classify doctor`: the machine, and a step of each model of a preset."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from classify.cli import cli
from shared.cohort import Cohort, write_cohort

PRESET = """
format = "rarescreen-table2"
version = 1
cells = [
    { model = "custom_cnn", ratio = "none", epochs = 1, batch = 4 },
    { model = "linear_probe", ratio = "none", batch = 2 },
]
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["doctor", *map(str, arguments)])


def found(result: Result) -> dict[str, dict[str, Any]]:
    return {each["about"]: each for each in json.loads(result.stdout)}


def test_each_model_of_a_preset_is_tried_and_nothing_is_left(tmp_path: Path) -> None:
    preset = tmp_path / "small.toml"
    preset.write_text(PRESET)
    result = run("--preset", preset, "--size", 32, "--out", tmp_path / "models", "--json")
    assert result.exit_code == 0, result.output
    rows = found(result)
    assert " for a first step of 4 images of 32 px, " in rows["custom_cnn"]["text"]
    assert " for a first step of 2 images of 224 px, " in rows["linear_probe"]["text"]
    assert rows["weights, linear_probe"]["state"] == "ok"
    assert list(tmp_path.iterdir()) == [preset]


def test_weights_that_cannot_be_had_offline_are_in_the_way(tmp_path: Path) -> None:
    result = run("--preset", "paper", "--no-trial", "--offline", "--weights", tmp_path, "--json")
    assert result.exit_code == 2
    assert found(result)["weights, vgg16"]["state"] == "stop"
    assert "offline work downloads nothing" in result.stderr.splitlines()[-1]
    online = run("--preset", "paper", "--no-trial", "--weights", tmp_path, "--json")
    assert found(online)["weights, vgg16"]["state"] == "note"


def test_a_model_that_the_images_do_not_fit_is_in_the_way(tmp_path: Path) -> None:
    preset = tmp_path / "small.toml"
    preset.write_text(PRESET)
    result = run("--preset", preset, "--size", 33, "--json")
    assert result.exit_code == 2
    assert found(result)["custom_cnn"]["state"] == "stop"


def test_room_for_a_cohorts_images_is_told(
    tmp_path: Path, make_cohort: Callable[..., Cohort], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cohort(tmp_path / "c.h5", make_cohort())
    (tmp_path / "p.toml").write_text(PRESET)
    arguments = (tmp_path / "c.h5", "--preset", tmp_path / "p.toml", "--no-trial", "--json")
    told = found(run(*arguments))
    assert (told["memory"]["state"], told["fits"]["state"]) == ("ok", "?")
    monkeypatch.setattr("classify.doctor.free_bytes", lambda device: 1)
    result = run(*arguments)
    assert (found(result)["memory"]["state"], result.exit_code) == ("stop", 2)


@pytest.mark.parametrize("setting", ["batch = -5", "epochs = 0", "lr = 0.0", 'optimizer = "fast"', "seed = -1"])
def test_cells_that_no_fit_would_take_are_one_sentence(tmp_path: Path, setting: str) -> None:
    (tmp_path / "p.toml").write_text(PRESET.replace("batch = 2", setting))
    result = run("--preset", tmp_path / "p.toml")
    assert result.exit_code == 2
    assert f"error: --{setting.split()[0]}" in result.stderr


def test_a_model_a_fold_takes_as_much_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(PRESET)
    (tmp_path / "all.toml").write_text(PRESET.replace("epochs = 1,", 'epochs = 1, fold = "all",'))
    told = [found(run("--preset", tmp_path / f"{name}.toml", "--size", 32, "--json")) for name in ("one", "all")]
    one, five = (float(re.findall(r"leaves about ([\d.]+) MiB", each["disk"]["text"])[0]) for each in told)
    assert five > one


@pytest.mark.parametrize("wrong", [("--preset", "none"), ("none.h5",), ("--size", "7")])
def test_wrong_options_are_one_sentence(wrong: tuple[str, ...]) -> None:
    result = run(*wrong)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.output
