"""Snapshots for tests: the golden one, and how the bytes of another are read or refused."""

from pathlib import Path

import pytest
from reference import GOLDEN

from stylegan2_ada import NetworkFileError, Networks, load_networks

FILE = GOLDEN / "nvidia_snapshot_r16.pkl"


def read(tmp_path: Path, content: bytes) -> Networks:
    path = tmp_path / "network.pkl"
    path.write_bytes(content)
    return load_networks(path)


def assert_refused(tmp_path: Path, content: bytes, *named: str) -> None:
    with pytest.raises(NetworkFileError) as caught:
        read(tmp_path, content)
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'network.pkl'}: ")
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert len(sentence) < len(str(tmp_path)) + 250
    for word in named:
        assert word in sentence
