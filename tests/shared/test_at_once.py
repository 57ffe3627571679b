"""Several processes at once: what they tell, how they fail, and how they are stopped."""

import signal
import threading
from pathlib import Path

import pytest
from pieces import Piece
from waiting import until

from shared.errors import UserError
from shared.interruption import Interruption
from shared.nn.at_once import Work, do_at_once


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
    until(lambda: all(path.exists() for path in paths))
    interruption.receive(signal.SIGUSR1, None)


def test_what_could_not_be_saved_is_said_though_a_signal_came(tmp_path: Path) -> None:
    interruption = Interruption()
    sender = threading.Thread(
        target=_receive_once_all_exist, args=(interruption, [tmp_path / "piece0", tmp_path / "piece1"]), daemon=True
    )
    sender.start()
    with pytest.raises(OSError, match="No space left"):
        do_at_once(_pieces(tmp_path, "full when stopped", "waits"), 2, 1, interruption)


def test_a_signal_stops_all(tmp_path: Path) -> None:
    interruption = Interruption()
    paths = [tmp_path / "piece0", tmp_path / "piece1"]
    sender = threading.Thread(target=_receive_once_all_exist, args=(interruption, paths), daemon=True)
    sender.start()
    with pytest.raises(SystemExit) as caught:
        do_at_once(_pieces(tmp_path, "waits", "waits", "well"), 2, 1, interruption)
    assert caught.value.code == 75
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"piece0": "stopped", "piece1": "stopped"}
