"""A run folder belongs to one configuration, and says what differs."""

import json
from pathlib import Path

import pytest

from shared.errors import UserError
from synth.networks.provenance import find_network
from synth.training import run_folder
from synth.training.run_folder import RunFolder

CONFIG = {"fold": 0, "training": {"gamma": 0.1, "lr": 0.002}, "kimg": 1.0, "environment": {"python": "3"}}


def test_the_same_configuration_goes_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(CONFIG)
    folder.open(CONFIG | {"kimg": 2.0, "environment": {"python": "4"}})
    assert folder.read_config()["kimg"] == 2.0


def test_what_holds_the_same_may_be_elsewhere(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(CONFIG | {"start": {"name": "a.safetensors", "sha256": "1"}, "save_every_min": 10.0})
    folder.open(CONFIG | {"start": {"name": "b.safetensors", "sha256": "1"}, "save_every_min": 5.0})
    with pytest.raises(UserError, match=r"start.sha256 1 there, 2 asked"):
        folder.open(CONFIG | {"start": {"name": "b.safetensors", "sha256": "2"}, "save_every_min": 5.0})


def test_a_folder_has_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.claim():
        with pytest.raises(UserError, match="another process is training here; wait until it ends"), folder.claim():
            pass
        folder.open(CONFIG)
    with folder.claim():
        folder.open(CONFIG)


def test_a_claim_clears_away_what_a_killed_process_left(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    parts = [folder.path / ".config.json.x1.part", folder.checkpoints / ".state-0000001.000.pt.x2.part"]
    (folder.checkpoints / "state-0000001.000.pt").touch()
    folder.config.touch()
    for part in parts:
        part.touch()
    with folder.claim():
        assert [path.name for path in folder.checkpoints.iterdir()] == ["state-0000001.000.pt"]
        assert not any(part.exists() for part in parts)


def test_a_process_killed_at_its_first_write_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".config.json.x1.part").touch()
    (tmp_path / ".lock").touch()
    with RunFolder(tmp_path).claim():
        RunFolder(tmp_path).open(CONFIG)
    assert RunFolder(tmp_path).read_config()["kimg"] == 1.0


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
    with pytest.raises(UserError, match="not a run folder"), RunFolder(tmp_path).claim():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


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


def test_a_log_larger_than_any_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    folder.write_log([{"kimg": 0.5}])
    monkeypatch.setattr(run_folder, "MAX_JSON_BYTES", folder.log.stat().st_size - 1)
    with pytest.raises(UserError, match="damaged"):
        folder.read_log()


def test_find_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such network; give .*phantom-skin-32"):
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
