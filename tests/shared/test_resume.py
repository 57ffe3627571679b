"""States in files: whole, sealed, and never executed."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UserError
from shared.nn.resume import SEAL, DamagedStateError, copy_state, load_state, save_state

STATE = {"weight": torch.arange(12.0).reshape(3, 4), "step": 7, "names": ["a", "b"], "nested": {"p": 0.5}}


def test_a_state_survives_a_round_trip(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", STATE)
    state = load_state(tmp_path / "state.pt")
    assert state.keys() == STATE.keys()
    assert torch.equal(state["weight"], STATE["weight"])
    assert (state["step"], state["names"], state["nested"]) == (7, ["a", "b"], {"p": 0.5})


def test_torch_reads_it_too(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", STATE)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 7


@given(st.data())
def test_one_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("flip") / "state.pt"
    save_state(path, STATE)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(DamagedStateError, match="not a complete checkpoint"):
        load_state(path)


@pytest.mark.parametrize("left", [0, 1, len(SEAL), 500, -1, -32, -33])
def test_a_truncated_state_is_found(tmp_path: Path, left: int) -> None:
    path = tmp_path / "state.pt"
    save_state(path, STATE)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DamagedStateError):
        load_state(path)


def test_a_copy_is_the_same_bytes_and_never_that_of_a_damaged_state(tmp_path: Path) -> None:
    path, copy = tmp_path / "state.pt", tmp_path / "copy.pt"
    save_state(path, STATE)
    copy_state(path, copy)
    assert copy.read_bytes() == path.read_bytes()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedStateError, match="not a complete checkpoint"):
        copy_state(path, copy)
    assert load_state(copy)["step"] == STATE["step"]  # what was there stays
    with pytest.raises(FileNotFoundError):
        copy_state(tmp_path / "none.pt", copy)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.pt", "state.pt"]


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_nothing_in_a_state_is_executed(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"bomb": Bomb(tmp_path / "executed")})
    with pytest.raises(UserError, match="not a checkpoint of this program"):
        load_state(tmp_path / "state.pt")
    assert not (tmp_path / "executed").exists()


def test_something_else_than_a_state_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", [1])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="not a checkpoint of this program"):
        load_state(tmp_path / "state.pt")


@pytest.mark.parametrize("room", [0, 10, 1000, -40])
def test_a_full_disk_keeps_the_state_before(tmp_path: Path, room: int) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "state.pt"
    save_state(path, STATE)
    content = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room if room >= 0 else len(content) + room, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_state(path, STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
