"""Damaged snapshots: whatever bytes are changed, one sentence or a network, and nothing is run on the way."""

import contextlib
import pickletools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import GOLDEN

from stylegan2_ada import NetworkFileError, load_networks

CONTENT = (GOLDEN / "nvidia_snapshot_r16.pkl").read_bytes()
# Most bytes are numbers of tensors; half of the changes go where operations and texts are.
PLACES = [
    place
    for operation, argument, start in pickletools.genops(CONTENT)
    if start is not None
    for place in range(start, start + 1 + (len(argument) if isinstance(argument, str) else 4))
]
OPERATIONS = [operation.code.encode("latin-1") for operation in pickletools.opcodes]
NAMES = [b"cos\nsystem\n", b"\x8c\x02os\x8c\x06system\x93", b"cbuiltins\neval\n", b"cbuiltins\n__import__\n"]
RUNNING = ("os.", "subprocess.", "exec", "compile", "import", "pickle.", "socket.", "ctypes.", "shutil.", "tempfile.")

_heard: list[str] | None = None


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _heard is not None and event.startswith(RUNNING):
        _heard.append(event)


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect Python's audit events of everything that a file must not bring about."""
    global _heard
    _heard = []
    try:
        yield _heard
    finally:
        _heard = None


@pytest.fixture(scope="module", autouse=True)
def _listener() -> None:
    sys.addaudithook(_listen)
    with contextlib.suppress(ValueError):
        load_networks(GOLDEN / "nvidia_snapshot_r16.pkl")  # whatever torch imports at its first use


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The golden snapshot with some bytes replaced, inserted or left out."""
    content = bytearray(CONTENT)
    place = st.one_of(st.sampled_from(PLACES), st.integers(0, len(CONTENT) - 1))
    byte = st.integers(0, 255).map(lambda value: bytes([value]))
    piece = st.one_of(st.sampled_from(OPERATIONS), byte, st.sampled_from(NAMES), st.binary(max_size=12))
    for _ in range(draw(st.integers(1, 6))):
        start = min(draw(place), len(content))
        content[start : start + draw(st.sampled_from([0, 1, 1, 1, 4, 50]))] = draw(piece)
    return bytes(content if draw(st.integers(0, 9)) else content[: draw(place)])


def _read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with _listening() as heard, contextlib.suppress(NetworkFileError):  # any other exception fails the test
        load_networks(path)
    assert heard == []


def test_the_listener_hears(tmp_path: Path) -> None:
    import os

    with _listening() as heard:
        os.system("true")
        exec("1")  # noqa: S102
    assert {"os.system", "exec"} <= set(heard)


FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(FUZZ, max_examples=100)
@given(damaged())
def test_damage_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    _read(tmp_path / "network.pkl", content)


@pytest.mark.slow
@settings(FUZZ, max_examples=5000)
@given(damaged())
def test_much_damage_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    _read(tmp_path / "network.pkl", content)


@pytest.mark.slow
@settings(FUZZ, max_examples=5000)
@given(st.lists(st.one_of(st.sampled_from(OPERATIONS), st.sampled_from(NAMES), st.binary(max_size=6)), max_size=60))
def test_made_up_operations_are_one_sentence(tmp_path: Path, pieces: list[bytes]) -> None:
    _read(tmp_path / "network.pkl", b"\x80\x04" + b"".join(pieces) + b"." * 8)
