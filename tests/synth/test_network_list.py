"""The list of networks."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from shared.errors import UserError
from shared.weights import cache_folder
from stylegan2_ada import load_networks
from stylegan2_ada.snapshot import LICENCE
from synth.cli import cli
from synth.network_list import list_networks
from synth.networks import SHIPPED, shipped_network
from synth.networks.known import KNOWN
from synth.train import train
from synth.training.cells import product
from synth.training.options import TrainOptions
from synth.training.run_folder import RunFolder

GOLDEN = Path(__file__).parents[1] / "golden" / "nvidia_snapshot_r16.pkl"


def test_shipped_networks_are_listed_with_what_they_are() -> None:
    listed = list_networks()
    assert [each.name for each in listed] == [*SHIPPED, *KNOWN]
    for each in listed[: len(SHIPPED)]:
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
    found = {Path(each.name).name: each for each in list_networks([tmp_path])[len(SHIPPED) + len(KNOWN) :]}
    assert found.keys() == {"cat.pkl", "mine.safetensors"}
    assert (found["cat.pkl"].size, "non-commercial" in found["cat.pkl"].licence) == (16, True)
    assert (found["mine.safetensors"].size, found["mine.safetensors"].licence) == (16, "your own")
    assert "broken.pkl" in capsys.readouterr().err


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = cache_folder()
    folder.mkdir(parents=True)
    return folder


def test_published_networks_are_listed_and_never_fetched_for_it(cache: Path) -> None:
    name = next(iter(KNOWN))
    shutil.copy(GOLDEN, cache / KNOWN[name].file.name)
    listed = {each.name: each for each in list_networks()}
    assert listed[name].sha256 == hashlib.sha256(GOLDEN.read_bytes()).hexdigest()
    for other in KNOWN.keys() - {name}:
        assert (listed[other].sha256, listed[other].licence) == ("", LICENCE)


def test_a_published_network_is_found_where_it_was_downloaded(
    cache: Path, options: TrainOptions, tmp_path: Path
) -> None:
    """Its licence must be accepted before anything is fetched; offline work fetches nothing."""
    name = "nvidia-cifar10-32"
    asked = dataclasses.replace(options, start=name, cfg=None, kimg=0.008)
    with pytest.raises(UserError, match=r"--start nvidia-cifar10-32: under the NVIDIA .*add --accept-licence"):
        train(asked, product([0.1], [0.6], [0.002]))
    asked = dataclasses.replace(asked, accept_licence=True)
    with pytest.raises(UserError, match=r"cifar10.pkl: missing \(not in .*\), and offline work downloads nothing"):
        train(asked, product([0.1], [0.6], [0.002]))
    shutil.copy(GOLDEN, cache / KNOWN[name].file.name)
    train(asked, product([0.1], [0.6], [0.002]))
    start = RunFolder(options.out).read_config()["start"]
    assert (start["name"], start["licence"]) == (name, LICENCE)
    assert start["sha256"] == hashlib.sha256(GOLDEN.read_bytes()).hexdigest()


def _with_header(path: Path, **changes: Any) -> bytes:
    """Replace parts of the header of a network file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    outer = json.loads(content[8 : 8 + length])
    inner = json.loads(outer["__metadata__"]["config"]) | changes
    outer["__metadata__"]["config"] = json.dumps({name: value for name, value in inner.items() if value != "absent"})
    written = json.dumps(outer).encode()
    return len(written).to_bytes(8, "little") + written + content[8 + length :]


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {}},
        {"generator": "absent"},
        {"discriminator": []},
        {"about": []},
        {"about": "absent"},
        {"about": {"licence": ["free"]}},
        {"about": {"licence": {}}},
    ],
)
def test_a_header_of_nonsense_is_said_and_passed_over(
    tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(_with_header(run_folder / "network.safetensors", **changes))
    assert not [each for each in list_networks([tmp_path]) if "odd" in each.name]
    assert "odd.safetensors" in capsys.readouterr().err


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "[old] a[" / "b]"
    folder.mkdir(parents=True)
    shutil.copy(GOLDEN, folder / "cat.pkl")
    result = CliRunner().invoke(cli, ["networks", str(tmp_path)])
    assert result.exit_code == 0
    assert "[old] a[/b]/cat.pkl" in result.stdout.replace("\n", "")


def test_an_unreadable_file_is_said_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(GOLDEN, tmp_path / "cat.pkl")
    shutil.copy(GOLDEN, tmp_path / "locked.pkl")
    read = Path.open

    def locked(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == "locked.pkl":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *how, **more)

    monkeypatch.setattr(Path, "open", locked)
    assert [Path(each.name).name for each in list_networks([tmp_path])[-1:]] == ["cat.pkl"]
    assert "locked.pkl" in capsys.readouterr().err


def test_a_network_of_a_stranger_says_nothing_of_its_licence(make_network: Any) -> None:
    own, strange = make_network(), make_network(cohort="")
    found = {str(Path(each.name).parent): each.licence for each in list_networks([own, strange])}
    assert (found[str(own)], found[str(strange)]) == ("your own", "not stated")


def test_no_such_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; give one"):
        list_networks([tmp_path / "missing"])


def test_the_command_prints_whole_rows(tmp_path: Path) -> None:
    shutil.copy(GOLDEN, tmp_path / "cat.pkl")
    result = CliRunner().invoke(cli, ["networks", str(tmp_path)])
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert rows[0].split() == ["name", "px", "classes", "licence", "sha256"]
    assert len(rows) == 1 + len(SHIPPED) + len(KNOWN) + 1
    assert rows[1].startswith("phantom-skin-32")
    assert rows[-1].startswith(str(tmp_path / "cat.pkl"))
