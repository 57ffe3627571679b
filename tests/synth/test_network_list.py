"""The list of networks."""

import hashlib
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from shared.errors import UserError
from stylegan2_ada import load_networks
from synth.cli import cli
from synth.network_list import list_networks
from synth.networks import SHIPPED, shipped_network

GOLDEN = Path(__file__).parents[1] / "golden" / "nvidia_snapshot_r16.pkl"


def test_shipped_networks_are_listed_with_what_they_are() -> None:
    listed = list_networks()
    assert [each.name for each in listed] == list(SHIPPED)
    for each in listed:
        path = shipped_network(each.name)
        assert path is not None
        assert each.size == load_networks(path).G.config.img_resolution
        assert each.licence == "Apache-2.0"
        assert each.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_is_searched(tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    shutil.copy(GOLDEN, tmp_path / "deep" / "cat.pkl")
    shutil.copy(run_folder / "network.safetensors", tmp_path / "mine.safetensors")
    (tmp_path / "broken.pkl").write_bytes(b"not a network")
    (tmp_path / "other.txt").write_text("left alone")
    found = {Path(each.name).name: each for each in list_networks([tmp_path])[len(SHIPPED) :]}
    assert found.keys() == {"cat.pkl", "mine.safetensors"}
    assert (found["cat.pkl"].size, "non-commercial" in found["cat.pkl"].licence) == (16, True)
    assert (found["mine.safetensors"].size, found["mine.safetensors"].licence) == (16, "your own")
    assert "broken.pkl" in capsys.readouterr().err


def test_no_such_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; give one"):
        list_networks([tmp_path / "missing"])


def test_the_command_prints_whole_rows(tmp_path: Path) -> None:
    shutil.copy(GOLDEN, tmp_path / "cat.pkl")
    result = CliRunner().invoke(cli, ["networks", str(tmp_path)])
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert rows[0].split() == ["name", "px", "classes", "licence", "sha256"]
    assert len(rows) == 1 + len(SHIPPED) + 1
    assert rows[1].startswith("phantom-skin-32")
    assert rows[-1].startswith(str(tmp_path / "cat.pkl"))
