"""A run folder belongs to one configuration, and says what differs."""

import json
from pathlib import Path

import pytest

from shared.errors import UserError
from synth.grid import find_network
from synth.run_folder import RunFolder

CONFIG = {"fold": 0, "training": {"gamma": 0.1, "lr": 0.002}, "kimg": 1.0, "environment": {"python": "3"}}


def test_the_same_configuration_goes_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(CONFIG)
    folder.open(CONFIG | {"kimg": 2.0, "environment": {"python": "4"}})
    assert folder.read_config()["kimg"] == 2.0


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(CONFIG)
    before = folder.config.read_bytes()
    with pytest.raises(UserError, match=r"training.gamma 0.1 there, 0.5 asked"):
        folder.open(CONFIG | {"training": {"gamma": 0.5, "lr": 0.002}})
    assert folder.config.read_bytes() == before


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError, match="not a run folder"):
        RunFolder(tmp_path).open(CONFIG)


@pytest.mark.parametrize(
    ("text", "named"), [("{", "damaged"), ("[]", "not the configuration"), ('{"format": "rarescreen-run"}', "version")]
)
def test_damaged_configurations(tmp_path: Path, text: str, named: str) -> None:
    folder = RunFolder(tmp_path)
    folder.config.write_text(text)
    with pytest.raises(UserError, match=named):
        folder.open(CONFIG)


def test_log_survives_a_round_trip(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    lines = [{"kimg": 0.5, "loss_G": 1.25}, {"kimg": 1.0, "quality": {"value": 3.0}}]
    folder.write_log(lines)
    assert folder.read_log() == lines
    folder.log.write_text('{"kimg":')
    with pytest.raises(UserError, match="damaged"):
        folder.read_log()


def test_find_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        find_network(tmp_path / "missing.safetensors")
    with pytest.raises(UserError, match="no finished network"):
        find_network(tmp_path)
    (tmp_path / "fold0").mkdir()
    with pytest.raises(UserError, match="name one of"):
        find_network(tmp_path)
    run = tmp_path / "cell"
    run.mkdir()
    (run / "network.safetensors").touch()
    (tmp_path / "table1.json").write_text(json.dumps({"best": "cell"}))
    assert find_network(tmp_path) == find_network(run) == run / "network.safetensors"


@pytest.mark.parametrize("best", ["../elsewhere", "/etc", 3])
def test_a_table_cannot_point_outside(tmp_path: Path, best: object) -> None:
    (tmp_path / "table1.json").write_text(json.dumps({"best": best}))
    with pytest.raises(UserError, match="names no cell"):
        find_network(tmp_path)
